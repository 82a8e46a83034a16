//! Recorders that hand a gate's events on, to the crate `metrics` and to `tracing`.

mod traces;
#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::traces::Traces;

use hedgerow_core::is_name_prefix;

use crate::ask::Priority;
use crate::error::BuildError;
use crate::limit::Outcome;

/// What every name begins with unless told otherwise.
const PREFIX: &str = "hedgerow";

/// Letters, digits, `_`, `:` and `.`, not beginning with a digit: what every exporter can carry.
fn checked(prefix: String) -> Result<String, BuildError> {
    if is_name_prefix(&prefix) {
        Ok(prefix)
    } else {
        Err(BuildError::Prefix(prefix))
    }
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Failed => "failed",
        Outcome::Refused => "refused",
        Outcome::TimedOut => "timed_out",
        Outcome::Cancelled => "cancelled",
    }
}

const fn class(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
        Priority::Idle => "idle",
    }
}
