//! When to ask again.

use std::time::Duration;

use crate::error::CallError;

/// How long is waited before an API that failed is asked again, at first and at most.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);

/// How long until the next poll of a batch this old: a tenth of its age, but no less than `poll` and no
/// more than `max`; `poll` if its end is near. Between 0.8 and 1.2 of that.
pub(super) fn next_poll(poll: Duration, max: Duration, age: Duration, near: bool) -> Duration {
    let wait = if near {
        poll
    } else {
        (age / 10).min(max).max(poll)
    };
    jittered(wait, 0.8, 1.2)
}

/// How long until an API that failed so many times in a row is asked again: what it says, else twice as long
/// each time.
pub(super) fn after_failure(error: &CallError, failures: u32) -> Duration {
    let told = error.api().and_then(|error| error.pushback.wait());
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    // Not before what it says.
    told.map_or_else(
        || jittered(doubled.min(MOST), 0.5, 1.0),
        |told| told.max(FIRST) + jittered(FIRST, 0.0, 1.0),
    )
}

fn jittered(wait: Duration, least: f64, most: f64) -> Duration {
    wait.mul_f64(rand::random_range(least..most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_stay_within_their_bounds_and_grow_with_the_age() {
        let (poll, max) = (Duration::from_secs(5), Duration::from_secs(60));
        for (age, near, expected) in [
            (0, false, 5),
            (49, false, 5),
            (200, false, 20),
            (9_999, false, 60),
            (9_999, true, 5),
        ] {
            for _ in 0..100 {
                let wait = next_poll(poll, max, Duration::from_secs(age), near).as_secs_f64();
                let expected = f64::from(expected);
                assert!(
                    (0.8 * expected..=1.2 * expected).contains(&wait),
                    "{age}: {wait}"
                );
            }
        }
        // A longest wait below the shortest one is the shortest one.
        assert!(
            next_poll(
                poll,
                Duration::from_secs(1),
                Duration::from_secs(900),
                false
            )
            .as_secs()
                >= 4
        );
    }
}
