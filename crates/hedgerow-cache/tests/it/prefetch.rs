//! K5: a call now for somebody who will ask later.

use hedgerow_cache::{CacheLayer, CoalesceLayer, MemoryStore, Prefetch};
use hedgerow_core::{Attempt, Budget};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::support::{Backend, NEVER, Reply, ms, ok, secs};

fn whole(id: &u64) -> Option<u64> {
    Some(*id)
}

#[tokio::test(start_paused = true)]
async fn a_later_call_adopts_it_in_flight_and_after_it_landed() {
    let backend = Backend::of(&[ok(100)]);
    let layer = CoalesceLayer::new(whole);
    let service = layer.layer(backend.clone());
    assert_eq!(service.prefetch(7), Prefetch::Begun);
    assert_eq!(service.prefetch(7), Prefetch::Runs);
    sleep(ms(60)).await;
    let start = Instant::now();
    assert_eq!(service.clone().oneshot(7).await.unwrap(), ("answer", 7, 0));
    assert!(start.elapsed() <= ms(41), "{:?}", start.elapsed());

    assert_eq!(service.prefetch(8), Prefetch::Begun);
    sleep(ms(500)).await;
    let start = Instant::now();
    assert_eq!(service.clone().oneshot(8).await.unwrap(), ("answer", 8, 1));
    assert!(start.elapsed() <= ms(1));
    // Once: this is no cache.
    assert_eq!(service.clone().oneshot(8).await.unwrap(), ("answer", 8, 2));
    sleep(ms(1)).await;
    let stats = layer.handle().stats();
    assert_eq!((stats.prefetched, stats.adopted, stats.flights), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_adopts_is_dropped_after_the_bound() {
    let backend = Backend::of(&[NEVER, ok(10), NEVER]);
    let layer = CoalesceLayer::new(whole).prefetches(8, secs(3));
    let service = layer.layer(backend.clone());
    // In flight.
    assert_eq!(service.prefetch(7), Prefetch::Begun);
    sleep(ms(2_990)).await;
    assert_eq!(backend.alive(), 1);
    sleep(ms(20)).await;
    assert_eq!((backend.alive(), layer.handle().stats().flights), (0, 0));
    // Landed.
    assert_eq!(service.prefetch(8), Prefetch::Begun);
    sleep(ms(3_020)).await;
    assert_eq!(layer.handle().stats().flights, 0);
    assert!(timeout(ms(50), service.clone().oneshot(8)).await.is_err());
    assert_eq!(backend.sent(), 3);
    // With the last service.
    assert_eq!(service.prefetch(9), Prefetch::Begun);
    sleep(ms(1)).await;
    assert_eq!(backend.alive(), 1);
    drop((service, layer));
    sleep(ms(1)).await;
    assert_eq!(backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_an_extra_attempt_within_the_budget_and_bounded_in_number() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let attempts = seen.clone();
    let backend = tower::service_fn(move |id: u64| {
        attempts.lock().push(Attempt::current().is_extra());
        async move {
            sleep(ms(50)).await;
            Ok::<_, std::convert::Infallible>(id)
        }
    });
    let layer = CoalesceLayer::new(whole)
        .budget(Budget::percent(0.0).depth(2))
        .prefetches(9, secs(1));
    let service = layer.layer(backend.clone());
    assert_eq!(service.prefetch(1), Prefetch::Begun);
    assert_eq!(service.prefetch(2), Prefetch::Begun);
    assert_eq!(service.prefetch(3), Prefetch::Denied);
    sleep(ms(1)).await;
    assert_eq!(service.clone().oneshot(4).await.unwrap(), 4);
    assert_eq!(*seen.lock(), [true, true, false]);

    let layer = CoalesceLayer::new(whole).prefetches(1, secs(1));
    let service = layer.layer(backend);
    assert_eq!(
        (service.prefetch(1), service.prefetch(2)),
        (Prefetch::Begun, Prefetch::Full)
    );
    // What was not begun is not in the way.
    assert_eq!(layer.handle().stats().flights, 1);
    let nameless = CoalesceLayer::new(|_: &u64| None::<u64>).layer(Backend::of(&[ok(1)]));
    assert_eq!(nameless.prefetch(1), Prefetch::NoKey);
}

#[tokio::test(start_paused = true)]
async fn a_cache_stores_what_it_prefetched() {
    let backend = Backend::of(&[ok(100)]);
    let layer = CacheLayer::new(MemoryStore::<u64, Reply>::entries(10)).key(whole);
    let service = layer.layer(backend.clone());
    assert_eq!(service.prefetch(7), Prefetch::Begun);
    sleep(ms(110)).await;
    let hit = timeout(ms(1), service.clone().oneshot(7)).await;
    assert_eq!(hit.unwrap().unwrap(), ("answer", 7, 0));
    assert_eq!((layer.handle().stats().prefetched, backend.sent()), (1, 1));

    // Over a coalescer a call that comes too early joins it.
    let backend = Backend::of(&[ok(100)]);
    let cache = CacheLayer::new(MemoryStore::<u64, Reply>::entries(10)).key(whole);
    let service = cache.layer(
        CoalesceLayer::new(whole)
            .lead(cache.lead())
            .layer(backend.clone()),
    );
    assert_eq!(service.prefetch(7), Prefetch::Begun);
    sleep(ms(50)).await;
    assert_eq!(service.oneshot(7).await.unwrap().2, 0);
    assert_eq!(backend.sent(), 1);
}
