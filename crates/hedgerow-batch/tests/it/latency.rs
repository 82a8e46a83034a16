//! What batching adds to a caller's latency, in virtual time: a millisecond of a law is 100 ms of it.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_batch::{Batch, BatchLayer, Linger};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, ends};

const MS: Duration = Duration::from_millis(100);

/// The 99th percentile of how long items wait, that come at random, five in a millisecond.
async fn p99(layer: BatchLayer<u64, ()>, backend_takes: Duration) -> Duration {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let log = waits.clone();
    let backend = Backend::new(move |batch: Batch<u64, ()>, _| {
        let now = Instant::now().into_std();
        log.lock()
            .extend(batch.items().map(|item| now - item.reply.entered()));
        async move {
            sleep(backend_takes).await;
            batch.into_iter().for_each(|item| item.reply.answer(()));
            Ok(())
        }
    });
    let mut service = layer.max_in_flight(64).layer(backend);
    let mut rng = StdRng::seed_from_u64(5);
    let (mut at, mut calls) = (Instant::now(), Vec::new());
    for n in 0..20_000 {
        let unit: f64 = rng.random();
        at += MS.mul_f64(-(1.0 - unit).ln() / 5.0);
        sleep_until(at).await;
        service.ready().await.expect("it is open");
        calls.push(service.call(n));
    }
    for call in calls {
        ends(call).await.expect("an answer");
    }
    let mut waits = waits.lock();
    waits.sort_unstable();
    waits[waits.len() * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn at_five_items_a_millisecond_the_added_p99_is_no_worse_than_the_linger() {
    for takes in [Duration::ZERO, 2 * MS, 20 * MS] {
        for linger in [1, 5] {
            // The timer's own grain on top.
            let most = linger * MS + Duration::from_millis(1);
            let idle = p99(BatchLayer::linger(linger * MS), takes).await;
            let strict = Linger::new(linger * MS).strict();
            let strict = p99(BatchLayer::new(strict), takes).await;
            assert!(
                idle <= most && strict <= most,
                "{idle:?}, {strict:?} of {most:?}"
            );
        }
    }
}
