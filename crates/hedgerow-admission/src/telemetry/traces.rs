//! One `tracing` event per event of a gate.

use std::time::Duration;

use hedgerow_core::Recorder;

use super::{PREFIX, checked, class, outcome};
use crate::error::BuildError;
use crate::event::{AdmissionEvent, Happened};

/// Tells `tracing` every event of a gate, at the level info, under the target `hedgerow::telemetry`.
///
/// The field `event` holds the name, its prefix and then one of:
///
/// | name | when | fields of its own |
/// | --- | --- | --- |
/// | `admission.queued` | a request has to wait | |
/// | `admission.started` | it got its place | `wait_ms` |
/// | `admission.finished` | it gave its place back | `wait_ms`, `active_ms`, `outcome` |
/// | `admission.aborted_waiting` | its caller left the queue | `wait_ms` |
/// | `admission.shed` | it was refused | `wait_ms`, `reason` |
///
/// All have `id`, `class` (the priority), `cost`, `active`, `queued`, and where there is one `label`,
/// `key` and `limit`: figures after the event.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Gate, telemetry::Traces};
///
/// let traces = Traces::new().prefix("search");
/// let gate = Gate::builder().concurrency(8).recorder(traces).build();
/// # let _ = gate;
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
}

impl Recorder<AdmissionEvent> for Traces {
    fn record(&self, event: &AdmissionEvent) {
        let (name, end, reason) = match event.what {
            Happened::Queued => ("queued", None, None),
            Happened::Started => ("started", None, None),
            Happened::Finished(how) => ("finished", Some(outcome(how)), None),
            Happened::AbortedWaiting => ("aborted_waiting", None, None),
            Happened::Shed(reason) => ("shed", None, Some(reason.as_str())),
        };
        let waited = (event.what != Happened::Queued).then(|| ms(event.waited));
        let ran = end.map(|_| ms(event.ran));
        tracing::info!(
            target: "hedgerow::telemetry",
            event = %format_args!("{}.admission.{name}", self.prefix),
            id = event.id,
            label = event.label.as_ref().map(tracing::field::display),
            key = event.key.as_ref().map(tracing::field::display),
            class = class(event.priority),
            cost = event.cost,
            active = event.active,
            queued = event.queued,
            limit = event.limit,
            wait_ms = waited,
            active_ms = ran,
            outcome = end,
            reason,
        );
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
