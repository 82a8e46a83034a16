//! One `tracing` event per event of the layer.

use std::time::Duration;

use hedgerow_core::Recorder;

use super::{PREFIX, checked};
use crate::cascade::{CascadeEvent, CascadeInfo, TierInfo};
use crate::error::BuildError;
use crate::event::HedgeEvent;
use crate::info::WinnerInfo;

/// Tells `tracing` every event, at the level info, under the target `hedgerow::telemetry`.
///
/// The field `event` holds the name, its prefix and then one of:
///
/// | name | when | fields |
/// | --- | --- | --- |
/// | `request.start` | a call came in | |
/// | `request.stop` | it was answered | `duration_ms`, `attempts`, `winner` |
/// | `request.failed` | it got no accepted answer | `duration_ms`, `attempts` |
/// | `request.cancelled` | its caller left | `duration_ms`, `attempts` |
/// | `hedge.fired` | an extra attempt was sent | `attempt`, `delay_ms` |
/// | `hedge.won` | an extra attempt won | `attempt`, `latency_ms` |
/// | `hedge.denied` | the budget had nothing left | `attempt`, `delay_ms` |
/// | `hedge.not_ready` | the service was not ready for it | `attempt`, `delay_ms` |
/// | `attempt.cancelled` | an attempt was dropped unfinished | `attempt`, `age_ms` |
///
/// Of a [`Cascade`](crate::Cascade), whose calls are `request.*` too, with `tier` (the name of the one
/// that answered), `attempts` (tiers that were sent), `hedges`, `cost`, and `accepted` (false for the
/// best of refused answers):
///
/// | name | when | fields |
/// | --- | --- | --- |
/// | `cascade.tier.start` | a tier was sent | `tier`, `delay_ms` |
/// | `cascade.tier.done` | it brought an answer, accepted or refused, or failed | `tier`, `outcome`, `duration_ms`, `hedges`, `cost`, `quality` if it was scored |
/// | `cascade.tier.timeout` | it was dropped because the call's time was over | the same |
/// | `cascade.tier.cancelled` | it was dropped because another one answered or the caller left | the same |
/// | `cascade.tier.skipped` | it was not sent when its turn came | `tier`, `delay_ms`, `reason` |
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::{HedgeLayer, telemetry::Traces};
///
/// let layer = HedgeLayer::percentile(95).recorder(Traces::new().prefix("search"));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct Traces {
    prefix: String,
}

impl Traces {
    /// Names begin with `hedgerow`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.to_owned(),
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
            Ok(traces) => traces,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`prefix`](Self::prefix), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Prefix`] if it is empty or holds anything else.
    pub fn try_prefix(mut self, prefix: impl Into<String>) -> Result<Self, BuildError> {
        self.prefix = checked(prefix.into())?;
        Ok(self)
    }

    fn ended(&self, how: &str, info: &WinnerInfo) {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.request.{how}", self.prefix),
            duration_ms = ms(info.elapsed),
            attempts = info.attempts.len(),
            winner = info.index,
        );
    }

    fn tier(&self, how: &str, info: &TierInfo) {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.cascade.tier.{how}", self.prefix),
            tier = &*info.name,
            outcome = %info.outcome,
            duration_ms = ms(info.elapsed),
            hedges = info.hedges,
            cost = info.cost,
            quality = info.quality,
        );
    }

    fn cascade_ended(&self, how: &str, info: &CascadeInfo) {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.request.{how}", self.prefix),
            duration_ms = ms(info.elapsed),
            attempts = info.attempts.len(),
            tier = info.name.as_deref(),
            accepted = info.accepted,
            hedges = info.hedges,
            cost = info.cost,
        );
    }

    fn extra(&self, what: &str, attempt: u32, after: Duration) {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.hedge.{what}", self.prefix),
            attempt,
            delay_ms = ms(after),
        );
    }
}

impl Recorder<HedgeEvent> for Traces {
    fn record(&self, event: &HedgeEvent) {
        match event {
            HedgeEvent::Started => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.request.start", self.prefix),
            ),
            HedgeEvent::Fired { attempt, after } => self.extra("fired", attempt.index(), *after),
            HedgeEvent::Denied { attempt, after } => self.extra("denied", attempt.index(), *after),
            HedgeEvent::NotReady { attempt, after } => {
                self.extra("not_ready", attempt.index(), *after);
            }
            HedgeEvent::AttemptCancelled { attempt, age } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.attempt.cancelled", self.prefix),
                attempt = attempt.index(),
                age_ms = ms(*age),
            ),
            HedgeEvent::Won(info) => {
                if info.hedge_won {
                    tracing::info!(
                        target: "hedgerow::telemetry",
                        event = %format_args!("{}.hedge.won", self.prefix),
                        attempt = info.index,
                        latency_ms = ms(info.winner_latency()),
                    );
                }
                self.ended("stop", info);
            }
            HedgeEvent::Fatal(info) | HedgeEvent::AllLost(info) => self.ended("failed", info),
            HedgeEvent::Cancelled(info) => self.ended("cancelled", info),
        }
    }

    fn enabled(&self) -> bool {
        tracing::enabled!(target: "hedgerow::telemetry", tracing::Level::INFO)
    }
}

impl Recorder<CascadeEvent> for Traces {
    fn record(&self, event: &CascadeEvent) {
        match event {
            CascadeEvent::TierStarted { tier, name, after } => {
                if *tier == 0 {
                    tracing::info!(
                        target: "hedgerow::telemetry",
                        event = %format_args!("{}.request.start", self.prefix),
                    );
                }
                tracing::info!(
                    target: "hedgerow::telemetry",
                    event = %format_args!("{}.cascade.tier.start", self.prefix),
                    tier = &**name,
                    delay_ms = ms(*after),
                );
            }
            CascadeEvent::Skipped {
                name,
                after,
                reason,
                ..
            } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.cascade.tier.skipped", self.prefix),
                tier = &**name,
                delay_ms = ms(*after),
                reason = reason.word(),
            ),
            CascadeEvent::TierDone(info) => self.tier("done", info),
            CascadeEvent::TierTimedOut(info) => self.tier("timeout", info),
            CascadeEvent::TierCancelled(info) => self.tier("cancelled", info),
            CascadeEvent::Answered(info) | CascadeEvent::Best(info) => {
                self.cascade_ended("stop", info);
            }
            CascadeEvent::Fatal(info)
            | CascadeEvent::AllFailed(info)
            | CascadeEvent::TimedOut(info) => self.cascade_ended("failed", info),
            CascadeEvent::Cancelled(info) => self.cascade_ended("cancelled", info),
        }
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

fn ms(duration: Duration) -> f64 {
    // Whole microseconds: more would be the float's noise.
    duration.as_micros() as f64 / 1_000.0
}
