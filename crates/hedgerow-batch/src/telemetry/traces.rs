//! One `tracing` event per event of a layer.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Recorder, or_panic};

use super::{PREFIX, checked};
use crate::error::BatchBuildError;
use crate::event::BatchEvent;

/// Tells `tracing` every event, at the level info, under the target `hedgerow::telemetry`.
///
/// The field `event` holds the name, its prefix and then one of:
///
/// | name | when | fields |
/// | --- | --- | --- |
/// | `item.enqueued` | an item came in | `queued` |
/// | `item.answered`, `item.failed` | it got its answer, or an error | `duration_ms` |
/// | `item.cancelled` | its caller left | `duration_ms`, `dispatched` |
/// | `batch.dispatched` | a batch was sent | `size`, `twins`, `weight`, `waited_ms`, `reason`, `in_flight` |
/// | `batch.landed` | the backend's future for it has ended | `size`, `duration_ms`, `outcome` |
///
/// # Examples
///
/// ```
/// use hedgerow_batch::{BatchLayer, telemetry::Traces};
///
/// let layer: BatchLayer<u64, u64> = BatchLayer::idle().recorder(Traces::new().prefix("users"));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct Traces {
    prefix: Arc<str>,
}

impl Traces {
    /// Names begin with `hedgerow_batch`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.into(),
        }
    }

    /// Sets what the names begin with: letters, digits, `_`, `:` and `.`. Defaults to `hedgerow_batch`.
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
    /// [`BatchBuildError::Prefix`] if it is empty or holds anything else.
    pub fn try_prefix(mut self, prefix: impl Into<String>) -> Result<Self, BatchBuildError> {
        self.prefix = checked(prefix.into())?.into();
        Ok(self)
    }

    fn ended(&self, how: &str, elapsed: Duration, dispatched: Option<bool>) {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.item.{how}", self.prefix),
            duration_ms = ms(elapsed),
            dispatched,
        );
    }
}

impl Recorder<BatchEvent> for Traces {
    fn record(&self, event: &BatchEvent) {
        match *event {
            BatchEvent::Enqueued { queued } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.item.enqueued", self.prefix),
                queued,
            ),
            BatchEvent::Dispatched {
                size,
                twins,
                weight,
                waited,
                reason,
                in_flight,
            } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.batch.dispatched", self.prefix),
                size,
                twins,
                weight,
                waited_ms = ms(waited),
                reason = reason.word(),
                in_flight,
            ),
            BatchEvent::Answered { elapsed } => self.ended("answered", elapsed, None),
            BatchEvent::Failed { elapsed } => self.ended("failed", elapsed, None),
            BatchEvent::Cancelled {
                elapsed,
                dispatched,
            } => self.ended("cancelled", elapsed, Some(dispatched)),
            BatchEvent::Landed {
                size,
                elapsed,
                outcome,
            } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.batch.landed", self.prefix),
                size,
                duration_ms = ms(elapsed),
                outcome = outcome.word(),
            ),
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
