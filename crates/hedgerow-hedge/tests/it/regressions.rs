//! One test per bug that was found and mended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use hedgerow_core::{Attempt, Budget, Kind};
use hedgerow_hedge::{HedgeEvent, HedgeLayer};
use hedgerow_latency::Latency;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, call, ms};

/// When a service is ready for the attempt of that index, in milliseconds of the test.
#[derive(Clone, Copy)]
enum Ready {
    Now,
    At(u64),
    FailsAt(u64),
    Never,
    Panics,
}

/// A backend behind a scripted readiness, whose extra attempts may panic when they run.
struct Gate {
    ready: Arc<[Ready]>,
    extras_panic: bool,
    inner: Backend,
    timer: Option<Pin<Box<Sleep>>>,
    start: Instant,
}

impl Gate {
    fn new(ready: impl Into<Arc<[Ready]>>, inner: &Backend) -> Self {
        Self {
            ready: ready.into(),
            extras_panic: false,
            inner: inner.clone(),
            timer: None,
            start: Instant::now(),
        }
    }

    fn wait(&mut self, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.start + ms(at);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        timer.as_mut().poll(cx)
    }
}

impl Clone for Gate {
    fn clone(&self) -> Self {
        Self {
            ready: self.ready.clone(),
            extras_panic: self.extras_panic,
            inner: self.inner.clone(),
            timer: None,
            start: self.start,
        }
    }
}

impl Service<u64> for Gate {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<&'static str, &'static str>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        match self.ready[Attempt::current().index() as usize] {
            Ready::Now => Poll::Ready(Ok(())),
            Ready::At(at) => self.wait(at, cx).map(Ok),
            Ready::FailsAt(at) => self.wait(at, cx).map(|()| Err("unavailable")),
            Ready::Never => Poll::Pending,
            Ready::Panics => panic!("on purpose"),
        }
    }

    fn call(&mut self, request: u64) -> Self::Future {
        let running = self.inner.call(request);
        if !(self.extras_panic && Attempt::current().is_extra()) {
            return running;
        }
        Box::pin(async move {
            let _running = running;
            sleep(ms(7)).await;
            panic!("on purpose")
        })
    }
}

/// Counts the terminal events, and the attempts they tell of.
fn endings() -> (Arc<Mutex<Vec<usize>>>, impl Fn(&HedgeEvent)) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let record = move |event: &HedgeEvent| {
        if let Some(info) = event.info() {
            notes.lock().push(info.attempts.len());
        }
    };
    (seen, record)
}

/// More than 5 % of the primaries never answer: the 95th percentile is then not known, and the ages
/// of those that were given up must not be taken for it.
#[tokio::test(start_paused = true)]
async fn hedging_goes_on_when_one_primary_in_ten_hangs() {
    let count = Arc::new(AtomicU64::new(0));
    let client = tower::service_fn(move |_: u64| {
        let extra = Attempt::current().is_extra();
        let hangs = !extra && count.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        async move {
            sleep(if hangs { Duration::MAX } else { ms(10) }).await;
            Ok::<_, ()>(())
        }
    });
    let layer = HedgeLayer::percentile(95).clone_requests();
    let (service, handle) = (layer.layer(client), layer.handle());
    for block in 0..8 {
        let mut calls = FuturesUnordered::new();
        let mut answered = 0;
        for _ in 0..2_000 {
            calls.push(timeout(ms(2_000), service.clone().oneshot(1)));
            let next = sleep(ms(5));
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    Some(done) = calls.next() => answered += usize::from(done.is_ok()),
                }
            }
        }
        answered += calls
            .filter(|done| std::future::ready(done.is_ok()))
            .count()
            .await;
        let stats = handle.stats();
        handle.reset();
        // The budget pays for 150 of the 200.
        assert!(
            stats.fired >= 120,
            "block {block}: {} sent, {answered} answered",
            stats.fired
        );
        assert!(
            answered >= 1_900,
            "block {block}: {} sent, {answered} answered",
            stats.fired
        );
    }
}

