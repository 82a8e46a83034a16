//! In which order waiters start, and which of them are given up.

mod words;
mod state;
mod come;
mod turn;
mod overdue;
mod keeper;
mod wakes;
mod lanes;
mod waiters;
#[cfg(all(test, hedgerow_loom))]
mod loom_tests;

use std::time::Duration;

use crate::error::BuildError;

pub(crate) use self::state::State;
pub(crate) use self::waiters::{Id, Kind};
pub(crate) use self::wakes::Wakes;
pub(crate) use self::words::{Closed, Ended, Entered, Grant, Looked, Rules};

/// In which order waiters start, and which of them are given up: freely combined.
///
/// Under every order a higher [`Priority`](crate::Priority) goes first, and within one the keys take
/// turns, so that nobody is served less because somebody else asks more. The order holds within a key.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::Queue;
/// use std::time::Duration;
///
/// // A batch job: first come, first served, nobody is given up before the longest wait.
/// let patient = Queue::fifo().keep_all();
/// // An interactive service that may be flooded.
/// let lively = Queue::adaptive_lifo().codel(Duration::from_millis(5), Duration::from_millis(100));
/// // Every request says until when it is of use.
/// let timely = Queue::earliest_deadline_first();
/// # let _ = (patient, lively, timely);
/// ```
///
/// # Source
///
/// Adaptive LIFO and the two-step limit on waiting are Facebook's ("Fail at Scale", ACM Queue 13(8),
/// 2015), the latter after `CoDel` (Nichols, Jacobson, 2012).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub(crate) order: Order,
    pub(crate) rule: DropRule,
}

/// Who starts next of those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Who came first.
    Fifo,
    /// Who came first; once somebody has waited without a break for `after`, who came last.
    ///
    /// In an overload the first in the queue have nearly given up already; the last still have time.
    AdaptiveLifo {
        /// How long the queue must not have been empty.
        after: Duration,
    },
    /// Whose deadline is nearest; those without one come last.
    EarliestDeadlineFirst,
}

/// Who is given up while waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropRule {
    /// Nobody but those who have waited for the gate's longest wait.
    None,
    /// Also those whose deadline has passed.
    Expired,
    /// Also those who have waited for `interval`, and once the queue has not been empty for `interval`,
    /// those who have waited for `target`. Twice as many as may run at once are kept all the same, for the
    /// gate's longest wait at most (without a limit of concurrency nobody is): without them a lull in what arrives leaves places idle (2 % at 1.2 times the capacity).
    CoDel {
        /// The longest wait while the queue does not empty.
        target: Duration,
        /// The longest wait otherwise, and how long the queue must not have been empty.
        interval: Duration,
    },
}

impl Default for Queue {
    fn default() -> Self {
        Self::fifo()
    }
}

impl Queue {
    /// First come, first served; who has passed its deadline is given up.
    #[must_use]
    pub const fn fifo() -> Self {
        Self::of(Order::Fifo)
    }

    /// First come, first served, until somebody has waited without a break for 10 ms; then last come,
    /// first served. Who has passed its deadline is given up.
    #[must_use]
    pub const fn adaptive_lifo() -> Self {
        Self::of(Order::AdaptiveLifo {
            after: Duration::from_millis(10),
        })
    }

    /// The nearest deadline first; who has passed it is given up.
    #[must_use]
    pub const fn earliest_deadline_first() -> Self {
        Self::of(Order::EarliestDeadlineFirst)
    }

    const fn of(order: Order) -> Self {
        Self {
            order,
            rule: DropRule::Expired,
        }
    }

    /// Another order.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Another rule of giving up.
    #[must_use]
    pub const fn drop_rule(mut self, rule: DropRule) -> Self {
        self.rule = rule;
        self
    }

    /// Nobody is given up, a passed deadline or not, before the gate's longest wait.
    #[must_use]
    pub const fn keep_all(self) -> Self {
        self.drop_rule(DropRule::None)
    }

    /// Waits are cut to `interval`, and to `target` while the queue does not empty for an `interval`.
    /// The usual figures are 5 ms and 100 ms. For all but twice as many as may run at once: see
    /// [`DropRule::CoDel`].
    #[must_use]
    pub const fn codel(self, target: Duration, interval: Duration) -> Self {
        self.drop_rule(DropRule::CoDel { target, interval })
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        match self.rule {
            DropRule::CoDel { target, interval } if target.is_zero() || interval < target => {
                Err(BuildError::CoDel { target, interval })
            }
            _ => Ok(()),
        }
    }

    /// How long the queue must not have been empty until its order changes.
    pub(crate) const fn turns_after(&self) -> Option<Duration> {
        match self.order {
            Order::AdaptiveLifo { after } => Some(after),
            Order::Fifo | Order::EarliestDeadlineFirst => None,
        }
    }
}
