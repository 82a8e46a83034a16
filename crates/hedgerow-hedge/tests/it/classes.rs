//! B4: classes that differ in scale share one histogram of scaled latencies.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Attempt, Budget, LatencyView};
use hedgerow_hedge::policy::{Keyed, Scaled};
use hedgerow_hedge::{ByClone, HedgeLayer};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, answers, ms};

/// Class 2 is one call of a hundred.
const RARE: u64 = 2;
/// Which of the rare class's calls are looked at: the first 32 teach its scale.
const SEEN: std::ops::Range<u64> = 32..132;

/// Each class is four times as slow as the one before; how many extras each has been sent.
fn classes(
    seed: u64,
) -> (
    impl Service<u64, Response = (), Error = ()> + Clone,
    Arc<Mutex<[u64; 3]>>,
) {
    let extras = Arc::new(Mutex::new([0; 3]));
    let log = extras.clone();
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let law = LogNormal::new(2f64.ln(), 0.8).expect("a valid law");
    let service = tower::service_fn(move |class: u64| {
        log.lock()[class as usize] += u64::from(Attempt::current().is_extra());
        let took = law.sample(&mut *rng.lock()) * 4f64.powi(class as i32);
        async move {
            sleep(Duration::from_secs_f64(took)).await;
            Ok(())
        }
    });
    (service, extras)
}

/// How many of the rare class's calls that are looked at were hedged.
async fn rare_hedges<S>(service: S, extras: &Mutex<[u64; 3]>, seed: u64) -> u64
where
    S: Service<u64, Response = (), Error = ()> + Clone,
{
    let mut rng = StdRng::seed_from_u64(seed ^ 0xff);
    let (mut rare, mut hedged) = (0, 0);
    while rare < SEEN.end {
        let class = if rng.random_bool(0.01) {
            RARE
        } else {
            rng.random_range(0..RARE)
        };
        let before = extras.lock()[RARE as usize];
        service.clone().oneshot(class).await.expect("an answer");
        if class == RARE {
            if SEEN.contains(&rare) {
                hedged += extras.lock()[RARE as usize] - before;
            }
            rare += 1;
        }
    }
    hedged
}

fn percentile() -> HedgeLayer<hedgerow_hedge::policy::Percentile, ByClone> {
    HedgeLayer::percentile(95)
        .initial(Duration::from_secs(36_000))
        .budget(Budget::unlimited())
        .clone_requests()
}

/// The rare class's calls 33 to 132, in 60 worlds: as asked with `.class`, none with `.key`, which
/// has no percentile of it before its 100th.
#[tokio::test(start_paused = true)]
async fn a_rare_class_is_hedged_at_5_percent_after_32_samples_of_its_own() {
    const SEEDS: u64 = 60;
    let mut hedged = 0;
    for seed in 0..SEEDS {
        let (client, extras) = classes(seed);
        let layer = percentile().class(|class: &u64| *class);
        hedged += rare_hedges(layer.layer(client), &extras, seed).await;
    }
    let calls = SEEDS * (SEEN.end - SEEN.start);
    let percent = 100.0 * hedged as f64 / calls as f64;
    eprintln!("scaled: {percent:.2} % of {calls} rare calls, seeds 0 to 59");
    assert!((4.5..=5.5).contains(&percent), "{percent:.2} %");

    let (mut hedged, seeds) = (0, 12);
    for seed in 0..seeds {
        let (client, extras) = classes(seed);
        let layer = percentile().key(|class: &u64| *class);
        hedged += rare_hedges(layer.layer(client), &extras, seed).await;
    }
    let calls = seeds * (SEEN.end - SEEN.start);
    let percent = 100.0 * hedged as f64 / calls as f64;
    eprintln!("by key: {percent:.2} % of {calls} rare calls, seeds 0 to 11");
    assert!(percent < 3.0, "{percent:.2} %");
}

