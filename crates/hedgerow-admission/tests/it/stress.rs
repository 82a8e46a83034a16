//! Real threads, for two seconds at most: nothing but counts is asserted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use hedgerow_admission::{
    AdmissionLayer, Ask, Gate, Outcome, Pool, Priority, Queue, Rate, ReadyAdmissionLayer,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn};

const MOST: usize = 6;

/// Counts itself while it runs.
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn new(inside: &Arc<AtomicUsize>) -> Self {
        let before = inside.fetch_add(1, Ordering::SeqCst);
        assert!(before < MOST, "{before} run already");
        Self(inside.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn gate(queue: Queue) -> Gate<&'static str> {
    Gate::builder()
        .concurrency(MOST)
        .concurrency_per_key(3)
        .rate(Rate::tokens(2_000_000, Duration::from_secs(1)).burst(2_000))
        .rate(Rate::requests(50_000, Duration::from_secs(1)).per_key())
        .pool(Pool::least_used(["a", "b"]).at_once(4))
        .queue(queue)
        .max_depth(40)
        .max_wait(Duration::from_millis(20))
        .build()
}

async fn one(gate: Gate<&'static str>, seed: u64, until: Instant, inside: Arc<AtomicUsize>) {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..3_000 {
        if Instant::now() > until {
            return;
        }
        let ask = Ask::new()
            .cost(random.random_range(1..200))
            .key(random.random_range(0..5_u64))
            .priority(Priority::ALL[random.random_range(0..4)]);
        let patience = Duration::from_micros(random.random_range(0..3_000));
        match random.random_range(0..10) {
            0 => {
                let inside = inside.clone();
                let layer = ReadyAdmissionLayer::new(gate.clone());
                let service = layer.layer(service_fn(async |()| {
                    let _inside = Inside::new(&inside);
                    tokio::task::yield_now().await;
                    Ok::<_, std::convert::Infallible>(())
                }));
                // It may be given up at any point.
                let _ = timeout(patience, service.oneshot(())).await;
            }
            1 => {
                let inside = inside.clone();
                let layer = AdmissionLayer::new(gate.clone()).ask(move |(): &()| ask.clone());
                let service = layer.layer(service_fn(move |()| {
                    let inside = inside.clone();
                    async move {
                        let _inside = Inside::new(&inside);
                        tokio::task::yield_now().await;
                        Ok::<_, std::convert::Infallible>(())
                    }
                }));
                let _ = timeout(patience, service.oneshot(())).await;
            }
            2 => {
                let token = CancellationToken::new();
                token.cancel();
                assert!(gate.permit_for(ask).cancel_on(token).await.is_err());
            }
            3 => drop(gate.try_permit_for(&ask)),
            _ => {
                let Ok(Ok(mut permit)) = timeout(patience, gate.permit_for(ask)).await else {
                    continue;
                };
                let running = Inside::new(&inside);
                if random.random() {
                    tokio::task::yield_now().await;
                }
                drop(running);
                match random.random_range(0..5) {
                    0 => permit.finish(Outcome::Failed),
                    1 => permit.cool_down(Duration::from_micros(50)),
                    2 => permit.used(random.random_range(0..100)),
                    _ => drop(permit),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_threads_all_comes_back_and_nobody_hangs() {
    for (seed, queue) in [
        (1_000, Queue::fifo()),
        (
            2_000,
            Queue::adaptive_lifo().codel(Duration::from_millis(1), Duration::from_millis(5)),
        ),
        (3_000, Queue::earliest_deadline_first().keep_all()),
    ] {
        eprintln!("seed {seed}, {queue:?}");
        let gate = gate(queue);
        let inside = Arc::new(AtomicUsize::new(0));
        let until = Instant::now() + Duration::from_millis(600);
        let mut tasks: Vec<_> = (0..24)
            .map(|each| tokio::spawn(one(gate.clone(), seed + each, until, inside.clone())))
            .collect();
        let changes = gate.clone();
        tasks.push(tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            while Instant::now() < until {
                changes.set_limit(random.random_range(0..=MOST));
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            changes.set_limit(MOST);
        }));
        for task in timeout(Duration::from_secs(60), join_all(tasks))
            .await
            .expect("nobody hangs")
        {
            task.expect("no panic");
        }
        let stats = gate.stats();
        assert_eq!((stats.active, stats.queued), (0, 0));
        assert_eq!(stats.started, stats.finished);
        assert_eq!(
            stats.entered,
            stats.started + stats.aborted + stats.shed_total()
        );
        assert!(stats.started > 0 && stats.aborted > 0, "{stats:?}");
        assert_eq!((gate.leftovers(), gate.keys()), (0, 0));
        assert!(gate.resources().iter().all(|each| each.in_use == 0));
        assert_eq!(inside.load(Ordering::SeqCst), 0);
    }
}
