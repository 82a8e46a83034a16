//! Counters and times for the crate `metrics`.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Recorder, or_panic};
use metrics::{Label, counter, describe_counter, describe_histogram, histogram};

use super::{PREFIX, checked, outcome_word, reason_word};
use crate::error::RetryBuildError;
use crate::event::{RetryEvent, TimeoutEvent};
use crate::info::TryInfo;

/// Counts every event of a retry, a timeout or a deadline layer through the crate `metrics`, for
/// whichever exporter is installed.
///
/// Of a retry:
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_requests_total` | counter: calls that came in, refused ones too |
/// | `_requests_failed_total` | counter, label `reason`: calls without an accepted answer, by what forbade another try |
/// | `_requests_cancelled_total`, `_requests_recovered_total` | counters: calls whose caller left, calls that a retry saved |
/// | `_request_duration_seconds` | histogram, label `outcome`: `success`, `failure`, `cancelled`; waits included |
/// | `_tries_total` | counter, label `outcome`: `answered`, `refused`, `failed`, `timed_out`, `cancelled` |
/// | `_try_duration_seconds` | histogram, label `outcome` |
/// | `_retries_total`, `_retries_planned_total` | counters: retries that were sent, and those that were to be |
/// | `_retries_denied_total` | counter, label `reason`: what forbade a retry after a try that may be sent again |
/// | `_retry_wait_seconds` | histogram, label `asked`: how long until a retry is sent; `server` if the server asked for it, else `policy` |
///
/// Of a timeout and of a deadline:
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_timeouts_total` | counter: requests that a timeout dropped |
/// | `_deadlines_exceeded_total` | counter, label `sent`: `yes` if the deadline passed while the call ran, `no` if it was refused |
///
/// # Examples
///
/// ```
/// use hedgerow_retry::{DeadlineLayer, RetryLayer, telemetry::Metrics};
/// use std::time::Duration;
///
/// let metrics = Metrics::new().prefix("search").label("backend", "eu-1");
/// let retry = RetryLayer::exponential().recorder(metrics.clone());
/// let deadline = DeadlineLayer::new(Duration::from_secs(10)).recorder(metrics);
/// # let _ = (retry, deadline);
/// ```
///
/// # Cost
///
/// A key is built and looked up per event: about a microsecond a call. The handle's
/// [`stats`](crate::RetryHandle::stats) cost nothing. Clones share everything.
#[derive(Clone, Debug)]
pub struct Metrics {
    names: Arc<Names>,
    labels: Arc<[Label]>,
}

#[derive(Debug)]
struct Names {
    requests: String,
    failed: String,
    left: String,
    recovered: String,
    duration: String,
    tries: String,
    try_duration: String,
    retries: String,
    planned: String,
    denied: String,
    wait: String,
    timeouts: String,
    deadlines: String,
}

impl Names {
    fn new(prefix: &str) -> Self {
        let name = |rest: &str| format!("{prefix}_{rest}");
        Self {
            requests: name("requests_total"),
            failed: name("requests_failed_total"),
            left: name("requests_cancelled_total"),
            recovered: name("requests_recovered_total"),
            duration: name("request_duration_seconds"),
            tries: name("tries_total"),
            try_duration: name("try_duration_seconds"),
            retries: name("retries_total"),
            planned: name("retries_planned_total"),
            denied: name("retries_denied_total"),
            wait: name("retry_wait_seconds"),
            timeouts: name("timeouts_total"),
            deadlines: name("deadlines_exceeded_total"),
        }
    }
}

impl Metrics {
    /// Names begin with `hedgerow_retry`; no labels.
    #[must_use]
    pub fn new() -> Self {
        Self {
            names: Arc::new(Names::new(PREFIX)),
            labels: Arc::default(),
        }
    }

