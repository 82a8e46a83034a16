//! Extra attempts and services that are not ready for them.

use hedgerow_core::Budget;
use hedgerow_core::testing::{Ping, Probe};
use hedgerow_hedge::{HedgeLayer, HedgeReady};
use tokio::time::timeout;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, answers, call, ms};

#[tokio::test(start_paused = true)]
async fn over_a_concurrency_limit_of_one_a_slow_primary_still_answers() {
    let backend = Backend::taking(&[500, 1]);
    let layer = HedgeLayer::fixed(ms(10)).clone_requests();
    let service = layer.layer(ConcurrencyLimit::new(backend.clone(), 1));
    let (result, took) = call(service).await;
    assert_eq!((result, backend.sent()), (Ok("primary"), 1));
    assert!(took <= ms(502), "{took:?}");
}

/// A finished attempt's permit is free before the next one asks for it.
#[tokio::test(start_paused = true)]
async fn a_failed_primary_frees_its_permit_for_the_follow_up() {
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(50), Err("down")),
        _ => answers(attempt, 5),
    });
    for delay in [10, 5_000] {
        let layer = HedgeLayer::fixed(ms(delay)).clone_requests();
        let service = layer.layer(ConcurrencyLimit::new(backend.clone(), 1));
        let (result, took) = call(service).await;
        assert_eq!(result, Ok("hedge"));
        assert!(took <= ms(57), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_that_is_not_ready_waits_at_most_the_policys_delay() {
    let probe = Probe::new();
    let layer = HedgeLayer::fixed(ms(70));
    let mut service = layer.layer(probe.clone());
    let ping = Ping::new(1).failing_after(ms(20));
    let future = service.ready().await.expect("ready").call(ping);
    probe.block(true);
    let start = tokio::time::Instant::now();
    let result = timeout(ms(10_000), future).await.expect("it ends");
    assert!(result.is_err());
    let took = start.elapsed();
    assert!(took >= ms(90) && took <= ms(93), "{took:?}");
    assert_eq!(probe.calls(), 1);
    let stats = layer.handle().stats();
    assert_eq!((stats.not_ready, stats.fired, stats.failed), (1, 0, 1));
    assert_eq!(layer.handle().budget().available(), 50);
}

/// Also where no copy was ever to be sent by the clock.
#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_minute_for_a_service_that_is_not_ready() {
    let probe = Probe::new();
    let layer = HedgeLayer::fixed(std::time::Duration::MAX);
    let mut service = layer.layer(probe.clone());
    let ping = Ping::new(1).failing_after(ms(20));
    let future = service.ready().await.expect("ready").call(ping);
    probe.block(true);
    let start = tokio::time::Instant::now();
    let result = timeout(ms(3_600_000), future).await.expect("it ends");
    assert!(result.is_err());
    let took = start.elapsed();
    assert!(took >= ms(60_020) && took <= ms(60_023), "{took:?}");
    assert_eq!(layer.handle().stats().not_ready, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_hedge_is_sent_when_it_becomes_ready() {
    let probe = Probe::new();
    let mut service = HedgeLayer::fixed(ms(20)).layer(probe.clone());
    let ping = Ping::new(1).after(ms(500));
    let future = service.ready().await.expect("ready").call(ping);
    probe.block(true);
    let free = async {
        tokio::time::sleep(ms(100)).await;
        assert_eq!(probe.calls(), 1);
        probe.block(false);
    };
    let (result, ()) = tokio::join!(future, free);
    assert!(result.is_ok());
    assert_eq!(probe.calls(), 2);
    assert_eq!(probe.unready_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn idle_capacity_only_gives_up_at_once_and_refunds() {
    let backend = Backend::taking(&[100, 1]);
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .ready(HedgeReady::NowOnly)
        .budget(Budget::percent(0.0).depth(3));
    let service = layer.layer(ConcurrencyLimit::new(backend.clone(), 1));
    assert_eq!(call(service).await.0, Ok("primary"));
    let stats = layer.handle().stats();
    assert_eq!((stats.not_ready, stats.fired), (1, 0));
    assert_eq!(layer.handle().budget().available(), 3);
    // With a permit to spare it is sent.
    let service = layer.layer(ConcurrencyLimit::new(backend.clone(), 2));
    assert_eq!(call(service).await.0, Ok("hedge"));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_service_breaks_does_not_harm_the_primary() {
    let probe = Probe::new();
    let layer = HedgeLayer::fixed(ms(20));
    let mut service = layer.layer(probe.clone());
    let ping = Ping::new(7).after(ms(500));
    let future = service.ready().await.expect("ready").call(ping);
    probe.break_readiness();
    assert_eq!(future.await.expect("the primary's").id, 7);
    assert_eq!(layer.handle().budget().available(), 50);
}

#[tokio::test(start_paused = true)]
async fn many_calls_over_few_permits_all_end() {
    let backend = Backend::new(|attempt| answers(attempt, 30));
    let layer = HedgeLayer::parallel(3)
        .clone_requests()
        .budget(Budget::unlimited());
    let service = layer.layer(ConcurrencyLimit::new(backend.clone(), 2));
    let calls = (0..50).map(|_| call(service.clone()));
    let all = timeout(ms(100_000), futures::future::join_all(calls)).await;
    assert!(
        all.expect("nothing hangs")
            .iter()
            .all(|(result, _)| result.is_ok())
    );
    assert_eq!(backend.alive(), 0);
}
