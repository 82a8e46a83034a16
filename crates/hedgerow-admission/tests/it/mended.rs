//! What a hostile reading of the queue found, each kept by the promise that it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use futures::poll;
use hedgerow_admission::{
    Answer, Ask, BookId, BuildError, Claim, Correction, Decision, Gate, Key, Leased, Ledger,
    LimitPolicy, LocalLedger, Order, Outcome, Pool, Queue, Rate, ReadyAdmissionLayer, Receipt,
    Sample, ShedReason,
};
use hedgerow_core::Deadline;
use parking_lot::Mutex;
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{Log, holder, ms, settle};

/// A limit that a test sets, and that can panic.
#[derive(Default)]
struct Moody {
    limit: AtomicUsize,
    panics: AtomicBool,
    /// Called at the next reading, after it was read.
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl LimitPolicy for Moody {
    fn limit(&self) -> usize {
        assert!(!self.panics.load(Ordering::Relaxed), "on purpose");
        let limit = self.limit.load(Ordering::Relaxed);
        let then = self.then.lock().take();
        if let Some(then) = then {
            then();
        }
        limit
    }

    fn observe(&self, _: &Sample) {}
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_panics_keeps_what_it_said_last() {
    let moody = Arc::new(Moody::default());
    moody.limit.store(2, Ordering::Relaxed);
    let gate = Gate::builder().limit(moody.clone()).build();
    let first = gate.permit().await.expect("free");
    moody.panics.store(true, Ordering::Relaxed);
    let _second = gate.permit().await.expect("free");
    assert!(gate.try_permit().is_none(), "two run");
    drop(first);
    assert!(gate.try_permit().is_some());
    // One that never said a limit lets one through at a time.
    let gate = Gate::builder().limit(moody).build();
    let _first = gate.permit().await.expect("free");
    assert!(gate.try_permit().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_rises_between_its_reading_and_the_lock_wakes_who_came() {
    let moody = Arc::new(Moody::default());
    let gate = Gate::builder().limit(moody.clone()).build();
    let changes = {
        let (moody, gate) = (moody.clone(), gate.clone());
        move || {
            moody.limit.store(1, Ordering::Relaxed);
            gate.refresh();
        }
    };
    *moody.then.lock() = Some(Box::new(changes));
    let waits = timeout(Duration::from_secs(1), gate.permit()).await;
    assert!(waits.is_ok(), "the limit is 1, and nobody runs");
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_known_before_anybody_came() {
    let gate = Gate::builder().concurrency(5).build();
    assert_eq!(gate.stats().limit, Some(5));
}

#[tokio::test(start_paused = true)]
async fn one_without_a_key_holds_up_no_key_when_its_own_rate_is_empty() {
    let gate = Gate::builder()
        .rate(Rate::per_minute(1).per_key())
        .max_wait(Duration::from_secs(100))
        .build();
    gate.permit().await.expect("free").finish(Outcome::Answered);
    let mut waits = Box::pin(gate.permit());
    assert!(poll!(&mut waits).is_pending());
    let other = gate.permit_for(Ask::new().key(7));
    timeout(ms(1), other)
        .await
        .expect("a key has its own rate")
        .expect("admitted")
        .finish(Outcome::Answered);
    timeout(ms(60_000), waits)
        .await
        .expect("after a minute")
        .expect("admitted")
        .finish(Outcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_lacks_its_own_rate_holds_up_nobody_though_the_common_one_lacks_too() {
    let gate = Gate::builder()
        .rate(Rate::per_minute(1).per_key())
        .rate(Rate::spacing(ms(10)))
        .max_wait(Duration::from_secs(100))
        .build();
    let ask = |key: u64| Ask::new().key(key);
    let first = gate.permit_for(ask(1)).await.expect("free");
    first.finish(Outcome::Answered);
    let poor = tokio::spawn(gate.permit_for(ask(1)));
    settle().await;
    let log = Log::new();
    let rich = holder(&gate, ask(2), 2, ms(0), &log);
    rich.await.expect("no panic").expect("admitted");
    assert_eq!(log.all(), [(2, 10)]);
    poor.abort();
}

#[tokio::test(start_paused = true)]
async fn when_the_dear_one_at_the_head_of_its_key_leaves_the_next_starts_at_once() {
    let gate = Gate::builder()
        .rate(Rate::tokens_per_minute(600).per_key())
        .max_wait(Duration::from_secs(100))
        .build();
    let ask = |cost| Ask::new().key(1).cost(cost);
    let mut first = gate.permit_for(ask(590)).await.expect("free");
    first.used(590);
    drop(first);
    let mut dear = Box::pin(gate.permit_for(ask(600)));
    assert!(poll!(&mut dear).is_pending());
    let mut cheap = Box::pin(gate.permit_for(ask(1)));
    assert!(poll!(&mut cheap).is_pending(), "first come, first served");
    drop(dear);
    assert!(poll!(&mut cheap).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_cheap_one_that_goes_first_is_not_held_up_by_what_a_dear_one_waits_for() {
    let after_nothing = Queue::fifo().order(Order::AdaptiveLifo { after: ms(0) });
    for queue in [after_nothing, Queue::earliest_deadline_first()] {
        let gate = Gate::builder()
            .rate(Rate::tokens_per_minute(600).per_key())
            .queue(queue)
            .max_wait(Duration::from_secs(100))
            .build();
        let ask = |cost| Ask::new().key(1).cost(cost);
        let mut first = gate.permit_for(ask(590)).await.expect("free");
        first.used(590);
        drop(first);
        let mut dear = Box::pin(gate.permit_for(ask(600)));
        assert!(poll!(&mut dear).is_pending());
        let soon = Deadline::at(tokio::time::Instant::now().into_std() + ms(90_000));
        let mut cheap = Box::pin(gate.permit_for(ask(1).deadline(soon)));
        assert!(poll!(&mut cheap).is_ready(), "{queue:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_order_turns_the_one_who_is_first_then_is_looked_at() {
    for rate in [
        Rate::tokens_per_minute(600),
        Rate::tokens_per_minute(600).per_key(),
    ] {
        let gate = Gate::builder()
            .rate(rate)
            .queue(Queue::fifo().order(Order::AdaptiveLifo { after: ms(500) }))
            .max_wait(Duration::from_secs(100))
            .build();
        let ask = |cost| Ask::new().key(1).cost(cost);
        let mut first = gate.permit_for(ask(590)).await.expect("free");
        first.used(590);
        drop(first);
        let log = Log::new();
        let dear = holder(&gate, ask(600), 1, ms(0), &log);
        settle().await;
        let cheap = holder(&gate, ask(1), 2, ms(0), &log);
        sleep(ms(600)).await;
        assert_eq!(log.all(), [(2, 500)]);
        cheap.await.expect("no panic").expect("admitted");
        dear.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dear_one_that_a_full_queue_refuses_delays_nobody() {
    // The nearest deadline is first, dear, and one too many: what it would have waited for is nobody's.
    let gate = Gate::builder()
        .rate(Rate::tokens_per_minute(600))
        .queue(Queue::earliest_deadline_first())
        .max_depth(1)
        .max_wait(Duration::from_secs(100))
        .build();
    let mut first = gate.permit_for(Ask::new().cost(600)).await.expect("free");
    first.used(600);
    drop(first);
    let log = Log::new();
    let cheap = holder(&gate, Ask::new(), 1, ms(0), &log);
    settle().await;
    let soon = Deadline::at(tokio::time::Instant::now().into_std() + ms(90_000));
    let refused = gate.permit_for(Ask::new().cost(600).deadline(soon)).await;
    assert_eq!(
        refused.expect_err("one waits already").reason(),
        ShedReason::QueueFull
    );
    cheap.await.expect("no panic").expect("admitted");
    assert_eq!(log.all(), [(1, 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_and_goes_gets_its_share_and_no_more() {
    let gate = Gate::builder().concurrency(1).max_depth(10_000).build();
    let log = Log::new();
    let mut tasks = Vec::new();
    // It comes first, so that its lane has the smallest number: one at a time, or two.
    for _ in 0..2 {
        let (gate, log) = (gate.clone(), log.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..1_000 {
                let permit = gate.permit_for(Ask::new().key(0)).await?;
                log.add((0, 0));
                sleep(ms(1)).await;
                drop(permit);
            }
            Ok::<_, hedgerow_admission::Overloaded>(())
        }));
    }
    settle().await;
    for key in 1..=3 {
        for _ in 0..400 {
            tasks.push(holder(&gate, Ask::new().key(key), key, ms(1), &log));
        }
    }
    sleep(ms(1_000)).await;
    for key in 0..=3 {
        let served = log.all().iter().filter(|(name, _)| *name == key).count();
        assert!((240..=260).contains(&served), "key {key}: {served}");
    }
    for task in tasks {
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_the_last_who_waits_is_given_up() {
    let gate = Gate::builder().concurrency(1).max_wait(ms(50)).build();
    gate.set_limit(0);
    let waits = tokio::spawn(gate.permit());
    settle().await;
    let (one, two) = (gate.clone(), gate.clone());
    let drains = [
        tokio::spawn(async move { one.drain().await }),
        tokio::spawn(async move { two.drain().await }),
    ];
    settle().await;
    for drain in drains {
        timeout(ms(51), drain)
            .await
            .expect("nobody is left")
            .expect("no panic");
    }
    assert!(waits.await.expect("no panic").is_err());
    // And when another one closes the gate meanwhile.
    gate.reopen();
    let waits = tokio::spawn(gate.permit());
    settle().await;
    let draining = gate.clone();
    let drain = tokio::spawn(async move { draining.drain().await });
    settle().await;
    gate.close().await;
    timeout(ms(1), drain)
        .await
        .expect("nobody is left")
        .expect("no panic");
    assert!(waits.await.expect("no panic").is_err());
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_costs_nobody_else_the_wake() {
    let gate = Gate::builder().concurrency(2).build();
    let held = (
        gate.permit().await.expect("free"),
        gate.permit().await.expect("free"),
    );
    gate.set_limit(0);
    let mut first = Box::pin(gate.permit());
    let waker = Waker::from(Arc::new(Panicking));
    let mut cx = Context::from_waker(&waker);
    assert!(first.as_mut().poll(&mut cx).is_pending());
    let second = tokio::spawn(gate.permit());
    settle().await;
    drop(held);
    // Both are woken by this, the one that panics first.
    gate.set_limit(2);
    timeout(ms(1), second)
        .await
        .expect("woken")
        .expect("no panic")
        .expect("admitted")
        .finish(Outcome::Answered);
    drop(first);
    assert_eq!((gate.stats().active, gate.stats().queued), (0, 0));
}

/// A waker that holds a permit, as a task's last waker does.
struct Holding {
    _permit: hedgerow_admission::Permit,
}

impl Wake for Holding {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_drops_a_permit_with_it_stops_nobody() {
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    // This one keeps the time, so that no timer holds the other one's waker.
    let keeper = tokio::spawn(gate.permit());
    settle().await;
    let mut waits = Box::pin(gate.permit());
    {
        let waker = Waker::from(Arc::new(Holding { _permit: held }));
        assert!(
            waits
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    // The waiter goes to another task: the old waker is the last, and gives the permit back.
    let waits = tokio::spawn(waits);
    settle().await;
    keeper
        .await
        .expect("no panic")
        .expect("admitted")
        .finish(Outcome::Answered);
    timeout(ms(1), waits)
        .await
        .expect("woken")
        .expect("no panic")
        .expect("admitted")
        .finish(Outcome::Answered);
    assert_eq!(gate.stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_polled_late_is_served_at_once_not_a_millisecond_later() {
    let gate = Gate::builder().rate(Rate::spacing(ms(5))).build();
    let mut service =
        hedgerow_admission::AdmissionLayer::new(gate.clone()).layer(service_fn(async |_: ()| {
            Ok::<_, std::convert::Infallible>(())
        }));
    service
        .ready()
        .await
        .expect("ready")
        .call(())
        .await
        .expect("admitted");
    let mut late = Box::pin(service.ready().await.expect("ready").call(()));
    advance(ms(10)).await;
    assert!(poll!(&mut late).is_ready());
}

#[tokio::test(start_paused = true)]
async fn between_two_that_are_never_polled_somebody_keeps_the_time() {
    let gate = Gate::builder()
        .rate(Rate::per_minute(600).burst(1).per_key())
        .build();
    let service = hedgerow_admission::AdmissionLayer::new(gate.clone())
        .key(|key: &u64| *key)
        .layer(service_fn(async |_: u64| {
            Ok::<_, std::convert::Infallible>(())
        }));
    let call = |key: u64| {
        let service = service.clone();
        service.oneshot(key)
    };
    for key in 1..=4 {
        call(key).await.expect("free");
    }
    let called = |key| {
        let mut service = service.clone();
        service.call(key)
    };
    let _front = called(1);
    let keeper = tokio::spawn(called(2));
    settle().await;
    let waits = tokio::spawn(called(3));
    settle().await;
    let _back = called(4);
    keeper.abort();
    timeout(ms(101), waits)
        .await
        .expect("its own rate has refilled")
        .expect("no panic")
        .expect("admitted");
}

#[tokio::test(start_paused = true)]
async fn a_pool_goes_round_whatever_the_rates_refuse() {
    let gate = Gate::builder()
        .pool(Pool::round_robin(["a", "b", "c"]))
        .rate(Rate::spacing(ms(10)))
        .build();
    let mut order = Vec::new();
    for _ in 0..6 {
        let permit = gate.permit().await.expect("admitted");
        order.push(*permit.resource());
    }
    assert_eq!(order, ["a", "b", "c", "a", "b", "c"]);
    assert!(gate.resources().iter().all(|each| each.taken == 2));
}

#[tokio::test(start_paused = true)]
async fn work_that_is_dropped_before_it_began_counts_as_cancelled() {
    let seen = Log::new();
    let log = seen.clone();
    let gate = Gate::builder()
        .on_event(move |event: &hedgerow_admission::AdmissionEvent| log.add(event.what))
        .build();
    let permit = gate.permit().await.expect("free");
    drop(permit.run(async { Ok::<_, ()>(()) }));
    let cancelled = hedgerow_admission::Happened::Finished(Outcome::Cancelled);
    assert_eq!(seen.all()[1], cancelled);
}

#[tokio::test(start_paused = true)]
async fn what_a_crowd_of_keys_reserved_together_is_given_back_together() {
    let ledger = LocalLedger::with_max_keys(1);
    let second = Duration::from_secs(1);
    let rates = [
        Rate::requests(10, second).per_key(),
        Rate::tokens(10, second).per_key(),
    ];
    let rates: Vec<_> = rates
        .into_iter()
        .map(|rate| (ledger.open(&rate).expect("fine"), rate))
        .collect();
    let now = tokio::time::Instant::now().into_std();
    let reserve = |key: &Key, at: u64, cost| {
        let claim = Claim::new(&rates, Some(key), cost, now + ms(at));
        match ledger.reserve(&claim) {
            Answer::Now(Decision::Granted(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    };
    let refund = |key: &Key, at: u64, cost, receipt| {
        ledger.refund(
            &Claim::new(&rates, Some(key), cost, now + ms(at)),
            receipt,
            false,
        );
    };
    let left = |rate: usize, key: Option<&Key>, at: u64| match ledger.left(
        rates[rate].0,
        key,
        now + ms(at),
    ) {
        Answer::Now(left) => left,
        Answer::Later(_) => panic!("the local ledger never pends"),
    };
    let (a, b) = (Key::from(1), Key::from(2));
    let first = reserve(&a, 0, 1);
    // There is room for one key: this one is counted with all that have none of their own.
    let together = reserve(&b, 0, 10);
    assert_eq!((left(0, None, 0), left(1, None, 0)), (9, 0));
    refund(&a, 0, 1, first);
    // The first is forgotten, the second gets a book of its own.
    let own = reserve(&b, 1, 4);
    assert_eq!((left(0, Some(&b), 1), left(1, Some(&b), 1)), (9, 6));
    refund(&b, 1, 10, together);
    assert_eq!((left(0, None, 1), left(1, None, 1)), (10, 10));
    assert_eq!((left(0, Some(&b), 1), left(1, Some(&b), 1)), (9, 6));
    refund(&b, 1, 4, own);
    assert_eq!((left(0, Some(&b), 1), left(1, Some(&b), 1)), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_ready_call_that_is_over_holds_nothing_below_when_the_next_starts() {
    let gate = Gate::builder().concurrency(1).build();
    let inner = tower::limit::ConcurrencyLimit::new(
        service_fn(async |_: ()| Ok::<_, std::convert::Infallible>(())),
        1,
    );
    let mut service = ReadyAdmissionLayer::new(gate).layer(inner);
    let mut other = service.clone();
    let mut first = Box::pin(service.ready().await.expect("ready").call(()));
    assert!(poll!(&mut first).is_ready());
    // The first future is still there, and has nothing left.
    assert!(poll!(other.ready()).is_ready());
    drop(first);
}

/// A ledger that answers when it is told to.
#[derive(Default)]
struct Slow {
    asked: Mutex<Vec<(u64, tokio::sync::oneshot::Sender<Decision>)>>,
    refunded: AtomicUsize,
}

impl Slow {
    /// Answers the one that asked with this cost.
    fn answer(&self, cost: u64, decision: Decision) {
        let mut asked = self.asked.lock();
        let at = asked
            .iter()
            .position(|(each, _)| *each == cost)
            .expect("it asked");
        asked
            .remove(at)
            .1
            .send(decision)
            .expect("it waits for the answer");
    }

    fn asked(&self) -> Vec<u64> {
        self.asked.lock().iter().map(|(cost, _)| *cost).collect()
    }
}

impl Ledger for Slow {
    fn open(&self, _: &Rate) -> Result<BookId, BuildError> {
        Ok(BookId(0))
    }

    fn reserve(&self, claim: &Claim<'_>) -> Answer<Decision> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.asked.lock().push((claim.cost, tell));
        Answer::Later(Box::pin(async { told.await.unwrap_or(Decision::Failed) }))
    }

    fn settle(&self, _: &Claim<'_>, _: Receipt, _: u64) {}

    fn refund(&self, _: &Claim<'_>, _: Receipt, _: bool) {
        self.refunded.fetch_add(1, Ordering::Relaxed);
    }

    fn correct(&self, _: BookId, _: Option<&Key>, _: Correction, _: Instant) {}

    fn left(&self, _: BookId, _: Option<&Key>, _: Instant) -> Answer<u64> {
        Answer::Now(0)
    }

    fn lease(&self, _: &str, _: usize, _: Duration, _: Instant) -> Answer<Leased> {
        Answer::Now(Leased::Failed)
    }

    fn renew(&self, _: &str, _: u64, _: Duration, _: Instant) -> Answer<bool> {
        Answer::Now(false)
    }

    fn release(&self, _: &str, _: u64) {}
}

fn slow(gate: hedgerow_admission::GateBuilder) -> (Gate, Arc<Slow>) {
    let ledger = Arc::new(Slow::default());
    let rate = Rate::tokens_per_minute(1_000);
    (gate.rate(rate).ledger(ledger.clone()).build(), ledger)
}

fn wait(after: Duration) -> Decision {
    Decision::Wait {
        until: tokio::time::Instant::now().into_std() + after,
        own_key: false,
    }
}

const YES: Decision = Decision::Granted(Receipt([0; hedgerow_admission::MAX_RATES]));

#[tokio::test(start_paused = true)]
async fn those_whom_a_distant_ledger_sends_back_keep_their_order() {
    let (gate, ledger) = slow(Gate::builder());
    let log = Log::new();
    let tasks: Vec<_> = (1..=4)
        .map(|name| holder(&gate, Ask::new().cost(name), name, ms(0), &log))
        .collect();
    settle().await;
    assert_eq!(ledger.asked(), [1, 2, 3, 4]);
    for cost in [2, 1, 4, 3] {
        ledger.answer(cost, wait(ms(10)));
    }
    settle().await;
    assert_eq!(gate.stats().queued, 4);
    sleep(ms(11)).await;
    settle().await;
    assert_eq!(ledger.asked(), [1, 2, 3, 4]);
    for cost in 1..=4 {
        ledger.answer(cost, YES);
    }
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
}

#[tokio::test(start_paused = true)]
async fn one_whom_a_distant_ledger_sends_back_has_waited_since_it_came() {
    let (gate, ledger) = slow(Gate::builder().concurrency(1).max_wait(ms(100)));
    let log = Log::new();
    let first = holder(&gate, Ask::new().cost(1), 1, ms(0), &log);
    sleep(ms(50)).await;
    let second = holder(&gate, Ask::new().cost(2), 2, ms(0), &log);
    sleep(ms(30)).await;
    ledger.answer(1, wait(ms(1_000)));
    let refused = first.await.expect("no panic").expect_err("it waited");
    assert_eq!(
        (refused.reason(), refused.waited()),
        (ShedReason::WaitedTooLong, ms(100))
    );
    let refused = second.await.expect("no panic").expect_err("it waited");
    assert_eq!(
        (refused.reason(), refused.waited()),
        (ShedReason::WaitedTooLong, ms(100))
    );
}

#[tokio::test(start_paused = true)]
async fn no_patience_ends_with_a_distant_ledger_s_first_no() {
    for (builder, ask) in [
        (Gate::builder(), Ask::new().patience(ms(0))),
        (Gate::builder().max_wait(ms(0)), Ask::new()),
        (Gate::builder().max_depth(0), Ask::new()),
    ] {
        let (gate, ledger) = slow(builder);
        let yes = tokio::spawn(gate.permit_for(ask.clone().cost(1)));
        settle().await;
        let no = tokio::spawn(gate.permit_for(ask.cost(2)));
        settle().await;
        assert_eq!(ledger.asked(), [1, 2], "asking is no wait");
        ledger.answer(1, YES);
        ledger.answer(2, wait(ms(10)));
        drop(yes.await.expect("no panic").expect("admitted"));
        let refused = no.await.expect("no panic").expect_err("it may not wait");
        assert_eq!(refused.reason(), ShedReason::QueueFull);
        assert_eq!((gate.stats().active, gate.stats().queued), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_given_back() {
    let now = tokio::time::Instant::now().into_std();
    let (gate, ledger) = slow(Gate::builder().max_wait(ms(200)));
    let deadline = Ask::new().cost(1).deadline(Deadline::at(now + ms(40)));
    let waits = [
        tokio::spawn(gate.permit_for(deadline)),
        tokio::spawn(gate.permit_for(Ask::new().cost(2).patience(ms(40)))),
        tokio::spawn(gate.permit_for(Ask::new().cost(3))),
    ];
    settle().await;
    // In the very moment in which nobody waits for them any more.
    advance(ms(40)).await;
    ledger.answer(1, YES);
    ledger.answer(2, YES);
    settle().await;
    assert!(poll!(Box::pin(gate.close())).is_pending());
    ledger.answer(3, YES);
    let mut reasons = Vec::new();
    for each in waits {
        reasons.push(
            each.await
                .expect("no panic")
                .expect_err("too late")
                .reason(),
        );
    }
    assert_eq!(
        reasons,
        [
            ShedReason::DeadlinePassed,
            ShedReason::WaitedTooLong,
            ShedReason::Closed
        ]
    );
    assert_eq!(ledger.refunded.load(Ordering::Relaxed), 3);
    assert_eq!(gate.stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn those_whom_a_distant_ledger_sends_back_are_no_more_than_may_wait() {
    let (gate, ledger) = slow(Gate::builder().max_depth(3));
    let tasks: Vec<_> = (1..=10)
        .map(|cost| tokio::spawn(gate.permit_for(Ask::new().cost(cost))))
        .collect();
    settle().await;
    for cost in 1..=10 {
        ledger.answer(cost, wait(ms(1_000)));
        settle().await;
        assert!(gate.stats().queued <= 3);
    }
    assert_eq!(gate.stats().shed_for(ShedReason::QueueFull), 7);
    drop(tasks);
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_while_the_queue_is_overfull_is_refused_cleanly() {
    // It is asked for at once (another key's turn), while one more waits than may.
    let (gate, ledger) = slow(Gate::builder().concurrency(2).max_depth(1));
    let ask = |cost: u64| Ask::new().cost(cost).key(cost);
    let one = tokio::spawn(gate.permit_for(ask(1)));
    let two = tokio::spawn(gate.permit_for(ask(2)));
    settle().await;
    let three = tokio::spawn(gate.permit_for(ask(3)));
    settle().await;
    ledger.answer(1, wait(ms(0)));
    ledger.answer(2, wait(ms(0)));
    settle().await;
    let four = tokio::spawn(gate.permit_for(ask(4)));
    settle().await;
    let stats = gate.stats();
    assert!(stats.active <= 2 && stats.queued <= 1, "{stats:?}");
    for task in [one, two, three, four] {
        task.abort();
    }
    settle().await;
    let stats = gate.stats();
    assert_eq!((stats.active, stats.queued, gate.keys()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_leave_nothing_behind() {
    let ledger = Arc::new(LocalLedger::new());
    let gate = Gate::builder()
        .concurrency(2)
        .concurrency_per_key(1)
        .rate(Rate::tokens_per_minute(100).per_key())
        .ledger(ledger.clone())
        .build();
    for key in 0..1_000_000_u64 {
        if key % 1_000 == 0 {
            advance(ms(1)).await;
        }
        let ask = Ask::new().key(key);
        drop(gate.try_permit_for(&ask));
    }
    assert_eq!(gate.keys(), 0);
    assert!(ledger.keys() <= 10_000, "{}", ledger.keys());
    assert!(gate.stats().started > 10_000);
}

#[tokio::test(start_paused = true)]
async fn costs_and_deadlines_at_the_edge_of_their_types_are_answered() {
    let gate = Gate::builder()
        .concurrency(1)
        .rate(Rate::tokens_per_minute(1_000))
        .build();
    let refused = gate.permit_for(Ask::new().cost(u64::MAX)).await;
    assert_eq!(
        refused.expect_err("too dear").reason(),
        ShedReason::TooLarge
    );
    let mut permit = gate.permit().await.expect("free");
    permit.used(u64::MAX);
    drop(permit);
    assert_eq!(gate.left(0, None).await, Some(0));
    let far = tokio::time::Instant::now().into_std() + Duration::from_secs(3_000_000_000);
    let ask = Ask::new()
        .patience(Duration::MAX)
        .deadline(Deadline::at(far));
    let refused = gate
        .permit_for(ask)
        .await
        .expect_err("the longest wait ends it");
    assert_eq!(
        (refused.reason(), refused.waited()),
        (ShedReason::WaitedTooLong, Duration::from_secs(30))
    );
    gate.correct(0, None, Correction::default().pause(Duration::MAX));
    gate.correct(
        0,
        None,
        Correction::default().limit(u64::MAX).left(u64::MAX),
    );
    assert_eq!(gate.left(0, None).await, Some(0));
    gate.cool_down(0, Duration::MAX);
    assert_eq!(gate.stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn the_reserve_that_codel_leaves_alone_waits_no_longer_than_the_longest_wait() {
    let gate = Gate::builder()
        .concurrency(1)
        .queue(Queue::fifo().codel(ms(5), ms(100)))
        .max_wait(ms(300))
        .build();
    let _held = gate.permit().await.expect("free");
    let refused = timeout(ms(301), gate.permit())
        .await
        .expect("it is told")
        .expect_err("nobody ended");
    assert_eq!(
        (refused.reason(), refused.waited()),
        (ShedReason::WaitedTooLong, ms(300))
    );
}