    /// Sets what the names begin with: letters, digits, `_`, `:` and `.`. Defaults to `hedgerow_retry`.
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
    /// [`RetryBuildError::Prefix`] if it is empty or holds anything else.
    pub fn try_prefix(mut self, prefix: impl Into<String>) -> Result<Self, RetryBuildError> {
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
            (&names.requests, "Calls that came in."),
            (&names.failed, "Calls without an accepted answer."),
            (&names.left, "Calls whose caller left."),
            (&names.recovered, "Calls that a retry saved."),
            (&names.tries, "Tries that ended."),
            (&names.retries, "Retries that were sent."),
            (&names.planned, "Retries that were to be sent."),
            (&names.denied, "Tries that failed and were not sent again."),
            (&names.timeouts, "Requests that a timeout dropped."),
            (&names.deadlines, "Calls whose deadline had passed."),
        ] {
            describe_counter!(name.clone(), what);
        }
        for (name, what) in [
            (&names.duration, "How long calls took, waits included."),
            (&names.try_duration, "How long tries ran."),
            (&names.wait, "How long until retries are sent."),
        ] {
            describe_histogram!(name.clone(), metrics::Unit::Seconds, what);
        }
        self
    }

    fn with<const N: usize>(&self, more: [Label; N]) -> Vec<Label> {
        self.labels.iter().cloned().chain(more).collect()
    }

    fn count(&self, name: &str) {
        counter!(name.to_owned(), self.labels.iter()).increment(1);
    }

    fn count_by(&self, name: &str, label: &'static str, value: &'static str) {
        let labels = self.with([Label::from_static_parts(label, value)]);
        counter!(name.to_owned(), labels).increment(1);
    }

    fn time(&self, name: &str, label: &'static str, value: &'static str, took: Duration) {
        let labels = self.with([Label::from_static_parts(label, value)]);
        histogram!(name.to_owned(), labels).record(took);
    }

    fn ended(&self, outcome: &'static str, elapsed: Duration) {
        self.time(&self.names.duration, "outcome", outcome, elapsed);
    }

    fn try_ended(&self, ended: &TryInfo) {
        let outcome = outcome_word(ended.outcome);
        self.count_by(&self.names.tries, "outcome", outcome);
        self.time(&self.names.try_duration, "outcome", outcome, ended.elapsed);
    }
}

impl Recorder<RetryEvent> for Metrics {
    fn record(&self, event: &RetryEvent) {
        let names = &self.names;
        match event {
            RetryEvent::Started => self.count(&names.requests),
            RetryEvent::TryEnded(ended) => self.try_ended(ended),
            RetryEvent::Planned { wait, pushback, .. } => {
                self.count(&names.planned);
                let asked = if *pushback { "server" } else { "policy" };
                self.time(&names.wait, "asked", asked, *wait);
            }
            RetryEvent::Sent { .. } => self.count(&names.retries),
            RetryEvent::Denied { reason, .. } => {
                self.count_by(&names.denied, "reason", reason_word(*reason));
            }
            RetryEvent::Succeeded(info) => {
                if info.retried() {
                    self.count(&names.recovered);
                }
                self.ended("success", info.elapsed);
            }
            RetryEvent::Failed(exhausted) => {
                // One that was refused never started.
                if exhausted.info.tries.is_empty() {
                    self.count(&names.requests);
                }
                self.count_by(&names.failed, "reason", reason_word(exhausted.reason));
                self.ended("failure", exhausted.info.elapsed);
            }
            RetryEvent::Cancelled(info) => {
                if let Some(last) = info.unfinished() {
                    self.try_ended(last);
                }
                self.count(&names.left);
                self.ended("cancelled", info.elapsed);
            }
        }
    }
}

impl Recorder<TimeoutEvent> for Metrics {
    fn record(&self, event: &TimeoutEvent) {
        let names = &self.names;
        match event {
            TimeoutEvent::TimedOut(_) => self.count(&names.timeouts),
            TimeoutEvent::DeadlineExceeded(exceeded) => {
                let sent = if exceeded.sent { "yes" } else { "no" };
                self.count_by(&names.deadlines, "sent", sent);
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
