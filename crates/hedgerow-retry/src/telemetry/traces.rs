//! One `tracing` event per event of a layer.

use std::time::Duration;

use hedgerow_core::{Recorder, or_panic};

use super::{PREFIX, checked, outcome_word, reason_word};
use crate::error::RetryBuildError;
use crate::event::{RetryEvent, TimeoutEvent};
use crate::info::{RetryInfo, TryInfo};

/// Tells `tracing` every event, at the level info, under the target `hedgerow::telemetry`.
///
/// The field `event` holds the name, its prefix and then one of:
///
/// | name | when | fields |
/// | --- | --- | --- |
/// | `request.start` | a call came in and its first try was sent | |
/// | `request.stop` | it was answered | `duration_ms`, `tries` |
/// | `request.failed` | it got no accepted answer | `duration_ms`, `tries`, `reason` |
/// | `request.cancelled` | its caller left | `duration_ms`, `tries` |
/// | `try.ended` | a try ended | `try`, `outcome`, `duration_ms` |
/// | `retry.planned` | a retry is to be sent after a wait | `retry`, `wait_ms`, `pushback` |
/// | `retry.sent` | it was sent | `retry`, `after_ms` |
/// | `retry.denied` | a try failed, and no other follows | `retry`, `reason` |
/// | `timeout` | a [`TimeoutLayer`](crate::TimeoutLayer) dropped a request | `after_ms` |
/// | `deadline` | the deadline of a [`DeadlineLayer`](crate::DeadlineLayer) had passed | `after_ms`, `overdue_ms`, `sent` |
///
/// # Examples
///
/// ```
/// use hedgerow_retry::{RetryLayer, telemetry::Traces};
///
/// let layer = RetryLayer::exponential().recorder(Traces::new().prefix("search"));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct Traces {
    prefix: std::sync::Arc<str>,
}

impl Traces {
    /// Names begin with `hedgerow_retry`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: PREFIX.into(),
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
        self.prefix = checked(prefix.into())?.into();
        Ok(self)
    }

    fn ended(&self, how: &str, info: &RetryInfo, reason: Option<&str>) {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.request.{how}", self.prefix),
            duration_ms = ms(info.elapsed),
            tries = info.tries.len(),
            reason,
        );
    }

    fn try_ended(&self, ended: &TryInfo) {
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.try.ended", self.prefix),
            r#try = ended.index,
            outcome = outcome_word(ended.outcome),
            duration_ms = ms(ended.elapsed),
        );
    }
}

impl Recorder<RetryEvent> for Traces {
    fn record(&self, event: &RetryEvent) {
        match event {
            RetryEvent::Started => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.request.start", self.prefix),
            ),
            RetryEvent::TryEnded(ended) => self.try_ended(ended),
            RetryEvent::Planned {
                retry,
                wait,
                pushback,
            } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.retry.planned", self.prefix),
                retry,
                wait_ms = ms(*wait),
                pushback,
            ),
            RetryEvent::Sent { retry, after } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.retry.sent", self.prefix),
                retry,
                after_ms = ms(*after),
            ),
            RetryEvent::Denied { retry, reason } => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.retry.denied", self.prefix),
                retry,
                reason = reason_word(*reason),
            ),
            RetryEvent::Succeeded(info) => self.ended("stop", info, None),
            RetryEvent::Failed(exhausted) => {
                let reason = reason_word(exhausted.reason);
                self.ended("failed", &exhausted.info, Some(reason));
            }
            RetryEvent::Cancelled(info) => {
                if let Some(last) = info.unfinished() {
                    self.try_ended(last);
                }
                self.ended("cancelled", info, None);
            }
        }
    }

    fn enabled(&self) -> bool {
        tracing::enabled!(target: "hedgerow::telemetry", tracing::Level::INFO)
    }
}

impl Recorder<TimeoutEvent> for Traces {
    fn record(&self, event: &TimeoutEvent) {
        match event {
            TimeoutEvent::TimedOut(timed_out) => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.timeout", self.prefix),
                after_ms = ms(timed_out.after),
            ),
            TimeoutEvent::DeadlineExceeded(exceeded) => tracing::info!(
                target: "hedgerow::telemetry",
                event = %format_args!("{}.deadline", self.prefix),
                after_ms = ms(exceeded.after),
                overdue_ms = ms(exceeded.overdue),
                sent = exceeded.sent,
            ),
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
