//! E5: no permit is held in a wait; later tries get ready by themselves.

use hedgerow_core::testing::{Ping, Probe, ProbeError};
use hedgerow_core::{Class, cause_ref};
use hedgerow_retry::{RetryLayer, StopReason};
use tokio::time::{Instant, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, about, call, down, ms, ok, secs};

#[tokio::test(start_paused = true)]
async fn no_permit_is_held_in_a_wait() {
    let backend = Backend::of(&[down(10), ok(10), ok(10)]);
    let layer = RetryLayer::fixed(secs(1)).clone_requests();
    let service = layer.layer(ConcurrencyLimit::new(backend.clone(), 1));
    let second = async {
        tokio::time::sleep(ms(100)).await;
        let (result, took) = call(service.clone()).await;
        about(took, 10, 2);
        result
    };
    let ((first, took), second) = tokio::join!(call(service.clone()), second);
    assert!(first.is_ok() && second.is_ok());
    about(took, 1_020, 3);
}

#[tokio::test(start_paused = true)]
async fn a_later_try_waits_for_its_own_clone_to_be_ready() {
    let probe = Probe::new();
    let mut service = RetryLayer::fixed(ms(10)).layer(probe.clone());
    let ping = Ping::new(1).failing_after(ms(20));
    let future = service.ready().await.expect("ready").call(ping);
    probe.block(true);
    let free = async {
        tokio::time::sleep(ms(500)).await;
        assert_eq!(probe.calls(), 1);
        probe.block(false);
    };
    let (result, ()) = tokio::join!(future, free);
    assert!(result.is_err());
    assert_eq!((probe.calls(), probe.unready_calls()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_for_readiness_than_a_minute_the_attempts_time_or_the_deadline() {
    for (attempt, deadline, wanted) in [
        (None, None, 60_030),
        (Some(secs(100)), None, 60_030),
        (Some(ms(70)), None, 100),
        (None, Some(ms(400)), 400),
    ] {
        let probe = Probe::new();
        let mut layer = RetryLayer::fixed(ms(10));
        if let Some(attempt) = attempt {
            layer = layer.attempt_timeout(attempt);
        }
        if let Some(deadline) = deadline {
            layer = layer.deadline(deadline);
        }
        let mut service = layer.layer(probe.clone());
        let ping = Ping::new(1).failing_after(ms(20));
        let future = service.ready().await.expect("ready").call(ping);
        probe.block(true);
        let start = Instant::now();
        let error = timeout(secs(3_600), future).await.expect("it ends");
        about(start.elapsed(), wanted, 4);
        let error = error.unwrap_err();
        assert_eq!(cause_ref(&*error), Some(&ProbeError::Asked), "a real error");
        assert_eq!(probe.calls(), 1);
        let handle = layer.handle();
        assert_eq!(handle.budget().available(), 50, "the token is back");
        let reason = if deadline.is_some() {
            StopReason::Deadline
        } else {
            StopReason::NotReady
        };
        assert_eq!(handle.stats().failed_by(reason), 1);
    }
}

/// At once, not only when the future is dropped: somebody may keep it.
#[tokio::test(start_paused = true)]
async fn a_retry_that_is_given_up_gives_its_token_back_at_once() {
    let probe = Probe::new();
    let layer = RetryLayer::fixed(ms(10)).attempt_timeout(ms(70));
    let mut service = layer.layer(probe.clone());
    let ping = Ping::new(1).failing_after(ms(20));
    let mut future = Box::pin(service.ready().await.expect("ready").call(ping));
    probe.block(true);
    let look = async {
        tokio::time::sleep(ms(50)).await;
        assert_eq!(layer.handle().budget().available(), 49);
    };
    let (result, ()) = tokio::join!(&mut future, look);
    assert!(result.is_err());
    assert_eq!(layer.handle().budget().available(), 50);
    drop(future);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_breaks_ends_the_call_with_its_own_error() {
    let probe = Probe::new();
    let layer = RetryLayer::fixed(ms(10));
    let mut service = layer.layer(probe.clone());
    let ping = Ping::new(1).failing_after(ms(20));
    let future = service.ready().await.expect("ready").call(ping);
    probe.break_readiness();
    let error = future.await.unwrap_err();
    assert_eq!(cause_ref(&*error), Some(&ProbeError::Readiness));
    assert_eq!(layer.handle().budget().available(), 50);
}

#[tokio::test(start_paused = true)]
async fn many_failing_calls_over_few_permits_all_end() {
    let backend = Backend::of(&[down(30)]);
    let service = RetryLayer::fixed(ms(5))
        .clone_requests()
        .layer(ConcurrencyLimit::new(backend.clone(), 2));
    let calls = (0..50).map(|_| call(service.clone()));
    let all = timeout(secs(10_000), futures::future::join_all(calls)).await;
    assert_eq!(all.expect("nothing hangs").len(), 50);
    assert_eq!(backend.alive(), 0);
}

/// A finished try's future is dropped before its result is judged any further.
#[tokio::test(start_paused = true)]
async fn a_finished_try_is_dropped_before_the_wait() {
    let backend = Backend::of(&[down(10)]);
    let service = RetryLayer::fixed(ms(100))
        .clone_requests()
        .accept(|_: &Result<_, _>| Class::RETRYABLE)
        .layer(backend.clone());
    let look = async {
        tokio::time::sleep(ms(50)).await;
        assert_eq!((backend.sent(), backend.alive()), (1, 0));
    };
    let (called, ()) = tokio::join!(call(service), look);
    assert!(called.0.is_err());
}
