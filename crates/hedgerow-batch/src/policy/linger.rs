//! A time from the first item.

use std::time::Duration;

use super::{BatchPolicy, Decision, Waiting};
use crate::event::Reason;

/// Sends when the first item has waited for a fixed time, or at once when nothing is in flight.
///
/// So a lone caller never waits, and a busy backend gets batches. Where every dispatch is paid for, say
/// [`strict`](Self::strict): then items always linger.
///
/// # Units
///
/// The timer rounds up to whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    linger: Duration,
    strict: bool,
}

impl Linger {
    /// Waits for `linger` at most while the backend is busy. Zero never waits.
    #[must_use]
    pub const fn new(linger: Duration) -> Self {
        Self {
            linger,
            strict: false,
        }
    }

    /// Also waits when nothing is in flight. Defaults to sending at once then.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

impl BatchPolicy for Linger {
    fn decide(&self, waiting: &Waiting) -> Decision {
        if waiting.in_flight == 0 && !self.strict {
            return Decision::Send(Reason::Idle);
        }
        if waiting.age >= self.linger {
            return Decision::Send(Reason::Linger);
        }
        Decision::wait().at_most(self.linger - waiting.age)
    }

    fn name(&self) -> &'static str {
        "linger"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_lone_caller_at_an_idle_backend_never_waits() {
        let policy = Linger::new(Duration::from_secs(3_600));
        assert_eq!(
            policy.decide(&Waiting::new(1)),
            Decision::Send(Reason::Idle)
        );
    }

    #[test]
    fn at_a_busy_backend_the_first_item_waits_for_the_linger_and_no_longer() {
        let policy = Linger::new(5 * MS);
        let mut waiting = Waiting::new(1);
        waiting.in_flight = 1;
        waiting.age = 2 * MS;
        let wait = Decision::wait().at_most(3 * MS);
        assert_eq!(policy.decide(&waiting), wait);
        waiting.in_flight = 0;
        assert_eq!(policy.strict().decide(&waiting), wait);
        waiting.in_flight = 1;
        waiting.age = 5 * MS;
        assert_eq!(policy.decide(&waiting), Decision::Send(Reason::Linger));
    }
}
