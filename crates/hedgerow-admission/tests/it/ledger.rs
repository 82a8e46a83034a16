//! The books, and ledgers that answer later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_admission::{
    Answer, Ask, BookId, BuildError, Claim, Correction, Decision, Gate, Key, Leased, Ledger,
    LocalLedger, Outcome, Rate, Receipt, ShedReason,
};
use hedgerow_core::Deadline;
use proptest::prelude::*;
use tokio::time::sleep;

use crate::support::{Log, holder, ms, settle};

const RATE: Rate = Rate::tokens(1_000, Duration::from_secs(1)).burst(100);

/// One reservation: when, how much, what was used, and after how long that was known.
#[derive(Clone, Copy, Debug)]
struct Use {
    after_ms: u64,
    cost: u64,
    used: u64,
    known_after_ms: u64,
}

fn uses() -> impl Strategy<Value = Vec<Use>> {
    let one = (0..80_u64, 1..=100_u64, 0..=100_u64, 0..400_u64);
    let one = one.prop_map(|(after_ms, cost, used, known_after_ms)| Use {
        after_ms,
        cost,
        used: used.min(cost),
        known_after_ms,
    });
    prop::collection::vec(one, 1..120)
}

proptest! {
    /// What was really used never exceeds the rate over any window, whatever was given back and when.
    #[test]
    fn over_any_window_no_more_is_used_than_the_rate_allows(uses in uses()) {
        let ledger = LocalLedger::new();
        let book = ledger.open(&RATE).expect("a fine rate");
        let rates = [(book, RATE)];
        let began = tokio::time::Instant::now().into_std();
        let mut now_ms = 0;
        let mut open: Vec<(u64, Use, Receipt)> = Vec::new();
        let mut used: Vec<(u64, u64)> = Vec::new();
        for next in uses {
            now_ms += next.after_ms;
            // Settle what is known by now, in the order in which it becomes known.
            open.sort_by_key(|(at, ..)| *at);
            while open.first().is_some_and(|(at, ..)| *at <= now_ms) {
                let (at, done, receipt) = open.remove(0);
                let claim = claim(&rates, done.cost, began + ms(at));
                ledger.settle(&claim, receipt, done.used);
            }
            let claim = claim(&rates, next.cost, began + ms(now_ms));
            match answer(ledger.reserve(&claim)) {
                Decision::Granted(receipt) => {
                    open.push((now_ms + next.known_after_ms, next, receipt));
                    used.push((now_ms, next.used));
                }
                Decision::Wait { until, .. } => prop_assert!(until > began + ms(now_ms)),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        for (from, (first, _)) in used.iter().enumerate() {
            let mut sum = 0;
            for (at, used) in &used[from..] {
                sum += used;
                prop_assert!(sum <= 100 + (at - first), "{} in {} ms", sum, at - first);
            }
        }
    }

    /// When a claim must wait, asking again at that instant is granted, and a moment before is not.
    #[test]
    fn the_instant_that_is_told_is_exact(costs in prop::collection::vec(1..=100_u64, 1..40)) {
        let ledger = LocalLedger::new();
        let rates = [(ledger.open(&RATE).expect("a fine rate"), RATE)];
        let mut now = tokio::time::Instant::now().into_std();
        for cost in costs {
            if let Decision::Wait { until, .. } = answer(ledger.reserve(&claim(&rates, cost, now))) {
                let early = until - Duration::from_nanos(1);
                let too_early = answer(ledger.reserve(&claim(&rates, cost, early)));
                let still_waits = matches!(too_early, Decision::Wait { until: at, .. } if at == until);
                prop_assert!(still_waits);
                now = until;
                let granted = answer(ledger.reserve(&claim(&rates, cost, now)));
                prop_assert!(matches!(granted, Decision::Granted(_)));
            }
        }
    }
}

fn claim<'a>(rates: &'a [(BookId, Rate)], cost: u64, now: Instant) -> Claim<'a> {
    Claim::new(rates, None, cost, now)
}

fn answer<T>(answer: Answer<T>) -> T {
    match answer {
        Answer::Now(answer) => answer,
        Answer::Later(_) => panic!("the local ledger never pends"),
    }
}

#[test]
fn leases_are_held_renewed_lost_and_given_back() {
    let ledger = LocalLedger::new();
    let now = tokio::time::Instant::now().into_std();
    let lease = |at| answer(ledger.lease("gpu", 2, ms(100), now + ms(at)));
    let Leased::Granted(first) = lease(0) else {
        panic!("free")
    };
    let Leased::Granted(second) = lease(10) else {
        panic!("free")
    };
    assert_eq!(
        lease(20),
        Leased::Wait {
            until: now + ms(100)
        }
    );
    assert!(answer(ledger.renew("gpu", first, ms(100), now + ms(90))));
    assert!(
        matches!(lease(110), Leased::Granted(_)),
        "the second has run out"
    );
    assert!(!answer(ledger.renew("gpu", second, ms(100), now + ms(120))));
    ledger.release("gpu", first);
    assert!(matches!(lease(120), Leased::Granted(_)));
}

/// A ledger in another place: each decision takes 3 ms.
struct Distant {
    books: Arc<LocalLedger>,
    asked: Log<u64>,
    away: std::sync::atomic::AtomicBool,
    silent: std::sync::atomic::AtomicBool,
}

