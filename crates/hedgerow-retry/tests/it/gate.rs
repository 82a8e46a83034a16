//! E6: a try that cannot fit the remaining time is not sent.

use hedgerow_latency::{Latency, LatencyLayer};
use hedgerow_retry::{RetryEvent, RetryLayer, StopReason};
use tower::Layer;

use crate::support::{Backend, about, call, down, is_down, ms, ok};

fn known(median_ms: u64) -> Latency {
    let latency = Latency::new();
    for _ in 0..2_000 {
        latency.record(ms(median_ms));
    }
    // Asked for once, it is kept computed.
    let _ = hedgerow_core::LatencyView::quantile(&latency, 0.5);
    latency
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_cannot_fit_the_remaining_time_is_not_sent() {
    // 1,000 ms less 500 and a wait of 100 leave 400.
    for (median, sent) in [(380, 2), (420, 1)] {
        let backend = Backend::of(&[down(500), ok(1)]);
        let layer = RetryLayer::fixed(ms(100))
            .deadline(ms(1_000))
            .latency(known(median))
            .clone_requests();
        let (result, took) = call(layer.layer(backend.clone())).await;
        assert_eq!(backend.sent(), sent, "{median}");
        if sent == 1 {
            assert!(is_down(&result.unwrap_err()));
            about(took, 500, 1);
            assert_eq!(layer.handle().stats().failed_by(StopReason::Gate), 1);
            assert_eq!(layer.handle().budget().available(), 50);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_percentile_that_has_to_fit_can_be_set() {
    let latency = Latency::new();
    for n in 0..2_000_u64 {
        latency.record(ms(if n % 10 == 0 { 900 } else { 10 }));
    }
    for (percentile, sent) in [(50.0, 2), (95.0, 1)] {
        let backend = Backend::of(&[down(500), ok(1)]);
        let layer = RetryLayer::fixed(ms(100))
            .deadline(ms(1_000))
            .latency(latency.clone())
            .gate_percentile(percentile)
            .clone_requests();
        let _ = call(layer.layer(backend.clone())).await;
        assert_eq!(backend.sent(), sent, "{percentile}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_or_a_sample_everything_fits() {
    let unlimited = RetryLayer::fixed(ms(100)).latency(known(5_000_000));
    let unknown = RetryLayer::fixed(ms(100))
        .latency(Latency::new())
        .deadline(ms(1_000));
    for layer in [unlimited, unknown] {
        let backend = Backend::of(&[down(500), ok(1)]);
        let (result, _) = call(layer.clone_requests().layer(backend)).await;
        assert_eq!(result.unwrap(), "answer");
    }
}

/// Were first tries held back, a service that has become fast again would never be noticed.
#[tokio::test(start_paused = true)]
async fn a_first_try_is_sent_whatever_the_histogram_says() {
    let latency = known(10_000);
    let backend = Backend::of(&[ok(5)]);
    let layer = RetryLayer::exponential()
        .deadline(ms(1_000))
        .latency(latency.clone())
        .clone_requests();
    let service = layer.layer(LatencyLayer::new(latency).layer(backend));
    assert!(call(service).await.0.is_ok());
}

/// What waiting for readiness has cost is counted as well.
#[tokio::test(start_paused = true)]
async fn a_retry_that_got_ready_too_late_is_not_sent() {
    use hedgerow_core::testing::{Ping, Probe};
    use tower::{Service, ServiceExt};
    let probe = Probe::new();
    let denied = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let notes = denied.clone();
    let layer = RetryLayer::fixed(ms(100))
        .deadline(ms(1_000))
        .latency(known(400))
        .on_event(move |event: &RetryEvent| {
            if let RetryEvent::Denied { reason, .. } = event {
                notes.lock().push(*reason);
            }
        });
    let mut service = layer.layer(probe.clone());
    let future = service
        .ready()
        .await
        .expect("ready")
        .call(Ping::new(1).failing_after(ms(100)));
    probe.block(true);
    let free = async {
        tokio::time::sleep(ms(700)).await;
        probe.block(false);
    };
    let (result, ()) = tokio::join!(future, free);
    assert!(result.is_err());
    assert_eq!(probe.calls(), 1);
    assert_eq!(*denied.lock(), [StopReason::Gate]);
    assert_eq!(layer.handle().budget().available(), 50);
}
