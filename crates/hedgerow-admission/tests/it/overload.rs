//! More calls than a service can serve.
//!
//! Ten workers, each call takes an exponential time of 10 ms on average, and is of use for 100 ms: a
//! thousand calls a second can be served. A millisecond here is 100 ms of virtual time, so that the
//! timer's grain of 1 ms does not show.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_admission::{Ask, Gate, Queue};
use hedgerow_core::Deadline;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until};

/// A millisecond.
const MS: f64 = 0.1;
const WORKERS: usize = 10;
const MEAN_MS: f64 = 10.0;
const DEADLINE_MS: f64 = 100.0;

fn scaled(ms: f64) -> Duration {
    Duration::from_secs_f64(ms * MS)
}

fn exponential(random: &mut StdRng, mean: f64) -> f64 {
    -mean * (1.0 - random.random::<f64>()).ln()
}

/// What became of the calls that arrived, by second.
struct Goodput {
    /// Answered within the deadline.
    good: Vec<f64>,
    /// Started after the deadline.
    late_starts: u64,
    /// How long the workers worked on each of those that ran, on average, in milliseconds.
    mean_ms: f64,
}

impl Goodput {
    /// The share of what the workers could do at all, over these seconds.
    fn of_capacity(&self, seconds: std::ops::Range<usize>) -> f64 {
        let capacity = WORKERS as f64 * 1_000.0 / self.mean_ms;
        let count = seconds.len() as f64;
        self.good[seconds].iter().sum::<f64>() / count / capacity
    }
}

