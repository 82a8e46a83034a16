//! What a cascade tells its recorder.

use std::sync::Arc;
use std::time::Duration;

use crate::cascade::info::{CascadeInfo, TierInfo};

/// What happened in a call to a [`Cascade`](crate::Cascade).
///
/// Every call begins with [`TierStarted`](Self::TierStarted) of tier 0 and ends in exactly one
/// [terminal](Self::is_terminal) event. With the default recorder `()` no event is even built.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CascadeEvent {
    /// A tier was sent.
    TierStarted {
        /// Which one: 0 for the first.
        tier: usize,
        /// Its name.
        name: Arc<str>,
        /// When, counted from the call's start.
        after: Duration,
    },
    /// A tier's turn came, but it was not sent. The call goes on.
    Skipped {
        /// Which one.
        tier: usize,
        /// Its name.
        name: Arc<str>,
        /// When, counted from the call's start.
        after: Duration,
        /// Why.
        reason: SkipReason,
    },
    /// A tier brought an answer, accepted or refused, or failed.
    TierDone(TierInfo),
    /// A tier was dropped unfinished because the time for the whole call was over.
    TierTimedOut(TierInfo),
    /// A tier was dropped unfinished because another one ended the call, or the caller left.
    TierCancelled(TierInfo),
    /// Terminal: an answer was good enough.
    Answered(CascadeInfo),
    /// Terminal: no answer was good enough, when all had ended or the time was over, and the caller
    /// got the one with the best score.
    Best(CascadeInfo),
    /// Terminal: the judge called a result final, and the caller got it at once.
    Fatal(CascadeInfo),
    /// Terminal: every tier failed, was refused or was skipped.
    AllFailed(CascadeInfo),
    /// Terminal: the time for the whole call was over, and there was no answer to give.
    TimedOut(CascadeInfo),
    /// Terminal: the caller dropped the call.
    Cancelled(CascadeInfo),
}

/// Why a tier was not sent when its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// The spend cap had less left than the tier costs.
    Denied,
    /// The request may be sent only once, or copying it failed.
    Unreplayable,
    /// Its service failed before it was ready. The error is among the losses of a call that fails.
    Unavailable,
}

impl SkipReason {
    /// As metrics and traces name it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unreplayable => "unreplayable",
            Self::Unavailable => "unavailable",
        }
    }
}

impl CascadeEvent {
    /// Whether this ends its call.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        self.info().is_some()
    }

    /// What became of the call, if this ends it.
    #[must_use]
    pub const fn info(&self) -> Option<&CascadeInfo> {
        match self {
            Self::Answered(info)
            | Self::Best(info)
            | Self::Fatal(info)
            | Self::AllFailed(info)
            | Self::TimedOut(info)
            | Self::Cancelled(info) => Some(info),
            Self::TierStarted { .. }
            | Self::Skipped { .. }
            | Self::TierDone(_)
            | Self::TierTimedOut(_)
            | Self::TierCancelled(_) => None,
        }
    }
}
