//! B3: Thompson sampling over delays, as a policy with made-up samples and through the layer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_core::{Attempt, Budget};
use hedgerow_hedge::policy::Adaptive;
use hedgerow_hedge::{Delay, HedgeLayer, HedgePolicy, Outcome, Sample, Stateful};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp, LogNormal};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use crate::support::{any_moment, ms};

const ARMS: [u64; 5] = [50, 100, 200, 500, 1_000];
const PRICE: u64 = 50;

/// 90 % fast, 10 % slow, in milliseconds; copies follow it too, independently.
#[derive(Clone, Copy)]
struct Law {
    fast: u64,
    slow: u64,
}

const BEFORE: Law = Law {
    fast: 80,
    slow: 1_500,
};
const AFTER: Law = Law {
    fast: 300,
    slow: 1_500,
};

impl Law {
    fn draw(self, rng: &mut StdRng) -> u64 {
        if rng.random_bool(0.9) {
            self.fast
        } else {
            self.slow
        }
    }

    /// What a call costs in the mean whose hedge is sent after `delay`: latency and price.
    fn mean(self, delay: u64) -> f64 {
        let outcomes = [(self.fast, 0.9), (self.slow, 0.1)];
        let mut mean = 0.0;
        for (primary, p) in outcomes {
            for (hedge, q) in outcomes {
                mean += p * q * cost(primary, hedge, delay) as f64;
            }
        }
        mean
    }

    fn best(self) -> (u64, f64) {
        let arms = ARMS.map(|arm| (arm, self.mean(arm)));
        arms.into_iter()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("five arms")
    }
}

fn cost(primary: u64, hedge: u64, delay: u64) -> u64 {
    if primary > delay {
        primary.min(delay + hedge) + PRICE
    } else {
        primary
    }
}

fn delay_of(policy: &Adaptive) -> u64 {
    match policy.delay(&(), Attempt::new(1), &()) {
        Delay::After(delay) => delay.as_millis() as u64,
        _ => panic!("it always names a delay"),
    }
}

/// One call with made-up samples: the delay it was hedged after, and what it cost.
fn play(policy: &Adaptive, law: Law, rng: &mut StdRng, now: &mut Instant) -> (u64, u64) {
    let (primary, hedge) = (law.draw(rng), law.draw(rng));
    play_out(policy, (primary, hedge), now)
}

fn play_out(policy: &Adaptive, latencies: (u64, u64), now: &mut Instant) -> (u64, u64) {
    let delay = delay_of(policy);
    let (primary, hedge) = latencies;
    let ends = if primary > delay {
        primary.min(delay + hedge)
    } else {
        primary
    };
    *now += ms(ends);
    let tell = |attempt, elapsed, outcome| {
        let sample = Sample::new(*now, attempt, ms(elapsed), outcome);
        HedgePolicy::<()>::observe(policy, &sample);
    };
    if primary <= delay {
        tell(Attempt::PRIMARY, primary, Outcome::Won);
    } else if ends < primary {
        tell(Attempt::new(1), hedge, Outcome::Won);
        tell(Attempt::PRIMARY, ends, Outcome::Lost);
    } else {
        tell(Attempt::PRIMARY, primary, Outcome::Won);
        tell(Attempt::new(1), ends - delay, Outcome::Lost);
    }
    (delay, cost(primary, hedge, delay))
}

fn most_used(arms: &[u64]) -> u64 {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for &arm in arms {
        *counts.entry(arm).or_default() += 1;
    }
    *counts.iter().max_by_key(|&(_, n)| n).expect("some").0
}

fn mean(costs: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = costs.len() as f64;
    costs.sum::<f64>() / n
}

