//! Code of the user's that panics, floods, and numbers nobody means: the books stay whole.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use hedgerow_core::{BoxError, Budget, Class, Classify, Kind, LatencyView, Recorder};
use hedgerow_retry::{RetryEvent, RetryHandle, RetryLayer, StopReason};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, about, call, down, is_down, ms, ok};

/// Every call that came in has ended, and every token was spent or is back.
#[track_caller]
fn assert_whole(handle: &RetryHandle, answered: u64) {
    let stats = handle.stats();
    let ended = answered + stats.failed + stats.cancelled;
    assert_eq!(stats.requests, ended, "{stats:?}");
    assert_eq!(handle.budget().granted(Kind::Retry), stats.retries);
}

macro_rules! layer {
    () => {
        RetryLayer::fixed(ms(10)).budget(Budget::percent(0.0).depth(9))
    };
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_panics_refuses() {
    let judge = |_: &Result<&'static str, crate::support::Down>| -> Class { panic!("on purpose") };
    let layer = layer!().clone_requests().attempts(3).accept(judge);
    let backend = Backend::of(&[ok(5)]);
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result.expect("the last real result"), "answer");
    about(took, 35, 5);
    assert_eq!(backend.sent(), 3);
    assert_eq!(layer.handle().stats().failed_by(StopReason::Attempts), 1);
}

/// Types of one's own do not catch their panics, and neither do we: the call is lost, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_type_that_panics_takes_its_call_along_and_nothing_else() {
    #[derive(Clone)]
    struct Panics;
    impl<Res, E> Classify<Res, E> for Panics {
        fn classify(&self, _: &Result<Res, E>) -> Class {
            panic!("on purpose")
        }
    }
    impl Recorder<RetryEvent> for Panics {
        fn record(&self, _: &RetryEvent) {}
        fn enabled(&self) -> bool {
            panic!("on purpose")
        }
    }
    let judged = layer!().clone_requests().accept(Panics);
    let backend = Backend::of(&[ok(5)]);
    let service = judged.layer(backend.clone());
    let result = AssertUnwindSafe(call(service)).catch_unwind().await;
    assert!(result.is_err());
    assert_whole(&judged.handle(), 0);
    assert_eq!(judged.handle().stats().cancelled, 1);
    // Before it is counted.
    let recorded = layer!().clone_requests().recorder(Panics);
    let mut service = recorded.layer(backend.clone());
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| drop(service.call(1))));
    assert!(result.is_err());
    assert_whole(&recorded.handle(), 0);
    assert_eq!(backend.alive(), 0);
}

/// A copy that panics in the middle of a call gives its token back.
#[tokio::test(start_paused = true)]
async fn a_copy_that_panics_is_not_paid() {
    struct Once(u32);
    impl Clone for Once {
        fn clone(&self) -> Self {
            assert!(self.0 == 0, "on purpose");
            Self(1)
        }
    }
    let layer = layer!().clone_requests();
    let service = layer.layer(tower::service_fn(async |_: Once| {
        Err::<(), BoxError>("down".into())
    }));
    let result = AssertUnwindSafe(service.oneshot(Once(0)))
        .catch_unwind()
        .await;
    assert!(result.is_err());
    assert_whole(&layer.handle(), 0);
    assert_eq!(layer.handle().budget().available(), 9);
}

/// A finished try whose clean-up panics.
#[tokio::test(start_paused = true)]
async fn a_clean_up_that_panics_leaves_the_books_whole() {
    struct Finished(bool);
    impl Future for Finished {
        type Output = Result<(), BoxError>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            std::task::Poll::Ready(if self.0 { Ok(()) } else { Err("down".into()) })
        }
    }
    impl Drop for Finished {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    for fine in [true, false] {
        let layer = layer!().clone_requests();
        let service = layer.layer(tower::service_fn(move |_: u64| Finished(fine)));
        let result = AssertUnwindSafe(service.oneshot(1)).catch_unwind().await;
        assert!(result.is_err());
        assert_whole(&layer.handle(), u64::from(fine));
    }
}

/// What a histogram cannot say forbids nothing.
#[tokio::test(start_paused = true)]
async fn a_histogram_that_panics_or_lies_does_not_end_a_call() {
    struct Says(Option<Duration>);
    impl LatencyView for Says {
        fn count(&self) -> u64 {
            1_000
        }
        fn quantile(&self, _: f64) -> Option<Duration> {
            Some(self.0.expect("on purpose"))
        }
    }
    for (says, sent) in [
        (None, 2),
        (Some(Duration::ZERO), 2),
        (Some(Duration::MAX), 1),
    ] {
        let backend = Backend::of(&[down(5), ok(5)]);
        let layer = layer!()
            .clone_requests()
            .deadline(ms(100))
            .latency(Says(says));
        let (result, _) = call(layer.layer(backend.clone())).await;
        assert_eq!(
            (backend.sent(), result.is_ok()),
            (sent, sent == 2),
            "{says:?}"
        );
        assert_whole(&layer.handle(), u64::from(sent == 2));
    }
}

/// Ten thousand at once, all failing, a third of them left by their callers: the budget is what it says.
#[tokio::test(start_paused = true)]
async fn a_flood_of_failing_calls_spends_the_budget_and_no_token_more() {
    const CALLS: u64 = 10_000;
    let layer = RetryLayer::fixed(ms(10)).clone_requests();
    let backend = Backend::of(&[down(5)]);
    let service = layer.layer(backend.clone());
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..CALLS {
        let call = service.clone().oneshot(n);
        let patience = if n % 3 == 0 { ms(12) } else { ms(60_000) };
        calls.spawn(tokio::time::timeout(patience, call));
    }
    let mut errors = 0;
    while let Some(ended) = calls.join_next().await {
        if let Ok(result) = ended.expect("nobody panics") {
            assert!(is_down(&result.expect_err("down")));
            errors += 1;
        }
    }
    let (handle, stats) = (layer.handle(), layer.handle().stats());
    assert_eq!((stats.requests, stats.failed), (CALLS, errors));
    assert_whole(&handle, 0);
    assert!(stats.retries <= CALLS / 10 + 50, "{stats:?}");
    assert_eq!(backend.sent() as u64, CALLS + stats.retries);
    assert_eq!(backend.alive(), 0);
}

/// A wait of 68 years, and one that no number holds.
#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_all_sense_is_the_cap() {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    for asked in ["2147483648", "99999999999999999999999999999999"] {
        let sent = std::sync::Arc::new(AtomicU32::new(0));
        let count = sent.clone();
        let service =
            RetryLayer::fixed(ms(1))
                .http()
                .layer(tower::service_fn(move |_: http::Request<()>| {
                    let first = count.fetch_add(1, SeqCst) == 0;
                    let status = if first { 503 } else { 200 };
                    let answer = http::Response::builder().status(status);
                    let answer = answer.header("retry-after", asked).body(());
                    async move { Ok::<_, BoxError>(answer.expect("an answer")) }
                }));
        let start = tokio::time::Instant::now();
        let answer = service.oneshot(http::Request::new(())).await;
        assert_eq!(answer.expect("an answer").status(), 200);
        about(start.elapsed(), 30_000, 1);
        assert_eq!(sent.load(SeqCst), 2);
    }
}
