//! B5: a delay that calls make shorter and longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_core::{Attempt, Budget};
use hedgerow_hedge::policy::{Backoff, BackoffConfig};
use hedgerow_hedge::{CallEnd, HedgeLayer, HedgePolicy, Outcome, Sample, Stateful};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp, LogNormal};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, any_moment, call, ms};

/// How a call ends, as the samples that are told of it, in their order.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// The primary answers, and nothing else was sent.
    Alone,
    /// The primary answers, and the extra is dropped.
    Wasted,
    /// The extra answers, and the primary is dropped.
    Saved,
    /// The primary fails; there is no extra.
    Failed,
    /// Both fail, the primary first.
    BothFailed,
    /// The caller leaves.
    Left,
    /// Two extras: the second wins, the primary and the first are dropped.
    SavedByTheSecond,
    /// Two extras are dropped when the primary answers.
    WastedTwice,
    /// The primary fails, then the extra answers.
    Rescued,
    /// The extra fails, then the primary answers.
    FailedExtra,
}

/// Tells it all in one moment, or a millisecond apart.
fn tell(policy: &Backoff, now: &mut Instant, how: Call) {
    use CallEnd::{Alone, Hedged, None};
    use Outcome::{Cancelled, Failed, Lost, Won};
    *now += ms(10);
    let told: &[(u32, Outcome, CallEnd, u64)] = match how {
        Call::Alone => &[(0, Won, Alone, 0)],
        Call::Wasted => &[(0, Won, Hedged, 0), (1, Lost, None, 0)],
        Call::Saved => &[(1, Won, Hedged, 0), (0, Lost, None, 0)],
        Call::Failed => &[(0, Failed, Alone, 0)],
        Call::BothFailed => &[(0, Failed, None, 0), (1, Failed, Hedged, 1)],
        Call::Left => &[(0, Cancelled, None, 0), (1, Cancelled, None, 0)],
        Call::SavedByTheSecond => &[(2, Won, Hedged, 0), (0, Lost, None, 0), (1, Lost, None, 0)],
        Call::WastedTwice => &[(0, Won, Hedged, 0), (1, Lost, None, 0), (2, Lost, None, 0)],
        Call::Rescued => &[(0, Failed, None, 0), (1, Won, Hedged, 1)],
        Call::FailedExtra => &[(1, Failed, None, 0), (0, Won, Hedged, 1)],
    };
    for &(attempt, outcome, call, later) in told {
        *now += ms(later);
        let sample = Sample::new(*now, Attempt::new(attempt), ms(5), outcome).ending(call);
        HedgePolicy::<()>::observe(policy, &sample);
    }
}

/// Delays in microseconds, computed by hand.
fn follows(config: BackoffConfig, steps: &[(Call, u64)]) {
    let policy = Backoff::try_new(config).expect("in range");
    let mut now = any_moment();
    for (at, &(how, micros)) in steps.iter().enumerate() {
        tell(&policy, &mut now, how);
        let got = policy.current();
        assert_eq!(got, Duration::from_micros(micros), "step {at}: {how:?}");
    }
}

#[test]
fn each_call_multiplies_the_delay_by_its_factor() {
    follows(
        BackoffConfig::default(),
        &[
            (Call::Alone, 90_000),
            (Call::Alone, 81_000),
            (Call::Saved, 72_900),
            (Call::Wasted, 109_350),
            (Call::Alone, 98_415),
            (Call::Failed, 196_830),
            (Call::Left, 196_830),
            (Call::Wasted, 295_245),
            (Call::BothFailed, 590_490),
        ],
    );
}

#[test]
fn the_delay_stays_within_its_limits_and_leaves_them_by_the_same_factors() {
    let config = BackoffConfig::default().base(ms(11)).max(ms(40));
    follows(
        config,
        &[
            (Call::Alone, 10_000),
            (Call::Alone, 10_000),
            // 1.5 times the delay before, not 1.5 / 0.9 times a clamped one.
            (Call::Wasted, 15_000),
            (Call::Failed, 30_000),
            (Call::Failed, 40_000),
            (Call::Wasted, 40_000),
            (Call::Saved, 36_000),
        ],
    );
}

#[test]
fn a_call_counts_once_whatever_it_sent() {
    follows(
        BackoffConfig::default(),
        &[
            (Call::SavedByTheSecond, 90_000),
            (Call::WastedTwice, 135_000),
        ],
    );
}

