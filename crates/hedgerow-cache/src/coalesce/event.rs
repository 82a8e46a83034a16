//! What the recorder of a coalescer is told.

use std::time::Duration;

/// What happened to a call at a [`CoalesceLayer`](crate::CoalesceLayer).
///
/// Each call tells how it came in, and then exactly one terminal event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoalesceEvent {
    /// Nobody flies for its key: its request is the one that is sent.
    Led,
    /// It waits for the request of another one.
    Followed,
    /// It reads along with an answer that arrives already.
    Joined,
    /// It passed: its request is sent for it alone.
    Passed(PassReason),
    /// The flight it followed failed, and it tries once more.
    TriedAgain,
    /// The flight it followed failed, and the budget denied it another try.
    Denied,
    /// Terminal: it has an answer.
    Answered {
        /// Whether the answer is one that another call brought.
        shared: bool,
        /// How long it took.
        elapsed: Duration,
    },
    /// Terminal: it failed.
    Failed {
        /// Whether another call failed for it.
        shared: bool,
        /// How long it took.
        elapsed: Duration,
    },
    /// Terminal: its caller left.
    Cancelled {
        /// Whether it was the last one aboard, and the call was dropped.
        dropped: bool,
        /// How long it took.
        elapsed: Duration,
    },
}

/// Why a call was not coalesced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PassReason {
    /// Its request has no key.
    NoKey,
    /// As many flights as there may be are under way.
    Full,
    /// The beginning of the answer was gone when it came to it.
    Late,
}

impl CoalesceEvent {
    /// Whether this ends its call.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Answered { .. } | Self::Failed { .. } | Self::Cancelled { .. }
        )
    }
}
