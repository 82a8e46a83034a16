//! E5: dropping the call ends it at once, wherever it is.

use std::sync::Arc;
use std::task::Poll;

use hedgerow_core::Budget;
use hedgerow_retry::{RetryEvent, RetryLayer};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, ServiceExt};

use crate::support::{Act, Backend, NEVER, call, down, ms, ok};

const ACTS: &[Act] = &[down(3), NEVER, down(4), ok(5)];

/// What the recorder was told at the end: the event's name, and how many tries.
type Ends = Arc<Mutex<Vec<(&'static str, usize)>>>;

fn layer(
    budget: &Budget,
    ends: &Ends,
) -> RetryLayer<
    hedgerow_retry::Fixed,
    hedgerow_core::ByClone,
    hedgerow_core::OkWins,
    impl Fn(&RetryEvent) + use<>,
> {
    let ends = ends.clone();
    RetryLayer::fixed(ms(6))
        .attempt_timeout(ms(9))
        .deadline(ms(500))
        .budget(budget.clone())
        .clone_requests()
        .on_event(move |event: &RetryEvent| match event {
            RetryEvent::Succeeded(info) => ends.lock().push(("succeeded", info.tries.len())),
            RetryEvent::Failed(exhausted) => {
                ends.lock().push(("failed", exhausted.info.tries.len()));
            }
            RetryEvent::Cancelled(info) => ends.lock().push(("cancelled", info.tries.len())),
            _ => {}
        })
}

/// The next call takes the only permit, whatever was left behind.
async fn nothing_is_left(backend: &Backend, limited: ConcurrencyLimit<Backend>) {
    assert_eq!(backend.alive(), 0);
    let free = timeout(ms(1), limited.clone().ready_oneshot()).await;
    assert!(free.is_ok(), "the permit is back");
}

#[tokio::test(start_paused = true)]
async fn dropping_at_every_millisecond_leaves_nothing_behind() {
    for left in 0..=50 {
        let (backend, ends) = (Backend::of(ACTS), Ends::default());
        let budget = Budget::percent(0.0).depth(5);
        let layer = layer(&budget, &ends);
        let limited = ConcurrencyLimit::new(backend.clone(), 1);
        let service = layer.layer(limited.clone());
        let ended = timeout(ms(left), call(service)).await.is_ok();
        nothing_is_left(&backend, limited).await;
        let sent = backend.sent();
        assert_eq!(
            budget.available() as usize,
            5 - sent.saturating_sub(1),
            "{left} ms"
        );
        let ends = ends.lock().clone();
        assert_eq!(ends.len(), 1, "one terminal event: {ends:?}");
        assert_eq!(ends[0].0 == "cancelled", !ended, "{left} ms");
        assert_eq!(ends[0].1, sent, "every try that was sent: {left} ms");
        assert_eq!(layer.handle().stats().cancelled, u64::from(!ended));
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_at_every_poll_leaves_nothing_behind() {
    for polls in 0.. {
        let (backend, ends) = (Backend::of(ACTS), Ends::default());
        let budget = Budget::percent(0.0).depth(5);
        let layer = layer(&budget, &ends);
        let limited = ConcurrencyLimit::new(backend.clone(), 1);
        let mut service = layer.layer(limited.clone());
        let future = tower::Service::call(service.ready().await.expect("ready"), 1);
        let mut future = Box::pin(future);
        let mut ended = false;
        for _ in 0..polls {
            if let Poll::Ready(result) = futures::poll!(&mut future) {
                assert_eq!(result.unwrap(), "answer");
                ended = true;
                break;
            }
            sleep(ms(1)).await;
        }
        drop(future);
        drop(service);
        nothing_is_left(&backend, limited).await;
        assert_eq!(budget.available() as usize, 5 - (backend.sent() - 1));
        let wanted = if ended { "succeeded" } else { "cancelled" };
        assert_eq!(*ends.lock(), [(wanted, backend.sent())], "{polls} polls");
        if ended {
            assert!(polls > 30, "{polls}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_kept_after_its_end_holds_nothing() {
    for acts in [&[ok(1)][..], &[down(1), ok(1)], &[down(1)]] {
        let backend = Backend::of(acts);
        let limited = ConcurrencyLimit::new(backend.clone(), 1);
        let mut service = RetryLayer::fixed(ms(1))
            .clone_requests()
            .layer(limited.clone());
        let future = tower::Service::call(service.ready().await.expect("ready"), 1);
        let mut future = Box::pin(future);
        let _ = (&mut future).await;
        nothing_is_left(&backend, limited).await;
        let again = std::panic::AssertUnwindSafe(future);
        let again = futures::FutureExt::catch_unwind(again).await;
        assert!(again.is_err(), "polled after it was ready");
    }
}