/// Only how the call ends counts: what failed on the way is in no factor.
#[test]
fn mixed_calls_count_once_and_exactly() {
    follows(
        BackoffConfig::default(),
        &[
            (Call::Rescued, 90_000),
            (Call::FailedExtra, 135_000),
            (Call::Rescued, 121_500),
        ],
    );
    // At the limits too: no factor is taken back that was cut there.
    let config = BackoffConfig::default().base(ms(40)).max(ms(50));
    follows(
        config,
        &[(Call::Rescued, 36_000), (Call::FailedExtra, 50_000)],
    );
}

/// Calls that end in one moment are told apart.
#[test]
fn calls_that_meet_count_one_by_one() {
    let policy = Backoff::default();
    let now = any_moment();
    let tell = |attempt, outcome, call| {
        let sample = Sample::new(now, Attempt::new(attempt), ms(5), outcome).ending(call);
        HedgePolicy::<()>::observe(&policy, &sample);
    };
    tell(0, Outcome::Won, CallEnd::Hedged);
    tell(0, Outcome::Won, CallEnd::Alone);
    tell(2, Outcome::Won, CallEnd::Hedged);
    tell(1, Outcome::Lost, CallEnd::None);
    tell(1, Outcome::Lost, CallEnd::None);
    assert_eq!(policy.current(), Duration::from_micros(121_500));
}

/// The layer tells what the vectors above are made of.
#[tokio::test(start_paused = true)]
async fn the_layers_calls_follow_the_recurrence() {
    let policy = Arc::new(Backoff::default());
    let layer = HedgeLayer::new(policy.clone())
        .clone_requests()
        .max_hedges(2)
        .budget(Budget::unlimited());
    for (backend, micros) in [
        (Backend::taking(&[50]), 90_000),
        // The second copy is sent at 180 ms, and both are dropped when the primary answers.
        (Backend::taking(&[250, 5_000, 5_000]), 135_000),
        (Backend::taking(&[5_000, 20]), 121_500),
        // A copy follows each failure at once, and fails.
        (Backend::new(|_| (ms(5), Err("down"))), 243_000),
        (Backend::taking(&[5_000, 5_000, 10]), 218_700),
        // The primary fails, and the copy that follows it answers.
        (
            Backend::new(|n| {
                let brings = if n.is_extra() { Ok("up") } else { Err("down") };
                (ms(5), brings)
            }),
            196_830,
        ),
        // The copies fail, at 201 and 398 ms, and then the primary answers.
        (
            Backend::new(|n| {
                if n.is_extra() {
                    (ms(4), Err("down"))
                } else {
                    (ms(600), Ok("late"))
                }
            }),
            295_245,
        ),
        // The copy fails, then the primary: the call fails, once.
        (
            Backend::new(|n| {
                let takes = if n.is_extra() { 4 } else { 700 };
                (ms(takes), Err("down"))
            }),
            590_490,
        ),
    ] {
        let _ = call(layer.layer(backend)).await;
        assert_eq!(policy.current(), Duration::from_micros(micros));
    }
    let left = tokio::time::timeout(ms(700), call(layer.layer(Backend::taking(&[5_000]))));
    assert!(left.await.is_err());
    assert_eq!(policy.current(), Duration::from_micros(590_490));
}

type Law = fn(&mut StdRng) -> f64;

fn lognormal(rng: &mut StdRng) -> f64 {
    LogNormal::new(0.4f64.ln(), 0.8)
        .expect("a valid law")
        .sample(rng)
}

fn exponential(rng: &mut StdRng) -> f64 {
    Exp::new(1.5).expect("a valid law").sample(rng)
}

fn client(law: Law, seed: u64) -> impl Service<u64, Response = (), Error = ()> + Clone {
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    tower::service_fn(move |_: u64| {
        let took = Duration::from_secs_f64(law(&mut rng.lock()));
        async move {
            sleep(took).await;
            Ok(())
        }
    })
}

/// The share of calls that were hedged in vain, and of those that were hedged.
async fn shares(law: Law, budget: Option<Budget>) -> [f64; 2] {
    let mut layer = HedgeLayer::backoff(BackoffConfig::default()).clone_requests();
    if let Some(budget) = budget {
        layer = layer.budget(budget);
    }
    let service = layer.layer(client(law, 17));
    for n in 0..22_000 {
        if n == 2_000 {
            layer.handle().reset();
        }
        service.clone().oneshot(n).await.expect("an answer");
    }
    let stats = layer.handle().stats();
    [stats.hedged - stats.hedge_wins, stats.hedged].map(|n| n as f64 / stats.requests as f64)
}

