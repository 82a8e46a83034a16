//! The queue is bounded, and pushes back through `poll_ready`.

use futures::future::join_all;
use hedgerow_batch::{BatchError, BatchLayer};
use hedgerow_core::cause_ref;
use tokio::time::{sleep, timeout};
use tower::load_shed::{LoadShed, error::Overloaded};
use tower::{Layer, Service, ServiceExt};

use crate::support::{call, doubling, ends, ms, settle};

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_not_ready_and_load_shed_above_it_refuses() {
    let backend = doubling(100);
    let layer = BatchLayer::idle()
        .max_in_flight(1)
        .max_queued(3)
        .max_size(1);
    let service = layer.layer(backend.clone());
    let mut calls: Vec<_> = (0..4).map(|n| Box::pin(call(&service, n))).collect();
    for call in &mut calls {
        assert!(settle(call).await.is_none());
    }
    // One is with the backend, three wait.
    let shed = LoadShed::new(service.clone());
    let refused = ends(shed.clone().oneshot(9)).await.unwrap_err();
    assert!(refused.is::<Overloaded>());
    let mut waits = Box::pin(call(&service, 10));
    assert!(settle(&mut waits).await.is_none());
    for call in calls {
        ends(call).await.unwrap();
    }
    assert_eq!(ends(waits).await.unwrap(), 20);
    assert_eq!(ends(shed.oneshot(11)).await.unwrap(), 22);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_place_gets_it_in_turn() {
    let backend = doubling(10);
    let layer = BatchLayer::idle()
        .max_in_flight(1)
        .max_queued(1)
        .max_size(1);
    let service = layer.layer(backend.clone());
    ends(join_all((0..20).map(|n| call(&service, n)))).await;
    let seen: Vec<u64> = backend.batches().into_iter().flat_map(|(_, n)| n).collect();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_made_ready_holds_a_place_until_it_is_dropped() {
    let layer = BatchLayer::idle().max_queued(1);
    let service = layer.layer(doubling(0));
    let mut ready = service.clone();
    ready.ready().await.unwrap();
    assert!(timeout(ms(100), call(&service, 1)).await.is_err());
    drop(ready);
    assert_eq!(call(&service, 1).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn called_without_readiness_it_takes_a_place_or_refuses() {
    let layer = BatchLayer::idle().max_queued(1).max_in_flight(1);
    let mut service = layer.layer(doubling(100));
    let first = service.call(1);
    let second = service.call(2);
    let error = ends(second).await.unwrap_err();
    assert!(matches!(cause_ref(&*error), Some(BatchError::NotReady)));
    assert_eq!(ends(first).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_who_come_and_leave_take_no_room() {
    let layer = BatchLayer::idle().max_in_flight(1).max_queued(100);
    let service = layer.layer(doubling(10_000));
    let mut first = Box::pin(call(&service, 0));
    assert!(settle(&mut first).await.is_none());
    let mut stays = Box::pin(call(&service, 1));
    assert!(settle(&mut stays).await.is_none());
    let mut ready = service.clone();
    for n in 0..100_000 {
        ready.ready().await.unwrap();
        drop(ready.call(n));
    }
    assert_eq!(layer.handle().stats().queued, 1);
    assert_eq!(ends(first).await.unwrap(), 0);
    assert_eq!(ends(stays).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_in_call_takes_no_place_along() {
    let weigh = |n: &u64| {
        assert!(*n != 13, "on purpose");
        *n
    };
    let layer = BatchLayer::idle().max_weight(100, weigh).max_queued(1);
    let service = layer.layer(doubling(0));
    for _ in 0..3 {
        let mut ready = service.clone();
        ready.ready().await.unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ready.call(13)));
        assert!(panicked.is_err());
        drop(ready);
        assert_eq!(call(&service, 1).await.unwrap(), 2);
    }
    sleep(ms(1)).await;
    assert_eq!(layer.handle().stats().entered, 3);
}