impl Ledger for Distant {
    fn open(&self, rate: &Rate) -> Result<BookId, BuildError> {
        self.books.open(rate)
    }

    fn reserve(&self, claim: &Claim<'_>) -> Answer<Decision> {
        self.asked.add(claim.cost);
        if self.away.load(std::sync::atomic::Ordering::Relaxed) {
            return Answer::Later(Box::pin(async { Decision::Failed }));
        }
        if self.silent.load(std::sync::atomic::Ordering::Relaxed) {
            return Answer::Later(Box::pin(std::future::pending()));
        }
        let decision = self.books.reserve(claim);
        Answer::Later(Box::pin(async move {
            sleep(ms(3)).await;
            decision.wait().await
        }))
    }

    fn settle(&self, claim: &Claim<'_>, receipt: Receipt, used: u64) {
        self.books.settle(claim, receipt, used);
    }

    fn refund(&self, claim: &Claim<'_>, receipt: Receipt, sent: bool) {
        self.books.refund(claim, receipt, sent);
    }

    fn correct(&self, book: BookId, key: Option<&Key>, correction: Correction, now: Instant) {
        self.books.correct(book, key, correction, now);
    }

    fn left(&self, book: BookId, key: Option<&Key>, now: Instant) -> Answer<u64> {
        self.books.left(book, key, now)
    }

    fn lease(&self, name: &str, places: usize, ttl: Duration, now: Instant) -> Answer<Leased> {
        self.books.lease(name, places, ttl, now)
    }

    fn renew(&self, name: &str, lease: u64, ttl: Duration, now: Instant) -> Answer<bool> {
        self.books.renew(name, lease, ttl, now)
    }

    fn release(&self, name: &str, lease: u64) {
        self.books.release(name, lease);
    }
}

fn distant() -> (Arc<Distant>, Log<u64>) {
    let asked = Log::new();
    let ledger = Distant {
        books: Arc::new(LocalLedger::new()),
        asked: asked.clone(),
        away: false.into(),
        silent: false.into(),
    };
    (Arc::new(ledger), asked)
}

#[tokio::test(start_paused = true)]
async fn a_distant_ledger_is_asked_once_a_decision_and_others_go_on_meanwhile() {
    let (ledger, asked) = distant();
    let gate = Gate::builder()
        .concurrency(8)
        .rate(Rate::per_second(4))
        .ledger(ledger)
        .build();
    let log = Log::new();
    let tasks: Vec<_> = (0..6)
        .map(|name| holder(&gate, Ask::new(), name, ms(1), &log))
        .collect();
    settle().await;
    assert_eq!(
        gate.stats().active,
        6,
        "all six are being asked for at once"
    );
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    let starts: Vec<u64> = log.all().into_iter().map(|(_, at)| at).collect();
    // Four at once, 3 ms later; then one each quarter of a second, asked again at that time.
    assert_eq!(starts[..4], [3, 3, 3, 3]);
    assert!(starts[4] >= 253 && starts[5] >= 503, "{starts:?}");
    assert!(starts[5] <= 520, "{starts:?}");
    // Six decisions, and two waits that had to be asked about again (once more each at most).
    assert!(asked.all().len() <= 10, "{}", asked.all().len());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_while_a_distant_ledger_is_asked_gives_its_place_back() {
    let (ledger, _) = distant();
    let gate = Gate::builder()
        .concurrency(1)
        .rate(Rate::per_second(100))
        .ledger(ledger)
        .build();
    let mut leaves = Box::pin(gate.permit());
    assert!(futures::poll!(&mut leaves).is_pending());
    assert_eq!(gate.stats().active, 1);
    drop(leaves);
    assert_eq!((gate.stats().active, gate.stats().aborted), (0, 1));
    gate.permit().await.expect("free").finish(Outcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_distant_ledger_that_never_answers_holds_nobody_beyond_his_time() {
    let (ledger, _) = distant();
    ledger
        .silent
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let gate = Gate::builder()
        .concurrency(2)
        .rate(Rate::per_second(100))
        .max_wait(ms(50))
        .ledger(ledger.clone())
        .build();
    let refused = |ask: Ask| {
        let gate = gate.clone();
        async move {
            let began = tokio::time::Instant::now();
            let refused = gate.permit_for(ask).await.expect_err("nobody answers");
            (refused.reason(), began.elapsed())
        }
    };
    let soon = Deadline::at((tokio::time::Instant::now() + ms(20)).into_std());
    let (patient, hurried) =
        futures::join!(refused(Ask::new()), refused(Ask::new().deadline(soon)),);
    assert_eq!(patient, (ShedReason::WaitedTooLong, ms(50)));
    assert_eq!(hurried, (ShedReason::DeadlinePassed, ms(20)));
    assert_eq!((gate.stats().active, gate.leftovers()), (0, 0));
    // Their places are free for whoever comes when it answers again.
    ledger
        .silent
        .store(false, std::sync::atomic::Ordering::Relaxed);
    let both = futures::future::join_all([gate.permit(), gate.permit()]).await;
    assert!(both.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_asked_and_refuses_is_a_counted_shed() {
    let (ledger, _) = distant();
    ledger
        .away
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let gate = Gate::builder()
        .rate(Rate::per_second(100))
        .ledger(ledger)
        .build();
    let refused = gate.permit().await.expect_err("it is away");
    assert_eq!(refused.reason(), ShedReason::Ledger);
    assert_eq!(gate.stats().active, 0);
}
