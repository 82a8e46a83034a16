//! Why a layer was refused.

use std::time::Duration;

use hedgerow_core::BudgetError;
use hedgerow_latency::WindowError;

/// More extra attempts than this are no hedging any more.
pub(crate) const MAX_HEDGES: usize = 64;

/// A setting that makes no sense, with what to write instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A percentile outside of 1 ≤ p < 100.
    #[error("{}", percentile(*.0))]
    Percentile(f64),
    /// A clamp whose ends are the wrong way round.
    #[error("a percentile clamp from {min:?} to {max:?} is empty: write the smaller delay first")]
    Clamp {
        /// The lower end.
        min: Duration,
        /// The upper end.
        max: Duration,
    },
    /// No hedges at all, or too many.
    #[error(
        "{0} extra attempts a call are out of range: write 1 to {MAX_HEDGES}, or use \
         HedgeLayer::off() for none"
    )]
    MaxHedges(usize),
    /// A race of no copies, or of too many.
    #[error("a race of {0} copies is out of range: write 1 (no hedge) to {n}", n = MAX_HEDGES + 1)]
    Copies(usize),
    /// A schedule without delays.
    #[error(
        "a schedule without delays never hedges: write one delay per extra attempt, or use HedgeLayer::off()"
    )]
    EmptySchedule,
    /// A schedule that does not ascend.
    #[error(
        "the schedule goes back from {before:?} to {after:?}: write the delays from the call's start, in ascending order"
    )]
    UnorderedSchedule {
        /// The delay before.
        before: Duration,
        /// The smaller one that follows it.
        after: Duration,
    },
    /// Too few or too many delays to choose from.
    #[error(
        "{0} delays to choose from are out of range: write 2 to {MAX_HEDGES}, like 50, 100 and 200 ms"
    )]
    Arms(usize),
    /// Delays to choose from that do not ascend.
    #[error(
        "the delays to choose from go from {before:?} to {after:?}: write each once, in ascending order"
    )]
    UnorderedArms {
        /// The delay before.
        before: Duration,
        /// The one that follows it and is not larger.
        after: Duration,
    },
    /// A delay to choose from that nobody would wait for.
    #[error("a delay of {0:?} to choose from is out of range: write at most {n:?}", n = crate::policy::LONGEST_ARM)]
    LongArm(Duration),
    /// A rate of forgetting outside of 0 < rate < 1.
    #[error(
        "a rate of forgetting of {0} is out of range: write a share above 0 and below 1, like 0.1"
    )]
    Forgetting(f64),
    /// A backoff that does not begin within its limits, or whose limits make no sense.
    #[error(
        "a backoff from {min:?} to {max:?} that begins at {base:?} is out of range: write \
         1 ms ≤ min ≤ base ≤ max ≤ 1 h"
    )]
    Backoff {
        /// Where it begins.
        base: Duration,
        /// The shortest delay.
        min: Duration,
        /// The longest delay.
        max: Duration,
    },
    /// Limits of a delay that are the wrong way round.
    #[error("delays from {min:?} to {max:?} are none: write the smaller one first")]
    Between {
        /// The lower end.
        min: Duration,
        /// The upper end.
        max: Duration,
    },
    /// A drain that lets nothing finish.
    #[error(
        "a drain of {at_most} losers for {patience:?} lets nothing finish: write at least 1 loser \
         and a time above zero, or leave the layer out to drop losers at once"
    )]
    Drain {
        /// How long a loser may run on.
        patience: Duration,
        /// How many may run on.
        at_most: usize,
    },
    /// No keys at all, or too many.
    #[error("room for {0} keys is out of range: write 1 to {n}", n = crate::policy::MAX_KEYS)]
    Keys(usize),
    /// A prefix that metric names cannot begin with.
    #[error(
        "names cannot begin with {0:?}: write letters, digits, `_`, `:` and `.`, first a letter"
    )]
    Prefix(String),
    /// A latency window out of range.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// A budget out of range.
    #[error(transparent)]
    Budget(#[from] BudgetError),
}

impl BuildError {
    pub(crate) fn check_hedges(n: usize) -> Result<(), Self> {
        if n == 0 || n > MAX_HEDGES {
            return Err(Self::MaxHedges(n));
        }
        Ok(())
    }
}

fn percentile(p: f64) -> String {
    let hint = if p > 0.0 && p < 1.0 {
        format!("; did you mean {}?", round(p * 100.0))
    } else if p >= 100.0 {
        String::from("; beyond the slowest there is nothing to hedge: did you mean 99 or 99.9?")
    } else {
        String::new()
    };
    format!(
        "percentile({p}) is out of range: write a percentage from 1 to below 100, like 95 or 99.9{hint}"
    )
}

/// 0.07 × 100 is 7.000000000000001 to a computer.
fn round(p: f64) -> f64 {
    (p * 1e6).round() / 1e6
}
