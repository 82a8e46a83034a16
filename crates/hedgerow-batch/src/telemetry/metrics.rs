//! Counts, sizes and times through the crate `metrics`.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Recorder, or_panic};
use metrics::{
    Label, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::{PREFIX, checked};
use crate::error::BatchBuildError;
use crate::event::BatchEvent;

/// Hands every event on to the recorder of the crate `metrics` that the application has installed.
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_items_total` | counter: items that came in |
/// | `_items_ended_total` | counter, label `outcome`: `answered`, `failed`, `cancelled` |
/// | `_item_duration_seconds` | histogram, label `outcome`: from the call to its end, waiting included |
/// | `_queued` | gauge: items that wait, as the last one that came in saw it |
/// | `_batches_total` | counter, label `reason`: batches that were sent, by why |
/// | `_batch_size`, `_batch_weight` | histograms: items and weight of the batches that were sent |
/// | `_twins_total` | counter: items that get the answer of an identical one |
/// | `_wait_seconds` | histogram: how long the oldest item of a batch waited |
/// | `_in_flight` | gauge: batches in flight, as the last one that was sent saw it |
/// | `_batch_duration_seconds` | histogram, label `outcome`: `done`, `failed`, `panicked`, `timed_out`, `abandoned`, `aborted` |
///
/// # Examples
///
/// ```
/// use hedgerow_batch::{BatchLayer, telemetry::Metrics};
///
/// let metrics = Metrics::new().prefix("users").label("database", "eu-1");
/// let layer: BatchLayer<u64, u64> = BatchLayer::idle().recorder(metrics);
/// # let _ = layer;
/// ```
///
/// # Cost
///
/// A key is built and looked up per event: about a microsecond an item. The handle's
/// [`stats`](crate::BatchHandle::stats) cost nothing. Clones share everything.
#[derive(Clone, Debug)]
pub struct Metrics {
    names: Arc<Names>,
    labels: Arc<[Label]>,
}

#[derive(Debug)]
struct Names {
    items: String,
    ended: String,
    duration: String,
    queued: String,
    batches: String,
    size: String,
    weight: String,
    twins: String,
    wait: String,
    in_flight: String,
    batch_duration: String,
}

impl Names {
    fn new(prefix: &str) -> Self {
        let name = |rest: &str| format!("{prefix}_{rest}");
        Self {
            items: name("items_total"),
            ended: name("items_ended_total"),
            duration: name("item_duration_seconds"),
            queued: name("queued"),
            batches: name("batches_total"),
            size: name("batch_size"),
            weight: name("batch_weight"),
            twins: name("twins_total"),
            wait: name("wait_seconds"),
            in_flight: name("in_flight"),
            batch_duration: name("batch_duration_seconds"),
        }
    }
}

impl Metrics {
    /// Names begin with `hedgerow_batch`; no labels.
    #[must_use]
    pub fn new() -> Self {
        Self {
            names: Arc::new(Names::new(PREFIX)),
            labels: Arc::default(),
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
        for (name, what) in [
            (&names.items, "Items that came in."),
            (&names.ended, "Items that were answered, failed or left."),
            (&names.batches, "Batches that were sent."),
            (
                &names.twins,
                "Items that get the answer of an identical one.",
            ),
        ] {
            describe_counter!(name.clone(), what);
        }
        describe_gauge!(names.queued.clone(), "Items that wait.");
        describe_gauge!(names.in_flight.clone(), "Batches in flight.");
        describe_histogram!(names.size.clone(), "Items of a batch.");
        describe_histogram!(names.weight.clone(), "Weight of a batch.");
        for (name, what) in [
            (&names.duration, "From an item's call to its end."),
            (&names.wait, "How long a batch's oldest item waited."),
            (&names.batch_duration, "How long batches took."),
        ] {
            describe_histogram!(name.clone(), metrics::Unit::Seconds, what);
        }
        self
    }

    fn with<const N: usize>(&self, more: [Label; N]) -> Vec<Label> {
        self.labels.iter().cloned().chain(more).collect()
    }

    fn count(&self, name: &str, n: u64) {
        counter!(name.to_owned(), self.labels.iter()).increment(n);
    }

    fn count_by(&self, name: &str, label: &'static str, value: &'static str) {
        let labels = self.with([Label::from_static_parts(label, value)]);
        counter!(name.to_owned(), labels).increment(1);
    }

    fn set(&self, name: &str, value: usize) {
        gauge!(name.to_owned(), self.labels.iter()).set(value as f64);
    }

    fn sample(&self, name: &str, value: f64) {
        histogram!(name.to_owned(), self.labels.iter()).record(value);
    }

    fn time_by(&self, name: &str, outcome: &'static str, took: Duration) {
        let labels = self.with([Label::from_static_parts("outcome", outcome)]);
        histogram!(name.to_owned(), labels).record(took);
    }

    fn ended(&self, outcome: &'static str, elapsed: Duration) {
        self.count_by(&self.names.ended, "outcome", outcome);
        self.time_by(&self.names.duration, outcome, elapsed);
    }
}

impl Recorder<BatchEvent> for Metrics {
    fn record(&self, event: &BatchEvent) {
        let names = &self.names;
        match *event {
            BatchEvent::Enqueued { queued } => {
                self.count(&names.items, 1);
                self.set(&names.queued, queued);
            }
            BatchEvent::Dispatched {
                size,
                twins,
                weight,
                waited,
                reason,
                in_flight,
            } => {
                self.count_by(&names.batches, "reason", reason.word());
                self.sample(&names.size, size as f64);
                self.sample(&names.weight, weight as f64);
                self.sample(&names.wait, waited.as_secs_f64());
                self.set(&names.in_flight, in_flight);
                if twins > 0 {
                    self.count(&names.twins, twins as u64);
                }
            }
            BatchEvent::Answered { elapsed } => self.ended("answered", elapsed),
            BatchEvent::Failed { elapsed } => self.ended("failed", elapsed),
            BatchEvent::Cancelled { elapsed, .. } => self.ended("cancelled", elapsed),
            BatchEvent::Landed {
                elapsed, outcome, ..
            } => self.time_by(&names.batch_duration, outcome.word(), elapsed),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
