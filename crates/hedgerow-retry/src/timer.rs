//! Timers that keep their time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::Recorder;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Thirty years: no timer is set to what is further away.
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// Sets `timer` to `at`, if it is not set yet, and polls it. Without an instant it never ends.
///
/// Outside of the task's cooperative budget: an inner future that always has work to do uses that up,
/// and the timer would be told to wait for ever.
pub(crate) fn poll_until(
    mut timer: Pin<&mut Option<Sleep>>,
    at: Option<Instant>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if timer.is_none() {
        let Some(at) = at else {
            return Poll::Pending;
        };
        timer.set(Some(sleep_until(at)));
    }
    match timer.as_pin_mut() {
        Some(sleep) => pin!(unconstrained(sleep)).poll(cx),
        None => Poll::Pending,
    }
}

/// `after` from `start`, unless that is beyond all time.
pub(crate) fn instant(start: Instant, after: Duration) -> Option<Instant> {
    if after < FAR {
        start.checked_add(after)
    } else {
        None
    }
}

/// The earlier one of those that there are.
pub(crate) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Tells a recorder. One that panics loses its event and nothing else: the panic hook has reported it.
pub(crate) fn tell<E, Rec: Recorder<E>>(recorder: &Rec, event: &E) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if recorder.enabled() {
            recorder.record(event);
        }
    }));
}
