//! A8: losers may finish, bounded in time and number, and are recorded.

use hedgerow_core::testing::contract;
use hedgerow_core::{Attempt, Budget};
use hedgerow_hedge::{DrainLayer, HedgeLayer};
use hedgerow_latency::{Latency, LatencyLayer};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::support::{Backend, call, ms};

/// Under a hedge its losers are in flight after the answer, which is what it is for.
#[tokio::test(start_paused = true)]
async fn by_itself_it_keeps_the_contract() {
    contract(|inner| DrainLayer::new(ms(500), 8).layer(inner)).await;
}

#[tokio::test(start_paused = true)]
async fn a_losers_whole_latency_and_outcome_are_recorded() {
    let (latency, drain) = (Latency::new(), DrainLayer::new(ms(2_000), 8));
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(800), Ok("late")),
        1 => (ms(300), Err("failed")),
        _ => (ms(10), Ok("hedge")),
    });
    let service = ServiceBuilder::new()
        .layer(
            HedgeLayer::schedule([ms(20), ms(40)])
                .clone_requests()
                .latency(latency.clone()),
        )
        .layer(drain.clone())
        .layer(LatencyLayer::new(latency.clone()))
        .service(backend.clone());
    let (result, took) = call(service.clone()).await;
    assert_eq!(result, Ok("hedge"));
    assert!(took <= ms(52), "{took:?}");
    assert_eq!((backend.alive(), drain.stats().running), (2, 2));
    sleep(ms(1_000)).await;
    let stats = drain.stats();
    assert_eq!((stats.running, stats.answered, stats.failed), (0, 1, 1));
    // The primary's 800 ms, whole; of the copies the winner alone answered.
    let total = latency.total();
    assert_eq!((total.answered(), total.censored()), (1, 0));
    assert!(total.max().expect("a sample") >= ms(795));
    assert_eq!(
        (latency.extras().answered(), latency.extras().censored()),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn losers_are_bounded_in_time_and_then_cut_off() {
    let (latency, drain) = (Latency::new(), DrainLayer::new(ms(100), 8));
    let backend = Backend::taking(&[60_000, 5]);
    let service = ServiceBuilder::new()
        .layer(
            HedgeLayer::fixed(ms(20))
                .clone_requests()
                .latency(latency.clone()),
        )
        .layer(drain.clone())
        .layer(LatencyLayer::new(latency.clone()))
        .service(backend.clone());
    call(service.clone()).await.0.expect("an answer");
    assert_eq!(backend.alive(), 1);
    sleep(ms(110)).await;
    assert_eq!((backend.alive(), drain.stats().timed_out), (0, 1));
    assert_eq!(
        (latency.total().answered(), latency.total().censored()),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn losers_are_bounded_in_number() {
    let drain = DrainLayer::new(ms(60_000), 3);
    let backend = Backend::taking(&[50_000, 5]);
    let service = ServiceBuilder::new()
        .layer(
            HedgeLayer::fixed(ms(20))
                .clone_requests()
                .budget(Budget::unlimited()),
        )
        .layer(drain.clone())
        .service(backend.clone());
    for _ in 0..10 {
        call(service.clone()).await.0.expect("an answer");
    }
    assert_eq!(
        (
            backend.alive(),
            drain.stats().running,
            drain.stats().dropped
        ),
        (3, 3, 7)
    );
}

#[tokio::test(start_paused = true)]
async fn losers_go_with_the_last_handle() {
    let backend = Backend::taking(&[50_000, 5]);
    let drain = DrainLayer::new(ms(60_000), 3);
    let service = HedgeLayer::fixed(ms(20))
        .clone_requests()
        .layer(drain.layer(backend.clone()));
    call(service).await.0.expect("an answer");
    assert_eq!(backend.alive(), 1);
    drop(drain);
    // An aborted task is dropped when its runtime next runs it.
    sleep(ms(1)).await;
    assert_eq!(backend.alive(), 0);
}

/// A loser's panic is its own: it is counted, and harms neither the call nor the other losers.
#[tokio::test(start_paused = true)]
async fn a_loser_that_panics_is_counted() {
    let drain = DrainLayer::new(ms(60_000), 3);
    let client = tower::service_fn(async |n: u64| {
        if Attempt::current().is_extra() {
            return Ok::<_, &str>(Bomb(false));
        }
        sleep(ms(100)).await;
        assert!(n != 1, "on purpose");
        Ok(Bomb(n == 2))
    });
    let service = HedgeLayer::fixed(ms(20))
        .clone_requests()
        .budget(Budget::unlimited())
        .layer(drain.layer(client));
    for n in 1..=3 {
        assert!(!service.clone().oneshot(n).await.expect("an answer").0);
    }
    assert_eq!(drain.stats().running, 3);
    sleep(ms(200)).await;
    let stats = drain.stats();
    // The first panicked as it ran, the second as its answer was dropped.
    assert_eq!((stats.running, stats.panicked, stats.answered), (0, 2, 1));
    assert_eq!((stats.failed, stats.timed_out, stats.dropped), (0, 0, 0));
}

/// Panics when it is dropped, if it is armed.
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0, "on purpose");
    }
}

/// Only losers run on: a caller that leaves takes everything along.
#[tokio::test(start_paused = true)]
async fn a_dropped_call_drains_nothing() {
    let backend = Backend::taking(&[50_000]);
    let drain = DrainLayer::new(ms(60_000), 3);
    let service = HedgeLayer::fixed(ms(20))
        .clone_requests()
        .layer(drain.layer(backend.clone()));
    assert!(timeout(ms(100), call(service)).await.is_err());
    assert_eq!(
        (backend.sent(), backend.alive(), drain.stats().running),
        (2, 0, 0)
    );
}

#[test]
fn a_drain_of_nothing_is_refused() {
    for (patience, at_most) in [(ms(0), 1), (ms(1), 0)] {
        let error = DrainLayer::try_new(patience, at_most)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("at least 1 loser and a time above zero"),
            "{error}"
        );
    }
    assert!(!Attempt::lost_a_race());
}
