//! What became of a call and of each of its tries.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use hedgerow_core::Class;

/// How one try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TryOutcome {
    /// Its answer became the call's.
    Answered,
    /// It answered, but the judge refused the answer.
    Refused,
    /// It failed with an error.
    Failed,
    /// Dropped when its time was over, or the deadline.
    TimedOut,
    /// Dropped unfinished because the caller left.
    Cancelled,
}

/// One try of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TryInfo {
    /// Which try: 0 for the first, 1 for the first retry.
    pub index: u32,
    /// When it was sent, counted from the call's start.
    pub started: Duration,
    /// How long it ran, from its own start.
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: TryOutcome,
    /// What its end is worth; `None` if the caller left before it.
    pub class: Option<Class>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryInfo {
    /// How long the call took, waits included.
    pub elapsed: Duration,
    /// Every try that was sent, in order.
    pub tries: Tries,
}

impl RetryInfo {
    /// Whether the call was retried.
    #[must_use]
    pub fn retried(&self) -> bool {
        self.tries.len() > 1
    }

    /// The try that ran when the caller left. No event of its own tells its end.
    pub(crate) fn unfinished(&self) -> Option<&TryInfo> {
        let last = self.tries.last()?;
        (last.outcome == TryOutcome::Cancelled).then_some(last)
    }
}

/// The tries of a call, as a slice. One alone is not allocated.
#[derive(Clone, PartialEq)]
pub struct Tries(Repr);

#[derive(Clone, PartialEq)]
enum Repr {
    One([TryInfo; 1]),
    Many(Vec<TryInfo>),
}

impl Tries {
    pub(crate) const fn one(only: TryInfo) -> Self {
        Self(Repr::One([only]))
    }

    pub(crate) const fn many(all: Vec<TryInfo>) -> Self {
        Self(Repr::Many(all))
    }
}

impl Deref for Tries {
    type Target = [TryInfo];

    fn deref(&self) -> &[TryInfo] {
        match &self.0 {
            Repr::One(one) => one,
            Repr::Many(many) => many,
        }
    }
}

impl fmt::Debug for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}

impl fmt::Display for TryOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
        })
    }
}
