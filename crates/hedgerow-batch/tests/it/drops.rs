//! Callers may leave whenever they like.

use futures::future::join_all;
use hedgerow_batch::{Batch, BatchLayer, Linger};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, call, doubling, ends, ms, settle};

#[tokio::test(start_paused = true)]
async fn g5_who_leaves_before_dispatch_is_not_sent() {
    let backend = doubling(0);
    let layer = BatchLayer::new(Linger::new(ms(50)).strict());
    let service = layer.layer(backend.clone());
    let stay = join_all([1, 3].map(|n| call(&service, n)));
    let leave = timeout(ms(20), call(&service, 2));
    let (stay, left) = ends(futures::future::join(stay, leave)).await;
    assert!(left.is_err() && stay.iter().all(Result::is_ok));
    assert_eq!(backend.batches(), [(50, vec![1, 3])]);
    let stats = layer.handle().stats();
    assert_eq!(
        (stats.answered, stats.cancelled, stats.cancelled_sent),
        (2, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn g5_the_caller_that_trips_the_size_and_is_dropped_harms_nobody() {
    let backend = doubling(10);
    let layer = BatchLayer::new(Linger::new(ms(3_600_000)).strict()).max_size(3);
    let service = layer.layer(backend.clone());
    let mut others = [1, 2].map(|n| Box::pin(call(&service, n)));
    for other in &mut others {
        assert!(settle(other).await.is_none());
    }
    let mut trip = service.clone();
    trip.ready().await.unwrap();
    // Called, never polled, and gone before the task has run.
    drop(trip.call(3));
    let after = async {
        sleep(ms(1)).await;
        // The size is not reached without the one that left; the next one reaches it.
        call(&service, 4).await.unwrap()
    };
    let (others, after) = ends(futures::future::join(join_all(others), after)).await;
    assert_eq!(after, 8);
    assert_eq!(
        others.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [2, 4]
    );
    assert_eq!(backend.batches(), [(1, vec![1, 2, 4])]);
}

#[tokio::test(start_paused = true)]
async fn g5_the_trip_wire_that_leaves_once_the_batch_is_out_harms_nobody() {
    let backend = doubling(10);
    let layer = BatchLayer::new(Linger::new(ms(3_600_000)).strict()).max_size(3);
    let service = layer.layer(backend.clone());
    let others = join_all([1, 2].map(|n| call(&service, n)));
    let trip = timeout(ms(5), call(&service, 3));
    let (others, trip) = ends(futures::future::join(others, trip)).await;
    assert!(trip.is_err());
    assert!(others.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn the_last_caller_to_leave_takes_the_backends_future_along_at_once() {
    let backend = doubling(1_000);
    let layer = BatchLayer::new(Linger::new(ms(3_600_000)).strict()).max_size(2);
    let service = layer.layer(backend.clone());
    let mut calls = [1, 2].map(|n| Box::pin(call(&service, n)));
    for call in &mut calls {
        assert!(settle(call).await.is_none());
    }
    assert_eq!(backend.alive(), 1);
    let [first, second] = calls;
    drop(first);
    assert_eq!(backend.alive(), 1);
    drop(second);
    assert_eq!(backend.alive(), 0);
    sleep(ms(1)).await;
    let stats = layer.handle().stats();
    assert_eq!((stats.abandoned_batches, stats.cancelled_sent), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_answered_everybody_may_finish_what_it_does() {
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let set = done.clone();
    let backend = Backend::new(move |batch: Batch<u64, u64>, _| {
        let set = set.clone();
        async move {
            batch.into_iter().for_each(|item| item.reply.answer(1));
            sleep(ms(100)).await;
            set.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    });
    let service = BatchLayer::idle().layer(backend);
    call(&service, 1).await.unwrap();
    sleep(ms(200)).await;
    assert!(done.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn what_left_frees_its_request_and_its_place_at_once() {
    let kept = std::sync::Arc::new(());
    let backend = Backend::new(|batch: Batch<std::sync::Arc<()>, u64>, _| async move {
        batch.into_iter().for_each(|item| item.reply.answer(1));
        Ok(())
    });
    let layer = BatchLayer::new(Linger::new(ms(1_000)).strict()).max_queued(2);
    let service = layer.layer(backend);
    for _ in 0..1_000 {
        let mut ready = service.clone();
        ends(ready.ready()).await.unwrap();
        let call = ready.call(kept.clone());
        assert_eq!(std::sync::Arc::strong_count(&kept), 2);
        drop(call);
        assert_eq!(std::sync::Arc::strong_count(&kept), 1);
    }
    assert_eq!(layer.handle().stats().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_can_see_who_has_left() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        sleep(ms(50)).await;
        let wanted: Vec<bool> = batch.items().map(|item| item.reply.is_wanted()).collect();
        assert_eq!(wanted, [true, false]);
        batch.into_iter().for_each(|item| item.reply.answer(1));
        Ok(())
    });
    let service = BatchLayer::idle().layer(backend);
    let (stays, leaves) =
        futures::future::join(call(&service, 1), timeout(ms(10), call(&service, 2))).await;
    assert!(stays.is_ok() && leaves.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_drop_at_any_millisecond_leaves_nothing_behind() {
    for age in 0..40 {
        let backend = doubling(10);
        let layer = BatchLayer::new(Linger::new(ms(15)).strict()).max_in_flight(1);
        let service = layer.layer(backend.clone());
        let calls = (0..4).map(|n| timeout(ms(age + n * 3), call(&service, n)));
        ends(join_all(calls)).await;
        sleep(ms(100)).await;
        let stats = layer.handle().stats();
        assert_eq!(
            (stats.open(), stats.queued, backend.alive()),
            (0, 0, 0),
            "{age} ms"
        );
        assert_eq!(call(&service, 1).await.unwrap(), 2, "{age} ms");
    }
}
