//! One `tracing` event per answer that was held.

use std::sync::Arc;

use hedgerow_core::{Recorder, or_panic};

use super::{PREFIX, checked, told};
use crate::error::HttpBuildError;
use crate::first::FirstEvent;

/// Tells `tracing` every answer that was held, at the level info, under the target
/// `hedgerow::telemetry`.
///
/// The field `event` is the prefix and `.held`; beside it stand `outcome` and `why` (as
/// `Metrics` has them), `waited_ms`, `events`, `frames` and `bytes`.
///
/// # Examples
///
/// ```
/// use hedgerow_http::{AwaitFirstFrameLayer, telemetry::Traces};
///
/// let layer = AwaitFirstFrameLayer::new().recorder(Traces::new().prefix("models"));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct Traces {
    prefix: Arc<str>,
}

impl Traces {
    /// Names begin with `hedgerow_http`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.into(),
        }
    }

    /// Sets what the names begin with: letters, digits, `_`, `:` and `.`. Defaults to `hedgerow_http`.
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
    /// [`HttpBuildError::Prefix`] if it is empty or holds anything else.
    pub fn try_prefix(mut self, prefix: impl Into<String>) -> Result<Self, HttpBuildError> {
        self.prefix = checked(prefix.into())?.into();
        Ok(self)
    }
}

impl Recorder<FirstEvent> for Traces {
    fn record(&self, event: &FirstEvent) {
        let (held, outcome, why) = told(event);
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.held", self.prefix),
            outcome,
            why,
            // Whole microseconds: more would be the float's noise.
            waited_ms = held.waited.as_micros() as f64 / 1_000.0,
            events = held.events,
            frames = held.frames,
            bytes = held.bytes,
        );
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
