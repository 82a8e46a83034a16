//! Limits that change while requests wait.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hedgerow_admission::{Ask, Gate, LimitPolicy, Sample};

use crate::support::{Log, holder, ms, settle};

#[tokio::test(start_paused = true)]
async fn raising_a_limit_from_zero_wakes_who_waits_at_once() {
    let gate = Gate::builder().concurrency(3).build();
    gate.set_limit(0);
    let log = Log::new();
    let tasks: Vec<_> = (0..7)
        .map(|name| holder(&gate, Ask::new(), name, ms(1_000), &log))
        .collect();
    settle().await;
    assert_eq!(log.all(), []);
    gate.set_limit(5);
    settle().await;
    assert_eq!(log.all(), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]);
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
}

#[tokio::test(start_paused = true)]
async fn shrinking_under_a_queue_takes_effect_as_requests_end() {
    let gate = Gate::builder().concurrency(4).build();
    let log = Log::new();
    let tasks: Vec<_> = (0..8)
        .map(|name| holder(&gate, Ask::new(), name, ms(10 + name), &log))
        .collect();
    settle().await;
    gate.set_limit(1);
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    // Four run on; the next starts when the last of them has ended, at 13 ms; then one by one.
    let starts: Vec<u64> = log.all().into_iter().map(|(_, at)| at).collect();
    assert_eq!(starts, [0, 0, 0, 0, 13, 27, 42, 58]);
}

struct Told(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl LimitPolicy for Told {
    fn limit(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn observe(&self, sample: &Sample) {
        assert!(sample.in_flight > 0);
        self.1.fetch_add(1, Ordering::Relaxed);
        // Learns from the first end that two may run.
        self.0.store(2, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_learns_from_an_end_lets_more_start_at_that_end() {
    let (limit, told) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicUsize::new(0)));
    let gate = Gate::builder()
        .limit(Told(limit.clone(), told.clone()))
        .build();
    let log = Log::new();
    let tasks: Vec<_> = (0..5)
        .map(|name| holder(&gate, Ask::new(), name, ms(10), &log))
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("admitted");
    }
    let starts: Vec<u64> = log.all().into_iter().map(|(_, at)| at).collect();
    assert_eq!(starts, [0, 10, 10, 20, 20]);
    assert_eq!(told.load(Ordering::Relaxed), 5);
    // A number said from outside takes the policy's place until it is taken back.
    gate.set_limit(7);
    assert_eq!(gate.stats().limit, Some(7));
    gate.follow_policy();
    assert_eq!(gate.stats().limit, Some(2));
}

struct Panics;

impl LimitPolicy for Panics {
    fn limit(&self) -> usize {
        3
    }

    fn observe(&self, _: &Sample) {
        panic!("on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_leaks_nothing() {
    let gate = Gate::builder().limit(Panics).build();
    for _ in 0..10 {
        let permit = gate.permit().await.expect("free");
        drop(permit);
    }
    assert_eq!(gate.stats().active, 0);
    assert_eq!(gate.stats().finished, 10);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_limit_is_a_policy_too() {
    let policy = hedgerow_admission::Fixed::new(NonZeroUsize::MIN);
    let gate = Gate::builder().limit(policy).build();
    let _held = gate.permit().await.expect("free");
    assert!(gate.try_permit().is_none());
}