/// Phases of (milliseconds, calls a millisecond); answers are counted by the second in which they came.
async fn flood(queue: Queue, phases: &[(f64, f64)], seed: u64) -> Goodput {
    let gate = Gate::builder()
        .concurrency(WORKERS)
        .queue(queue)
        .max_depth(1_000_000)
        .max_wait(scaled(100_000.0))
        .build();
    let whole: f64 = phases.iter().map(|(ms, _)| ms).sum();
    let seconds = (whole / 1_000.0).ceil() as usize;
    let good: Arc<Vec<AtomicU64>> = Arc::new((0..seconds).map(|_| AtomicU64::new(0)).collect());
    let late = Arc::new(AtomicU64::new(0));
    let (ran, worked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut random = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    let mut at = 0.0;
    let mut until = 0.0;
    for (length, rate) in phases {
        until += length;
        loop {
            let next = at + exponential(&mut random, 1.0 / rate);
            if next > until {
                at = until;
                break;
            }
            at = next;
            sleep_until(began + scaled(at)).await;
            let arrived = Instant::now();
            let takes = exponential(&mut random, MEAN_MS);
            let deadline = arrived + scaled(DEADLINE_MS);
            let (gate, good, late) = (gate.clone(), good.clone(), late.clone());
            let (ran, worked) = (ran.clone(), worked.clone());
            tokio::spawn(async move {
                let ask = Ask::new().deadline(Deadline::at(deadline.into_std()));
                let Ok(permit) = gate.permit_for(ask).await else {
                    return;
                };
                if Instant::now() > deadline {
                    late.fetch_add(1, Ordering::Relaxed);
                }
                sleep(scaled(takes)).await;
                drop(permit);
                ran.fetch_add(1, Ordering::Relaxed);
                worked.fetch_add((takes * 1_000.0) as u64, Ordering::Relaxed);
                let now = Instant::now();
                let second = (now - began).as_secs_f64() / MS / 1_000.0;
                if now <= deadline
                    && let Some(good) = good.get(second as usize)
                {
                    good.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
    sleep_until(began + scaled(whole)).await;
    let ran = ran.load(Ordering::Relaxed) as f64;
    Goodput {
        good: good
            .iter()
            .map(|good| good.load(Ordering::Relaxed) as f64)
            .collect(),
        late_starts: late.load(Ordering::Relaxed),
        mean_ms: worked.load(Ordering::Relaxed) as f64 / 1_000.0 / ran,
    }
}

async fn mean_of_seeds(queue: Queue, load: f64) -> f64 {
    let mut sum = 0.0;
    for seed in 1..=5 {
        let goodput = flood(queue, &[(1_000.0, load), (10_000.0, load)], seed).await;
        sum += goodput.of_capacity(1..11);
    }
    sum / 5.0
}

fn lively() -> Queue {
    Queue::adaptive_lifo().codel(scaled(5.0), scaled(100.0))
}

#[tokio::test(start_paused = true)]
async fn under_any_overload_nearly_all_capacity_is_spent_on_answers_in_time() {
    for (load, bar) in [(1.2, 0.99), (1.5, 0.99), (2.0, 0.99), (3.0, 0.98)] {
        let share = mean_of_seeds(lively(), load).await;
        eprintln!("{load} x: {share:.4} of capacity");
        assert!(share >= bar, "{load} x: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served_answers_nobody_in_time() {
    let patient = mean_of_seeds(Queue::fifo().keep_all(), 1.5).await;
    assert!(patient < 0.01, "{patient}");
    // Giving up only whom nobody waits for any more does not help much: those who start have little
    // time left.
    let expired = mean_of_seeds(Queue::fifo(), 1.5).await;
    assert!((0.09..0.34).contains(&expired), "{expired}");
}

#[tokio::test(start_paused = true)]
async fn after_a_step_each_second_is_good_from_the_first_twentieth_on() {
    for load in [1.4, 3.0] {
        for seed in 1..=3 {
            // The seconds begin 50 ms after the step.
            let phases = [(1_950.0, 0.7), (5_050.0, load)];
            let goodput = flood(lively(), &phases, seed).await;
            assert_eq!(goodput.late_starts, 0);
            for second in 2..7 {
                let share = goodput.of_capacity(second..second + 1);
                assert!(
                    share >= 0.9,
                    "{load} x, seed {seed}, second {second}: {share}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn orders_and_rules_combine_freely_and_none_starts_anybody_too_late() {
    for order in [
        Queue::fifo(),
        Queue::adaptive_lifo(),
        Queue::earliest_deadline_first(),
    ] {
        for queue in [order, order.codel(scaled(5.0), scaled(100.0))] {
            let goodput = flood(queue, &[(3_000.0, 2.0)], 1).await;
            assert_eq!(goodput.late_starts, 0, "{queue:?}");
        }
        let goodput = flood(order.keep_all(), &[(3_000.0, 2.0)], 1).await;
        assert!(
            goodput.late_starts > 0 || order == Queue::adaptive_lifo(),
            "{order:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn table_of_orders_and_rules() {
    // A table for the guide: HEDGEROW_TABLE=1 cargo test --release -p hedgerow-admission --test it
    // table_of_orders_and_rules -- --nocapture
    if std::env::var_os("HEDGEROW_TABLE").is_none() {
        return;
    }
    let after =
        |ms| Queue::fifo().order(hedgerow_admission::Order::AdaptiveLifo { after: scaled(ms) });
    let codel = |queue: Queue| queue.codel(scaled(5.0), scaled(100.0));
    for (name, queue) in [
        ("fifo, keep all", Queue::fifo().keep_all()),
        ("fifo, expired", Queue::fifo()),
        ("fifo, CoDel", codel(Queue::fifo())),
        ("edf, CoDel", codel(Queue::earliest_deadline_first())),
        ("lifo after 0, expired", after(0.0)),
        ("lifo after 10, expired", after(10.0)),
        ("lifo after 0, CoDel", codel(after(0.0))),
        ("lifo after 10, CoDel", codel(after(10.0))),
        ("lifo after 100, CoDel", codel(after(100.0))),
    ] {
        let mut line = format!("{name:24}");
        for load in [1.2, 1.5, 2.0, 3.0] {
            line += &format!(" {:.4}", mean_of_seeds(queue, load).await);
        }
        eprintln!("{line}");
    }
}
