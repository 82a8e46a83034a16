//! What came in is answered, failed or cancelled, whatever happens.
//!
//! `HEDGEROW_LONG=1` asks for more cases.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use hedgerow_batch::{Adaptive, Batch, BatchEvent, BatchLayer, Idle, Linger};
use hedgerow_core::{ByClone, Deadline};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, Down, Work, ends, ms, settle};

/// One caller.
#[derive(Clone, Debug)]
struct Caller {
    comes: u64,
    /// How long it waits; none waits to the end.
    leaves: Option<u64>,
    deadline: Option<u64>,
    key: u64,
    weight: u64,
    /// Leaves right after `call`, before the first poll.
    hasty: bool,
}

/// What the backend does with a batch.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Answer {
        after: u64,
        each: u64,
    },
    Forget {
        every: u64,
    },
    FailSome,
    Fail {
        after: u64,
    },
    PanicAtOnce,
    PanicAfter {
        after: u64,
    },
    Hang,
    /// Answers from elsewhere, after its future has ended.
    Late {
        after: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Shutdown {
    /// The services go.
    None,
    Drain {
        at: u64,
        within: u64,
    },
    Abort {
        at: u64,
    },
    Flush {
        at: u64,
    },
}

#[derive(Clone, Debug)]
struct World {
    callers: Vec<Caller>,
    deeds: Vec<Deed>,
    shutdown: Shutdown,
    policy: u8,
    linger: u64,
    max_size: usize,
    max_in_flight: usize,
    max_queued: usize,
    timeout: Option<u64>,
    bisects: bool,
    dedups: bool,
    partitions: bool,
    weighs: bool,
}

fn caller() -> impl Strategy<Value = Caller> {
    (
        0..100_u64,
        prop::option::weighted(0.3, 0..80_u64),
        prop::option::weighted(0.2, 1..60_u64),
        0..4_u64,
        0..5_u64,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(comes, leaves, deadline, key, weight, hasty)| Caller {
            comes,
            leaves,
            deadline,
            key,
            weight,
            hasty,
        })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..30_u64, 0..4_u64).prop_map(|(after, each)| Deed::Answer { after, each }),
        1 => (1..4_u64).prop_map(|every| Deed::Forget { every }),
        1 => Just(Deed::FailSome),
        1 => (0..20_u64).prop_map(|after| Deed::Fail { after }),
        1 => Just(Deed::PanicAtOnce),
        1 => (0..20_u64).prop_map(|after| Deed::PanicAfter { after }),
        1 => Just(Deed::Hang),
        1 => (0..60_u64).prop_map(|after| Deed::Late { after }),
    ]
}

fn shutdown() -> impl Strategy<Value = Shutdown> {
    prop_oneof![
        2 => Just(Shutdown::None),
        1 => (0..120_u64, 0..50_u64).prop_map(|(at, within)| Shutdown::Drain { at, within }),
        1 => (0..120_u64).prop_map(|at| Shutdown::Abort { at }),
        1 => (0..120_u64).prop_map(|at| Shutdown::Flush { at }),
    ]
}

prop_compose! {
    fn world()(
        callers in prop::collection::vec(caller(), 1..40),
        deeds in prop::collection::vec(deed(), 1..8),
        shutdown in shutdown(),
        (policy, linger) in (0..4_u8, 0..30_u64),
        (max_size, max_in_flight, max_queued) in (1..9_usize, 1..4_usize, 1..20_usize),
        timeout in prop::option::weighted(0.7, 1..40_u64),
        (bisects, dedups, partitions, weighs) in any::<(bool, bool, bool, bool)>(),
    ) -> World {
        World {
            callers, deeds, shutdown, policy, linger, max_size, max_in_flight, max_queued,
            timeout, bisects, dedups, partitions, weighs,
        }
    }
}

