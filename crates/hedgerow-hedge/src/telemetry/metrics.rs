//! Counters and times for the crate `metrics`.

use std::sync::Arc;

use hedgerow_core::Recorder;
use metrics::{Label, counter, describe_counter, describe_histogram, histogram};

use super::{PREFIX, checked};
use crate::error::BuildError;
use crate::event::HedgeEvent;
use crate::info::WinnerInfo;

/// Counts every event through the crate `metrics`, for whichever exporter is installed.
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_requests_total` | counter: calls that came in |
/// | `_requests_failed_total`, `_requests_cancelled_total` | counters: calls without an accepted answer, calls whose caller left |
/// | `_request_duration_seconds` | histogram, label `outcome`: `success`, `failure`, `cancelled` |
/// | `_hedges_fired_total`, `_hedges_won_total`, `_hedges_denied_total`, `_hedges_not_ready_total` | counters |
/// | `_hedge_delay_seconds` | histogram: when an extra attempt was sent, from the call's start |
/// | `_hedge_latency_seconds` | histogram: how long an extra attempt ran that won |
/// | `_attempts_cancelled_total` | counter: attempts dropped unfinished |
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::{HedgeLayer, telemetry::Metrics};
///
/// let metrics = Metrics::new().prefix("search_client").label("backend", "eu-1");
/// let layer = HedgeLayer::percentile(95).recorder(metrics);
/// # let _ = layer;
/// ```
///
/// # Cost
///
/// A key is built and looked up per event: about a microsecond a call. A recorder of your own that
/// keeps its counters is cheaper; the handle's [`stats`](crate::HedgeHandle::stats) cost nothing.
#[derive(Clone, Debug)]
pub struct Metrics {
    names: Arc<Names>,
    labels: Vec<Label>,
}

#[derive(Debug)]
struct Names {
    requests: String,
    failed: String,
    left: String,
    duration: String,
    fired: String,
    won: String,
    denied: String,
    not_ready: String,
    delay: String,
    latency: String,
    cancelled: String,
}

impl Names {
    fn new(prefix: &str) -> Self {
        let name = |rest: &str| format!("{prefix}_{rest}");
        Self {
            requests: name("requests_total"),
            failed: name("requests_failed_total"),
            left: name("requests_cancelled_total"),
            duration: name("request_duration_seconds"),
            fired: name("hedges_fired_total"),
            won: name("hedges_won_total"),
            denied: name("hedges_denied_total"),
            not_ready: name("hedges_not_ready_total"),
            delay: name("hedge_delay_seconds"),
            latency: name("hedge_latency_seconds"),
            cancelled: name("attempts_cancelled_total"),
        }
    }
}

impl Metrics {
    /// Names begin with `hedgerow`; no labels.
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
            (&names.requests, "Calls that came in."),
            (&names.failed, "Calls without an accepted answer."),
            (&names.left, "Calls whose caller left."),
            (&names.fired, "Extra attempts that were sent."),
            (&names.won, "Calls that an extra attempt won."),
            (&names.denied, "Extra attempts that the budget denied."),
            (
                &names.not_ready,
                "Extra attempts given up: the service was not ready.",
            ),
            (&names.cancelled, "Attempts dropped unfinished."),
        ] {
            describe_counter!(name.clone(), what);
        }
        for (name, what) in [
            (&names.duration, "How long calls took."),
            (
                &names.delay,
                "When extra attempts were sent, from the call's start.",
            ),
            (&names.latency, "How long extra attempts ran that won."),
        ] {
            describe_histogram!(name.clone(), metrics::Unit::Seconds, what);
        }
        self
    }

    fn count(&self, name: &str) {
        counter!(name.to_owned(), self.labels.iter()).increment(1);
    }

    fn ended(&self, outcome: &'static str, info: &WinnerInfo) {
        let outcome = Label::from_static_parts("outcome", outcome);
        let labels: Vec<Label> = self.labels.iter().cloned().chain([outcome]).collect();
        histogram!(self.names.duration.clone(), labels).record(info.elapsed);
    }
}

impl Recorder<HedgeEvent> for Metrics {
    fn record(&self, event: &HedgeEvent) {
        let names = &self.names;
        match event {
            HedgeEvent::Started => self.count(&names.requests),
            HedgeEvent::Fired { after, .. } => {
                self.count(&names.fired);
                histogram!(names.delay.clone(), self.labels.iter()).record(*after);
            }
            HedgeEvent::Denied { .. } => self.count(&names.denied),
            HedgeEvent::NotReady { .. } => self.count(&names.not_ready),
            HedgeEvent::AttemptCancelled { .. } => self.count(&names.cancelled),
            HedgeEvent::Won(info) => {
                if info.hedge_won {
                    self.count(&names.won);
                    histogram!(names.latency.clone(), self.labels.iter())
                        .record(info.winner_latency());
                }
                self.ended("success", info);
            }
            HedgeEvent::Fatal(info) | HedgeEvent::AllLost(info) => {
                self.count(&names.failed);
                self.ended("failure", info);
            }
            HedgeEvent::Cancelled(info) => {
                self.count(&names.left);
                self.ended("cancelled", info);
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
