//! The books of this process.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::book::{At, Book};
use super::{Answer, BookId, Claim, Correction, Decision, Leased, Ledger, Receipt};
use crate::error::BuildError;
use crate::key::Key;
use crate::rate::{MOST, Rate};
use crate::sync::Mutex;

/// Keeps the rates of one process; answers at once.
///
/// Each gate makes one of its own. Give several gates the same one (in an `Arc`) and they share the
/// rates of the same name.
///
/// # Cost
///
/// One lock a decision. A key's book takes about 150 bytes, and those of a rate of tokens up to 4 KiB
/// more while calls are open. At most `max_keys` books of keys are kept for each rate: full ones, which
/// say no more than a new one would, are dropped first; when none is full, further keys share one book.
pub struct LocalLedger {
    max_keys: usize,
    books: Mutex<Books>,
}

struct Books {
    /// Instants are counted from here; set by the first one seen.
    epoch: Option<Instant>,
    accounts: Vec<Account>,
    /// Numbers of reservations.
    next: u64,
    leases: HashMap<String, Leases>,
}

/// In a receipt: it was reserved in the book of its key, not in the one that all share.
const OWN: u64 = 1 << 63;

/// A rate, with the book of all and those of keys.
struct Account {
    rate: Rate,
    label: String,
    shared: Book,
    keyed: HashMap<Key, Book>,
    /// No search for full books before so many new keys.
    patience: usize,
}

#[derive(Default)]
struct Leases {
    next: u64,
    held: HashMap<u64, Instant>,
}

impl LocalLedger {
    /// A ledger that keeps the books of at most 10,000 keys for each rate.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_keys(10_000)
    }

    /// A ledger that keeps the books of so many keys for each rate.
    #[must_use]
    pub fn with_max_keys(max_keys: usize) -> Self {
        Self {
            max_keys,
            books: Mutex::new(Books {
                epoch: None,
                accounts: Vec::new(),
                next: 1,
                leases: HashMap::new(),
            }),
        }
    }

    /// How many books of keys are kept now, of all rates.
    #[must_use]
    pub fn keys(&self) -> usize {
        let books = self.books.lock();
        books.accounts.iter().map(|each| each.keyed.len()).sum()
    }
}

impl LocalLedger {
    /// Takes of one rate that no key has for itself, if that is possible now; what is told is the word
    /// of a [`Receipt`].
    #[inline(always)]
    pub(crate) fn take_one(&self, book: BookId, cost: u64, now: Instant) -> Option<u64> {
        let books = &mut *self.books.lock();
        match &mut books.accounts[book.0 as usize].shared {
            Book::Requests(book) => {
                books.next += 1;
                book.try_take(now, books.next - 1)
            }
            Book::Tokens(_) => books.take_tokens(book, cost, now),
        }
    }
}

impl Books {
    #[inline(never)]
    fn take_tokens(&mut self, book: BookId, cost: u64, now: Instant) -> Option<u64> {
        let at = self.at(now);
        let book = &mut self.accounts[book.0 as usize].shared;
        if book.when(at, cost) != Some(now) {
            return None;
        }
        Some(book.take(at, cost, &mut self.next))
    }
}

impl Default for LocalLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl Books {
    fn at(&mut self, now: Instant) -> At {
        let epoch = *self.epoch.get_or_insert(now);
        At { now, epoch }
    }
}

impl Account {
    /// The book of a key, for a decision.
    #[inline]
    fn book(&mut self, key: Option<&Key>, at: At, max_keys: usize) -> &mut Book {
        match key {
            Some(key) if self.rate.per_key => self.keyed_book(key, at, max_keys),
            _ => &mut self.shared,
        }
    }

    fn keyed_book(&mut self, key: &Key, at: At, max_keys: usize) -> &mut Book {
        if !self.keyed.contains_key(key) {
            if self.keyed.len() >= max_keys {
                self.patience = self.patience.saturating_sub(1);
                if self.patience == 0 {
                    self.keyed.retain(|_, book| !book.is_idle(at));
                    self.patience = (max_keys / 8).max(1);
                }
                if self.keyed.len() >= max_keys {
                    return &mut self.shared;
                }
            }
            self.keyed
                .insert(key.clone(), Book::new(&self.rate, Some(at)));
        }
        match self.keyed.get_mut(key) {
            Some(book) => book,
            None => &mut self.shared,
        }
    }

