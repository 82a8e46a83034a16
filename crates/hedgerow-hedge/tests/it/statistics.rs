//! How often a percentile hedges: in virtual time, on laws that are wide against the timer's grain
//! (a millisecond of the law is 100 ms of virtual time).

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Attempt, LatencyView};
use hedgerow_hedge::HedgeLayer;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Exp, LogNormal};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, call, ms};

const SEED: u64 = 20_130_201;

/// One seed, or ten when `HEDGEROW_LONG` is set.
fn seeds() -> std::ops::Range<u64> {
    let count = if std::env::var_os("HEDGEROW_LONG").is_some() {
        10
    } else {
        1
    };
    SEED..SEED + count
}

type Law = fn(&mut StdRng) -> f64;

fn lognormal(rng: &mut StdRng) -> f64 {
    LogNormal::new(20f64.ln(), 0.8)
        .expect("a valid law")
        .sample(rng)
}

fn exponential(rng: &mut StdRng) -> f64 {
    Exp::new(0.1).expect("a valid law").sample(rng)
}

fn bimodal(rng: &mut StdRng) -> f64 {
    if rng.random_bool(0.98) {
        exponential(rng)
    } else {
        200.0 + Exp::new(1.0 / 300.0).expect("a valid law").sample(rng)
    }
}

const LAWS: [(&str, Law); 3] = [
    ("lognormal", lognormal),
    ("exponential", exponential),
    ("bimodal", bimodal),
];

/// What the backend does at the moment, and the extras it has seen.
struct World {
    rng: StdRng,
    law: Law,
    scale: f64,
    failing: f64,
    extras: u64,
}

/// A client whose every attempt follows the world.
fn client(
    world: &Arc<Mutex<World>>,
) -> impl Service<u64, Response = (), Error = (), Future: Send> + Clone + Send + 'static {
    let world = world.clone();
    tower::service_fn(move |_: u64| {
        let mut world = world.lock();
        let World {
            rng,
            law,
            scale,
            failing,
            extras,
        } = &mut *world;
        *extras += u64::from(Attempt::current().is_extra());
        let fails = rng.random_bool(*failing);
        let took = Duration::from_secs_f64(law(rng) * *scale * 0.1);
        async move {
            if fails {
                sleep(ms(100)).await;
                return Err(());
            }
            sleep(took).await;
            Ok(())
        }
    })
}

fn world(law: Law) -> Arc<Mutex<World>> {
    seeded(law, SEED)
}

fn seeded(law: Law, seed: u64) -> Arc<Mutex<World>> {
    Arc::new(Mutex::new(World {
        rng: StdRng::seed_from_u64(seed),
        law,
        scale: 1.0,
        failing: 0.0,
        extras: 0,
    }))
}

/// The largest of extras − β·calls over any window: what the depth has to cover.
#[derive(Default)]
struct Windows {
    surplus: f64,
    lowest: f64,
    worst: f64,
}

impl Windows {
    fn call(&mut self, extras: u64, share: f64) {
        self.lowest = self.lowest.min(self.surplus);
        self.surplus += extras as f64 - share;
        self.worst = self.worst.max(self.surplus - self.lowest);
    }
}

async fn one<S: Service<u64> + Clone>(service: &S, world: &Mutex<World>) -> u64 {
    let before = world.lock().extras;
    let _ = service.clone().oneshot(1).await;
    world.lock().extras - before
}

