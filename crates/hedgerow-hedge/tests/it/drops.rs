//! A12: the caller leaves at every await point, one after the other.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Budget, Kind};
use hedgerow_hedge::HedgeLayer;
use tokio::time::{Instant, sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, answers, ms};

const DEPTH: u32 = 10;

/// Polls a future so many times, and then leaves: `None` if it was not ready until then.
struct Patience<F>(F, usize);

impl<F: Future + Unpin> Future for Patience<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.1 == 0 {
            return Poll::Ready(None);
        }
        self.1 -= 1;
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.1 == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Its name, how many attempts it takes at a time, and how it is made.
type World = (&'static str, usize, fn() -> Backend);

/// What a backend does, and how many attempts it takes at a time.
fn worlds() -> Vec<World> {
    vec![
        ("all are slow", 9, || Backend::taking(&[400, 300, 200, 100])),
        ("one at a time", 1, || Backend::taking(&[60, 60, 60, 60])),
        ("two at a time", 2, || Backend::taking(&[90, 80, 70, 60])),
        ("the primary fails early", 9, || {
            Backend::new(|attempt| match attempt.index() {
                0 => (ms(5), Err("down")),
                index => answers(attempt, 100 - 20 * u64::from(index)),
            })
        }),
        ("all fail", 2, || Backend::new(|_| (ms(25), Err("down")))),
        ("nobody answers", 2, || {
            Backend::new(|_| (ms(60_000), Ok("late")))
        }),
    ]
}

/// What must hold once the caller has left, or has its answer.
async fn all_is_back(
    world: &str,
    at: &str,
    backend: &Backend,
    limited: ConcurrencyLimit<Backend>,
    permits: usize,
    budget: &Budget,
) {
    assert_eq!(backend.alive(), 0, "{world}, {at}: attempts live on");
    let sent = backend.sent();
    let extras = sent.saturating_sub(1) as u64;
    assert_eq!(
        budget.granted(Kind::Hedge),
        extras,
        "{world}, {at}: paid for what was sent"
    );
    assert_eq!(
        budget.available(),
        u64::from(DEPTH) - extras,
        "{world}, {at}: the rest is back"
    );
    let mut held = Vec::new();
    for _ in 0..permits {
        let mut free = limited.clone();
        let ready = timeout(ms(1), free.ready()).await.is_ok();
        assert!(ready, "{world}, {at}: a permit is gone");
        held.push(free);
    }
    drop(held);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(
        backend.sent(),
        sent,
        "{world}, {at}: one was started afterwards"
    );
}

/// By polls: every wake of the call is a place to leave.
#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_after_any_poll() {
    for (world, permits, make) in worlds() {
        let mut places = 0;
        for polls in 0.. {
            let (backend, budget) = (make(), Budget::percent(0.0).depth(DEPTH));
            let limited = ConcurrencyLimit::new(backend.clone(), permits);
            let layer = HedgeLayer::schedule([ms(10), ms(20), ms(30)])
                .clone_requests()
                .budget(budget.clone());
            let mut service = layer.layer(limited.clone());
            let call = service.ready().await.expect("a permit").call(1);
            let ended = timeout(Duration::from_secs(30), Patience(Box::pin(call), polls)).await;
            drop(service);
            let at = format!("after {polls} polls");
            all_is_back(world, &at, &backend, limited, permits, &budget).await;
            let stats = layer.handle().stats();
            let left = !matches!(ended, Ok(Some(_)));
            assert_eq!(stats.cancelled, u64::from(left), "{world}, {at}");
            if ended.map_or(true, |ended| ended.is_some()) {
                break;
            }
            places = polls + 1;
        }
        eprintln!("{world}: left at {places} places");
        assert!(places >= 4, "{world}: only {places} places to leave");
    }
}

/// By time: every millisecond of the call is a moment to leave.
#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_at_any_moment() {
    for (world, permits, make) in worlds() {
        for age in 0..130 {
            let (backend, budget) = (make(), Budget::percent(0.0).depth(DEPTH));
            let limited = ConcurrencyLimit::new(backend.clone(), permits);
            let layer = HedgeLayer::schedule([ms(10), ms(20), ms(30)])
                .clone_requests()
                .budget(budget.clone())
                .key(|n: &u64| *n);
            let started = Instant::now();
            let call = layer.layer(limited.clone()).oneshot(1);
            let ended = timeout(ms(age), call).await;
            assert!(started.elapsed() <= ms(age + 1));
            let at = format!("after {age} ms");
            all_is_back(world, &at, &backend, limited, permits, &budget).await;
            let stats = layer.handle().stats();
            assert_eq!(stats.requests, 1, "{world}, {at}");
            assert_eq!(stats.cancelled, u64::from(ended.is_err()), "{world}, {at}");
        }
    }
}
