//! What policies have learnt withstands callers that leave, long lives and damaged files.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Attempt, Budget};
use hedgerow_hedge::policy::{Adaptive, Backoff, BackoffConfig, Off, Swap};
use hedgerow_hedge::{HedgeLayer, HedgePolicy, HedgeState, Outcome, Sample, Stateful};
use tokio::time::timeout;
use tower::{Layer, ServiceExt};

use crate::support::{Backend, answers, any_moment, ms};

fn tell(policy: &impl HedgePolicy<()>, elapsed: Duration, outcome: Outcome) {
    policy.observe(&Sample::new(
        any_moment(),
        Attempt::PRIMARY,
        elapsed,
        outcome,
    ));
}

/// One call in ten takes 1,500 ms, the others 80: 100 ms is the best delay.
fn taught(seed: u64) -> Adaptive {
    let policy = Adaptive::default().seed(seed);
    for n in 0..300 {
        let took = ms(if n % 10 == 0 { 1_500 } else { 80 });
        tell(&policy, took, Outcome::Won);
    }
    policy
}

/// 2,000 callers that leave at once tell nothing of any delay, and nothing is to be forgotten for
/// them: it would be as good as new after that.
#[test]
fn callers_that_leave_before_any_delay_make_adaptive_forget_nothing() {
    for seed in 0..20 {
        let policy = taught(seed);
        let before = weight(&policy);
        for _ in 0..2_000 {
            tell(&policy, Duration::ZERO, Outcome::Cancelled);
        }
        let after = weight(&policy);
        assert!(
            (after / before - 1.0).abs() < 1e-3,
            "seed {seed}: {before} calls known, then {after}"
        );
        tell(&policy, ms(80), Outcome::Won);
        assert_eq!(policy.current(), ms(100), "seed {seed}");
    }
}

/// How many fresh calls the answers of primaries weigh that it knows.
fn weight(policy: &Adaptive) -> f64 {
    let saved = policy.save().expect("the feature serde is on");
    let saved: serde_json::Value = serde_json::from_str(&saved).expect("JSON");
    let rows = saved[0]["whole"].as_array().expect("a row");
    rows.iter().filter_map(|row| row[1].as_f64()).sum()
}

/// At a slow rate of forgetting more than a million calls are known, and can be taken up again.
#[test]
fn what_adaptive_saves_it_restores_however_much_it_knows() {
    let policy = Adaptive::default()
        .seed(1)
        .try_forgetting(1e-7)
        .expect("in range");
    for _ in 0..1_200_000 {
        tell(&policy, ms(80), Outcome::Won);
    }
    let state = policy.save().expect("the feature serde is on");
    let after = Adaptive::default().seed(2);
    after.restore(&state).expect("its own state");
    assert!((weight(&after) / 1.2e6 - 1.0).abs() < 0.01);
}

/// A caller that leaves says nothing of how long its class takes: half of the second class's callers
/// give up after a hundredth of its time, and its delay is still that of the first.
#[tokio::test(start_paused = true)]
async fn callers_that_leave_do_not_shorten_their_classes_delay() {
    let layer = HedgeLayer::percentile(90)
        .initial(ms(100_000))
        .budget(Budget::unlimited())
        .clone_requests()
        .class(|class: &u64| *class);
    for n in 0..2_000u64 {
        let backend = Backend::new(move |attempt| answers(attempt, 100 + n / 4 % 20));
        let call = layer.layer(backend).oneshot(n % 2);
        if n % 4 == 1 {
            timeout(ms(1), call).await.expect_err("it takes longer");
        } else {
            call.await.expect("an answer");
        }
    }
    let mut delays = [Duration::ZERO; 2];
    for (class, delay) in (0..).zip(&mut delays) {
        let backend = Backend::taking(&[90_000, 1]);
        let service = layer.layer(backend.clone());
        service.oneshot(class).await.expect("an answer");
        *delay = backend.times()[1];
    }
    let [whole, left] = delays.map(|delay| delay.as_secs_f64());
    assert!((left / whole - 1.0).abs() < 0.1, "{whole} s and {left} s");
}

