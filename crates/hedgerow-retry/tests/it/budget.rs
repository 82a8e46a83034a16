//! What the extra load may be.

use hedgerow_core::{Budget, Kind};
use hedgerow_retry::{RetryLayer, StopReason};
use tower::Layer;

use crate::support::{Backend, NEVER, call, down, is_down, ms, ok};

#[tokio::test(start_paused = true)]
async fn over_100_000_failing_calls_no_window_exceeds_budget_and_burst() {
    let backend = Backend::of(&[down(0)]);
    let service = RetryLayer::fixed(ms(0))
        .clone_requests()
        .budget(Budget::percent(10.0).depth(50))
        .layer(backend.clone());
    let mut total = vec![0_i64];
    for _ in 0..100_000_u32 {
        let before = backend.sent();
        assert!(call(service.clone()).await.0.is_err());
        let extras = (backend.sent() - before - 1) as i64;
        total.push(total[total.len() - 1] + extras);
    }
    // The largest of extras(i..j) - 10 % of (j - i), in one pass.
    let (mut lowest, mut worst) = (f64::MAX, f64::MIN);
    for (calls, &extras) in total.iter().enumerate() {
        let surplus = extras as f64 - 0.1 * calls as f64;
        lowest = lowest.min(surplus);
        worst = worst.max(surplus - lowest);
    }
    assert!(worst <= 50.0 + 1e-6, "{worst}");
    assert!(total[100_000] >= 10_045, "all that is granted is used");
}

#[tokio::test(start_paused = true)]
async fn a_denied_retry_ends_the_call_with_the_real_error() {
    let backend = Backend::of(&[down(5)]);
    let layer = RetryLayer::fixed(ms(1))
        .clone_requests()
        .budget(Budget::percent(0.0).depth(2));
    let (result, _) = call(layer.layer(backend.clone())).await;
    assert!(is_down(&result.unwrap_err()));
    assert_eq!(backend.sent(), 3);
    let stats = layer.handle().stats();
    assert_eq!((stats.denied, stats.failed_by(StopReason::Budget)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_leaves_running_tries_alone() {
    let budget = Budget::percent(0.0).depth(1);
    let backend = Backend::of(&[down(0), ok(500)]);
    let layer = RetryLayer::fixed(ms(0))
        .clone_requests()
        .budget(budget.clone());
    let failing = Backend::of(&[down(100)]);
    let other = layer.layer(failing.clone());
    // The first takes the one token; the second is denied while the first one's retry runs.
    let ((first, _), (second, _)) = tokio::join!(call(layer.layer(backend)), call(other));
    assert_eq!(first.unwrap(), "answer");
    assert!(is_down(&second.unwrap_err()));
    assert_eq!((failing.sent(), budget.available()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_back_if_the_caller_leaves_in_the_wait() {
    let backend = Backend::of(&[down(10)]);
    let layer = RetryLayer::fixed(ms(1_000))
        .clone_requests()
        .budget(Budget::percent(0.0).depth(3));
    let service = layer.layer(backend.clone());
    let left = tokio::time::timeout(ms(500), call(service)).await;
    assert!(left.is_err());
    assert_eq!(
        (backend.sent(), layer.handle().budget().available()),
        (1, 3)
    );
    assert_eq!(layer.handle().granted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shared_budget_is_fed_by_its_owner_alone() {
    let budget = Budget::percent(10.0).depth(1);
    assert!(budget.try_withdraw(Kind::Retry));
    let backend = Backend::of(&[ok(0)]);
    let shared = RetryLayer::exponential()
        .clone_requests()
        .share_budget(budget.clone());
    for _ in 0..100 {
        assert!(call(shared.layer(backend.clone())).await.0.is_ok());
    }
    assert_eq!(budget.available(), 0);
    let owner = RetryLayer::exponential()
        .clone_requests()
        .budget(budget.clone());
    for _ in 0..10 {
        assert!(call(owner.layer(backend.clone())).await.0.is_ok());
    }
    assert_eq!(budget.available(), 1);
}

#[test]
fn the_default_budget_is_10_percent_of_depth_50() {
    let budget = format!("{:?}", RetryLayer::exponential().handle().budget());
    assert!(budget.contains("percent: 10.0, depth: 50"), "{budget}");
}

#[tokio::test(start_paused = true)]
async fn retries_for_timeouts_are_paid_as_well() {
    let backend = Backend::of(&[NEVER]);
    let layer = RetryLayer::fixed(ms(1))
        .attempt_timeout(ms(10))
        .clone_requests()
        .budget(Budget::percent(0.0).depth(1));
    let _ = call(layer.layer(backend.clone())).await;
    assert_eq!(
        (backend.sent(), layer.handle().budget().available()),
        (2, 0)
    );
}