/// B2: tower's spends 8.7 to 12.7 % where 5 % were asked for.
async fn rate_is_as_asked(p: f64, low: f64, high: f64) {
    let runs = seeds().flat_map(|seed| LAWS.map(|(name, law)| (seed, name, law)));
    for (seed, name, law) in runs {
        let world = seeded(law, seed);
        let layer = HedgeLayer::percentile(p)
            .initial(ms(10_000))
            .clone_requests();
        let service = layer.layer(client(&world));
        let mut windows = Windows::default();
        let mut counted = 0;
        for n in 1..=100_000u32 {
            // A burst of fast failures: 1 ms of the law, 10 % of 5,000 calls.
            world.lock().failing = if (50_001..=55_000).contains(&n) {
                0.1
            } else {
                0.0
            };
            let extras = one(&service, &world).await;
            windows.call(extras, 0.015 * (100.0 - p));
            if n > 20_000 {
                counted += extras;
            }
        }
        let rate = counted as f64 / 80_000.0 * 100.0;
        eprintln!("percentile({p}) on {name}: {rate:.2} % extra, seed {seed}");
        assert!(
            rate >= low && rate <= high,
            "percentile({p}) on {name}: {rate:.2} %"
        );
        assert!(windows.worst <= 50.0 + 1e-6, "{name}: {}", windows.worst);
    }
}

#[tokio::test(start_paused = true)]
async fn percentile_90_hedges_9_to_11_percent_on_three_laws_through_a_burst_of_failures() {
    rate_is_as_asked(90.0, 9.0, 11.0).await;
}

#[tokio::test(start_paused = true)]
async fn percentile_95_hedges_4_5_to_5_5_percent_on_three_laws_through_a_burst_of_failures() {
    rate_is_as_asked(95.0, 4.5, 5.5).await;
}

