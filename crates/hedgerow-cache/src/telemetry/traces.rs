//! One `tracing` event per event of a layer.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Recorder, or_panic};

use super::{PREFIX, checked, deed_word, reason_word, status_word};
use crate::cache::CacheEvent;
use crate::coalesce::CoalesceEvent;
use crate::error::CacheBuildError;

/// Tells `tracing` every event, at the level info, under the target `hedgerow::telemetry`.
///
/// The field `event` holds the name, its prefix and then one of:
///
/// | name | when | fields |
/// | --- | --- | --- |
/// | `request.stop`, `request.failed` | a call at a cache ended | `status` |
/// | `request.cancelled` | its caller left | |
/// | `stored`, `not_stored`, `lost` | what became of an answer | |
/// | `store_failed` | the store failed | `deed` |
/// | `refreshed` | an answer was refreshed, or not | `renewed` |
/// | `flight.led`, `flight.followed`, `flight.joined`, `flight.passed` | how a call came to a coalescer | `reason` of one that passed |
/// | `flight.second_try` | it tries once more | `granted` |
/// | `flight.stop`, `flight.failed`, `flight.cancelled` | how it ended | `duration_ms`, `shared` or `dropped` |
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{CoalesceLayer, telemetry::Traces};
///
/// let layer = CoalesceLayer::new(|id: &u64| Some(*id)).recorder(Traces::new().prefix("search"));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct Traces {
    prefix: Arc<str>,
}

macro_rules! tell {
    ($self:ident, $name:literal $(, $field:ident = $value:expr)*) => {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!(concat!("{}.", $name), $self.prefix),
            $($field = $value,)*
        )
    };
}

impl Traces {
    /// Names begin with `hedgerow_cache`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.into(),
        }
    }

    /// Sets what the names begin with: letters, digits, `_`, `:` and `.`. Defaults to `hedgerow_cache`.
    ///
    /// # Panics
    ///
    /// If it is empty or holds anything else: [`try_prefix`](Self::try_prefix) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        or_panic(self.try_prefix(prefix))
    }

    /// Like [`prefix`](Self::prefix), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Prefix`] if it is empty or holds anything else.
    pub fn try_prefix(mut self, prefix: impl Into<String>) -> Result<Self, CacheBuildError> {
        self.prefix = checked(prefix.into())?.into();
        Ok(self)
    }
}

impl Recorder<CacheEvent> for Traces {
    fn record(&self, event: &CacheEvent) {
        match *event {
            CacheEvent::Answered(status) => {
                tell!(self, "request.stop", status = status_word(status));
            }
            CacheEvent::Failed(status) => {
                tell!(self, "request.failed", status = status_word(status));
            }
            CacheEvent::Cancelled => tell!(self, "request.cancelled"),
            CacheEvent::Stored => tell!(self, "stored"),
            CacheEvent::NotStored => tell!(self, "not_stored"),
            CacheEvent::Lost => tell!(self, "lost"),
            CacheEvent::StoreFailed(deed) => tell!(self, "store_failed", deed = deed_word(deed)),
            CacheEvent::Refreshed { renewed } => tell!(self, "refreshed", renewed = renewed),
        }
    }

    fn enabled(&self) -> bool {
        tracing::enabled!(target: "hedgerow::telemetry", tracing::Level::INFO)
    }
}

impl Recorder<CoalesceEvent> for Traces {
    fn record(&self, event: &CoalesceEvent) {
        match *event {
            CoalesceEvent::Led => tell!(self, "flight.led"),
            CoalesceEvent::Followed => tell!(self, "flight.followed"),
            CoalesceEvent::Joined => tell!(self, "flight.joined"),
            CoalesceEvent::Passed(reason) => {
                tell!(self, "flight.passed", reason = reason_word(reason));
            }
            CoalesceEvent::TriedAgain => tell!(self, "flight.second_try", granted = true),
            CoalesceEvent::Denied => tell!(self, "flight.second_try", granted = false),
            CoalesceEvent::Answered { shared, elapsed } => {
                tell!(
                    self,
                    "flight.stop",
                    duration_ms = ms(elapsed),
                    shared = shared
                );
            }
            CoalesceEvent::Failed { shared, elapsed } => {
                tell!(
                    self,
                    "flight.failed",
                    duration_ms = ms(elapsed),
                    shared = shared
                );
            }
            CoalesceEvent::Cancelled { dropped, elapsed } => {
                tell!(
                    self,
                    "flight.cancelled",
                    duration_ms = ms(elapsed),
                    dropped = dropped
                );
            }
        }
    }

    fn enabled(&self) -> bool {
        tracing::enabled!(target: "hedgerow::telemetry", tracing::Level::INFO)
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self::new()
    }
}

fn ms(duration: Duration) -> f64 {
    // Whole microseconds: more would be the float's noise.
    duration.as_micros() as f64 / 1_000.0
}
