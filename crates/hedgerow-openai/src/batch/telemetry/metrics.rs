//! Counts and times through the crate `metrics`.

use std::sync::Arc;

use hedgerow_core::{Recorder, or_panic};
use metrics::{Label, counter, histogram};

use super::{PREFIX, checked};
use crate::batch::error::BatchConfigError;
use crate::batch::event::{BatchEventKind, LifecycleEvent};

/// Hands every event on to the recorder of the crate `metrics` that the application has installed.
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_events_total` | counter, label `event`: the names of the lines |
/// | `_rows_total` | counter, label `outcome`: `submitted`, `refused` (with their submission), `completed`, `failed` (as the API counts them at a batch's end) |
/// | `_duration_seconds` | histogram, label `status`: from a batch's submission to its end |
#[derive(Clone, Debug)]
pub struct Metrics {
    prefix: Arc<str>,
    labels: Arc<[Label]>,
}

impl Metrics {
    /// Names begin with `hedgerow_openai_batch`; no labels.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.into(),
            labels: Arc::default(),
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

    /// Adds a label to every metric. Defaults to none.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels = self.with(Label::new(name.into(), value.into())).into();
        self
    }

    fn with(&self, label: Label) -> Vec<Label> {
        self.labels.iter().cloned().chain([label]).collect()
    }

    fn rows(&self, outcome: &'static str, rows: u64) {
        let labels = self.with(Label::from_static_parts("outcome", outcome));
        counter!(format!("{}_rows_total", self.prefix), labels).increment(rows);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder<LifecycleEvent> for Metrics {
    fn record(&self, event: &LifecycleEvent) {
        let labels = self.with(Label::from_static_parts("event", event.kind.name()));
        counter!(format!("{}_events_total", self.prefix), labels).increment(1);
        let rows = event.batch.as_ref().map_or(0, |batch| batch.request_count);
        match event.kind {
            BatchEventKind::Submitted => self.rows("submitted", rows),
            BatchEventKind::SubmissionFailed => self.rows("refused", rows),
            BatchEventKind::Completed | BatchEventKind::Terminal => {
                let Some(state) = &event.state else { return };
                self.rows("completed", state.completed);
                self.rows("failed", state.failed);
                let labels = self.with(Label::new("status", state.status.clone()));
                histogram!(format!("{}_duration_seconds", self.prefix), labels)
                    .record(state.elapsed.as_secs_f64());
            }
            _ => {}
        }
    }
}
