//! Counters and times for the crate `metrics`.

use std::sync::Arc;

use hedgerow_core::{Recorder, or_panic};
use metrics::{Label, counter, describe_counter, describe_histogram, histogram};

use super::{PREFIX, checked, told};
use crate::error::HttpBuildError;
use crate::first::FirstEvent;

/// Counts every answer that was held through the crate `metrics`, for whichever exporter is installed.
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_held_total` | counter, labels `outcome`: `committed`, `refused`, `broken`, `cancelled`; and `why`: `content`, `full`, `end`, `retryable`, `fatal`, `broken`, `cancelled` |
/// | `_held_seconds` | histogram, label `outcome`: from the head until it was handed on or given up |
/// | `_held_bytes` | histogram, label `outcome`: what was held |
///
/// # Examples
///
/// ```
/// use hedgerow_http::{AwaitFirstFrameLayer, telemetry::Metrics};
///
/// let metrics = Metrics::new().prefix("models").label("backend", "eu-1");
/// let layer = AwaitFirstFrameLayer::new().recorder(metrics);
/// # let _ = layer;
/// ```
///
/// # Cost
///
/// Three keys are built and looked up an answer: about a microsecond. Clones share everything.
#[derive(Clone, Debug)]
pub struct Metrics {
    names: Arc<Names>,
    labels: Arc<[Label]>,
}

#[derive(Debug)]
struct Names {
    held: String,
    seconds: String,
    bytes: String,
}

impl Names {
    fn new(prefix: &str) -> Self {
        Self {
            held: format!("{prefix}_held_total"),
            seconds: format!("{prefix}_held_seconds"),
            bytes: format!("{prefix}_held_bytes"),
        }
    }
}

impl Metrics {
    /// Names begin with `hedgerow_http`; no labels.
    #[must_use]
    pub fn new() -> Self {
        Self {
            names: Arc::new(Names::new(PREFIX)),
            labels: Arc::default(),
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
        self.names = Arc::new(Names::new(&checked(prefix.into())?));
        Ok(self)
    }

    /// Adds a label to every metric. Defaults to none.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels = self.with([Label::new(name.into(), value.into())]).into();
        self
    }

    /// Tells the exporter what each metric means. Call it once the exporter is installed.
    #[must_use]
    pub fn described(self) -> Self {
        let names = &self.names;
        describe_counter!(names.held.clone(), "Answers that were held.");
        let what = "How long answers were held.";
        describe_histogram!(names.seconds.clone(), metrics::Unit::Seconds, what);
        let what = "How much of answers was held.";
        describe_histogram!(names.bytes.clone(), metrics::Unit::Bytes, what);
        self
    }

    fn with<const N: usize>(&self, more: [Label; N]) -> Vec<Label> {
        self.labels.iter().cloned().chain(more).collect()
    }
}

impl Recorder<FirstEvent> for Metrics {
    fn record(&self, event: &FirstEvent) {
        let (held, outcome, why) = told(event);
        let outcome = Label::from_static_parts("outcome", outcome);
        let why = Label::from_static_parts("why", why);
        counter!(self.names.held.clone(), self.with([outcome.clone(), why])).increment(1);
        let seconds = self.with([outcome.clone()]);
        histogram!(self.names.seconds.clone(), seconds).record(held.waited);
        histogram!(self.names.bytes.clone(), self.with([outcome])).record(held.bytes as f64);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
