//! What waiting and dispatching cost together, by the real layer in virtual time.
//!
//! A millisecond of a law is 100 ms of virtual time, so that the timer's grain does not show. An item costs
//! the time that it waits, a dispatch costs κ = 10 ms.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_batch::{Adaptive, Batch, BatchLayer};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep_until};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, ends};

/// Milliseconds.
const KAPPA: f64 = 10.0;
const SCALE: f64 = 100.0;

/// When items come, in milliseconds: `rate(t)` a millisecond.
fn arrivals(seed: u64, until: f64, rate: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut at, mut times) = (0.0, Vec::new());
    loop {
        let unit: f64 = rng.random();
        at += -(1.0 - unit).ln() / rate(at);
        if at >= until {
            return times;
        }
        times.push(at);
    }
}

/// What an item costs on average, in milliseconds, with the layer that `layer` makes.
fn measured(times: &[f64], layer: &BatchLayer<u64, ()>) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let waited = Arc::new(Mutex::new(Duration::ZERO));
    let sum = waited.clone();
    let backend = Backend::new(move |batch: Batch<u64, ()>, _| {
        let now = Instant::now().into_std();
        let mut sum = sum.lock();
        for item in batch {
            *sum += now - item.reply.entered();
            item.reply.answer(());
        }
        async { Ok(()) }
    });
    let log = backend.clone();
    runtime.block_on(async {
        let mut service = layer.layer(backend);
        let start = Instant::now();
        let mut calls = Vec::with_capacity(times.len());
        for (n, time) in times.iter().enumerate() {
            sleep_until(start + Duration::from_secs_f64(time * SCALE / 1_000.0)).await;
            service.ready().await.expect("it is open");
            calls.push(service.call(n as u64));
        }
        for call in calls {
            ends(call).await.expect("an answer");
        }
    });
    let waited_ms = waited.lock().as_secs_f64() * 1_000.0 / SCALE;
    (waited_ms + KAPPA * log.sizes().len() as f64) / times.len() as f64
}

fn adaptive() -> BatchLayer<u64, ()> {
    let kappa = Duration::from_secs_f64(KAPPA * SCALE / 1_000.0);
    BatchLayer::new(Adaptive::new().cost(kappa)).max_size(10_000)
}

/// The cheapest that any policy can be which knows the rate of a Poisson process: that many at a time.
fn optimum(rate: f64) -> f64 {
    (1..1_000)
        .map(|n| KAPPA / f64::from(n) + f64::from(n - 1) / (2.0 * rate))
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn g8_without_being_told_the_rate_it_costs_at_most_a_twentieth_more_than_the_optimum() {
    for rate in [0.05, 0.2, 1.0, 5.0, 20.0] {
        let seeds = [1, 2, 3];
        let cost = seeds.map(|seed| {
            let times = arrivals(seed, 10_000.0 / rate, |_| rate);
            measured(&times, &adaptive())
        });
        let cost = cost.iter().sum::<f64>() / seeds.len() as f64;
        let ratio = cost / optimum(rate);
        println!("{rate} a ms: {cost:.3} ms an item, {ratio:.3} of the optimum; seeds {seeds:?}");
        assert!(ratio <= 1.05, "{rate} a ms: {ratio}");
    }
}

/// What an item costs if everything goes together that comes within `window` of the first.
fn windowed(times: &[f64], window: f64) -> f64 {
    let (mut cost, mut at) = (0.0, 0);
    while at < times.len() {
        let end = times[at] + window;
        let size = times[at..].iter().take_while(|time| **time <= end).count();
        cost += KAPPA
            + times[at..at + size]
                .iter()
                .map(|time| end - time)
                .sum::<f64>();
        at += size;
    }
    cost / times.len() as f64
}

#[test]
fn g8_on_bursts_it_is_no_worse_than_the_best_fixed_window() {
    let rate = |at: f64| {
        if ((at / 500.0) as u64).is_multiple_of(2) {
            0.2
        } else {
            20.0
        }
    };
    for seed in [1, 2, 3] {
        let times = arrivals(seed, 5_000.0, rate);
        let ours = measured(&times, &adaptive());
        let windows = (0..2_000).map(|n| f64::from(n) / 100.0);
        let (best, window) = windows
            .map(|window| (windowed(&times, window), window))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap();
        println!("seed {seed}: {ours:.3} ms an item; the best window, {window} ms: {best:.3}");
        assert!(ours <= best, "seed {seed}: {ours} > {best}");
    }
}

#[test]
fn what_a_dispatch_costs_is_learnt_from_how_long_batches_take() {
    // A batch takes 10 ms and another .1 for each item; five at once.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let policy = Arc::new(Adaptive::new());
    let times = arrivals(7, 5_000.0, |_| 1.0);
    runtime.block_on(async {
        let backend = Backend::new(|batch: Batch<u64, ()>, _| async move {
            let ms = 10.0 + 0.1 * batch.len() as f64;
            tokio::time::sleep(Duration::from_secs_f64(ms * SCALE / 1_000.0)).await;
            batch.into_iter().for_each(|item| item.reply.answer(()));
            Ok(())
        });
        let mut service = BatchLayer::new(policy.clone()).layer(backend.clone());
        let start = Instant::now();
        let mut calls = Vec::new();
        for (n, time) in times.iter().enumerate() {
            sleep_until(start + Duration::from_secs_f64(time * SCALE / 1_000.0)).await;
            service.ready().await.unwrap();
            calls.push(service.call(n as u64));
        }
        for call in calls {
            ends(call).await.unwrap();
        }
        let learnt = policy.current_cost().as_secs_f64() * 1_000.0 / SCALE;
        assert!((9.0..11.0).contains(&learnt), "{learnt} ms");
        // √(2 · 10 · 1) = 4.5 at a time.
        let sizes = backend.sizes();
        let mean = times.len() as f64 / sizes.len() as f64;
        assert!((3.5..5.5).contains(&mean), "{mean} at a time");
    });
}
