//! What became of a call and of each of its attempts.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use hedgerow_core::Attempt;

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Its answer became the call's.
    Won,
    /// Dropped unfinished because another one won.
    Lost,
    /// It answered, but the judge refused the answer.
    Refused,
    /// It failed with an error.
    Failed,
    /// Nothing was heard of it in the time allowed, by the judge's word or because a race's total
    /// timeout was over.
    TimedOut,
    /// Dropped unfinished because the caller left.
    Cancelled,
}

impl Outcome {
    /// Whether the attempt's latency is only known to be longer than its age.
    #[must_use]
    pub const fn is_censored(self) -> bool {
        matches!(self, Self::Lost | Self::TimedOut | Self::Cancelled)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
        })
    }
}

/// One attempt of a call that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptInfo {
    /// Which attempt.
    pub attempt: Attempt,
    /// When it was sent, counted from the call's start.
    pub started: Duration,
    /// How long it ran, from its own start.
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// What became of a call: who won, when, and what it cost.
///
/// Times end when the answer is there; what the losers do afterwards is not in them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WinnerInfo {
    /// The attempt whose result the caller got: 0 for the primary.
    pub index: u32,
    /// When that attempt was sent, counted from the call's start.
    pub started: Duration,
    /// How long the whole call took.
    pub elapsed: Duration,
    /// Whether an extra attempt was sent.
    pub hedged: bool,
    /// Whether an extra attempt won.
    pub hedge_won: bool,
    /// When the first extra attempt was sent, counted from the call's start, if one was.
    pub delay: Option<Duration>,
    /// What the call cost: 1, and 1 more for each extra attempt, won or not.
    pub cost: f64,
    /// The policy's name.
    pub strategy: &'static str,
    /// Every attempt that was sent, in order.
    pub attempts: Attempts,
}

impl WinnerInfo {
    /// How long the primary ran.
    #[must_use]
    pub fn primary_latency(&self) -> Duration {
        let primary = self.attempts.iter().find(|a| !a.attempt.is_extra());
        primary.map_or(Duration::ZERO, |a| a.elapsed)
    }

    /// How long the attempt ran whose result the caller got, from its own start.
    #[must_use]
    pub fn winner_latency(&self) -> Duration {
        self.elapsed.saturating_sub(self.started)
    }

    /// How long the first extra attempt ran, from its own start, if one was sent.
    #[must_use]
    pub fn hedge_latency(&self) -> Option<Duration> {
        let extra = self.attempts.iter().find(|a| a.attempt.is_extra());
        extra.map(|a| a.elapsed)
    }
}

/// The attempts of a call, as a slice. One alone is not allocated.
#[derive(Clone, PartialEq)]
pub struct Attempts(Repr);

#[derive(Clone, PartialEq)]
enum Repr {
    One([AttemptInfo; 1]),
    Many(Vec<AttemptInfo>),
}

impl Attempts {
    pub(crate) const fn one(only: AttemptInfo) -> Self {
        Self(Repr::One([only]))
    }

    pub(crate) const fn many(all: Vec<AttemptInfo>) -> Self {
        Self(Repr::Many(all))
    }

    /// Of a call whose attempts are known one after the other.
    pub(crate) fn of(all: impl Iterator<Item = AttemptInfo>) -> Self {
        let mut all = all.peekable();
        match (all.next(), all.peek()) {
            (Some(only), None) => Self::one(only),
            (first, _) => Self::many(first.into_iter().chain(all).collect()),
        }
    }
}

impl Deref for Attempts {
    type Target = [AttemptInfo];

    fn deref(&self) -> &[AttemptInfo] {
        match &self.0 {
            Repr::One(one) => one,
            Repr::Many(many) => many,
        }
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}
