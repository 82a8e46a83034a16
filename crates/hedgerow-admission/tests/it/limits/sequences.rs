//! Whatever happens to calls, the limit stays where it may be.

use std::time::{Duration, Instant};

use hedgerow_admission::{
    Aimd, AimdConfig, Elasticity, ElasticityConfig, Gradient, GradientConfig, LimitPolicy, Outcome,
    Sample, Vegas, VegasConfig,
};
use proptest::prelude::*;

use crate::limits::sim::{OUTCOMES, epoch};

/// Calls that end one like the other.
#[derive(Clone, Debug)]
struct Stretch {
    count: usize,
    /// Nanoseconds between two ends; below zero, instants go back.
    gap: i64,
    elapsed: Duration,
    outcome: Outcome,
    /// In thousandths of the limit.
    in_flight: usize,
    queued: usize,
}

fn elapsed() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        (0u64..100_000_000).prop_map(Duration::from_nanos),
        (0u64..1_000_000_000_000).prop_map(Duration::from_millis),
    ]
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let gap = prop_oneof![
        Just(0),
        0i64..1_000_000,
        -1_000_000_000i64..1_000_000_000,
        -1_000_000_000_000i64..10_000_000_000_000,
    ];
    let in_flight = prop_oneof![Just(0), Just(1_000), 0usize..5_000, Just(usize::MAX)];
    let queued = prop_oneof![Just(0), Just(10), Just(usize::MAX)];
    let outcome = prop::sample::select(&OUTCOMES[..]);
    let count = prop_oneof![1usize..3, 1usize..600];
    (count, gap, elapsed(), outcome, in_flight, queued).prop_map(
        |(count, gap, elapsed, outcome, in_flight, queued)| Stretch {
            count,
            gap,
            elapsed,
            outcome,
            in_flight,
            queued,
        },
    )
}

fn shift(now: Instant, nanos: i64) -> Instant {
    let by = Duration::from_nanos(nanos.unsigned_abs());
    let shifted = if nanos < 0 {
        now.checked_sub(by)
    } else {
        now.checked_add(by)
    };
    shifted.unwrap_or(now)
}

fn policies(min: usize, initial: usize, max: usize) -> [Box<dyn LimitPolicy>; 4] {
    let aimd = AimdConfig::default().min(min).initial(initial).max(max);
    let vegas = VegasConfig::default().min(min).initial(initial).max(max);
    let gradient = GradientConfig::default().min(min).initial(initial);
    let elasticity = ElasticityConfig::default().min(min).initial(initial);
    [
        Box::new(Aimd::new(aimd.slow_after(Duration::from_millis(30)))),
        Box::new(Vegas::new(vegas)),
        Box::new(Gradient::new(gradient.max(max))),
        Box::new(Elasticity::new(elasticity.max(max))),
    ]
}

/// Bounds in order.
fn bounds() -> impl Strategy<Value = [usize; 3]> {
    let limit = || prop_oneof![1usize..5, 1usize..300, 1usize..=1_000_000];
    [limit(), limit(), limit()].prop_map(|mut bounds| {
        bounds.sort_unstable();
        bounds
    })
}

fn cases() -> u32 {
    let long = std::env::var_os("HEDGEROW_LONG").is_some();
    if long { 10_000 } else { 256 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_sequence_of_ends_keeps_the_limit_within_its_bounds(
        [min, initial, max] in bounds(),
        stretches in prop::collection::vec(stretch(), 1..40),
    ) {
        for policy in policies(min, initial, max) {
            let mut now = epoch() + Duration::from_secs(100_000);
            for stretch in &stretches {
                for _ in 0..stretch.count {
                    now = shift(now, stretch.gap);
                    let limit = policy.limit();
                    let running = limit.saturating_mul(stretch.in_flight) / 1_000;
                    let Stretch { elapsed, outcome, queued, .. } = *stretch;
                    policy.observe(&Sample::new(now, elapsed, outcome, running, queued));
                    prop_assert!((min..=max).contains(&policy.limit()));
                }
            }
        }
    }

}

proptest! {
    // Each case is a hundred and fifty thousand calls to each policy.
    #![proptest_config(ProptestConfig::with_cases(cases().min(500) / 4))]

    #[test]
    fn after_any_sequence_a_healthy_service_raises_it_again(
        stretches in prop::collection::vec(stretch(), 1..20),
    ) {
        for policy in policies(1, 20, 1_000) {
            let mut now = epoch() + Duration::from_secs(100_000);
            for stretch in &stretches {
                for _ in 0..stretch.count {
                    now = shift(now, stretch.gap);
                    let running = policy.limit().saturating_mul(stretch.in_flight) / 1_000;
                    let Stretch { elapsed, outcome, queued, .. } = *stretch;
                    policy.observe(&Sample::new(now, elapsed, outcome, running, queued));
                }
            }
            // Endless workers: each call takes a millisecond, however many run.
            for _ in 0..150_000 {
                let running = policy.limit();
                now += Duration::from_nanos(1_000_000 / running as u64);
                let outcome = Outcome::Answered;
                policy.observe(&Sample::new(now, Duration::from_millis(1), outcome, running, 9));
            }
            prop_assert!(policy.limit() >= 20, "{}", policy.limit());
        }
    }
}
