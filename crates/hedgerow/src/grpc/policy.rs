//! When a method's next attempt is sent.

use std::time::Duration;

use hedgerow_core::{Attempt, Class, LatencyView};
use hedgerow_hedge::{Delay, Follow, HedgePolicy};
use hedgerow_retry::{Exponential, Failure, RetryPolicy, Wait};

use super::config;

/// Hedges at intervals; a failure sends the next one at once, or when the server says.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    pub(super) delay: Duration,
}

impl<Req> HedgePolicy<Req> for Intervals {
    fn delay(&self, _: &Req, _: Attempt, _: &dyn LatencyView) -> Delay {
        Delay::AfterLast(self.delay)
    }

    fn follow(&self, class: Class) -> Follow {
        match class {
            Class::Retryable { after } => Follow::After(after.unwrap_or_default()),
            _ => Follow::After(Duration::ZERO),
        }
    }

    fn name(&self) -> &'static str {
        "service config"
    }
}

/// Waits that grow by a factor, spread by a fifth to both sides, and begin anew after one that the server
/// named.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    initial: Duration,
    longest: Duration,
    multiplier: f64,
}

impl Waits {
    pub(super) const fn of(policy: &config::RetryPolicy) -> Self {
        Self {
            initial: policy.initial_backoff,
            longest: policy.max_backoff,
            multiplier: policy.backoff_multiplier,
        }
    }

    /// The `nth` wait, from 1.
    fn nth(&self, nth: u32) -> Duration {
        let grown = self.multiplier.powi(nth.saturating_sub(1) as i32);
        let wait = Duration::try_from_secs_f64(self.initial.as_secs_f64() * grown);
        spread(wait.unwrap_or(self.longest).min(self.longest))
    }
}

/// Four fifths of the wait to six fifths.
fn spread(wait: Duration) -> Duration {
    // What an exponential backoff draws for its first wait is anything up to it.
    let drawn =
        Exponential::try_new(wait, wait).map(|draw| draw.wait(&Failure::new(1, Class::RETRYABLE)));
    match drawn {
        Ok(Wait::After(drawn)) => wait.mul_f64(0.8) + drawn.mul_f64(0.4),
        _ => wait,
    }
}

impl RetryPolicy for Waits {
    fn wait(&self, failure: &Failure) -> Wait {
        Wait::After(self.nth(failure.since_pushback))
    }

    fn name(&self) -> &'static str {
        "service config"
    }
}

/// When a call is sent again that never left: at once, and then as gRPC's clients connect.
#[derive(Clone, Copy, Debug)]
pub struct Reconnect;

impl RetryPolicy for Reconnect {
    fn wait(&self, failure: &Failure) -> Wait {
        const CONNECTING: Waits = Waits {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(120),
            multiplier: 1.6,
        };
        Wait::After(match failure.retry {
            1 => Duration::ZERO,
            retry => CONNECTING.nth(retry - 1),
        })
    }

    fn name(&self) -> &'static str {
        "reconnect"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(since_pushback: u32) -> Duration {
        let policy = Waits {
            initial: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            multiplier: 2.0,
        };
        let mut failure = Failure::new(9, Class::RETRYABLE);
        failure.since_pushback = since_pushback;
        match policy.wait(&failure) {
            Wait::After(wait) => wait,
            Wait::Stop => panic!("it never stops"),
        }
    }

    /// 0.1, 0.2, 0.4, 0.8 and then 1 s, each drawn from a fifth below to a fifth above. Of 400 draws the
    /// chance that none falls into the outer tenth of a side is below 1e-9.
    #[test]
    fn waits_grow_and_are_spread_by_a_fifth() {
        for (nth, middle) in [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (60, 1.0)] {
            let drawn: Vec<f64> = (0..400)
                .map(|_| waits(nth).as_secs_f64() / middle)
                .collect();
            let least = drawn.iter().copied().fold(f64::MAX, f64::min);
            let most = drawn.iter().copied().fold(0.0, f64::max);
            assert!((0.8..0.84).contains(&least), "{nth}: {least}");
            assert!((1.16..=1.2 + 1e-9).contains(&most), "{nth}: {most}");
        }
    }

    #[test]
    fn a_wait_that_the_server_named_begins_the_row_anew() {
        assert!(waits(0) <= Duration::from_millis(120));
    }

    #[test]
    fn a_factor_beyond_all_numbers_is_the_longest_wait() {
        let policy = Waits {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(2),
            multiplier: f64::MAX,
        };
        assert!(policy.nth(64) >= Duration::from_millis(1_600));
        let shrinking = Waits {
            multiplier: f64::MIN_POSITIVE,
            ..policy
        };
        assert_eq!(shrinking.nth(64), Duration::ZERO);
    }
}
