//! Other people's bugs, which must not be ours.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{BoxError, Class};
use hedgerow_retry::{DeadlineLayer, RetryLayer, TimeoutLayer};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, Down, about, call, down, ms, secs};

/// Always has work to do, and so uses up the task's cooperative budget in every poll: a timer that is
/// polled within that budget would never be told that it is over (tokio-rs/tokio#4291).
#[derive(Clone)]
struct Busy;

struct Grinds;

impl Future for Grinds {
    type Output = Result<&'static str, Down>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while tokio::task::coop::has_budget_remaining() {
            let progress = std::pin::pin!(tokio::task::coop::consume_budget());
            if progress.poll(cx).is_pending() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Service<u64> for Busy {
    type Response = &'static str;
    type Error = Down;
    type Future = Grinds;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Grinds {
        Grinds
    }
}

/// In real time, bounded: the clock of a paused runtime does not move while a task is busy.
#[test]
fn the_deadline_holds_though_the_inner_future_is_always_busy() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let bounded = |service| async move {
            let ended = tokio::time::timeout(secs(20), service).await;
            let result: Result<&str, BoxError> = ended.expect("the deadline holds");
            assert!(result.is_err());
        };
        bounded(Box::pin(DeadlineLayer::new(ms(20)).layer(Busy).oneshot(1))
            as Pin<Box<dyn Future<Output = _>>>)
        .await;
        bounded(Box::pin(TimeoutLayer::new(ms(20)).layer(Busy).oneshot(1))).await;
        let retry = RetryLayer::fixed(ms(1)).attempts(2).clone_requests();
        bounded(Box::pin(
            retry.clone().attempt_timeout(ms(20)).layer(Busy).oneshot(1),
        ))
        .await;
        bounded(Box::pin(retry.deadline(ms(20)).layer(Busy).oneshot(1))).await;
    });
}

/// Cleans up for long, and badly.
struct Stubborn;

impl Drop for Stubborn {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_though_the_inner_future_panics_when_it_is_dropped() {
    let service = || {
        tower::service_fn(|_: u64| async {
            let _stubborn = Stubborn;
            std::future::pending::<Result<(), Down>>().await
        })
    };
    let (result, took) = call(DeadlineLayer::new(ms(50)).layer(service())).await;
    assert!(result.is_err());
    about(took, 50, 1);
    let (result, took) = call(TimeoutLayer::new(ms(50)).layer(service())).await;
    assert!(result.is_err());
    about(took, 50, 1);
    let layer = RetryLayer::fixed(ms(10))
        .attempts(2)
        .attempt_timeout(ms(50))
        .clone_requests();
    let (result, took) = call(layer.layer(service())).await;
    assert!(result.is_err());
    about(took, 110, 3);
}

/// "429" in a text is no status: LH retried by it.
#[tokio::test(start_paused = true)]
async fn nothing_is_judged_by_its_text() {
    for text in ["retry", "429 Too Many Requests", "503"] {
        let backend = Backend::new(move |_| (Some(0), Ok(text)));
        let service = RetryLayer::exponential()
            .clone_requests()
            .layer(backend.clone());
        assert_eq!(call(service).await.0.unwrap(), text);
        assert_eq!(backend.sent(), 1);
    }
}

/// A caller that gives up in a wait is answered at once, not after the wait.
#[tokio::test(start_paused = true)]
async fn leaving_in_a_wait_takes_no_time() {
    let backend = Backend::of(&[down(1)]);
    let service = RetryLayer::fixed(secs(3_600))
        .clone_requests()
        .layer(backend.clone());
    let start = Instant::now();
    let left = tokio::time::timeout(ms(100), call(service)).await;
    assert!(left.is_err());
    about(start.elapsed(), 100, 1);
    assert_eq!(backend.sent(), 1);
}

/// A judge that asks for an endless wait does not get it.
#[tokio::test(start_paused = true)]
async fn an_endless_pushback_is_capped() {
    let backend = Backend::of(&[down(0)]);
    let layer = RetryLayer::exponential()
        .attempts(2)
        .clone_requests()
        .accept(|_: &Result<&'static str, Down>| Class::Retryable {
            after: Some(Duration::MAX),
        });
    let (_, took) = call(layer.layer(backend)).await;
    about(took, 30_000, 1);
}

/// A policy that names a wait beyond all time means that there is to be no retry.
#[tokio::test(start_paused = true)]
async fn a_wait_beyond_all_time_is_a_stop() {
    let backend = Backend::of(&[down(0)]);
    let layer = RetryLayer::fixed(Duration::MAX).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert!(result.is_err());
    assert_eq!((backend.sent(), took), (1, Duration::ZERO));
}

/// An unbounded timeout is no timeout, and does not panic.
#[tokio::test(start_paused = true)]
async fn times_beyond_all_time_are_no_limit() {
    let backend = Backend::of(&[crate::support::ok(5)]);
    let layer = RetryLayer::exponential()
        .attempt_timeout(Duration::MAX)
        .deadline(Duration::MAX)
        .clone_requests();
    let service = DeadlineLayer::new(Duration::MAX)
        .layer(layer.layer(TimeoutLayer::new(Duration::MAX).layer(backend)));
    assert!(call(service).await.0.is_ok());
}