/// The numbers of row B3: arms that learn only from their own pulls reach 38 of 60, and 15 %.
#[test]
fn the_best_delay_is_most_used_in_57_of_60_seeds_with_5_percent_regret_and_a_switch_is_followed() {
    let ((best, least), (new_best, new_least)) = (BEFORE.best(), AFTER.best());
    assert_eq!((best, new_best), (100, 500), "by the law");
    let (mut found, mut regret, mut after, mut paid) = (0, 0.0, 0.0, 0.0);
    for seed in 0..60 {
        let policy = Adaptive::default().seed(seed);
        let mut rng = StdRng::seed_from_u64(1_000 + seed);
        let mut now = any_moment();
        let mut calls = |law, n: usize| -> Vec<(u64, u64)> {
            let played = (0..n).map(|_| play(&policy, law, &mut rng, &mut now));
            played.collect()
        };
        let first = calls(BEFORE, 500);
        let used: Vec<u64> = first.iter().map(|call| call.0).collect();
        found += u32::from(most_used(&used[400..]) == best);
        regret += mean(used.iter().map(|&arm| BEFORE.mean(arm) - least)) / 60.0;
        let second = &calls(AFTER, 500)[400..];
        after += mean(second.iter().map(|call| AFTER.mean(call.0))) / 60.0;
        paid += mean(second.iter().map(|call| call.1 as f64)) / 60.0;
    }
    let percent = 100.0 * regret / least;
    let over = 100.0 * (after / new_least - 1.0);
    eprintln!(
        "seeds 0 to 59: best arm in {found} of 60, regret {percent:.2} %, after the switch \
         {over:.2} % over the best ({paid:.1} paid, best {new_least:.1})"
    );
    assert!(found >= 57, "{found} of 60");
    assert!(percent <= 5.0, "{percent:.2} %");
    assert!(over <= 5.0, "{over:.2} %");
    assert!((paid / new_least - 1.0).abs() <= 0.05, "{paid:.1}");
}

/// The same through the layer: real attempts, really cut off.
#[tokio::test(start_paused = true)]
async fn through_the_layer_it_finds_the_best_delay_and_follows_a_switch() {
    const SEEDS: u64 = 12;
    let ((best, least), (_, new_least)) = (BEFORE.best(), AFTER.best());
    let (mut found, mut regret, mut after) = (0, 0.0, 0.0);
    for seed in 0..SEEDS {
        let policy = Arc::new(Adaptive::default().seed(seed));
        let world = Arc::new(Mutex::new((StdRng::seed_from_u64(2_000 + seed), BEFORE)));
        let theirs = world.clone();
        let client = tower::service_fn(move |_: u64| {
            let (rng, law) = &mut *theirs.lock();
            let took = ms(law.draw(rng));
            async move {
                sleep(took).await;
                Ok::<_, ()>(())
            }
        });
        let layer = HedgeLayer::new(policy.clone())
            .clone_requests()
            .budget(Budget::unlimited());
        let service = layer.layer(client);
        let mut used = Vec::new();
        for n in 0..1_000u64 {
            if n == 500 {
                world.lock().1 = AFTER;
            }
            used.push(policy.current().as_millis() as u64);
            service.clone().oneshot(n).await.expect("an answer");
        }
        found += u64::from(most_used(&used[400..500]) == best);
        regret += mean(used[..500].iter().map(|&arm| BEFORE.mean(arm) - least)) / SEEDS as f64;
        after += mean(used[900..].iter().map(|&arm| AFTER.mean(arm))) / SEEDS as f64;
    }
    let percent = 100.0 * regret / least;
    let over = 100.0 * (after / new_least - 1.0);
    eprintln!("seeds 0 to 11: {found} of 12, regret {percent:.2} %, {over:.2} % after the switch");
    assert!(found >= 11, "{found} of 12");
    assert!(percent <= 5.0, "{percent:.2} %");
    assert!(over <= 5.0, "{over:.2} %");
}

