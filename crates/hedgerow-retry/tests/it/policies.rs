//! Waits, with made-up failures.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::Class;
use hedgerow_retry::{Exponential, Failure, Fixed, Jitter, RetryPolicy, Wait};
use proptest::prelude::*;

use crate::support::{ms, secs};

fn waits(policy: &impl RetryPolicy, n: u32) -> Vec<Duration> {
    let mut last = None;
    (1..=n)
        .map(|retry| {
            let mut failure = Failure::new(retry, Class::RETRYABLE);
            failure.last_wait = last;
            let Wait::After(wait) = policy.wait(&failure) else {
                panic!("it never stops");
            };
            last = Some(wait);
            wait
        })
        .collect()
}

#[test]
fn without_jitter_the_waits_double_up_to_the_cap() {
    let policy = Exponential::default().jitter(Jitter::None);
    let wanted = [1, 2, 4, 8, 16, 30, 30, 30].map(secs);
    assert_eq!(waits(&policy, 8), wanted);
    assert_eq!(*waits(&policy, 64).last().expect("64"), secs(30));
}

/// The mean of a uniform draw is half its ceiling: with 4,000 draws the mean is within 3 %.
#[test]
fn full_jitter_draws_evenly_from_nothing_to_the_wait() {
    let policy = Exponential::default().seed(7);
    let mut sums = [0.0; 3];
    for _ in 0..4_000 {
        for (sum, wait) in sums.iter_mut().zip(waits(&policy, 3)) {
            *sum += wait.as_secs_f64() / 4_000.0;
        }
    }
    for (mean, wanted) in sums.into_iter().zip([0.5, 1.0, 2.0]) {
        assert!(
            (mean / wanted - 1.0).abs() < 0.03,
            "{mean}, wanted {wanted}"
        );
    }
}

#[test]
fn a_seed_draws_the_same_waits_each_time_and_two_seeds_differ() {
    let draw = |seed| waits(&Exponential::default().seed(seed), 20);
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
    assert_ne!(
        waits(&Exponential::default(), 20),
        waits(&Exponential::default(), 20)
    );
}

#[test]
fn a_policy_can_be_shared_and_chosen_at_run_time() {
    let policies: [Arc<dyn RetryPolicy>; 3] = [
        Arc::new(Fixed::new(ms(5))),
        Arc::new(Exponential::default()),
        Arc::new(|_: &Failure| Wait::Stop),
    ];
    let names = policies.each_ref().map(|policy| policy.name());
    assert_eq!(names, ["fixed", "exponential", "own"]);
    let stop = policies[2].wait(&Failure::new(1, Class::RETRYABLE));
    assert_eq!(stop, Wait::Stop);
}

proptest! {
    #[test]
    fn no_wait_leaves_its_bounds(
        base in 1_u64..10_000,
        more in 0_u64..100_000,
        seed: u64,
        jitter in prop_oneof![
            Just(Jitter::None),
            Just(Jitter::Full),
            Just(Jitter::Decorrelated),
        ],
    ) {
        let (base, cap) = (ms(base), ms(base + more));
        let policy = Exponential::new(base, cap).jitter(jitter).seed(seed);
        let waits = waits(&policy, 64);
        let mut before = base;
        for (n, wait) in waits.into_iter().enumerate() {
            prop_assert!(wait <= cap);
            let ceiling = base.saturating_mul(2_u32.saturating_pow(n as u32)).min(cap);
            match jitter {
                Jitter::None => prop_assert_eq!(wait, ceiling),
                Jitter::Full => prop_assert!(wait <= ceiling),
                Jitter::Decorrelated => {
                    prop_assert!(wait >= base && wait <= (before * 3).min(cap).max(base));
                }
            }
            before = wait;
        }
    }
}
