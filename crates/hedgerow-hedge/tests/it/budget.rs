//! What the extra load may be.

use hedgerow_core::{Budget, Kind};
use hedgerow_hedge::HedgeLayer;
use tower::Layer;

use crate::support::{Backend, answers, call, ms};

/// A15: theirs never read it. Every window, with calls that all want a hedge.
#[tokio::test(start_paused = true)]
async fn over_100_000_calls_no_window_exceeds_budget_and_burst() {
    let backend = Backend::taking(&[20, 20]);
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(Budget::percent(5.0).depth(50));
    let service = layer.layer(backend.clone());
    let mut total = vec![0i64];
    for _ in 0..100_000u32 {
        let before = backend.sent();
        call(service.clone()).await.0.expect("an answer");
        let extras = (backend.sent() - before - 1) as i64;
        total.push(total[total.len() - 1] + extras);
    }
    // The largest of extras(i..j) - 5 % of (j - i), in one pass.
    let (mut lowest, mut worst) = (f64::MAX, f64::MIN);
    for (calls, &extras) in total.iter().enumerate() {
        let surplus = extras as f64 - 0.05 * calls as f64;
        lowest = lowest.min(surplus);
        worst = worst.max(surplus - lowest);
    }
    assert!(worst <= 50.0 + 1e-6, "{worst}");
    assert_eq!(total[100_000], 5_050 - 1, "all that is granted is used");
}

#[tokio::test(start_paused = true)]
async fn a_denied_hedge_disturbs_nothing() {
    let backend = Backend::taking(&[200, 1]);
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(Budget::percent(0.0).depth(0));
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!((result, backend.sent()), (Ok("primary"), 1));
    assert!(took <= ms(202), "{took:?}");
    let stats = layer.handle().stats();
    assert_eq!((stats.denied, stats.fired, stats.failed), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_denied_follow_up_gives_back_the_primarys_error() {
    let backend = Backend::new(|_| (ms(10), Err("down")));
    let layer = HedgeLayer::fixed(ms(100))
        .clone_requests()
        .budget(Budget::percent(0.0).depth(0));
    assert_eq!(call(layer.layer(backend.clone())).await.0, Err("down"));
    assert_eq!(backend.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_budget_is_fed_by_its_owner_alone() {
    let budget = Budget::percent(10.0).depth(1);
    assert!(budget.try_withdraw(Kind::Retry));
    let backend = Backend::new(|attempt| answers(attempt, 1));
    let inner = HedgeLayer::fixed(ms(50))
        .clone_requests()
        .share_budget(budget.clone());
    for _ in 0..100 {
        call(inner.layer(backend.clone()))
            .await
            .0
            .expect("an answer");
    }
    assert_eq!(budget.available(), 0);
    let owner = HedgeLayer::fixed(ms(50))
        .clone_requests()
        .budget(budget.clone());
    for _ in 0..10 {
        call(owner.layer(backend.clone()))
            .await
            .0
            .expect("an answer");
    }
    assert_eq!(budget.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_default_budgets_are_as_documented() {
    let percentile = format!("{:?}", HedgeLayer::percentile(95).handle().budget());
    assert!(
        percentile.contains("percent: 7.5, depth: 50"),
        "{percentile}"
    );
    let fixed = format!("{:?}", HedgeLayer::fixed(ms(1)).handle().budget());
    assert!(fixed.contains("percent: 10.0, depth: 50"), "{fixed}");
}
