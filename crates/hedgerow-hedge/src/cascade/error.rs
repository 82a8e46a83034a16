//! Why a cascade was refused.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cascade::build::MAX_TIERS;

/// Everything that is wrong with a cascade, each with what to write instead.
#[derive(Clone, Debug, PartialEq)]
pub struct CascadeBuildError {
    mistakes: Vec<CascadeMistake>,
}

/// One setting of a cascade that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CascadeMistake {
    /// A cascade of nothing.
    #[error(
        "a cascade without tiers answers nothing: write at least one .tier(Tier::new(name, service))"
    )]
    NoTiers,
    /// A cascade of too many.
    #[error("{0} tiers are too many: write at most {MAX_TIERS}")]
    TooManyTiers(usize),
    /// A tier without a name.
    #[error("tier {0} has an empty name: write what it is, like Tier::new(\"small\", service)")]
    EmptyName(usize),
    /// Two tiers of one name.
    #[error("tiers {first} and {second} are both named {name:?}: write a name of its own for each")]
    DuplicateName {
        /// The name.
        name: Arc<str>,
        /// The tier that has it first.
        first: usize,
        /// The later one.
        second: usize,
    },
    /// A first tier that waits.
    #[error(
        "the first tier, {name:?}, has a delay of {after:?}: leave its .after(..) out, a call starts with it"
    )]
    FirstTierDelayed {
        /// Its name.
        name: Arc<str>,
        /// Its delay.
        after: Duration,
    },
    /// Delays that do not ascend.
    #[error(
        "the delays go back from {before:?} to {after:?} at tier {name:?}: write them from the call's \
         start, in ascending order"
    )]
    DelaysGoBack {
        /// The tier whose delay is too small.
        name: Arc<str>,
        /// The delay of the tier before.
        before: Duration,
        /// Its own, smaller one.
        after: Duration,
    },
    /// A cost that is negative, not a number, or too large.
    #[error("tier {name:?} has a cost of {cost}: write cost units from 0 to 1000000000")]
    Cost {
        /// The tier.
        name: Arc<str>,
        /// Its cost.
        cost: f64,
    },
    /// A threshold that is not a finite number.
    #[error(
        "tier {name:?} has a threshold of {threshold}: write a finite score, or leave .threshold(..) \
         out to take any"
    )]
    Threshold {
        /// The tier.
        name: Arc<str>,
        /// Its threshold.
        threshold: f64,
    },
    /// A threshold that nothing is measured against.
    #[error(
        "tier {name:?} has a threshold, but nothing scores its answers: write .score(|answer| ..) on \
         the cascade, or .accept(judge) for a yes or no"
    )]
    ThresholdWithoutScore {
        /// The tier.
        name: Arc<str>,
    },
    /// A timeout that lets nothing happen.
    #[error(
        "a timeout of zero lets no tier answer: write how long a whole call may take, or leave it out"
    )]
    ZeroTimeout,
    /// A spend cap out of range.
    #[error(
        "a spend cap of {per_100_calls} per 100 calls with a depth of {depth} is out of range: write \
         cost units from 0 to 1000000000 for each"
    )]
    SpendCap {
        /// What 100 calls put in.
        per_100_calls: f64,
        /// What it holds.
        depth: f64,
    },
    /// A spend cap that can never pay for a tier.
    #[error(
        "tier {name:?} costs {cost} and could never start, because the spend cap holds at most \
         {depth}: write a depth of at least {cost}, or leave the tier out"
    )]
    BeyondDepth {
        /// The tier.
        name: Arc<str>,
        /// Its cost.
        cost: f64,
        /// What the cap holds.
        depth: f64,
    },
}

impl CascadeBuildError {
    pub(super) fn new(mistakes: Vec<CascadeMistake>) -> Self {
        Self { mistakes }
    }

    /// The mistakes, in the order of the tiers, then those of the whole.
    #[must_use]
    pub fn mistakes(&self) -> &[CascadeMistake] {
        &self.mistakes
    }
}

impl fmt::Display for CascadeBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for CascadeBuildError {}