async fn act(batch: Batch<(u64, Caller), u64>, deed: Deed) -> Result<(), Down> {
    match deed {
        Deed::Answer { after, each } => {
            sleep(ms(after)).await;
            for item in batch {
                item.reply.answer(item.request.0);
                sleep(ms(each)).await;
            }
        }
        Deed::Forget { every } => {
            for item in batch {
                if item.request.0 % every == 0 {
                    item.reply.answer(item.request.0);
                }
            }
        }
        Deed::FailSome => {
            for item in batch {
                if item.request.0 % 2 == 0 {
                    item.reply.fail(Down(item.request.0));
                } else {
                    item.reply.answer(item.request.0);
                }
            }
        }
        Deed::Fail { after } => {
            sleep(ms(after)).await;
            return Err(Down(0));
        }
        Deed::PanicAtOnce => unreachable!("it panics in the call"),
        Deed::PanicAfter { after } => {
            sleep(ms(after)).await;
            assert!(batch.is_empty(), "on purpose");
        }
        Deed::Hang => {
            std::future::pending::<()>().await;
            drop(batch);
        }
        Deed::Late { after } => {
            #[expect(
                clippy::disallowed_methods,
                reason = "a backend that answers from elsewhere"
            )]
            tokio::spawn(async move {
                sleep(ms(after)).await;
                for item in batch.into_iter().filter(|item| item.request.0 % 3 > 0) {
                    item.reply.answer(item.request.0);
                }
            });
        }
    }
    Ok(())
}

fn layer(world: &World) -> BatchLayer<(u64, Caller), u64> {
    let linger = Linger::new(ms(world.linger));
    let mut layer = match world.policy {
        0 => BatchLayer::new(linger),
        1 => BatchLayer::new(linger.strict()),
        2 => BatchLayer::new(Idle::new()),
        _ => BatchLayer::new(Adaptive::new().cost(ms(world.linger))),
    };
    layer = layer
        .max_size(world.max_size)
        .max_in_flight(world.max_in_flight)
        .max_queued(world.max_queued);
    if let Some(after) = world.timeout {
        layer = layer.timeout(ms(after));
    }
    if world.bisects {
        layer = layer.bisect(ByClone);
    }
    if world.dedups {
        layer = layer.dedup(|(_, caller): &(u64, Caller)| caller.key);
    }
    if world.partitions {
        layer = layer.partition(|(_, caller): &(u64, Caller)| caller.key % 2);
    }
    if world.weighs {
        layer = layer.max_weight(8, |(_, caller): &(u64, Caller)| caller.weight);
    }
    layer
}

/// What callers saw.
#[derive(Default)]
struct Seen {
    called: AtomicU64,
    refused: AtomicU64,
}

