//! Recorders that hand the layers' events on, to the crate `metrics` and to `tracing`.
//!
//! Without any of them a retry layer already tells `tracing` under the target `hedgerow::retry` (debug: a
//! retry planned, sent; a call failed).
//!
//! Both recorders take the events of a [`RetryLayer`](crate::RetryLayer), and those of a
//! [`TimeoutLayer`](crate::TimeoutLayer) and a [`DeadlineLayer`](crate::DeadlineLayer).

mod traces;
#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::traces::Traces;

use hedgerow_core::is_name_prefix;

use crate::error::{RetryBuildError, StopReason};
use crate::info::TryOutcome;

/// What every name begins with unless told otherwise: calls are counted by a hedge beneath as well.
const PREFIX: &str = "hedgerow_retry";

/// Letters, digits, `_`, `:` and `.`, not beginning with a digit: what every exporter can carry.
fn checked(prefix: String) -> Result<String, RetryBuildError> {
    if is_name_prefix(&prefix) {
        Ok(prefix)
    } else {
        Err(RetryBuildError::Prefix(prefix))
    }
}

/// A reason as a label.
const fn reason_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Final => "final",
        StopReason::Attempts => "attempts",
        StopReason::Policy => "policy",
        StopReason::Unreplayable => "unreplayable",
        StopReason::Budget => "budget",
        StopReason::Deadline => "deadline",
        StopReason::Gate => "gate",
        StopReason::NotReady => "not_ready",
    }
}

/// An outcome as a label.
const fn outcome_word(outcome: TryOutcome) -> &'static str {
    match outcome {
        TryOutcome::Answered => "answered",
        TryOutcome::Refused => "refused",
        TryOutcome::Failed => "failed",
        TryOutcome::TimedOut => "timed_out",
        TryOutcome::Cancelled => "cancelled",
    }
}