#[tokio::test(start_paused = true)]
async fn unlimited_it_wastes_20_6_percent_whatever_the_service() {
    let good = (1.0f64 / 0.9).ln();
    let rest = good / (good + 1.5f64.ln());
    assert!((rest - 0.206).abs() < 0.001);
    for (name, law) in [
        ("lognormal", lognormal as Law),
        ("exponential", exponential),
    ] {
        let [wasted, hedged] = shares(law, Some(Budget::unlimited())).await;
        eprintln!("{name}: {wasted:.4} wasted of {hedged:.4} hedged, seed 17");
        assert!((wasted - rest).abs() <= 0.015, "{name}: {wasted:.4}");
        assert!(hedged > 0.25, "{name}: {hedged:.4}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_budget_caps_it_at_10_percent() {
    for law in [lognormal as Law, exponential] {
        let [_, hedged] = shares(law, None).await;
        assert!((0.09..=0.1025 + 1e-9).contains(&hedged), "{hedged:.4}");
    }
}

/// B5: named per backend.
#[tokio::test(start_paused = true)]
async fn each_key_has_a_delay_of_its_own() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = sent.clone();
    let slow = Arc::new(Mutex::new(false));
    let is_slow = slow.clone();
    let client = tower::service_fn(move |backend: &'static str| {
        if Attempt::current().is_extra() {
            log.lock().push(tokio::time::Instant::now());
        }
        let took = if *is_slow.lock() { 7_000 } else { 1 };
        let fails = backend == "failing" && !*is_slow.lock();
        async move {
            sleep(ms(took)).await;
            if fails { Err("down") } else { Ok(()) }
        }
    });
    let layer = HedgeLayer::backoff(BackoffConfig::default())
        .clone_requests()
        .key(|backend: &&'static str| *backend);
    let service = layer.layer(client);
    for _ in 0..30 {
        for backend in ["healthy", "failing"] {
            let _ = service.clone().oneshot(backend).await;
        }
    }
    assert_eq!(layer.keys().len(), 2);
    *slow.lock() = true;
    for (backend, delay) in [("healthy", 10), ("failing", 5_000), ("new", 100)] {
        sent.lock().clear();
        let start = tokio::time::Instant::now();
        service.clone().oneshot(backend).await.expect("an answer");
        let after = sent.lock()[0] - start;
        assert!(
            after >= ms(delay) && after <= ms(delay + 1),
            "{backend}: {after:?}"
        );
    }
}

#[test]
fn a_clone_begins_at_its_base() {
    let policy = Backoff::try_new(BackoffConfig::default().base(ms(200))).expect("in range");
    let mut now = any_moment();
    tell(&policy, &mut now, Call::Failed);
    assert_eq!(
        (policy.current(), policy.clone().current()),
        (ms(400), ms(200))
    );
}

#[test]
fn the_delay_survives_a_restart() {
    let policy = Backoff::default();
    let mut now = any_moment();
    tell(&policy, &mut now, Call::Failed);
    tell(&policy, &mut now, Call::Alone);
    let state = policy.save().expect("the feature serde is on");
    let after = Backoff::default();
    after.restore(&state).expect("our own state");
    assert_eq!(after.current(), ms(180));
    for bad in [
        "",
        "{}",
        r#"{"delay_us":0}"#,
        r#"{"delay_us":-1}"#,
        r#"{"delay_us":1e999}"#,
    ] {
        assert!(after.restore(bad).is_err(), "{bad}");
        assert_eq!(after.current(), ms(180));
    }
    let narrow = Backoff::try_new(BackoffConfig::default().max(ms(120))).expect("in range");
    narrow.restore(&state).expect("our own state");
    assert_eq!(narrow.current(), ms(120));
}

/// No sample is lost where threads meet: the factors come in some order, and their product is one.
#[test]
fn many_threads_lose_no_factor() {
    let config = BackoffConfig::default().min(ms(1)).max(ms(3_600_000));
    let policy = Backoff::try_new(config).expect("in range");
    std::thread::scope(|scope| {
        for thread in 0..2u32 {
            let policy = &policy;
            scope.spawn(move || {
                for _ in 0..7 {
                    let outcome = [Outcome::Failed, Outcome::Won][thread as usize];
                    let sample = Sample::new(any_moment(), Attempt::new(thread), ms(1), outcome)
                        .ending(CallEnd::Hedged);
                    HedgePolicy::<()>::observe(policy, &sample);
                }
            });
        }
    });
    let want = 0.1 * 2f64.powi(7) * 0.9f64.powi(7);
    let got = policy.current().as_secs_f64();
    assert!((got / want - 1.0).abs() < 1e-5, "{got} for {want}");
}