    /// Whether a key has a book of its own.
    #[inline]
    fn has_own(&self, key: Option<&Key>) -> bool {
        self.rate.per_key && key.is_some_and(|key| self.keyed.contains_key(key))
    }

    /// The book in which this was reserved; `None` if it was full and is forgotten: nothing is owed.
    fn reserved_in(&mut self, key: Option<&Key>, word: u64) -> Option<&mut Book> {
        if word & OWN == 0 {
            return Some(&mut self.shared);
        }
        key.and_then(|key| self.keyed.get_mut(key))
    }
}

// === impl Ledger ===

impl Ledger for LocalLedger {
    fn open(&self, rate: &Rate) -> Result<BookId, BuildError> {
        rate.check()?;
        let label = rate.label();
        let mut books = self.books.lock();
        if let Some(at) = books.accounts.iter().position(|each| each.label == label) {
            if books.accounts[at].rate != *rate {
                return Err(BuildError::RateName { name: label });
            }
            return Ok(BookId(at as u32));
        }
        books.accounts.push(Account {
            shared: Book::new(rate, None),
            rate: rate.clone(),
            label,
            keyed: HashMap::new(),
            patience: 1,
        });
        Ok(BookId((books.accounts.len() - 1) as u32))
    }

    fn answers_at_once(&self) -> bool {
        true
    }

    fn reserve(&self, claim: &Claim<'_>) -> Answer<Decision> {
        let books = &mut *self.books.lock();
        let at = books.at(claim.now);
        let (mut own, mut all) = (at.now, at.now);
        for (book, rate) in claim.rates {
            let account = &mut books.accounts[book.0 as usize];
            let book = account.book(claim.key, at, self.max_keys);
            let Some(when) = book.when(at, claim.cost) else {
                return Answer::Now(Decision::Never);
            };
            let until = if rate.per_key { &mut own } else { &mut all };
            *until = when.max(*until);
        }
        // What its own key lacks comes first: nobody else need wait for that.
        if own > at.now || all > at.now {
            return Answer::Now(Decision::Wait {
                until: if own > at.now { own } else { all },
                own_key: own > at.now,
            });
        }
        let mut receipt = Receipt::default();
        for (word, (book, _)) in receipt.0.iter_mut().zip(claim.rates) {
            let account = &mut books.accounts[book.0 as usize];
            let own = account.has_own(claim.key);
            let book = account.book(claim.key, at, self.max_keys);
            *word = book.take(at, claim.cost, &mut books.next);
            if own {
                *word |= OWN;
            }
        }
        Answer::Now(Decision::Granted(receipt))
    }

    fn settle(&self, claim: &Claim<'_>, receipt: Receipt, used: u64) {
        let books = &mut *self.books.lock();
        let at = books.at(claim.now);
        for (word, (book, _)) in receipt.0.iter().zip(claim.rates) {
            let account = &mut books.accounts[book.0 as usize];
            if let Some(Book::Tokens(book)) = account.reserved_in(claim.key, *word) {
                book.settle(at.nanos(), claim.cost, *word & !OWN, used.min(MOST));
            }
        }
    }

    fn refund(&self, claim: &Claim<'_>, receipt: Receipt, sent: bool) {
        let books = &mut *self.books.lock();
        let at = books.at(claim.now);
        for (word, (book, _)) in receipt.0.iter().zip(claim.rates) {
            let account = &mut books.accounts[book.0 as usize];
            match account.reserved_in(claim.key, *word) {
                Some(Book::Tokens(book)) => book.settle(at.nanos(), claim.cost, *word & !OWN, 0),
                Some(Book::Requests(book)) if !sent => book.give_back(at.now, *word & !OWN),
                Some(Book::Requests(_)) | None => {}
            }
        }
    }

