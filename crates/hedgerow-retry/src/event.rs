//! What the layer tells its recorder.

use std::time::Duration;

use crate::error::{DeadlineExceeded, RetryExhausted, StopReason, TimedOut};
use crate::info::{RetryInfo, TryInfo};

/// What happened in a call that may be retried.
///
/// Every call ends in exactly one [terminal](Self::is_terminal) event:
/// [`Succeeded`](Self::Succeeded), [`Failed`](Self::Failed) or [`Cancelled`](Self::Cancelled). With
/// the default recorder `()` no event is even built.
///
/// Recorders are told synchronously, on the way of the call: count, or hand on and return.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RetryEvent {
    /// A call came in, and its first try was sent.
    Started,
    /// A try ended: answered, refused, failed or timed out.
    TryEnded(TryInfo),
    /// A retry is to be sent after a wait.
    Planned {
        /// Which retry, from 1.
        retry: u32,
        /// How long until it is sent.
        wait: Duration,
        /// Whether the server asked for this wait.
        pushback: bool,
    },
    /// A retry was sent.
    Sent {
        /// Which retry, from 1.
        retry: u32,
        /// When, counted from the call's start.
        after: Duration,
    },
    /// A try failed, and no retry follows: why not.
    Denied {
        /// Which retry it would have been, from 1.
        retry: u32,
        /// What forbids it.
        reason: StopReason,
    },
    /// Terminal: a try was answered.
    Succeeded(RetryInfo),
    /// Terminal: no try was answered; the caller got the last real result, or this as an error.
    Failed(RetryExhausted),
    /// Terminal: the caller dropped the call.
    Cancelled(RetryInfo),
}

/// What happened at a [`TimeoutLayer`](crate::TimeoutLayer) or a [`DeadlineLayer`](crate::DeadlineLayer).
///
/// What is in time tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutEvent {
    /// A request took longer than its timeout, and was dropped.
    TimedOut(TimedOut),
    /// The deadline of a call passed while it ran, or had passed before it was sent.
    DeadlineExceeded(DeadlineExceeded),
}

impl RetryEvent {
    /// Whether this ends its call.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Succeeded(_) | Self::Failed(_) | Self::Cancelled(_)
        )
    }
}