/// The frequent classes, too, and the scales are those of the law.
#[tokio::test(start_paused = true)]
async fn classes_of_one_shape_are_each_hedged_at_their_own_quantile() {
    let (client, extras) = classes(8);
    let layer = percentile().class(|class: &u64| *class);
    let service = layer.layer(client);
    for n in 0..33_000u64 {
        if n == 3_000 {
            *extras.lock() = [0; 3];
        }
        service.clone().oneshot(n % 3).await.expect("an answer");
    }
    for (class, extras) in extras.lock().iter().enumerate() {
        let percent = *extras as f64 / 100.0;
        eprintln!("class {class}: {percent:.2} % of 10000, seed 8");
        assert!(
            (4.5..=5.5).contains(&percent),
            "class {class}: {percent:.2} %"
        );
        let known = layer.keys().latency(&(class as u64)).expect("known");
        let median = known.quantile(0.5).expect("samples").as_secs_f64();
        let law = 2.0 * 4f64.powi(class as i32);
        assert!((median / law - 1.0).abs() < 0.1, "class {class}: {median}");
    }
}

type ByTens = Keyed<Scaled, fn(&u64) -> u64, u64>;

fn by_tens() -> HedgeLayer<ByTens, ByClone> {
    fn tens(n: &u64) -> u64 {
        n / 10
    }
    HedgeLayer::percentile(90)
        .initial(ms(100_000))
        .clone_requests()
        .class(tens as fn(&u64) -> u64)
}

/// Request 0 takes 10 to 29 ms, request 10 ten times as long.
async fn teach(layer: &HedgeLayer<ByTens, ByClone>) {
    for n in 0..600u64 {
        let class = n % 2;
        let takes = (10 + n / 2 % 20) * 10u64.pow(class as u32);
        let backend = Backend::new(move |attempt| answers(attempt, takes));
        let service = layer.layer(backend);
        service.oneshot(10 * class).await.expect("an answer");
    }
}

async fn delay_for(layer: &HedgeLayer<ByTens, ByClone>, request: u64) -> Duration {
    let backend = Backend::taking(&[90_000, 1]);
    let service = layer.layer(backend.clone());
    service.oneshot(request).await.expect("an answer");
    backend.times().get(1).copied().unwrap_or(Duration::MAX)
}

#[tokio::test(start_paused = true)]
async fn every_class_is_restored() {
    let before = by_tens();
    teach(&before).await;
    let state = before.save();
    let after = by_tens();
    after.restore(&state).expect("our own state");
    assert_eq!(after.keys().len(), 2);
    for (request, p90) in [(0, 28.0), (10, 280.0)] {
        let [had, has] = [
            delay_for(&before, request).await,
            delay_for(&after, request).await,
        ];
        let near = |delay: Duration| (delay.as_secs_f64() * 1e3 / p90 - 1.0).abs() < 0.12;
        assert!(near(had) && near(has), "{had:?}, {has:?}");
        assert!(had.abs_diff(has) <= ms(1) + had / 50, "{had:?}, {has:?}");
    }
}

/// What a class has not learnt yet is the initial delay, and so it is for a function that panics.
#[tokio::test(start_paused = true)]
async fn a_class_with_fewer_than_16_calls_waits_for_the_initial_delay() {
    let layer = by_tens();
    teach(&layer).await;
    for n in 0..15 {
        let backend = Backend::taking(&[50]);
        let service = layer.layer(backend);
        service.oneshot(70 + n % 3).await.expect("an answer");
    }
    let backend = Backend::taking(&[90_000, 1]);
    let service = layer.layer(backend.clone());
    service.oneshot(70).await.expect("an answer");
    assert_eq!(backend.sent(), 1);
    // That was the sixteenth.
    let learnt = delay_for(&layer, 70).await;
    assert!(learnt < ms(400), "{learnt:?}");
}

#[tokio::test(start_paused = true)]
async fn classes_are_bounded_like_keys_and_a_panicking_function_is_survived() {
    let client = tower::service_fn(async |_: u64| Ok::<_, ()>(()));
    let layer = percentile().class(|n: &u64| {
        assert!(*n < 1_000, "on purpose");
        *n
    });
    assert!(layer.clone().try_max_keys(0).is_err());
    let layer = layer.max_keys(10);
    let service = layer.layer(client);
    for n in 0..1_002 {
        service.clone().oneshot(n).await.expect("an answer");
        assert!(layer.keys().len() <= 10);
    }
}
