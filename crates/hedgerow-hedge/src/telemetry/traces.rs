//! One `tracing` event per event of the layer.

use std::time::Duration;

use hedgerow_core::Recorder;

use super::{PREFIX, checked};
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

impl Default for Traces {
    fn default() -> Self {
        Self::new()
    }
}

fn ms(duration: Duration) -> f64 {
    // Whole microseconds: more would be the float's noise.
    duration.as_micros() as f64 / 1_000.0
}
