//! Services that do not answer: the limit falls.

use std::time::Duration;

use hedgerow_admission::{LimitPolicy, Outcome, Sample};

use crate::limits::sim::{epoch, saturated, shared};
use crate::limits::{NAMES, Policy, mean, policy};

/// The limits of `seconds` in which every call takes a second and ends as `outcome`, after ten
/// healthy seconds if `healthy`; of a hundred calls `answers` are answered, just in time.
fn pinned(policy: &Policy, outcome: Outcome, healthy: bool, answers: u32) -> Vec<f64> {
    let law = shared(32, 10.0);
    let from = if healthy { 10.0 } else { 0.0 };
    let mut turn = 0;
    saturated(&**policy, from + 60.0, 1, &mut |running, second, rng| {
        if second < from {
            return (law(running, rng), Outcome::Answered);
        }
        turn += 1;
        if turn % 100 < answers {
            (990.0, Outcome::Answered)
        } else {
            (1_000.0, outcome)
        }
    })
}

#[test]
fn a_latency_pinned_at_the_timeout_drives_the_limit_down() {
    for name in NAMES {
        for outcome in [Outcome::TimedOut, Outcome::Cancelled, Outcome::Refused] {
            for (healthy, answers) in [(true, 0), (true, 5), (false, 0), (false, 5)] {
                let what = format!("{name}, {outcome:?}, healthy {healthy}, answers {answers} %");
                let policy = policy(name, 100);
                let limits = pinned(&policy, outcome, healthy, answers);
                let from = if healthy { 11 } else { 0 };
                let limits = &limits[from..];
                assert!(
                    limits[0] <= if healthy { 200.0 } else { 100.0 },
                    "{what}: {limits:.0?}"
                );
                let rises = limits
                    .windows(2)
                    .filter(|two| two[1] > two[0] + 1.0)
                    .count();
                assert_eq!(rises, 0, "{what}: {limits:.1?}");
                assert!(mean(&limits[50..]) <= 4.0, "{what}: {limits:.1?}");
            }
        }
    }
}

#[test]
fn after_the_timeouts_they_come_back() {
    for name in NAMES {
        let policy = policy(name, 20);
        let law = shared(32, 10.0);
        let limits = saturated(&*policy, 100.0, 2, &mut |running, second, rng| {
            if (20.0..40.0).contains(&second) {
                (1_000.0, Outcome::TimedOut)
            } else {
                (law(running, rng), Outcome::Answered)
            }
        });
        let fallen = mean(&limits[38..40]);
        let back = mean(&limits[60..]);
        assert!(fallen <= 10.0, "{name}: {limits:.0?}");
        assert!((24.0..90.0).contains(&back), "{name}: {limits:.0?}");
    }
}

#[test]
fn those_who_ran_when_it_fell_do_not_make_it_fall_again() {
    for name in NAMES {
        let policy = policy(name, 100);
        let start = epoch();
        // A hundred began together, and all time out in the same moment.
        let now = start + Duration::from_secs(1);
        for left in (1..=100).rev() {
            let timeout = Duration::from_secs(1);
            policy.observe(&Sample::new(now, timeout, Outcome::TimedOut, left, 100));
        }
        let expected = if name == "Aimd" { 90 } else { 80 };
        assert_eq!(policy.limit(), expected, "{name}");
    }
}

#[test]
fn a_service_that_refuses_beyond_its_capacity_is_kept_below_it() {
    for name in NAMES {
        let policy = policy(name, 20);
        let law = shared(1_000, 10.0);
        let limits = saturated(&*policy, 60.0, 3, &mut |running, _, rng| {
            if running > 50 {
                (1.0, Outcome::Refused)
            } else {
                (law(running, rng), Outcome::Answered)
            }
        });
        let settled = mean(&limits[30..]);
        assert!((30.0..=52.0).contains(&settled), "{name}: {limits:.0?}");
    }
}
