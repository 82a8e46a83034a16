//! Recorders for `tracing` and the crate `metrics`.

#[cfg(feature = "metrics")]
mod metrics;
mod traces;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::traces::Traces;
use super::error::BatchConfigError;

const PREFIX: &str = "hedgerow_openai_batch";

fn checked(prefix: String) -> Result<String, BatchConfigError> {
    if hedgerow_core::is_name_prefix(&prefix) {
        return Ok(prefix);
    }
    Err(BatchConfigError::Range {
        name: "prefix",
        value: prefix,
        range: "letters, digits, `_`, `:` and `.`, such as `hedgerow_openai_batch`",
    })
}
