//! What the handle counts.

use hedgerow_core::Budget;
use hedgerow_retry::{RetryLayer, StopReason};
use tower::Layer;

use crate::support::{Backend, NEVER, call, down, ms, ok};

#[tokio::test(start_paused = true)]
async fn every_call_is_counted_once_and_reset_begins_anew() {
    let layer = RetryLayer::fixed(ms(1))
        .attempts(2)
        .attempt_timeout(ms(50))
        .budget(Budget::percent(0.0).depth(3))
        .clone_requests();
    let handle = layer.handle();
    for acts in [
        &[ok(0)][..],
        &[down(0), ok(0)],
        &[down(0)],
        &[NEVER],
        &[down(0)],
    ] {
        let _ = call(layer.layer(Backend::of(acts))).await;
    }
    let left = call(layer.layer(Backend::of(&[NEVER])));
    assert!(tokio::time::timeout(ms(5), left).await.is_err());
    let stats = handle.stats();
    assert_eq!((stats.requests, stats.retried, stats.retries), (6, 3, 3));
    assert_eq!((stats.recovered, stats.failed, stats.cancelled), (1, 3, 1));
    assert_eq!((stats.timed_out, stats.denied), (2, 1));
    assert_eq!(stats.failed_by(StopReason::Attempts), 2);
    assert_eq!((stats.retry_rate, stats.average_cost), (0.5, 1.5));
    assert_eq!(handle.granted(), 3);
    handle.reset();
    let stats = layer.handle().stats();
    assert_eq!(
        (stats.requests, stats.failed, stats.average_cost),
        (0, 0, 0.0)
    );
    assert_eq!(handle.budget().available(), 0, "the budget stays");
}

#[tokio::test(start_paused = true)]
async fn clones_and_services_of_one_layer_share_counts_and_budget() {
    let layer = RetryLayer::fixed(ms(1)).clone_requests();
    let backend = Backend::of(&[down(0), ok(0)]);
    let one = layer.layer(backend.clone());
    let other = layer.clone().layer(backend);
    assert!(call(one.clone()).await.0.is_ok());
    assert!(call(other).await.0.is_ok());
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.retries), (2, 1));
    assert_eq!(layer.handle().budget().available(), 49);
}
