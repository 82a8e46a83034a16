//! Recorders that hand a layer's events on, to the crate `metrics` and to `tracing`.
//!
//! Without any of them a layer already tells `tracing` under the target `hedgerow::hedge` (trace: a
//! call's start, and its stop with the outcome; debug: a copy fired, denied, won; all lost), and a
//! cascade under `hedgerow::cascade`.
//!
//! Both recorders take the events of a hedge and those of a [`Cascade`](crate::Cascade).

mod traces;
#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::traces::Traces;

use hedgerow_core::is_name_prefix;

use crate::error::BuildError;

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
