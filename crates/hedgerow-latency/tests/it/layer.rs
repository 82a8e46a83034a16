//! What counts as a latency.

use std::time::Duration;

use hedgerow_core::testing::{Ping, Probe, contract};
use hedgerow_core::{Attempt, Class, LatencyView};
use hedgerow_latency::{Latency, LatencyLayer};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn the_layer_keeps_the_contract() {
    contract(|inner| LatencyLayer::new(Latency::new()).layer(inner)).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_a_latency_and_waiting_for_readiness_is_not() {
    let (probe, latency) = (Probe::new(), Latency::new());
    let service = LatencyLayer::new(latency.clone()).layer(probe.clone());
    probe.block(true);
    let unblock = async {
        sleep(ms(500)).await;
        probe.block(false);
    };
    let (result, ()) = tokio::join!(service.oneshot(Ping::new(1).after(ms(40))), unblock);
    result.expect("an answer");
    let total = latency.total();
    assert_eq!(total.count(), 1);
    let got = total.max().expect("a sample");
    assert!(got >= ms(40) && got <= ms(42), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_left_out() {
    let latency = Latency::new();
    let service = LatencyLayer::new(latency.clone()).layer(Probe::new());
    for _ in 0..100 {
        let failed = service
            .clone()
            .oneshot(Ping::new(1).failing_after(ms(1)))
            .await;
        assert!(failed.is_err());
    }
    assert_eq!(latency.total().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_attempt_is_cut_off_at_its_age() {
    let latency = Latency::new();
    let service = LatencyLayer::new(latency.clone()).layer(Probe::new());
    let held = service.oneshot(Ping::new(1).never());
    assert!(timeout(ms(70), held).await.is_err());
    let total = latency.total();
    assert_eq!((total.answered(), total.censored()), (0, 1));
    let age = total.quantile(0.5).expect("a lower bound");
    assert!(age >= ms(69) && age <= ms(72), "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_attempt_is_cut_off_at_its_age() {
    fn classify<R>(result: &Result<R, hedgerow_core::BoxError>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(error) if error.is::<tower::timeout::error::Elapsed>() => Class::TimedOut,
            Err(_) => Class::RETRYABLE,
        }
    }
    let latency = Latency::new();
    let inner = tower::timeout::Timeout::new(Probe::new(), ms(30));
    let service = LatencyLayer::new(latency.clone())
        .classify(classify)
        .layer(inner);
    assert!(service.oneshot(Ping::new(1).never()).await.is_err());
    assert_eq!(
        (latency.total().answered(), latency.total().censored()),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn extra_copies_are_kept_apart_from_primaries() {
    let latency = Latency::new();
    let mut service = LatencyLayer::new(latency.clone()).layer(Probe::new());
    service.ready().await.expect("ready");
    let extra = Attempt::new(1).scope(|| service.call(Ping::new(1).after(ms(5))));
    extra.await.expect("an answer");
    service
        .oneshot(Ping::new(2).after(ms(10)))
        .await
        .expect("an answer");
    assert_eq!(latency.total().count(), 1);
    assert_eq!(latency.extras().count(), 1);
    let got = latency.quantile(0.5);
    assert_eq!(got, latency.window().quantile(0.5));
}
