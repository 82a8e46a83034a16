//! Counters and times for the crate `metrics`.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::Recorder;
use metrics::{Label, counter, describe_counter, describe_histogram, histogram};

use super::{PREFIX, checked};
use crate::cascade::{CascadeEvent, CascadeInfo, TierInfo};
use crate::error::BuildError;
use crate::event::HedgeEvent;

/// Counts every event of a hedge or a [`Cascade`](crate::Cascade) through the crate `metrics`, for
/// whichever exporter is installed.
///
/// Of both:
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_requests_total` | counter: calls that came in |
/// | `_requests_failed_total`, `_requests_cancelled_total` | counters: calls without an accepted answer, calls whose caller left |
/// | `_request_duration_seconds` | histogram, label `outcome`: `success`, `failure`, `cancelled`; of a cascade also `best` and `timeout` |
///
/// Of a hedge:
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_hedges_fired_total`, `_hedges_won_total`, `_hedges_denied_total`, `_hedges_not_ready_total` | counters |
/// | `_hedge_delay_seconds` | histogram: when an extra attempt was sent, from the call's start |
/// | `_hedge_latency_seconds` | histogram: how long an extra attempt ran that won |
/// | `_attempts_cancelled_total` | counter: attempts dropped unfinished |
///
/// Of a cascade, with the tier's name as the label `tier`:
///
/// | name, behind the prefix | kind |
/// | --- | --- |
/// | `_cascade_tiers_started_total` | counter: tiers that were sent |
/// | `_cascade_tiers_done_total` | counter, label `outcome`: `won`, `refused`, `failed`, `timed out` by the judge's word |
/// | `_cascade_tiers_timed_out_total`, `_cascade_tiers_cancelled_total` | counters: tiers dropped unfinished, because the call's time was over, or for another reason |
/// | `_cascade_tiers_skipped_total` | counter, label `reason`: `denied`, `unreplayable`, `unavailable` |
/// | `_cascade_tier_duration_seconds` | histogram, label `outcome`: how long a tier ran that is done |
/// | `_cascade_hedges_total` | counter: copies that hedged tiers sent, told when the tier is over |
/// | `_cascade_cost` | histogram, without `tier`: what a call cost |
///
/// A cascade within a hedge, or beside one, has a prefix of its own: both count calls.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::{HedgeLayer, telemetry::Metrics};
///
/// let metrics = Metrics::new().prefix("search_client").label("backend", "eu-1");
/// let layer = HedgeLayer::percentile(95).recorder(metrics.clone());
/// # let _ = layer;
///
/// # use hedgerow_hedge::{Cascade, Tier};
/// # let small = tower::service_fn(async |n: u64| Ok::<_, std::fmt::Error>(n));
/// let cascade = Cascade::builder()
///     .tier(Tier::new("small", small))
///     .recorder(metrics.prefix("models"))
///     .clone_requests()
///     .build()?;
/// # let _ = cascade;
/// # Ok::<_, hedgerow_hedge::CascadeBuildError>(())
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
    tiers_started: String,
    tiers_done: String,
    tiers_timed_out: String,
    tiers_cancelled: String,
    tiers_skipped: String,
    tier_duration: String,
    tier_hedges: String,
    cost: String,
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
            tiers_started: name("cascade_tiers_started_total"),
            tiers_done: name("cascade_tiers_done_total"),
            tiers_timed_out: name("cascade_tiers_timed_out_total"),
            tiers_cancelled: name("cascade_tiers_cancelled_total"),
            tiers_skipped: name("cascade_tiers_skipped_total"),
            tier_duration: name("cascade_tier_duration_seconds"),
            tier_hedges: name("cascade_hedges_total"),
            cost: name("cascade_cost"),
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
            (&names.tiers_started, "Tiers that were sent."),
            (
                &names.tiers_done,
                "Tiers that brought an answer, accepted or refused, or failed.",
            ),
            (
                &names.tiers_timed_out,
                "Tiers dropped unfinished because the call's time was over.",
            ),
            (
                &names.tiers_cancelled,
                "Tiers dropped unfinished because another one answered or the caller left.",
            ),
            (
                &names.tiers_skipped,
                "Tiers that were not sent when their turn came.",
            ),
            (&names.tier_hedges, "Copies that hedged tiers sent."),
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
            (&names.tier_duration, "How long tiers ran that are done."),
        ] {
            describe_histogram!(name.clone(), metrics::Unit::Seconds, what);
        }
        describe_histogram!(names.cost.clone(), "What calls to a cascade cost.");
        self
    }

    fn count(&self, name: &str) {
        counter!(name.to_owned(), self.labels.iter()).increment(1);
    }

    fn ended(&self, outcome: &'static str, elapsed: Duration) {
        let labels = self.labels([Label::from_static_parts("outcome", outcome)]);
        histogram!(self.names.duration.clone(), labels).record(elapsed);
    }

    fn labels<const N: usize>(&self, more: [Label; N]) -> Vec<Label> {
        self.labels.iter().cloned().chain(more).collect()
    }

    fn count_tier(&self, name: &str, tier: &Arc<str>) {
        counter!(name.to_owned(), self.labels([tier_label(tier)])).increment(1);
    }

    /// A tier is over.
    fn tier_over(&self, name: &str, info: &TierInfo) {
        self.count_tier(name, &info.name);
        self.count_hedges(info);
    }

    fn tier_done(&self, info: &TierInfo) {
        let outcome = Label::new("outcome", info.outcome.to_string());
        let labels = self.labels([tier_label(&info.name), outcome]);
        counter!(self.names.tiers_done.clone(), labels.clone()).increment(1);
        histogram!(self.names.tier_duration.clone(), labels).record(info.elapsed);
        self.count_hedges(info);
    }

    fn count_hedges(&self, info: &TierInfo) {
        if info.hedges > 0 {
            let labels = self.labels([tier_label(&info.name)]);
            counter!(self.names.tier_hedges.clone(), labels).increment(u64::from(info.hedges));
        }
    }

    fn cascade_ended(&self, outcome: &'static str, info: &CascadeInfo) {
        self.ended(outcome, info.elapsed);
        histogram!(self.names.cost.clone(), self.labels.iter()).record(info.cost);
    }
}

