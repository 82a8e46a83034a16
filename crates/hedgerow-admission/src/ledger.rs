//! Where rates are kept: in this process, or shared with others.

mod local;
mod book;
mod even;
mod metered;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::BuildError;
use crate::key::Key;
use crate::rate::Rate;

pub use self::local::LocalLedger;
pub use hedgerow_core::{Answer, Later};

/// How many rates a gate takes at most.
pub const MAX_RATES: usize = 4;

/// Keeps the books of rates: who has taken how much, and when more may be taken.
///
/// A gate asks its ledger once for each request that would start now. The default, [`LocalLedger`],
/// answers at once; a shared one may answer later, and then the request waits for that answer in its own
/// future while others go on. Several gates may have one ledger: rates of the same name are one book. A
/// gate is not told what another one gives back: its waiters ask again when they were told to.
///
/// # What an own ledger must keep
///
/// * `reserve` takes all amounts of a claim or none.
/// * It is called under the gate's lock: it must not block, and must not call the gate.
/// * An answer that is dropped before it came takes nothing, or gives it back by itself in time.
/// * An answer comes in bounded time, [`Decision::Failed`] at the latest: a request that asks keeps its
///   place meanwhile. It gives up the answer, and is refused, when its deadline or longest wait is over; a
///   service that gets ready waits on.
/// * `settle`, `refund` and `release` are told, not asked: they must not block. A shared ledger hands
///   them to a task of its own.
pub trait Ledger: Send + Sync {
    /// Opens the book of a rate, once for each gate that has it.
    ///
    /// # Errors
    ///
    /// [`BuildError::RateName`] if the name is taken by a rate that says something else.
    fn open(&self, rate: &Rate) -> Result<BookId, BuildError>;

    /// Whether `reserve` always answers at once. A request then starts without a place in the queue if
    /// nobody waits. Defaults to no.
    fn answers_at_once(&self) -> bool {
        false
    }

    /// Takes what a request costs of all its rates, or says when that may be possible.
    fn reserve(&self, claim: &Claim<'_>) -> Answer<Decision>;

    /// Corrects what was reserved of the rates of tokens to what was used.
    fn settle(&self, claim: &Claim<'_>, receipt: Receipt, used: u64);

    /// Gives back what was reserved: of the rates of tokens, and of all rates if it was not `sent`.
    fn refund(&self, claim: &Claim<'_>, receipt: Receipt, sent: bool);

    /// Corrects a book by what is known from outside, at once.
    fn correct(&self, book: BookId, key: Option<&Key>, correction: Correction, now: Instant);

    /// What is left of a book now, in whole requests or tokens.
    fn left(&self, book: BookId, key: Option<&Key>, now: Instant) -> Answer<u64>;

    /// Takes one of `places` that all holders of this ledger share, for `ttl`.
    ///
    /// No gate calls this, [`renew`](Self::renew) and [`release`](Self::release) yet: a ledger that shares no
    /// places answers [`Leased::Failed`], `false` and nothing.
    fn lease(&self, name: &str, places: usize, ttl: Duration, now: Instant) -> Answer<Leased>;

    /// Holds a lease for another `ttl`; `false` if it was lost meanwhile.
    fn renew(&self, name: &str, lease: u64, ttl: Duration, now: Instant) -> Answer<bool>;

    /// Gives a lease back.
    fn release(&self, name: &str, lease: u64);
}

/// A book of a [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookId(pub u32);

/// What a request would take.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Claim<'a> {
    /// The rates, each with its book.
    pub rates: &'a [(BookId, Rate)],
    /// What it is counted under.
    pub key: Option<&'a Key>,
    /// What it costs of a rate of tokens.
    pub cost: u64,
    /// The instant of the decision.
    pub now: Instant,
}

/// What a ledger decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// All amounts are taken.
    Granted(Receipt),
    /// Nothing is taken. It makes sense to ask again at that instant.
    Wait {
        /// When.
        until: Instant,
        /// Whether only the book of the request's own key stood in the way, so that others may go on.
        own_key: bool,
    },
    /// Nothing is taken, and never will be: the claim is larger than the burst.
    Never,
    /// The ledger cannot be asked, and refuses.
    Failed,
}

/// What a ledger wants to be told again when a reservation ends: a word for each rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt(pub [u64; MAX_RATES]);

/// What a ledger answers to [`Ledger::lease`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leased {
    /// A place, by its number.
    Granted(u64),
    /// All places are taken; the first of them runs out then, unless it is renewed.
    Wait {
        /// When.
        until: Instant,
    },
    /// The ledger cannot be asked, and refuses.
    Failed,
}

/// What is known of a book from outside, such as an upstream's headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Correction {
    /// The true limit; the burst is set to it too.
    pub limit: Option<u64>,
    /// What is left now, at most: the book never has more afterwards.
    pub left: Option<u64>,
    /// Nothing starts before that has passed.
    pub pause: Option<Duration>,
}

impl<'a> Claim<'a> {
    /// A claim as a gate makes it, for tests of ledgers.
    #[must_use]
    pub const fn new(
        rates: &'a [(BookId, Rate)],
        key: Option<&'a Key>,
        cost: u64,
        now: Instant,
    ) -> Self {
        Self {
            rates,
            key,
            cost,
            now,
        }
    }
}

impl Correction {
    /// The true limit of the rate, and its burst.
    #[must_use]
    pub const fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// What is left now, at most.
    #[must_use]
    pub const fn left(mut self, left: u64) -> Self {
        self.left = Some(left);
        self
    }

    /// Nothing starts before that has passed.
    #[must_use]
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = Some(pause);
        self
    }
}

// === impl Ledger ===

impl<T: Ledger + ?Sized> Ledger for Arc<T> {
    fn open(&self, rate: &Rate) -> Result<BookId, BuildError> {
        (**self).open(rate)
    }

    fn answers_at_once(&self) -> bool {
        (**self).answers_at_once()
    }

    #[inline]
    fn reserve(&self, claim: &Claim<'_>) -> Answer<Decision> {
        (**self).reserve(claim)
    }

    fn settle(&self, claim: &Claim<'_>, receipt: Receipt, used: u64) {
        (**self).settle(claim, receipt, used);
    }

    fn refund(&self, claim: &Claim<'_>, receipt: Receipt, sent: bool) {
        (**self).refund(claim, receipt, sent);
    }

    fn correct(&self, book: BookId, key: Option<&Key>, correction: Correction, now: Instant) {
        (**self).correct(book, key, correction, now);
    }

    fn left(&self, book: BookId, key: Option<&Key>, now: Instant) -> Answer<u64> {
        (**self).left(book, key, now)
    }

    fn lease(&self, name: &str, places: usize, ttl: Duration, now: Instant) -> Answer<Leased> {
        (**self).lease(name, places, ttl, now)
    }

    fn renew(&self, name: &str, lease: u64, ttl: Duration, now: Instant) -> Answer<bool> {
        (**self).renew(name, lease, ttl, now)
    }

    fn release(&self, name: &str, lease: u64) {
        (**self).release(name, lease);
    }
}
