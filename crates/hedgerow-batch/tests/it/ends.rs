//! How a layer ends: with its last service, drained, flushed, aborted.

use futures::future::{join, join_all};
use hedgerow_batch::{Batch, BatchError, BatchLayer, Linger, Reason};
use hedgerow_core::cause_ref;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use crate::support::{Backend, call, doubling, ends, ms, settle};

const FOR_EVER: u64 = 3_600_000;

fn patient() -> BatchLayer<u64, u64> {
    BatchLayer::new(Linger::new(ms(FOR_EVER)).strict())
}

fn hanging() -> Backend<u64, u64> {
    Backend::new(|batch: Batch<u64, u64>, _| async {
        std::future::pending::<()>().await;
        drop(batch);
        Ok(())
    })
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_service_once_everything_is_answered() {
    let layer = patient();
    assert_eq!(tasks(), 0);
    let service = layer.layer(doubling(10));
    let other = service.clone();
    let mut waiting = Box::pin(other.oneshot(1));
    assert!(settle(&mut waiting).await.is_none());
    assert_eq!(tasks(), 1);
    let start = Instant::now();
    drop(service);
    // Nobody can fill the batch any more: it goes at once.
    assert_eq!(ends(waiting).await.unwrap(), 2);
    assert_eq!(start.elapsed(), ms(10));
    sleep(ms(1)).await;
    assert_eq!(tasks(), 0);
    assert_eq!(layer.handle().stats().sent_for(Reason::Drain), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_dropped_unused_leaves_no_task() {
    let layer = patient();
    drop(layer.layer(doubling(0)));
    let mut service = layer.layer(doubling(0));
    service.ready().await.unwrap();
    drop(service);
    sleep(ms(1)).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn g6_flush_sends_what_waits_and_the_layer_goes_on() {
    let backend = doubling(10);
    let layer = patient();
    let handle = layer.handle();
    let service = layer.layer(backend.clone());
    let mut calls: Vec<_> = (0..3).map(|n| Box::pin(call(&service, n))).collect();
    for call in &mut calls {
        assert!(settle(call).await.is_none());
    }
    assert!(ends(handle.flush(ms(1))).await);
    assert_eq!(backend.sizes(), [3]);
    for call in calls {
        ends(call).await.unwrap();
    }
    let mut next = Box::pin(call(&service, 7));
    assert!(settle(&mut next).await.is_none());
    assert_eq!(handle.stats().queued, 1);
    assert!(handle.flush(ms(1)).await);
    assert_eq!(ends(next).await.unwrap(), 14);
    assert!(handle.flush(ms(1)).await, "nothing waits");
}

#[tokio::test(start_paused = true)]
async fn g6_flush_ends_though_the_backend_hangs() {
    let layer = patient().max_in_flight(1);
    let handle = layer.handle();
    let service = layer.layer(hanging());
    let mut first = Box::pin(call(&service, 1));
    assert!(settle(&mut first).await.is_none());
    assert!(handle.flush(ms(100)).await);
    let mut second = Box::pin(call(&service, 2));
    assert!(settle(&mut second).await.is_none());
    let start = Instant::now();
    assert!(!handle.flush(ms(100)).await);
    assert_eq!(start.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn g6_drain_answers_everybody_takes_nobody_more_and_ends() {
    let backend = doubling(100);
    let layer = patient().max_size(2).max_in_flight(1);
    let handle = layer.handle();
    let service = layer.layer(backend.clone());
    let calls = join_all((0..5).map(|n| call(&service, n)));
    let drain = async {
        sleep(ms(1)).await;
        let drained = handle.drain(ms(10_000)).await;
        let error = call(&service, 9).await.unwrap_err();
        assert!(matches!(cause_ref(&*error), Some(BatchError::Closed)));
        drained
    };
    let (calls, drained) = ends(join(calls, drain)).await;
    assert!(drained && calls.iter().all(Result::is_ok));
    assert_eq!(backend.sizes(), [2, 2, 1]);
    assert_eq!(tasks(), 0);
    let later = layer.layer(doubling(0));
    let error = call(&later, 1).await.unwrap_err();
    assert!(matches!(cause_ref(&*error), Some(BatchError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn g6_drain_ends_though_the_backend_hangs_and_says_so() {
    let layer = patient().max_in_flight(1).max_size(1);
    let handle = layer.handle();
    let backend = hanging();
    let service = layer.layer(backend.clone());
    let calls = join_all((0..3).map(|n| call(&service, n)));
    let drain = async {
        sleep(ms(1)).await;
        let start = Instant::now();
        (handle.drain(ms(500)).await, start.elapsed())
    };
    let (calls, (drained, took)) = ends(join(calls, drain)).await;
    assert!(!drained);
    assert_eq!(took, ms(500));
    for got in calls {
        let error = got.unwrap_err();
        assert!(matches!(cause_ref(&*error), Some(BatchError::Aborted)));
    }
    assert_eq!((tasks(), backend.alive()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn g6_abort_ends_at_once_and_everybody_is_told() {
    let layer = patient().max_in_flight(1).max_size(2);
    let handle = layer.handle();
    let backend = hanging();
    let service = layer.layer(backend.clone());
    let calls = join_all((0..5).map(|n| call(&service, n)));
    let abort = async {
        sleep(ms(1)).await;
        let start = Instant::now();
        handle.abort().await;
        start.elapsed()
    };
    let (calls, took) = ends(join(calls, abort)).await;
    assert!(took < ms(1));
    for got in calls {
        let error = got.unwrap_err();
        assert!(matches!(cause_ref(&*error), Some(BatchError::Aborted)));
    }
    assert_eq!((tasks(), backend.alive()), (0, 0));
    let stats = handle.stats();
    assert_eq!((stats.entered, stats.failed, stats.open()), (5, 5, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_place_is_told_that_the_layer_closes() {
    let layer = patient().max_queued(1);
    let handle = layer.handle();
    let service = layer.layer(hanging());
    let first = call(&service, 1);
    let waits = call(&service, 2);
    let abort = async {
        sleep(ms(1)).await;
        handle.abort().await;
    };
    let ((first, waits), ()) = ends(join(join(first, waits), abort)).await;
    assert!(matches!(
        cause_ref(&*first.unwrap_err()),
        Some(BatchError::Aborted)
    ));
    assert!(matches!(
        cause_ref(&*waits.unwrap_err()),
        Some(BatchError::Closed)
    ));
}

#[tokio::test(start_paused = true)]
async fn the_handle_of_a_layer_without_services_ends_at_once() {
    let handle = patient().handle();
    assert!(handle.flush(ms(1)).await);
    assert!(handle.drain(ms(1)).await);
    handle.abort().await;
}