/// On laws without a gap, where a shorter delay cuts off most of what a longer one would need to
/// know.
#[test]
fn on_continuous_laws_the_mean_regret_stays_below_5_percent() {
    let lognormal = LogNormal::new(80f64.ln(), 1.2).expect("a valid law");
    let exponential = Exp::new(1.0 / 200.0).expect("a valid law");
    type Draw<'a> = &'a dyn Fn(&mut StdRng) -> f64;
    let laws: [(&str, Draw<'_>); 2] = [
        ("lognormal", &|rng| lognormal.sample(rng)),
        ("exponential", &|rng| exponential.sample(rng)),
    ];
    for (name, law) in laws {
        let draw = |rng: &mut StdRng| (law(rng).ceil() as u64, law(rng).ceil() as u64);
        let mut rng = StdRng::seed_from_u64(77);
        let pairs: Vec<_> = (0..100_000).map(|_| draw(&mut rng)).collect();
        let means: HashMap<u64, f64> = ARMS
            .map(|arm| {
                (
                    arm,
                    mean(pairs.iter().map(|&(p, h)| cost(p, h, arm) as f64)),
                )
            })
            .into();
        let least = means.values().copied().fold(f64::INFINITY, f64::min);
        let mut regret = 0.0;
        for seed in 0..20 {
            let policy = Adaptive::default().seed(seed);
            let (mut rng, mut now) = (StdRng::seed_from_u64(3_000 + seed), any_moment());
            let calls = (0..1_000).map(|_| play_out(&policy, draw(&mut rng), &mut now).0);
            let used: Vec<u64> = calls.collect();
            regret += mean(used.iter().map(|arm| means[arm] - least)) / 20.0;
        }
        let percent = 100.0 * regret / least;
        eprintln!("{name}: {percent:.2} % regret, seeds 0 to 19, means {means:.1?}");
        assert!(percent <= 5.0, "{name}: {percent:.2} %");
    }
}

fn observe(policy: &Adaptive, now: Instant, attempt: Attempt, elapsed: Duration, outcome: Outcome) {
    let sample = Sample::new(now, attempt, elapsed, outcome);
    HedgePolicy::<()>::observe(policy, &sample);
}

/// Every latency tells what every delay would have made of it: none has to be tried.
#[test]
fn a_delay_that_was_never_used_is_known_from_the_others_calls() {
    for seed in 0..20 {
        let policy = Adaptive::default().seed(seed);
        let mut now = any_moment();
        for n in 0..200u64 {
            now += ms(100);
            let took = ms(if n % 10 == 0 { 1_500 } else { 80 });
            // Nothing is ever hedged, as with a budget that is empty.
            observe(&policy, now, Attempt::PRIMARY, took, Outcome::Won);
        }
        assert_eq!(policy.current(), ms(100), "seed {seed}");
    }
}

#[test]
fn failures_teach_nothing_and_forget_nothing() {
    let policy = Adaptive::default().seed(3);
    let mut now = any_moment();
    for n in 0..200u64 {
        now += ms(100);
        let took = ms(if n % 10 == 0 { 1_500 } else { 80 });
        observe(&policy, now, Attempt::PRIMARY, took, Outcome::Won);
    }
    let before = policy.save();
    assert!(before.is_some());
    for outcome in [Outcome::Failed, Outcome::Refused] {
        for _ in 0..1_000 {
            now += ms(100);
            observe(&policy, now, Attempt::PRIMARY, ms(1), outcome);
            observe(&policy, now, Attempt::new(1), ms(1), outcome);
        }
    }
    assert_eq!(policy.save(), before);
}

/// After the first 64 calls it decides at most every 25 ms, so a fast service does not pay for it.
#[test]
fn a_fast_service_pays_for_a_decision_every_25_ms() {
    let policy = Adaptive::default().seed(11);
    let mut now = any_moment();
    for _ in 0..64 {
        now += ms(1);
        observe(&policy, now, Attempt::PRIMARY, ms(70), Outcome::Won);
    }
    let held = policy.current();
    // Nothing but 50 ms could be right after this, if it were asked.
    for _ in 0..2_000 {
        now += Duration::from_micros(10);
        observe(&policy, now, Attempt::PRIMARY, ms(10_000), Outcome::Won);
        observe(&policy, now, Attempt::new(1), ms(1), Outcome::Won);
        assert_eq!(policy.current(), held);
    }
    now += ms(25);
    observe(&policy, now, Attempt::PRIMARY, ms(10_000), Outcome::Won);
    assert_eq!(policy.current(), ms(50));
}

#[test]
fn the_same_seed_decides_the_same_and_layers_without_one_do_not_march_in_step() {
    let run = |policy: &Adaptive| -> Vec<u64> {
        let (mut rng, mut now) = (StdRng::seed_from_u64(1), any_moment());
        let calls = (0..60).map(|_| play(policy, BEFORE, &mut rng, &mut now).0);
        calls.collect()
    };
    let [one, two, other] = [7, 7, 8].map(|seed| run(&Adaptive::default().seed(seed)));
    assert_eq!(one, two);
    assert_ne!(one, other);
    let unseeded: Vec<_> = (0..8).map(|_| run(&Adaptive::default())).collect();
    assert!(unseeded.iter().any(|calls| *calls != unseeded[0]));
    // A clone draws other numbers, too, and the same ones each time.
    let seeded = || {
        let original = Adaptive::default().seed(7);
        [(); 2].map(|()| run(&original.clone()))
    };
    assert_eq!(seeded(), seeded());
    assert_ne!(seeded()[0], seeded()[1]);
    assert_ne!(seeded()[0], one);
}

fn taught(seed: u64) -> Adaptive {
    let policy = Adaptive::default().seed(seed);
    let (mut rng, mut now) = (StdRng::seed_from_u64(9), any_moment());
    for _ in 0..400 {
        play(&policy, BEFORE, &mut rng, &mut now);
    }
    policy
}

#[test]
fn what_was_learnt_survives_a_restart() {
    let saved = taught(1).save().expect("the feature serde is on");
    let mut at_once = [0; 2];
    for seed in 0..40 {
        let fresh = Adaptive::default().seed(seed);
        at_once[0] += u32::from(fresh.current() == ms(100));
        fresh.restore(&saved).expect("our own state");
        at_once[1] += u32::from(fresh.current() == ms(100));
        assert_eq!(fresh.save().expect("serde").len(), saved.len());
    }
    assert!(at_once[0] < 30 && at_once[1] >= 38, "{at_once:?}");
}

#[test]
#[expect(clippy::redundant_clone, reason = "the clone is what is looked at")]
fn a_clone_has_learnt_nothing() {
    let saved = |policy: &Adaptive| policy.save().expect("the feature serde is on");
    let policy = taught(1);
    assert_eq!(saved(&policy.clone()), saved(&Adaptive::default()));
    assert_ne!(saved(&policy), saved(&Adaptive::default()));
}

#[test]
fn a_state_that_is_not_its_own_is_refused_and_changes_nothing() {
    let policy = taught(1);
    let before = policy.save();
    for bad in [
        "",
        "[]",
        r#"[{"whole":[[999999,1.0]],"cut":[]},{"whole":[],"cut":[]}]"#,
        r#"[{"whole":[],"cut":[]},{"whole":[[3,-1.0]],"cut":[]}]"#,
    ] {
        assert!(policy.restore(bad).is_err(), "{bad}");
        assert_eq!(policy.save(), before);
    }
}

/// Twice the delay for a second extra attempt.
#[test]
fn further_extra_attempts_follow_at_multiples() {
    let policy = Adaptive::try_new([ms(40), ms(41)]).expect("two arms");
    let first = policy.current();
    let second = policy.delay(&(), Attempt::new(2), &());
    assert_eq!(second, Delay::After(first * 2));
    assert_eq!(policy.delays(), [ms(40), ms(41)]);
}

/// A dearer extra attempt is sent later, or for less.
#[tokio::test(start_paused = true)]
async fn the_price_decides_what_an_extra_attempt_is_worth() {
    let mut sent = Vec::new();
    for price in [ms(1), ms(100_000)] {
        let log = Arc::new(Mutex::new(0));
        let count = log.clone();
        let mut rng = StdRng::seed_from_u64(5);
        let client = tower::service_fn(move |_: u64| {
            *count.lock() += u32::from(Attempt::current().is_extra());
            let took = ms(rng.random_range(60..140));
            async move {
                sleep(took).await;
                Ok::<_, ()>(())
            }
        });
        let client = Arc::new(Mutex::new(client));
        let shared = tower::service_fn(move |n: u64| client.lock().call(n));
        let layer = HedgeLayer::adaptive([ms(20), ms(1_000)])
            .price(price)
            .seed(1)
            .clone_requests()
            .budget(Budget::unlimited());
        let service = layer.layer(shared);
        for n in 0..200 {
            service.clone().oneshot(n).await.expect("an answer");
        }
        sent.push(*log.lock());
    }
    assert!(sent[0] > 150 && sent[1] < 20, "{sent:?}");
}

/// Samples that meet on several threads are left out, never waited for, and do no harm.
#[test]
fn many_threads_may_tell_it_at_once() {
    let policy = Adaptive::default().seed(2);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let policy = &policy;
            scope.spawn(move || {
                let (mut rng, mut now) = (StdRng::seed_from_u64(thread), any_moment());
                for _ in 0..2_000 {
                    play(policy, BEFORE, &mut rng, &mut now);
                }
            });
        }
    });
    assert_eq!(policy.current(), ms(100));
}