/// A scale or a quantile that no latency has ever had is damaged.
#[tokio::test(start_paused = true)]
async fn a_class_with_a_scale_beyond_all_latencies_is_refused() {
    let layer = || {
        HedgeLayer::percentile(90)
            .clone_requests()
            .class(|class: &u64| *class)
    };
    let before = layer();
    for _ in 0..20 {
        let service = before.layer(Backend::taking(&[20]));
        service.oneshot(7).await.expect("an answer");
    }
    let state = serde_json::to_string(&before.save()).expect("JSON");
    // A policy's state is JSON in JSON, and a class's once more.
    let log = state.find("log").expect("a scale");
    let log = log + state[log..].find(':').expect("its value") + 1;
    let end = log + state[log..].find(',').expect("more follows");
    for (damaged, fine) in [
        ("-4.0", true),
        ("1e30", false),
        ("-1e30", false),
        ("60.0", false),
    ] {
        let state = format!("{}{damaged}{}", &state[..log], &state[end..]);
        let state: HedgeState = serde_json::from_str(&state).expect("still JSON");
        assert_eq!(layer().restore(&state).is_ok(), fine, "{damaged}");
    }
}

/// Single precision does not carry it over its limits.
#[test]
fn a_backoffs_delay_never_leaves_its_limits_by_rounding() {
    for max in [
        Duration::from_micros(3_599_999_999),
        Duration::from_nanos(1_000_400),
        Duration::from_nanos(1_000_600),
        Duration::from_micros(100_000_007),
    ] {
        let config = BackoffConfig::default().min(max).base(max).max(max);
        let policy = Backoff::try_new(config).expect("in range");
        assert_eq!(policy.current(), max);
        tell(&policy, ms(1), Outcome::Failed);
        assert_eq!(policy.current(), max);
    }
}

/// Room for one key is room for the one that is used.
#[tokio::test(start_paused = true)]
async fn the_only_key_there_is_room_for_is_kept_while_it_is_used() {
    for room in [1, 2, 3] {
        let layer = HedgeLayer::percentile(90)
            .clone_requests()
            .key(|key: &u64| *key)
            .max_keys(room);
        for _ in 0..150 {
            let service = layer.layer(Backend::taking(&[20]));
            service.oneshot(7).await.expect("an answer");
        }
        let known = layer.keys().latency(&7).map(|latency| latency.total());
        assert_eq!(
            known.map(|total| total.count()),
            Some(150),
            "room for {room}"
        );
        // Another comes by, and the next one finds its place.
        for key in [8, 9, 10, 11] {
            let service = layer.layer(Backend::taking(&[20]));
            service.oneshot(key).await.expect("an answer");
            assert!(layer.keys().len() <= room);
        }
    }
}

/// Each call is told to the policy that stands there, and a race goes on through any number of
/// changes.
#[tokio::test(start_paused = true)]
async fn a_race_goes_on_while_its_policy_is_replaced() {
    type Any = Arc<dyn HedgePolicy<u64>>;
    let adaptive = Arc::new(Adaptive::default().seed(1));
    let swap = Swap::new(adaptive.clone() as Any);
    let layer = HedgeLayer::new(swap.clone())
        .budget(Budget::unlimited())
        .max_hedges(3)
        .clone_requests();
    for n in 0..200u64 {
        let service = layer.layer(Backend::taking(&[300, 200, 100, 50]));
        let change = async {
            for step in 0..20 {
                tokio::time::sleep(ms(n % 7 + 1)).await;
                swap.store(match step % 3 {
                    0 => Arc::new(Off),
                    1 => Arc::new(Backoff::default()),
                    _ => adaptive.clone() as Any,
                });
            }
        };
        let (answer, ()) = tokio::join!(service.oneshot(n), change);
        answer.expect("an answer");
    }
    let stats = layer.handle().stats();
    assert_eq!(stats.requests, 200);
}

/// Learning, deciding, saving, restoring and replacing at once: nothing waits for ever, nothing is lost
/// but samples, and what stands at the end is one of the delays.
#[test]
fn threads_may_learn_save_restore_and_replace_at_once() {
    let swap = Swap::new(Adaptive::default().seed(1));
    let state = taught(2).save().expect("the feature serde is on");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (swap, state) = (swap.clone(), &state);
            scope.spawn(move || {
                for n in 0..3_000_u64 {
                    let outcome =
                        [Outcome::Won, Outcome::Lost, Outcome::Cancelled][(n % 3) as usize];
                    tell(&swap, ms(n * 37 % 2_000), outcome);
                    match n % 500 {
                        100 => swap.restore(state).expect("our own state"),
                        200 => drop(swap.save().expect("a state")),
                        300 if thread == 0 => swap.store(Adaptive::default().seed(n)),
                        _ => {}
                    }
                }
            });
        }
    });
    let policy = swap.load();
    assert!(policy.delays().contains(&policy.current()));
}
