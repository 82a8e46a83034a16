//! One `tracing` event per event of a batch.

use std::sync::Arc;

use hedgerow_core::{Recorder, or_panic};

use super::{PREFIX, checked};
use crate::batch::error::BatchConfigError;
use crate::batch::event::{BatchFacts, BatchState, Closing, LifecycleEvent};

/// Tells `tracing` every event, at the level info, under the target `hedgerow::telemetry`.
///
/// The field `event` holds the prefix and the event's name, such as
/// `hedgerow_openai_batch.batch_completed`; the others are those of the lines
/// ([`JsonLines`](super::super::JsonLines)), as far as the event has them.
#[derive(Clone, Debug)]
pub struct Traces {
    prefix: Arc<str>,
}

impl Traces {
    /// Names begin with `hedgerow_openai_batch`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.into(),
        }
    }

    /// Sets what the names begin with: letters, digits, `_`, `:` and `.`. Defaults to
    /// `hedgerow_openai_batch`.
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
    /// [`BatchConfigError::Range`] if it is empty or holds anything else.
    pub fn try_prefix(mut self, prefix: impl Into<String>) -> Result<Self, BatchConfigError> {
        self.prefix = checked(prefix.into())?.into();
        Ok(self)
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder<LifecycleEvent> for Traces {
    fn record(&self, event: &LifecycleEvent) {
        let batch = event.batch.as_ref();
        let state = event.state.as_ref();
        let closing = event.closing.as_ref();
        let count = |count: fn(&BatchState) -> u64| state.map(count);
        let text = |text: fn(&BatchFacts) -> &str| batch.map(text);
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.{}", self.prefix, event.kind.name()),
            batch_id = batch.and_then(|batch| batch.batch_id.as_deref()),
            endpoint = text(|batch| &batch.endpoint),
            models = batch.map(|batch| batch.models.join(",")),
            request_count = batch.map(|batch| batch.request_count),
            status = state.map(|state| &*state.status),
            completed = count(|state| state.completed),
            failed = count(|state| state.failed),
            total = count(|state| state.total),
            elapsed_seconds = state.map(|state| state.elapsed.as_secs_f64()),
            error = event.error.as_deref(),
            pending_request_count = closing.map(|closing: &Closing| closing.pending_request_count),
        );
    }
}
