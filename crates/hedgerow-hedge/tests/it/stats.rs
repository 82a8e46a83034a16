//! I1 and I2: what the handle counts.

use hedgerow_core::Budget;
use hedgerow_hedge::HedgeLayer;
use hedgerow_latency::{Latency, LatencyLayer};
use tokio::time::timeout;
use tower::{Layer, ServiceBuilder};

use crate::support::{Backend, call, ms};

/// I2: theirs reported a won hedge as costing 1.
#[tokio::test(start_paused = true)]
async fn all_hedges_won_is_an_overhead_of_100_percent() {
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(Budget::unlimited());
    let service = layer.layer(Backend::taking(&[1_000, 5]));
    for _ in 0..50 {
        call(service.clone()).await.0.expect("an answer");
    }
    let stats = layer.handle().stats();
    assert_eq!(
        (stats.requests, stats.hedged, stats.hedge_wins),
        (50, 50, 50)
    );
    assert_eq!((stats.hedge_rate, stats.hedge_win_rate), (1.0, 1.0));
    assert_eq!(
        (stats.average_cost, stats.cost_overhead_percent),
        (2.0, 100.0)
    );
}

#[tokio::test(start_paused = true)]
async fn percentiles_are_those_of_calls_not_of_attempts() {
    let layer = HedgeLayer::fixed(ms(100))
        .clone_requests()
        .budget(Budget::unlimited());
    let fast = layer.layer(Backend::taking(&[20]));
    let slow = layer.layer(Backend::taking(&[5_000, 50]));
    for n in 0..1_000 {
        let service = if n % 10 == 0 {
            slow.clone()
        } else {
            fast.clone()
        };
        call(service).await.0.expect("an answer");
    }
    let stats = layer.handle().stats();
    let near = |got: Option<std::time::Duration>, want: u64| {
        let got = got.expect("samples").as_secs_f64() * 1_000.0;
        assert!((got / want as f64 - 1.0).abs() < 0.01, "{got} for {want}");
    };
    assert_eq!(stats.latency.answered(), 1_000);
    near(stats.p50(), 20);
    near(stats.p90(), 20);
    near(stats.p95(), 150);
    near(stats.p99(), 150);
    near(stats.p999(), 150);
    near(stats.latency.min(), 20);
    near(stats.latency.max(), 150);
    near(stats.latency.mean(), 33);
    // The losing primaries are censored at 150 ms, in the attempts' histogram alone.
    assert_eq!(layer.handle().latency().total().censored(), 100);
}

#[tokio::test(start_paused = true)]
async fn reset_starts_anew_and_forgets_nothing_that_was_learnt() {
    let layer = HedgeLayer::percentile(95).clone_requests();
    let service = layer.layer(Backend::taking(&[20]));
    for _ in 0..500 {
        call(service.clone()).await.0.expect("an answer");
    }
    let handle = layer.handle();
    handle.reset();
    assert_eq!((handle.stats().requests, handle.stats().p50()), (0, None));
    call(service.clone()).await.0.expect("an answer");
    let stats = handle.stats();
    assert_eq!((stats.requests, stats.latency.answered()), (1, 1));
    assert!(handle.latency().window().count() >= 500);
    assert!(stats.per_second > 0.0);
}

#[tokio::test(start_paused = true)]
async fn failed_and_cancelled_calls_are_counted_and_are_no_latencies() {
    let layer = HedgeLayer::off().clone_requests();
    let failing = layer.layer(Backend::new(|_| (ms(1), Err("down"))));
    assert!(call(failing).await.0.is_err());
    let slow = layer.layer(Backend::taking(&[1_000]));
    assert!(timeout(ms(40), call(slow)).await.is_err());
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.failed, stats.cancelled), (2, 1, 1));
    assert_eq!(stats.latency.answered(), 0);
    let attempts = layer.handle().latency().total();
    assert_eq!((attempts.answered(), attempts.censored()), (0, 1));
}

/// One attempt is recorded by exactly one recorder.
#[tokio::test(start_paused = true)]
async fn with_a_shared_handle_the_layer_beneath_records_and_the_hedge_only_reads() {
    let latency = Latency::new();
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .latency(latency.clone());
    let backend = Backend::taking(&[100, 5]);
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(LatencyLayer::new(latency.clone()))
        .service(backend);
    for _ in 0..10 {
        assert_eq!(call(service.clone()).await.0, Ok("hedge"));
    }
    // Primaries lost at 15 ms each: cut off. Hedges are kept apart.
    let total = latency.total();
    assert_eq!((total.answered(), total.censored()), (0, 10));
    assert_eq!(latency.extras().answered(), 10);
    assert_eq!(layer.handle().stats().latency.answered(), 10);
}

#[tokio::test(start_paused = true)]
async fn all_services_of_one_layer_value_share_its_state() {
    let layer = HedgeLayer::fixed(ms(10)).clone_requests();
    let (one, two) = (
        layer.layer(Backend::taking(&[1])),
        layer.clone().layer(Backend::taking(&[1])),
    );
    call(one.clone()).await.0.expect("an answer");
    call(two).await.0.expect("an answer");
    call(one).await.0.expect("an answer");
    assert_eq!(layer.handle().stats().requests, 3);
}

#[tokio::test(start_paused = true)]
async fn hedging_can_be_switched_off_while_running() {
    let layer = HedgeLayer::fixed(ms(10)).clone_requests();
    let backend = Backend::taking(&[100, 5]);
    let handle = layer.handle();
    handle.set_max_hedges(0).expect("in range");
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("primary"));
    handle.set_max_hedges(1).expect("in range");
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("hedge"));
    let error = handle.set_max_hedges(1_000).expect_err("out of range");
    assert!(error.to_string().contains("1 to 64"), "{error}");
}
