//! Recorders that hand the layers' events on, to the crate `metrics` and to `tracing`.
//!
//! Both take the events of a [`CacheLayer`](crate::CacheLayer) and of a
//! [`CoalesceLayer`](crate::CoalesceLayer).

mod traces;
#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::traces::Traces;

use hedgerow_core::is_name_prefix;

use crate::cache::{CacheStatus, StoreDeed};
use crate::coalesce::PassReason;
use crate::error::CacheBuildError;

/// What every name begins with unless told otherwise.
const PREFIX: &str = "hedgerow_cache";

fn checked(prefix: String) -> Result<String, CacheBuildError> {
    if is_name_prefix(&prefix) {
        Ok(prefix)
    } else {
        Err(CacheBuildError::Prefix(prefix))
    }
}

/// A status as a label.
const fn status_word(status: CacheStatus) -> &'static str {
    match status {
        CacheStatus::Hit { .. } => "hit",
        CacheStatus::Stale { .. } => "stale",
        CacheStatus::Miss => "miss",
        CacheStatus::Refetched => "refetched",
        CacheStatus::StaleOnError { .. } => "stale_on_error",
        CacheStatus::Bypass => "bypass",
    }
}

const fn deed_word(deed: StoreDeed) -> &'static str {
    match deed {
        StoreDeed::Get => "get",
        StoreDeed::Put => "put",
    }
}

const fn reason_word(reason: PassReason) -> &'static str {
    match reason {
        PassReason::NoKey => "no_key",
        PassReason::Full => "full",
        PassReason::Late => "late",
    }
}

#[cfg(feature = "metrics")]
const fn yes(said: bool) -> &'static str {
    if said { "yes" } else { "no" }
}
