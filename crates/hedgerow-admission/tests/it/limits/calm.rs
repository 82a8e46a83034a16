//! What does not move a limit, and does not fool it.

use std::time::{Duration, Instant};

use hedgerow_admission::{LimitPolicy, Outcome, Sample};
use rand::RngExt;

use crate::limits::sim::{Phase, WORKERS, epoch, run, saturated, shared};
use crate::limits::{NAMES, Policy, mean, policy, seeds};

/// A policy that has learnt a saturated service of 32 workers, and when it had.
fn learnt(name: &str) -> (Policy, Instant) {
    let policy = policy(name, 20);
    let law = shared(32, 10.0);
    let answer = &mut |running: usize, _: f64, rng: &mut _| (law(running, rng), Outcome::Answered);
    saturated(&*policy, 20.0, 5, answer);
    (policy, epoch() + Duration::from_secs(21))
}

/// Ends of calls that took `elapsed`, a millisecond apart. Returns the least and greatest limit.
fn feed(
    policy: &Policy,
    now: &mut Instant,
    count: usize,
    elapsed: Duration,
    outcome: Outcome,
    queued: usize,
) -> (usize, usize) {
    let mut seen = (policy.limit(), policy.limit());
    for _ in 0..count {
        *now += Duration::from_millis(1);
        let running = if queued > 0 { policy.limit() } else { 2 };
        policy.observe(&Sample::new(*now, elapsed, outcome, running, queued));
        seen = (seen.0.min(policy.limit()), seen.1.max(policy.limit()));
    }
    seen
}

#[test]
fn light_load_does_not_move_it() {
    for name in NAMES {
        for load in [0.05, 0.1, 0.2] {
            let policy = policy(name, 20);
            let phase = Phase {
                seconds: 120.0,
                load,
                slower: 1.0,
            };
            let told = run(&*policy, &WORKERS, &[phase], 1);
            assert_eq!(
                told[0].limits.len(),
                1,
                "{name}, load {load}: {:?}",
                told[0].limits
            );
        }
    }
}

#[test]
fn a_limit_that_is_just_enough_is_neither_raised_much_nor_lowered() {
    // Of 20 places 16 are taken on average.
    for name in NAMES {
        for seed in seeds().take(8) {
            let policy = policy(name, 20);
            let phase = Phase {
                seconds: 300.0,
                load: 0.5,
                slower: 1.0,
            };
            let told = run(&*policy, &WORKERS, &[phase], seed);
            let limits = told[0].mean_limits();
            let last = mean(&limits[200..]);
            // One that never falls without a reason follows the peaks.
            let most = if name == "Aimd" { 50.0 } else { 28.0 };
            assert!(
                (19.0..=most).contains(&last),
                "{name}, seed {seed}: {limits:.0?}"
            );
        }
    }
}

#[test]
fn failures_at_a_millisecond_are_no_low_latency() {
    for name in NAMES {
        let (policy, mut now) = learnt(name);
        let before = policy.limit();
        let millisecond = Duration::from_millis(1);
        let seen = feed(
            &policy,
            &mut now,
            100_000,
            millisecond,
            Outcome::Failed,
            100,
        );
        assert_eq!(seen, (before, before), "{name}");
    }
}

#[test]
fn callers_who_leave_after_a_millisecond_are_no_low_latency() {
    for name in NAMES {
        let (policy, mut now) = learnt(name);
        let before = policy.limit();
        let millisecond = Duration::from_millis(1);
        let seen = feed(
            &policy,
            &mut now,
            100_000,
            millisecond,
            Outcome::Cancelled,
            100,
        );
        assert_eq!(seen, (before, before), "{name}");
    }
}

#[test]
fn among_floods_of_failures_and_leavers_the_limit_stays_where_it_belongs() {
    for name in NAMES {
        for outcome in [Outcome::Failed, Outcome::Cancelled] {
            let policy = policy(name, 20);
            let law = shared(32, 10.0);
            let limits = saturated(&*policy, 60.0, 1, &mut |running, second, rng| {
                if second > 20.0 && rng.random_bool(0.7) {
                    (1.0, outcome)
                } else {
                    (law(running, rng), Outcome::Answered)
                }
            });
            let (before, after) = (mean(&limits[10..20]), mean(&limits[40..]));
            assert!(after <= 1.3 * before, "{name}, {outcome:?}: {limits:.0?}");
            assert!(after >= 0.7 * before, "{name}, {outcome:?}: {limits:.0?}");
        }
    }
}

