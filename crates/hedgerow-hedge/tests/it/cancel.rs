//! What a drop drops.

use std::time::Duration;

use hedgerow_core::{Attempt, Budget, Kind};
use hedgerow_hedge::HedgeLayer;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::{Instant, sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, call, ms};

/// A7: theirs came 511 ms late, because it awaited the loser's clean-up.
#[tokio::test(start_paused = true)]
async fn the_winner_does_not_wait_for_a_losers_cleanup() {
    struct CleansUp(Arc<Mutex<Vec<Instant>>>);
    impl Drop for CleansUp {
        #[expect(
            clippy::disallowed_methods,
            reason = "a client that cleans up behind the caller's back"
        )]
        fn drop(&mut self) {
            let done = self.0.clone();
            tokio::spawn(async move {
                sleep(ms(500)).await;
                done.lock().push(Instant::now());
            });
        }
    }
    let cleaned = Arc::new(Mutex::new(Vec::new()));
    let log = cleaned.clone();
    let client = tower::service_fn(move |_: u64| {
        let _slow = CleansUp(log.clone());
        let attempt = Attempt::current();
        async move {
            let _slow = _slow;
            sleep(ms(if attempt.is_extra() { 10 } else { 10_000 })).await;
            Ok::<_, ()>(attempt.index())
        }
    });
    let layer = HedgeLayer::fixed(ms(50)).clone_requests();
    let (result, took) = call(layer.layer(client)).await;
    assert_eq!(result, Ok(1));
    assert!(took <= ms(65), "{took:?}");
    assert!(cleaned.lock().is_empty(), "the answer came first");
    sleep(ms(600)).await;
    assert_eq!(cleaned.lock().len(), 2);
}

/// A12, at every age of the call.
#[tokio::test(start_paused = true)]
async fn dropping_the_call_drops_all_its_attempts_and_starts_no_delayed_one() {
    for age in [0, 10, 49, 51, 99, 120, 500] {
        let backend = Backend::new(|_| (ms(60_000), Ok("late")));
        let layer = HedgeLayer::schedule([ms(50), ms(100)]).clone_requests();
        let held = call(layer.layer(backend.clone()));
        assert!(timeout(ms(age), held).await.is_err());
        assert_eq!(backend.alive(), 0, "after {age} ms");
        let sent = backend.sent();
        sleep(ms(1_000)).await;
        assert_eq!(backend.sent(), sent, "after {age} ms");
        assert_eq!(layer.handle().stats().cancelled, 1);
    }
}

/// A12: permits and budget.
#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_permits_and_unspent_budget_back() {
    let budget = Budget::percent(0.0).depth(5);
    let backend = Backend::new(|_| (ms(60_000), Ok("late")));
    let limited = ConcurrencyLimit::new(backend.clone(), 1);
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(budget.clone());
    let service = layer.layer(limited.clone());
    // The hedge is granted, and waits for the one permit that the primary holds.
    assert!(timeout(ms(100), call(service)).await.is_err());
    assert_eq!((backend.sent(), backend.alive()), (1, 0));
    assert_eq!(budget.available(), 5, "it was never sent");
    assert_eq!(budget.granted(Kind::Hedge), 0);
    let mut limited = limited;
    let ready = timeout(ms(1), limited.ready()).await;
    assert!(ready.is_ok(), "the permit is back");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_was_sent_stays_paid() {
    let budget = Budget::percent(0.0).depth(5);
    let backend = Backend::new(|_| (ms(60_000), Ok("late")));
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(budget.clone());
    assert!(
        timeout(ms(100), call(layer.layer(backend.clone())))
            .await
            .is_err()
    );
    assert_eq!((backend.sent(), budget.available()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn losers_are_dropped_before_the_answer_is_there() {
    let backend = Backend::taking(&[10_000, 10_000, 20]);
    let layer = HedgeLayer::schedule([ms(10), ms(20)]).clone_requests();
    let mut service = layer.layer(backend.clone());
    let future = service.ready().await.expect("always ready").call(1);
    let mut future = Box::pin(future);
    (&mut future).await.expect("an answer");
    // The future itself still lives.
    assert_eq!(backend.alive(), 0);
    drop(future);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_attempt_leaves_the_next_call_alone() {
    let client = tower::service_fn(|n: u64| async move {
        sleep(Duration::from_millis(1)).await;
        assert!(n != 13, "on purpose");
        Ok::<_, ()>(n)
    });
    let layer = HedgeLayer::fixed(ms(50)).clone_requests();
    let service = layer.layer(client);
    let doomed = std::panic::AssertUnwindSafe(service.clone().oneshot(13));
    assert!(futures::FutureExt::catch_unwind(doomed).await.is_err());
    assert_eq!(service.oneshot(1).await, Ok(1));
    assert_eq!(layer.handle().stats().cancelled, 1);
}