async fn run(world: World) {
    let hangs = world.deeds.iter().any(|deed| matches!(deed, Deed::Hang));
    let deeds = world.deeds.clone();
    let limits = (world.max_size, world.partitions, world.weighs);
    let backend = Backend::new(move |batch: Batch<(u64, Caller), u64>, n| -> Work {
        let (max_size, partitions, weighs) = limits;
        assert!(batch.len() <= max_size && !batch.is_empty(), "bounds");
        let weight: u64 = batch.requests().map(|(_, caller)| caller.weight).sum();
        assert!(!weighs || batch.len() == 1 || weight <= 8, "weight");
        let keys: HashSet<u64> = batch.requests().map(|(_, caller)| caller.key % 2).collect();
        assert!(!partitions || keys.len() == 1, "partitions");
        let deed = deeds[n % deeds.len()];
        assert!(!matches!(deed, Deed::PanicAtOnce), "on purpose");
        Box::pin(act(batch, deed))
    });
    let told: Arc<Mutex<[u64; 4]>> = Arc::default();
    let tell = told.clone();
    let layer = layer(&world).on_event(move |event: &BatchEvent| {
        let mut told = tell.lock();
        match event {
            BatchEvent::Enqueued { .. } => told[0] += 1,
            BatchEvent::Answered { .. } => told[1] += 1,
            BatchEvent::Failed { .. } => told[2] += 1,
            BatchEvent::Cancelled { .. } => told[3] += 1,
            _ => {}
        }
    });
    let handle = layer.handle();
    let service = layer.layer(backend.clone());
    let seen = Arc::new(Seen::default());
    let calls = world
        .callers
        .iter()
        .cloned()
        .enumerate()
        .map(|(n, caller)| {
            let (mut service, seen) = (service.clone(), seen.clone());
            async move {
                sleep(ms(caller.comes)).await;
                // Without a timeout a backend that hangs keeps the queue full for ever.
                let ready = timeout(ms(5_000), service.ready()).await;
                let Ok(Ok(service)) = ready else {
                    return;
                };
                seen.called.fetch_add(1, Ordering::Relaxed);
                let request = (n as u64, caller.clone());
                let patience = caller
                    .deadline
                    .and_then(|left| Deadline::within(Instant::now().into_std(), ms(left)));
                let call = match patience {
                    Some(deadline) => deadline.scope(|| service.call(request)),
                    None => service.call(request),
                };
                if caller.hasty {
                    return;
                }
                let patience = caller.leaves.unwrap_or(10_000);
                if let Ok(Err(error)) = timeout(ms(patience), call).await
                    && matches!(
                        error.downcast_ref(),
                        Some(hedgerow_batch::BatchError::Closed)
                    )
                {
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    let ending = async {
        match world.shutdown {
            Shutdown::None => {}
            Shutdown::Flush { at } => {
                sleep(ms(at)).await;
                handle.flush(ms(1_000)).await;
            }
            Shutdown::Drain { at, within } => {
                sleep(ms(at)).await;
                handle.drain(ms(within)).await;
            }
            Shutdown::Abort { at } => {
                sleep(ms(at)).await;
                handle.abort().await;
            }
        }
    };
    ends(futures::future::join(join_all(calls), ending)).await;
    drop(service);
    // Answers from elsewhere, and the task's own end.
    sleep(ms(1_000)).await;
    let stats = handle.stats();
    assert_eq!(stats.open(), 0, "{stats:?}");
    assert_eq!(stats.queued, 0, "{stats:?}");
    let entered = seen.called.load(Ordering::Relaxed);
    // Whoever was refused at the door is not counted as having come in.
    assert!(stats.entered <= entered, "{stats:?}");
    assert!(
        stats.entered + seen.refused.load(Ordering::Relaxed) >= entered
            || world.callers.iter().any(|caller| caller.hasty),
        "{stats:?} of {entered}"
    );
    let told = *told.lock();
    assert_eq!(
        told,
        [stats.entered, stats.answered, stats.failed, stats.cancelled],
        "in = ok + err + cancelled, and every end is told once"
    );
    assert!(backend.most_alive() <= world.max_in_flight);
    assert_eq!(backend.alive(), 0, "{stats:?}");
    assert_eq!(
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        0,
        "hangs: {hangs}"
    );
}

fn cases() -> u32 {
    if std::env::var_os("HEDGEROW_LONG").is_some() {
        10_000
    } else {
        512
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn g6_in_is_ok_and_err_and_cancelled_whatever_happens(world in world()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(run(world));
    }
}

/// The same law with real threads, where steps meet.
#[test]
fn under_threads_that_come_and_leave_and_abort_nobody_is_lost() {
    for round in 0..20_u64 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let backend = Backend::new(|batch: Batch<u64, u64>, n| async move {
                tokio::task::yield_now().await;
                if n % 7 == 3 {
                    return Err(Down(0));
                }
                batch
                    .into_iter()
                    .for_each(|item| item.reply.answer(item.request));
                Ok(())
            });
            let layer = BatchLayer::idle().max_size(16).max_queued(64);
            let handle = layer.handle();
            let service = layer.layer(backend);
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..8_u64 {
                let service = service.clone();
                tasks.spawn(async move {
                    for n in 0..300 {
                        let mut call = Box::pin(service.clone().oneshot(task * 1_000 + n));
                        if n % 5 == task % 5 {
                            settle(&mut call).await;
                        } else if call.await.is_err_and(|error| {
                            matches!(
                                error.downcast_ref(),
                                Some(hedgerow_batch::BatchError::Closed)
                            )
                        }) {
                            return;
                        }
                    }
                });
            }
            if round % 2 == 1 {
                for _ in 0..round * 20 {
                    tokio::task::yield_now().await;
                }
                handle.abort().await;
            }
            tasks.join_all().await;
            drop(service);
            handle.drain(std::time::Duration::from_secs(60)).await;
            assert_eq!(
                handle.stats().open(),
                0,
                "round {round}: {:?}",
                handle.stats()
            );
        });
    }
}
