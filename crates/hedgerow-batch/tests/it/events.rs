//! What the recorder is told, and what the handle counts.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hedgerow_batch::{Batch, BatchEvent, BatchLayer, BatchOutcome, Linger, Reason};
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::Layer;

use crate::support::{Backend, Down, call, doubling, ends, ms};

#[tokio::test(start_paused = true)]
async fn every_step_of_items_and_batches_is_told_in_order() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        tokio::time::sleep(ms(10)).await;
        for item in batch {
            if item.request == 2 {
                item.reply.fail(Down(2));
            } else {
                item.reply.answer(1);
            }
        }
        Ok(())
    });
    let layer = BatchLayer::new(Linger::new(ms(50)).strict())
        .max_weight(100, |n: &u64| *n)
        .on_event(move |event: &BatchEvent| log.lock().push(*event));
    let service = layer.layer(backend);
    let left = timeout(ms(30), call(&service, 3));
    let calls = join_all([1, 2].map(|n| call(&service, n)));
    let _ = ends(futures::future::join(calls, left)).await;
    let elapsed = ms(60);
    let wanted = [
        BatchEvent::Enqueued { queued: 1 },
        BatchEvent::Enqueued { queued: 2 },
        BatchEvent::Enqueued { queued: 3 },
        BatchEvent::Cancelled {
            elapsed: ms(30),
            dispatched: false,
        },
        BatchEvent::Dispatched {
            size: 2,
            twins: 0,
            weight: 3,
            waited: ms(50),
            reason: Reason::Linger,
            in_flight: 1,
        },
        BatchEvent::Answered { elapsed },
        BatchEvent::Failed { elapsed },
        BatchEvent::Landed {
            size: 2,
            elapsed: ms(10),
            outcome: BatchOutcome::Done,
        },
    ];
    assert_eq!(*told.lock(), wanted);
    assert_eq!(wanted.iter().filter(|event| event.is_terminal()).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_loses_its_event_and_nothing_else() {
    struct Panics;
    impl hedgerow_core::Recorder<BatchEvent> for Panics {
        fn record(&self, _: &BatchEvent) {
            panic!("on purpose");
        }
    }
    let service = BatchLayer::idle().recorder(Panics).layer(doubling(5));
    assert_eq!(call(&service, 1).await.unwrap(), 2);
    assert!(timeout(ms(2), call(&service, 1)).await.is_err());
    assert_eq!(call(&service, 2).await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn sizes_and_waits_are_counted() {
    let layer = BatchLayer::new(Linger::new(ms(40)).strict()).max_size(4);
    let handle = layer.handle();
    let service = layer.layer(doubling(0));
    ends(join_all((0..10).map(|n| call(&service, n)))).await;
    let sizes = handle.sizes();
    assert_eq!((sizes.count(), sizes.largest()), (3, 4));
    assert_eq!(
        (sizes.quantile(0.3), sizes.quantile(0.5)),
        (Some(2), Some(4))
    );
    assert_eq!(sizes.mean(), Some(10.0 / 3.0));
    let waits = handle.waits();
    assert_eq!(waits.count(), 10);
    let longest = waits.max().unwrap_or_default();
    assert!(longest >= ms(39) && longest <= ms(42), "{longest:?}");
    assert!(waits.quantile(0.5).unwrap() < Duration::from_millis(1));
    let stats = handle.stats();
    assert_eq!(
        (stats.sent_for(Reason::Full), stats.sent_for(Reason::Linger)),
        (2, 1)
    );
    assert_eq!((stats.batches, stats.entered, stats.answered), (3, 10, 10));
}
