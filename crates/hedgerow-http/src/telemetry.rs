//! Recorders that hand the events of held answers on, to the crate `metrics` and to `tracing`.
//!
//! Both take the [`FirstEvent`]s of an [`AwaitFirstFrameLayer`](crate::AwaitFirstFrameLayer) and an
//! [`AwaitFirstContentLayer`](crate::AwaitFirstContentLayer).

mod traces;
#[cfg(feature = "metrics")]
mod metrics;

use hedgerow_core::{Class, is_name_prefix};

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::traces::Traces;
use crate::error::HttpBuildError;
use crate::first::{FirstEvent, HeldStream};

/// What every name begins with unless told otherwise.
const PREFIX: &str = "hedgerow_http";

/// Letters, digits, `_`, `:` and `.`, not beginning with a digit: what every exporter can carry.
fn checked(prefix: String) -> Result<String, HttpBuildError> {
    if is_name_prefix(&prefix) {
        Ok(prefix)
    } else {
        Err(HttpBuildError::Prefix(prefix))
    }
}

/// What was held, what became of it, and why.
const fn told(event: &FirstEvent) -> (&HeldStream, &'static str, &'static str) {
    match event {
        FirstEvent::Committed(held, why) => (held, "committed", why.as_str()),
        FirstEvent::Refused(held, Class::Fatal | Class::NoMore) => (held, "refused", "fatal"),
        FirstEvent::Refused(held, _) => (held, "refused", "retryable"),
        FirstEvent::Broken(held) => (held, "broken", "broken"),
        FirstEvent::Cancelled(held) => (held, "cancelled", "cancelled"),
    }
}