#[test]
fn losers_of_races_do_not_bring_it_down() {
    // Two copies of each call: when one is answered the other is dropped, at the same age.
    for name in NAMES {
        let policy = policy(name, 20);
        let law = shared(32, 10.0);
        let mut twin = None;
        let limits = saturated(&*policy, 60.0, 1, &mut |running, _, rng| {
            if let Some(age) = twin.take() {
                return (age, Outcome::Cancelled);
            }
            let age = law(running, rng).min(law(running, rng));
            twin = Some(age);
            (age, Outcome::Answered)
        });
        assert!(mean(&limits[20..]) >= 24.0, "{name}: {limits:.0?}");
    }
}

#[test]
fn a_queue_of_their_own_does_not_creep_into_what_they_take_for_the_service() {
    // Four hours without a pause in which the queue could empty by itself.
    for name in ["Vegas", "Gradient", "Elasticity"] {
        let policy = policy(name, 20);
        let law = shared(32, 1_000.0);
        let limits = saturated(&*policy, 4.0 * 3_600.0, 1, &mut |running, _, rng| {
            (law(running, rng), Outcome::Answered)
        });
        let hours: Vec<f64> = limits.chunks(3_600).map(mean).collect();
        for hour in &hours[1..] {
            assert!((26.0..=44.0).contains(hour), "{name}: {hours:.1?}");
        }
    }
}

#[test]
fn a_service_that_slows_by_a_percent_a_minute_keeps_its_limit() {
    // After four hours it takes eleven times as long, with as many workers as before.
    for name in ["Vegas", "Gradient", "Elasticity"] {
        let policy = policy(name, 20);
        let law = shared(32, 100.0);
        let limits = saturated(&*policy, 4.0 * 3_600.0, 1, &mut |running, second, rng| {
            let slower = 1.01f64.powf(second / 60.0);
            (slower * law(running, rng), Outcome::Answered)
        });
        let hours: Vec<f64> = limits.chunks(3_600).map(mean).collect();
        for hour in &hours {
            assert!((26.0..=44.0).contains(hour), "{name}: {hours:.1?}");
        }
    }
}

#[test]
fn an_idle_hour_changes_nothing() {
    for name in ["Vegas", "Gradient", "Elasticity"] {
        let policy = policy(name, 20);
        let law = shared(32, 10.0);
        let fate = &mut |running: usize, second: f64, rng: &mut _| {
            // Whoever starts at 20 s ends only when the hour is over: nothing ends in between.
            let idle = if (20.0..20.001).contains(&second) {
                3_600_000.0
            } else {
                0.0
            };
            (law(running, rng) + idle, Outcome::Answered)
        };
        let limits = saturated(&*policy, 3_660.0, 1, fate);
        let (before, after) = (mean(&limits[10..19]), mean(&limits[3_625..]));
        assert!(
            (after - before).abs() <= 0.2 * before,
            "{name}: {before}, {after}"
        );

        // And where calls had all ended before.
        let (policy, now) = learnt(name);
        let before = policy.limit();
        let mut now = now + Duration::from_secs(3_600);
        let seen = feed(
            &policy,
            &mut now,
            20,
            Duration::from_millis(10),
            Outcome::Answered,
            0,
        );
        assert_eq!(seen, (before, before), "{name}");
    }
}

#[test]
fn bursts_do_not_carry_it_away() {
    // Ten times the capacity for a tenth of a second, then little.
    for name in NAMES {
        let policy = policy(name, 20);
        let mut phases = Vec::new();
        for _ in 0..120 {
            phases.push(Phase {
                seconds: 0.1,
                load: 10.0,
                slower: 1.0,
            });
            phases.push(Phase {
                seconds: 0.9,
                load: 0.1,
                slower: 1.0,
            });
        }
        run(&*policy, &WORKERS, &phases, 1);
        let most = if name == "Aimd" { 100 } else { 45 };
        assert!(
            (16..=most).contains(&policy.limit()),
            "{name}: {}",
            policy.limit()
        );
    }
}

#[test]
fn one_call_alone_cannot_move_it_far() {
    let hour = Duration::from_secs(3_600);
    for name in NAMES {
        for outcome in crate::limits::sim::OUTCOMES {
            for elapsed in [Duration::ZERO, Duration::from_millis(1), hour] {
                for jump in [Duration::ZERO, hour] {
                    let (policy, mut now) = learnt(name);
                    let before = policy.limit();
                    now += jump;
                    policy.observe(&Sample::new(now, elapsed, outcome, before, 100));
                    let calm = Duration::from_millis(10);
                    let (least, most) = feed(&policy, &mut now, 40, calm, Outcome::Answered, 100);
                    let what = format!("{name}, {outcome:?} after {elapsed:?}: {before}");
                    assert!(least * 10 >= before * 4, "{what}, {least}");
                    assert!(most * 10 <= before * 16, "{what}, {most}");
                }
            }
        }
    }
}
