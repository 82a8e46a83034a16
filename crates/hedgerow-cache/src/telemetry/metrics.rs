//! Counters and times for the crate `metrics`.

use std::sync::Arc;

use hedgerow_core::{Recorder, or_panic};
use metrics::{Label, counter, histogram};

use super::{PREFIX, checked, deed_word, reason_word, status_word, yes};
use crate::cache::CacheEvent;
use crate::coalesce::CoalesceEvent;
use crate::error::CacheBuildError;

/// Counts every event of a cache or a coalescer through the crate `metrics`, for whichever exporter is
/// installed.
///
/// Of a cache:
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_requests_total` | counter, label `status`: `hit`, `stale`, `miss`, `refetched`, `stale_on_error`, `bypass` |
/// | `_requests_failed_total` | counter, label `status`: calls for which the service failed and nothing stood in |
/// | `_requests_cancelled_total` | counter: calls whose caller left |
/// | `_stored_total`, `_not_stored_total`, `_lost_total` | counters: answers that were stored, were not to be, and found no room in the store's queue |
/// | `_store_failures_total` | counter, label `deed`: `get`, `put` |
/// | `_refreshes_total` | counter, label `renewed`: `yes`, `no` |
///
/// Of a coalescer:
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_flights_total`, `_followers_total`, `_joiners_total` | counters: calls that were sent, waited for another, or read along |
/// | `_passed_total` | counter, label `reason`: `no_key`, `full`, `late` |
/// | `_second_tries_total` | counter, label `granted`: `yes`, `no` |
/// | `_flight_seconds` | histogram, labels `outcome` (`success`, `failure`, `cancelled`) and `shared` (`yes`, `no`) |
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{CoalesceLayer, telemetry::Metrics};
///
/// let metrics = Metrics::new().prefix("search").label("backend", "eu-1");
/// let layer = CoalesceLayer::new(|id: &u64| Some(*id)).recorder(metrics);
/// # let _ = layer;
/// ```
///
/// # Cost
///
/// A key is built and looked up per event: about a microsecond a call. The handles' `stats` cost nothing.
/// Clones share everything.
#[derive(Clone, Debug)]
pub struct Metrics {
    prefix: Arc<str>,
    labels: Arc<[Label]>,
}

impl Metrics {
    /// Names begin with `hedgerow_cache`; no labels.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.into(),
            labels: Arc::default(),
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

    /// Adds a label to every metric. Defaults to none.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let more = [Label::new(name.into(), value.into())];
        self.labels = self.labels.iter().cloned().chain(more).collect();
        self
    }

    fn labels<const N: usize>(&self, more: [(&'static str, &'static str); N]) -> Vec<Label> {
        let more = more.map(|(name, value)| Label::from_static_parts(name, value));
        self.labels.iter().cloned().chain(more).collect()
    }

    fn count<const N: usize>(&self, name: &str, more: [(&'static str, &'static str); N]) {
        counter!(format!("{}_{name}", self.prefix), self.labels(more)).increment(1);
    }
}

impl Recorder<CacheEvent> for Metrics {
    fn record(&self, event: &CacheEvent) {
        match *event {
            CacheEvent::Answered(status) => {
                self.count("requests_total", [("status", status_word(status))]);
            }
            CacheEvent::Failed(status) => {
                self.count("requests_failed_total", [("status", status_word(status))]);
            }
            CacheEvent::Cancelled => self.count("requests_cancelled_total", []),
            CacheEvent::Stored => self.count("stored_total", []),
            CacheEvent::NotStored => self.count("not_stored_total", []),
            CacheEvent::Lost => self.count("lost_total", []),
            CacheEvent::StoreFailed(deed) => {
                self.count("store_failures_total", [("deed", deed_word(deed))]);
            }
            CacheEvent::Refreshed { renewed } => {
                self.count("refreshes_total", [("renewed", yes(renewed))]);
            }
        }
    }
}

impl Recorder<CoalesceEvent> for Metrics {
    fn record(&self, event: &CoalesceEvent) {
        let (outcome, shared, elapsed) = match *event {
            CoalesceEvent::Led => return self.count("flights_total", []),
            CoalesceEvent::Followed => return self.count("followers_total", []),
            CoalesceEvent::Joined => return self.count("joiners_total", []),
            CoalesceEvent::Passed(reason) => {
                return self.count("passed_total", [("reason", reason_word(reason))]);
            }
            CoalesceEvent::TriedAgain => {
                return self.count("second_tries_total", [("granted", "yes")]);
            }
            CoalesceEvent::Denied => return self.count("second_tries_total", [("granted", "no")]),
            CoalesceEvent::Answered { shared, elapsed } => ("success", shared, elapsed),
            CoalesceEvent::Failed { shared, elapsed } => ("failure", shared, elapsed),
            CoalesceEvent::Cancelled { dropped, elapsed } => ("cancelled", !dropped, elapsed),
        };
        let labels = self.labels([("outcome", outcome), ("shared", yes(shared))]);
        histogram!(format!("{}_flight_seconds", self.prefix), labels).record(elapsed);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
