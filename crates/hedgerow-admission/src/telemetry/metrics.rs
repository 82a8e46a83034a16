//! Counters, gauges and times for the crate `metrics`.

use std::sync::Arc;

use hedgerow_core::Recorder;
use metrics::{Label, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use super::{PREFIX, checked, class, outcome};
use crate::error::BuildError;
use crate::event::{AdmissionEvent, Happened};

/// Counts every event of a gate through the crate `metrics`, for whichever exporter is installed.
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_admission_queued_total`, `_admission_started_total`, `_admission_aborted_total` | counters, label `class`: requests that had to wait, that got their place, whose caller left while they waited |
/// | `_admission_finished_total` | counter, labels `class`, `outcome`: `answered`, `failed`, `refused`, `timed_out`, `cancelled` |
/// | `_admission_shed_total` | counter, labels `class`, `reason`: [`ShedReason::as_str`](crate::ShedReason::as_str) |
/// | `_admission_wait_seconds` | histogram, label `class`: how long those waited that started, 0 for those that did not |
/// | `_admission_run_seconds` | histogram, labels `class`, `outcome` |
/// | `_admission_active`, `_admission_queued`, `_admission_limit` | gauges: after the last event; no limit, no `_limit` |
///
/// The class is the priority. Keys and labels of requests are left out: they may be as many as tenants.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Gate, telemetry::Metrics};
///
/// let metrics = Metrics::new().prefix("search_client").label("backend", "eu-1");
/// let gate = Gate::builder().concurrency(8).recorder(metrics).build();
/// # let _ = gate;
/// ```
///
/// # Cost
///
/// A few names are built and looked up for each event: about a microsecond a request.
/// [`Gate::stats`](crate::Gate::stats) costs nothing.
#[derive(Clone, Debug)]
pub struct Metrics {
    names: Arc<Names>,
    labels: Vec<Label>,
}

#[derive(Debug)]
struct Names {
    queued: String,
    started: String,
    aborted: String,
    finished: String,
    shed: String,
    wait: String,
    run: String,
    active: String,
    depth: String,
    limit: String,
}

impl Names {
    fn new(prefix: &str) -> Self {
        let name = |rest: &str| format!("{prefix}_admission_{rest}");
        Self {
            queued: name("queued_total"),
            started: name("started_total"),
            aborted: name("aborted_total"),
            finished: name("finished_total"),
            shed: name("shed_total"),
            wait: name("wait_seconds"),
            run: name("run_seconds"),
            active: name("active"),
            depth: name("queued"),
            limit: name("limit"),
        }
    }
}

impl Metrics {
    /// Names begin with `hedgerow`; no labels but the event's own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            names: Arc::new(Names::new(PREFIX)),
            labels: Vec::new(),
        }
    }

    /// Sets what the names begin with: letters, digits, `_`, `:` and `.`. Defaults to `hedgerow`.
    ///
    /// # Panics
    ///
    /// If it is empty or holds anything else: [`try_prefix`](Self::try_prefix) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        match self.try_prefix(prefix) {
            Ok(metrics) => metrics,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`prefix`](Self::prefix), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Prefix`] if it is empty or holds anything else.
    pub fn try_prefix(mut self, prefix: impl Into<String>) -> Result<Self, BuildError> {
        self.names = Arc::new(Names::new(&checked(prefix.into())?));
        Ok(self)
    }

    /// Adds a label to every metric. Defaults to none.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push(Label::new(name.into(), value.into()));
        self
    }

    /// Tells the exporter what each metric means. Call it once the exporter is installed.
    #[must_use]
    pub fn described(self) -> Self {
        let names = &self.names;
        for (name, what) in [
            (&names.queued, "Requests that had to wait."),
            (&names.started, "Requests that got their place."),
            (&names.aborted, "Requests whose caller left the queue."),
            (&names.finished, "Requests that gave their place back."),
            (&names.shed, "Requests that were refused."),
        ] {
            describe_counter!(name.clone(), what);
        }
        for (name, what) in [
            (&names.active, "How many run."),
            (&names.depth, "How many wait."),
            (&names.limit, "How many may run."),
        ] {
            describe_gauge!(name.clone(), what);
        }
        for (name, what) in [
            (&names.wait, "How long requests waited that started."),
            (&names.run, "How long requests ran."),
        ] {
            describe_histogram!(name.clone(), metrics::Unit::Seconds, what);
        }
        self
    }

    fn with(&self, more: impl IntoIterator<Item = (&'static str, &'static str)>) -> Vec<Label> {
        let more = more.into_iter();
        let more = more.map(|(name, value)| Label::from_static_parts(name, value));
        self.labels.iter().cloned().chain(more).collect()
    }
}

impl Recorder<AdmissionEvent> for Metrics {
    fn record(&self, event: &AdmissionEvent) {
        let names = &self.names;
        let class = ("class", class(event.priority));
        let count = |name: &String, labels| counter!(name.clone(), labels).increment(1);
        match event.what {
            Happened::Queued => count(&names.queued, self.with([class])),
            Happened::Started => {
                count(&names.started, self.with([class]));
                histogram!(names.wait.clone(), self.with([class])).record(event.waited);
            }
            Happened::Finished(how) => {
                let labels = self.with([class, ("outcome", outcome(how))]);
                count(&names.finished, labels.clone());
                histogram!(names.run.clone(), labels).record(event.ran);
            }
            Happened::AbortedWaiting => count(&names.aborted, self.with([class])),
            Happened::Shed(reason) => {
                count(&names.shed, self.with([class, ("reason", reason.as_str())]));
            }
        }
        let set = |name: &String, value: usize| {
            gauge!(name.clone(), self.labels.iter()).set(value as f64);
        };
        set(&names.active, event.active);
        set(&names.depth, event.queued);
        if let Some(limit) = event.limit {
            set(&names.limit, limit);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