fn tier_label(tier: &Arc<str>) -> Label {
    Label::new("tier", tier.clone())
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
                self.ended("success", info.elapsed);
            }
            HedgeEvent::Fatal(info) | HedgeEvent::AllLost(info) => {
                self.count(&names.failed);
                self.ended("failure", info.elapsed);
            }
            HedgeEvent::Cancelled(info) => {
                self.count(&names.left);
                self.ended("cancelled", info.elapsed);
            }
        }
    }
}

impl Recorder<CascadeEvent> for Metrics {
    fn record(&self, event: &CascadeEvent) {
        let names = &self.names;
        match event {
            CascadeEvent::TierStarted { tier, name, .. } => {
                if *tier == 0 {
                    self.count(&names.requests);
                }
                self.count_tier(&names.tiers_started, name);
            }
            CascadeEvent::Skipped { name, reason, .. } => {
                let reason = Label::from_static_parts("reason", reason.word());
                let labels = self.labels([tier_label(name), reason]);
                counter!(names.tiers_skipped.clone(), labels).increment(1);
            }
            CascadeEvent::TierDone(info) => self.tier_done(info),
            CascadeEvent::TierTimedOut(info) => self.tier_over(&names.tiers_timed_out, info),
            CascadeEvent::TierCancelled(info) => self.tier_over(&names.tiers_cancelled, info),
            CascadeEvent::Answered(info) => self.cascade_ended("success", info),
            CascadeEvent::Best(info) => self.cascade_ended("best", info),
            CascadeEvent::Fatal(info) | CascadeEvent::AllFailed(info) => {
                self.count(&names.failed);
                self.cascade_ended("failure", info);
            }
            CascadeEvent::TimedOut(info) => {
                self.count(&names.failed);
                self.cascade_ended("timeout", info);
            }
            CascadeEvent::Cancelled(info) => {
                self.count(&names.left);
                self.cascade_ended("cancelled", info);
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
