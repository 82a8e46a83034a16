//! What goes wrong: in building a layer, and in a call.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::info::RetryInfo;

/// More tries than this are no retrying any more.
pub(crate) const MAX_ATTEMPTS: usize = 64;

/// A setting that makes no sense, with what to write instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryBuildError {
    /// No tries at all, or too many.
    #[error(
        "{0} tries a call are out of range: write 1 (never retry) to {MAX_ATTEMPTS}, the first try included"
    )]
    Attempts(usize),
    /// A timeout or a deadline of nothing.
    #[error(
        "nothing can be answered in {0:?}: write a time above zero, or leave the setting out for no limit"
    )]
    Timeout(Duration),
    /// Waits that do not begin, or begin beyond their cap.
    #[error(
        "waits from {base:?} up to {cap:?} are out of range: write 0 < base ≤ cap ≤ 24 h, like 1 s and 30 s"
    )]
    Backoff {
        /// The first wait.
        base: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// A percentile outside of 1 ≤ p < 100.
    #[error(
        "a gate at the percentile {0} is out of range: write a percentage from 1 to below 100, like 50 or 95"
    )]
    Percentile(f64),
    /// A prefix of names that exporters cannot carry.
    #[error(
        "names cannot begin with {0:?}: write letters, digits, `_`, `:` and `.`, first a letter"
    )]
    Prefix(String),
}

impl RetryBuildError {
    pub(crate) fn check_time(time: Duration) -> Result<(), Self> {
        if time.is_zero() {
            return Err(Self::Timeout(time));
        }
        Ok(())
    }
}

/// Why a call was not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The result is final: the judge says so, or it timed out and timeouts are final.
    Final,
    /// All attempts are used up.
    Attempts,
    /// The policy said stop.
    Policy,
    /// The request may be sent only once, or its copy could not be edited.
    Unreplayable,
    /// The budget denied it.
    Budget,
    /// The deadline has passed, or would pass in the wait.
    Deadline,
    /// A try of the usual length does not fit into what is left before the deadline.
    Gate,
    /// The service was not ready for it in time, or failed to get ready.
    NotReady,
}

impl StopReason {
    pub(crate) const COUNT: usize = 8;
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Final => "the result is final",
            Self::Attempts => "all attempts are used up",
            Self::Policy => "the policy said stop",
            Self::Unreplayable => "the request may be sent only once",
            Self::Budget => "the budget denied a retry",
            Self::Deadline => "no time is left before the deadline",
            Self::Gate => "a retry would not fit before the deadline",
            Self::NotReady => "the service was not ready for a retry",
        })
    }
}

/// No try of a call was answered: every try, how it ended, when, and why no other followed.
///
/// Always told to the recorder, in [`RetryEvent::Failed`](crate::RetryEvent::Failed). As an error it
/// reaches the caller only where there is no real result to give: every try timed out, or none was sent.
/// Its source is a [`TimedOut`] or a [`DeadlineExceeded`] if time was the reason, and none if an answer was
/// forgotten.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryExhausted {
    /// The tries, and how long the call took.
    pub info: RetryInfo,
    /// Why no other try followed.
    pub reason: StopReason,
    pub(crate) source: Option<Cause>,
}

/// What the time of a call or a try ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    TimedOut(TimedOut),
    Deadline(DeadlineExceeded),
}

impl fmt::Display for RetryExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tries = self.info.tries.len();
        let word = if tries == 1 { "try" } else { "tries" };
        write!(
            f,
            "no answer after {tries} {word} in {:?}: {}",
            self.info.elapsed, self.reason
        )
    }
}

impl Error for RetryExhausted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.source.as_ref()? {
            Cause::TimedOut(error) => Some(error),
            Cause::Deadline(error) => Some(error),
        }
    }
}

/// A try took longer than the time that was allowed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedOut {
    /// The time that was allowed.
    pub after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {:?}", self.after)
    }
}

impl Error for TimedOut {}

/// The deadline of a call has passed, or would have before its next try (`overdue` is then zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadlineExceeded {
    /// How long the call ran until then; zero if it was refused.
    pub after: Duration,
    /// By how much the deadline had passed when that was noticed.
    pub overdue: Duration,
    /// Whether the request was sent. If not, the deadline had passed before the call.
    pub sent: bool,
}

impl fmt::Display for DeadlineExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sent {
            write!(f, "the deadline passed after {:?}", self.after)
        } else {
            write!(f, "the deadline had passed by {:?}: not sent", self.overdue)
        }
    }
}

impl Error for DeadlineExceeded {}