/// The samples that a percentile waits for are counted since the start, not in the window.
#[tokio::test(start_paused = true)]
async fn a_percentile_learns_also_from_a_window_smaller_than_it_would_like() {
    for layer in [
        HedgeLayer::percentile(99).window(100),
        HedgeLayer::percentile(95).window(16),
        HedgeLayer::percentile(99.9).window(1_000),
    ] {
        let layer = layer.clone_requests();
        let service = layer.layer(Backend::taking(&[1_000]));
        for _ in 0..6_000 {
            call(service.clone()).await.0.expect("an answer");
        }
        layer.handle().reset();
        for _ in 0..100 {
            call(service.clone()).await.0.expect("an answer");
        }
        let (stats, latency) = (layer.handle().stats(), layer.handle().latency().clone());
        assert_eq!(stats.fired, 0, "{latency:?}");
    }
    assert_eq!(
        Latency::for_quantile(0.999_999_999_9).window_size(),
        1 << 31
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_race_keeps_the_books() {
    use Ready::{Never, Now, Panics};
    for (ready, primary_fails, extras_panic) in [
        ([Now, Now, Now], true, true),
        ([Now, Panics, Now], true, false),
        ([Now, Now, Now], false, true),
        ([Now, Panics, Now], false, false),
        ([Now, Never, Panics], false, false),
        ([Now, Now, Panics], false, false),
    ] {
        let backend = Backend::new(move |attempt| match (attempt.is_extra(), primary_fails) {
            (true, _) => (ms(500), Ok("hedge")),
            (false, true) => (ms(5), Err("primary")),
            (false, false) => (ms(1_000), Ok("primary")),
        });
        let mut gate = Gate::new(ready, &backend);
        gate.extras_panic = extras_panic;
        let (seen, record) = endings();
        let budget = Budget::percent(0.0).depth(10);
        let layer = HedgeLayer::schedule([ms(50), ms(100)])
            .clone_requests()
            .budget(budget.clone())
            .on_event(record);
        let panicked = AssertUnwindSafe(call(layer.layer(gate)))
            .catch_unwind()
            .await;
        assert!(panicked.is_err());
        let extras = backend.sent() - 1;
        assert_eq!(
            *seen.lock(),
            [backend.sent()],
            "one terminal event, of every attempt"
        );
        assert_eq!(
            budget.granted(Kind::Hedge),
            extras as u64,
            "what was not sent came back"
        );
        assert_eq!(layer.handle().stats().fired, extras as u64);
        assert_eq!(backend.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_in_call_leaves_no_open_call_in_the_books() {
    let layer = HedgeLayer::fixed(ms(50)).clone_requests();
    let client =
        tower::service_fn(|_: u64| -> std::future::Ready<Result<(), ()>> { panic!("on purpose") });
    let mut service = layer.layer(client);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).is_err());
    assert_eq!(layer.handle().stats().requests, 0);
}

#[tokio::test(start_paused = true)]
async fn patience_is_counted_anew_after_an_extra_that_was_unavailable() {
    let backend = Backend::new(|_| (ms(60), Err("primary")));
    let gate = Gate::new([Ready::Now, Ready::FailsAt(70), Ready::Never], &backend);
    let layer = HedgeLayer::schedule([ms(50), ms(100)]).clone_requests();
    let (result, took) = timeout(ms(100_000), call(layer.layer(gate)))
        .await
        .expect("it does not hang");
    assert_eq!(result, Err("primary"));
    assert!(took <= ms(172), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_timers_own_instant_keeps_the_patience() {
    for fails in [49, 50, 51] {
        let backend = Backend::new(move |attempt| match attempt.is_extra() {
            true => (ms(1), Ok("hedge")),
            false => (ms(fails), Err("primary")),
        });
        let gate = Gate::new([Ready::Now, Ready::At(60)], &backend);
        let layer = HedgeLayer::fixed(ms(50)).clone_requests();
        let (result, _) = call(layer.layer(gate)).await;
        assert_eq!(result, Ok("hedge"), "the primary failed after {fails} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_infinite_delay_still_follows_a_failure() {
    for fails in [0, 5] {
        let backend = Backend::new(move |attempt| match attempt.is_extra() {
            true => (ms(1), Ok("hedge")),
            false => (ms(fails), Err("primary")),
        });
        let layer = HedgeLayer::fixed(Duration::MAX).clone_requests();
        let (result, _) = call(layer.layer(backend)).await;
        assert_eq!(result, Ok("hedge"), "the primary failed after {fails} ms");
    }
}

/// tokio rounds a deadline up by a millisecond, which may not fit any more.
#[tokio::test(start_paused = true)]
async fn the_largest_delay_that_can_be_added_does_not_panic() {
    let now = Instant::now();
    let (mut fits, mut too_far) = (Duration::ZERO, Duration::MAX);
    while too_far - fits > Duration::from_nanos(1) {
        let middle = fits + (too_far - fits) / 2;
        if now.checked_add(middle).is_some() {
            fits = middle;
        } else {
            too_far = middle;
        }
    }
    let layer = HedgeLayer::fixed(fits).clone_requests();
    assert!(call(layer.layer(Backend::taking(&[10]))).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_attempt_is_denied_once() {
    let backend = Backend::new(|attempt| match attempt.is_extra() {
        true => (ms(100), Err("hedge")),
        false => (ms(130), Err("primary")),
    });
    let gate = Gate::new([Ready::Now, Ready::At(150), Ready::Now], &backend);
    let layer = HedgeLayer::schedule([ms(50), ms(100)])
        .clone_requests()
        .budget(Budget::percent(0.0).depth(1));
    let _ = call(layer.layer(gate)).await;
    assert_eq!(layer.handle().stats().denied, 1);
}

#[tokio::test(start_paused = true)]
async fn rates_stay_between_0_and_1_when_reset_during_calls() {
    let layer = HedgeLayer::fixed(ms(50)).clone_requests();
    let (service, handle) = (layer.layer(Backend::taking(&[1_000, 100])), layer.handle());
    let calls = futures::future::join_all((0..10).map(|_| call(service.clone())));
    let reset = async {
        sleep(ms(10)).await;
        handle.reset();
        call(service.clone()).await
    };
    let _ = tokio::join!(calls, reset);
    let stats = handle.stats();
    assert_eq!((stats.hedge_rate, stats.hedge_win_rate), (1.0, 1.0));
}

#[test]
fn a_schedule_reads_no_more_delays_than_it_may_take() {
    let error = HedgeLayer::try_schedule(std::iter::repeat(ms(1))).unwrap_err();
    assert!(error.to_string().contains("1 to 64"), "{error}");
}

#[test]
fn the_smallest_percentages_are_not_rounded_to_nothing() {
    let budget = HedgeLayer::percentile(99.999_99).handle().budget().clone();
    while budget.try_withdraw(Kind::Hedge) {}
    for _ in 0..10_000_000 {
        budget.deposit();
    }
    assert_eq!(budget.available(), 1);
}

#[test]
fn a_refund_without_a_grant_is_nothing() {
    let budget = Budget::percent(0.0).depth(2);
    assert!(budget.try_withdraw(Kind::Retry));
    budget.refund(Kind::Hedge);
    assert_eq!((budget.granted(Kind::Hedge), budget.available()), (0, 1));
}

/// The loser's drop panics; the winner's answer is there all the same.
#[tokio::test(start_paused = true)]
async fn a_loser_that_panics_in_its_drop_does_not_take_the_answer_along() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "on purpose");
        }
    }
    for winner in [0, 1] {
        let client = tower::service_fn(move |_: u64| {
            let attempt = Attempt::current().index();
            async move {
                let mut bomb = Bomb(attempt != winner);
                sleep(ms(if attempt == winner { 60 } else { 60_000 })).await;
                bomb.0 = false;
                Ok::<_, ()>(attempt)
            }
        });
        let (seen, record) = endings();
        let layer = HedgeLayer::fixed(ms(50)).clone_requests().on_event(record);
        assert_eq!(call(layer.layer(client)).await.0, Ok(winner));
        assert_eq!(*seen.lock(), [2]);
    }
}

/// The layer asked for `Error: 'static`, which rustc cannot prove inside of an async block when the
/// type has a lifetime in it, as `BoxError` has.
#[tokio::test(start_paused = true)]
#[expect(
    clippy::disallowed_methods,
    reason = "that it can be spawned is the point"
)]
async fn a_service_whose_error_is_boxed_can_be_spawned() {
    let client = tower::service_fn(|n: u64| async move {
        if n == 7 {
            Err(hedgerow_core::BoxError::from("no"))
        } else {
            Ok::<u64, _>(n)
        }
    });
    let service = HedgeLayer::fixed(ms(5)).clone_requests().layer(client);
    let task = tokio::spawn(async move {
        for n in 0..8 {
            let _ = timeout(ms(1), service.clone().oneshot(n)).await;
        }
    });
    task.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn all_handles_of_a_layer_share_one_reset() {
    let layer = HedgeLayer::fixed(ms(5)).clone_requests();
    call(layer.layer(Backend::taking(&[1])))
        .await
        .0
        .expect("an answer");
    layer.handle().reset();
    assert_eq!(layer.handle().stats().requests, 0);
}