#[tokio::test(start_paused = true)]
async fn percentile_99_hedges_0_8_to_1_2_percent_on_three_laws_through_a_burst_of_failures() {
    rate_is_as_asked(99.0, 0.8, 1.2).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_fast_failures_does_not_move_the_percentile() {
    let world = world(lognormal);
    let layer = HedgeLayer::percentile(95)
        .initial(ms(10_000))
        .clone_requests();
    let service = layer.layer(client(&world));
    for _ in 0..4_000 {
        one(&service, &world).await;
    }
    let before = layer.handle().latency().quantile(0.95).expect("samples");
    world.lock().failing = 0.9;
    for _ in 0..1_000 {
        one(&service, &world).await;
    }
    let after = layer.handle().latency().quantile(0.95).expect("samples");
    let moved = after.as_secs_f64() / before.as_secs_f64();
    assert!((0.85..1.15).contains(&moved), "{before:?} -> {after:?}");
}

/// Every latency × 10: then every call wants a hedge, and the budget says no.
#[tokio::test(start_paused = true)]
async fn a_brownout_never_exceeds_the_budget_and_is_learnt() {
    for (name, law) in LAWS {
        let world = world(law);
        let layer = HedgeLayer::percentile(95)
            .initial(ms(10_000))
            .clone_requests();
        let service = layer.layer(client(&world));
        let mut windows = Windows::default();
        let (mut late, mut brown) = (0, 0);
        for n in 1..=30_000u32 {
            world.lock().scale = if (5_001..=20_000).contains(&n) {
                10.0
            } else {
                1.0
            };
            let extras = one(&service, &world).await;
            windows.call(extras, 0.075);
            match n {
                5_001..=20_000 => brown += extras,
                25_001.. => late += extras,
                _ => {}
            }
        }
        eprintln!("brownout on {name}: {brown} extras of 15000, then {late} of 5000");
        assert!(windows.worst <= 50.0 + 1e-6, "{name}: {}", windows.worst);
        assert!(
            (200..=300).contains(&late),
            "{name}: back to 5 % afterwards: {late} of 5000"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_idle_hour_it_hedges_where_it_did_before() {
    let world = world(lognormal);
    let layer = HedgeLayer::percentile(95)
        .initial(ms(10_000))
        .clone_requests();
    let service = layer.layer(client(&world));
    for _ in 0..5_000 {
        one(&service, &world).await;
    }
    let before = layer.handle().latency().quantile(0.95);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(layer.handle().latency().quantile(0.95), before);
    let mut extras = 0;
    for _ in 0..1_000 {
        extras += one(&service, &world).await;
    }
    assert!(extras <= 80, "{extras} of 1000");
    let after = layer.handle().latency().quantile(0.95).expect("samples");
    let before = before.expect("samples");
    assert!(
        after > before / 2 && after < before * 2,
        "{before:?} -> {after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn at_a_cold_start_it_hedges_after_the_initial_delay_and_not_at_the_floor() {
    for (takes, sent) in [(95, 1), (500, 2)] {
        let backend = Backend::new(move |attempt| crate::support::answers(attempt, takes));
        let layer = HedgeLayer::percentile(95).clone_requests();
        let (result, _) = call(layer.layer(backend.clone())).await;
        result.expect("an answer");
        assert_eq!(backend.sent(), sent);
        if sent == 2 {
            assert!(backend.times()[1] >= ms(100) && backend.times()[1] <= ms(101));
        }
    }
}

/// B2: `initial` until 100 or 5 / (1 − p) samples.
#[tokio::test(start_paused = true)]
async fn it_learns_only_once_enough_samples_are_there() {
    for (p, needed) in [(95.0, 100u64), (99.0, 500), (99.9, 5_000)] {
        let backend = Backend::taking(&[10]);
        let layer = HedgeLayer::percentile(p).clone_requests();
        let service = layer.layer(backend.clone());
        let delay_now = || {
            use hedgerow_hedge::{Delay, HedgePolicy, policy::Percentile};
            let policy = Percentile::try_new(p).expect("in range");
            match policy.delay(&1u64, Attempt::new(1), layer.handle().latency()) {
                Delay::After(delay) => delay,
                _ => panic!("a percentile always hedges"),
            }
        };
        for n in 0..needed + 64 {
            if n < needed {
                assert_eq!(delay_now(), ms(100), "percentile({p}) after {n}");
            }
            call(service.clone()).await.0.expect("an answer");
        }
        assert!(
            delay_now() < ms(12),
            "percentile({p}) after {}",
            needed + 64
        );
    }
}

/// A service faster than the timer's grain: its learnt percentile is 0 µs.
#[tokio::test(start_paused = true)]
async fn a_service_faster_than_the_timer_is_not_hedged_at_once() {
    let client = tower::service_fn(async |_: u64| {
        tokio::task::yield_now().await;
        Ok::<_, ()>(Attempt::current().index())
    });
    let layer = HedgeLayer::percentile(95).clone_requests();
    let service = layer.layer(client);
    for _ in 0..1_000 {
        call(service.clone()).await.0.expect("an answer");
    }
    assert_eq!(
        layer.handle().latency().quantile(0.95),
        Some(Duration::ZERO)
    );
    assert_eq!(layer.handle().stats().fired, 0);
}

#[tokio::test(start_paused = true)]
async fn learnt_delays_stay_inside_the_clamp() {
    let backend = Backend::taking(&[10]);
    let layer = HedgeLayer::percentile(95)
        .clamp(ms(40), ms(80))
        .clone_requests();
    let service = layer.layer(backend.clone());
    for _ in 0..300 {
        call(service.clone()).await.0.expect("an answer");
    }
    let slow = Backend::taking(&[200, 1]);
    let (_, took) = call(layer.layer(slow)).await;
    assert!(took >= ms(41) && took <= ms(44), "{took:?}");
}

#[test]
fn the_seeded_laws_are_what_they_are_called() {
    let mut rng = StdRng::seed_from_u64(SEED);
    for (name, law, mean) in [
        ("lognormal", lognormal as Law, 20.0 * (0.32f64).exp()),
        ("exponential", exponential, 10.0),
        ("bimodal", bimodal, 0.98 * 10.0 + 0.02 * 500.0),
    ] {
        let sum: f64 = (0..200_000).map(|_| law(&mut rng)).sum();
        let got = sum / 200_000.0;
        assert!((got / mean - 1.0).abs() < 0.02, "{name}: {got} for {mean}");
    }
    let _ = rng.next_u64();
}
