//! Recorders that hand the layer's events on, to the crate `metrics` and to `tracing`.

mod traces;
#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::traces::Traces;

use hedgerow_core::is_name_prefix;

use crate::error::BatchBuildError;

/// What every name begins with unless told otherwise.
const PREFIX: &str = "hedgerow_batch";

/// Letters, digits, `_`, `:` and `.`, not beginning with a digit: what every exporter can carry.
fn checked(prefix: String) -> Result<String, BatchBuildError> {
    if is_name_prefix(&prefix) {
        Ok(prefix)
    } else {
        Err(BatchBuildError::Prefix(prefix))
    }
}