    fn correct(&self, book: BookId, key: Option<&Key>, correction: Correction, now: Instant) {
        let books = &mut *self.books.lock();
        let at = books.at(now);
        if let Some(account) = books.accounts.get_mut(book.0 as usize) {
            account.book(key, at, self.max_keys).correct(at, correction);
        }
    }

    fn left(&self, book: BookId, key: Option<&Key>, now: Instant) -> Answer<u64> {
        let books = &mut *self.books.lock();
        let at = books.at(now);
        Answer::Now(match books.accounts.get_mut(book.0 as usize) {
            Some(account) => match key.filter(|_| account.rate.per_key) {
                Some(key) => account
                    .keyed
                    .get(key)
                    .map_or(account.rate.burst, |book| book.left(at)),
                None => account.shared.left(at),
            },
            None => 0,
        })
    }

    fn lease(&self, name: &str, places: usize, ttl: Duration, now: Instant) -> Answer<Leased> {
        let mut books = self.books.lock();
        let leases = books.leases.entry(name.to_owned()).or_default();
        leases.held.retain(|_, until| *until > now);
        if leases.held.len() >= places {
            let first = leases.held.values().min().copied();
            let until = first.unwrap_or(now + ttl);
            return Answer::Now(Leased::Wait { until });
        }
        leases.next += 1;
        let lease = leases.next;
        leases.held.insert(lease, now + ttl);
        Answer::Now(Leased::Granted(lease))
    }

    fn renew(&self, name: &str, lease: u64, ttl: Duration, now: Instant) -> Answer<bool> {
        let mut books = self.books.lock();
        let held = books
            .leases
            .get_mut(name)
            .and_then(|leases| leases.held.get_mut(&lease));
        Answer::Now(match held {
            Some(until) if *until > now => {
                *until = now + ttl;
                true
            }
            _ => false,
        })
    }

    fn release(&self, name: &str, lease: u64) {
        let mut books = self.books.lock();
        if let Some(leases) = books.leases.get_mut(name) {
            leases.held.remove(&lease);
            if leases.held.is_empty() {
                books.leases.remove(name);
            }
        }
    }
}

impl fmt::Debug for LocalLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = self.books.lock();
        let rates: Vec<&str> = books.accounts.iter().map(|each| &*each.label).collect();
        f.debug_struct("LocalLedger")
            .field("rates", &rates)
            .field("max_keys", &self.max_keys)
            .finish()
    }
}

#[cfg(all(test, hedgerow_loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn loom_two_threads_never_hold_one_token_more_than_there_are() {
        let now = tokio::time::Instant::now().into_std();
        loom::model(move || {
            let rate = Rate::tokens(1, Duration::from_secs(1)).burst(10);
            let ledger = LocalLedger::new();
            let rates = Arc::new([(ledger.open(&rate).expect("a fine rate"), rate)]);
            let (ledger, held) = (Arc::new(ledger), Arc::new(AtomicU64::new(0)));
            // Each takes 6 of 10; one of them uses 2, the other nothing.
            let run = {
                let (ledger, rates, held) = (ledger.clone(), rates.clone(), held.clone());
                move |used: u64| {
                    let claim = Claim::new(&*rates, None, 6, now);
                    let Answer::Now(decision) = ledger.reserve(&claim) else {
                        panic!("it answers at once");
                    };
                    let Decision::Granted(receipt) = decision else {
                        return 0;
                    };
                    assert!(held.fetch_add(6, Ordering::Relaxed) + 6 <= 10, "too many");
                    held.fetch_sub(6 - used, Ordering::Relaxed);
                    if used > 0 {
                        ledger.settle(&claim, receipt, used);
                    } else {
                        ledger.refund(&claim, receipt, true);
                    }
                    used
                }
            };
            let other = {
                let run = run.clone();
                loom::thread::spawn(move || run(0))
            };
            let used = run(2) + other.join().expect("nobody panics");
            let Answer::Now(left) = ledger.left(rates[0].0, None, now) else {
                panic!("it answers at once");
            };
            assert_eq!(left, 10 - used);
        });
    }
}
