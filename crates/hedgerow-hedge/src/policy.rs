//! When to hedge: the trait, and the policies that ship.

mod fixed;
mod percentile;
mod scaled;
mod workload;
mod adaptive;
mod backoff;
mod swap;
mod keyed;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_core::{Attempt, Class, LatencyView};
use hedgerow_latency::Latency;

use crate::info::Outcome;

pub use self::adaptive::Adaptive;
pub(crate) use self::adaptive::LONGEST_ARM;
pub use self::backoff::{Backoff, BackoffConfig};
pub use self::fixed::{Fixed, Off, Parallel, Schedule};
pub(crate) use self::keyed::{DEFAULT_KEYS, MAX_KEYS};
pub use self::keyed::{KeyState, Keyed, Keys};
pub use self::percentile::Percentile;
pub use self::scaled::Scaled;
pub use self::state::Stateful;
pub use self::swap::Swap;
pub use self::workload::{Complexity, Factors, Priority, TimeOfDay, Workload};

/// Decides when an extra attempt is sent.
///
/// A policy reads no clock, spawns nothing, awaits nothing and does not panic. It stands behind
/// `&self`, so it can be shared as `Arc<dyn HedgePolicy<Req>>` and changed while running by
/// [`Swap`].
///
/// # Examples
///
/// ```
/// use hedgerow_core::{Attempt, LatencyView};
/// use hedgerow_hedge::{Delay, HedgeLayer, HedgePolicy};
/// use std::time::Duration;
///
/// /// Hedges large pages later than small ones.
/// struct BySize;
///
/// impl HedgePolicy<u32> for BySize {
///     fn delay(&self, pages: &u32, _: Attempt, _: &dyn LatencyView) -> Delay {
///         match *pages {
///             0 => Delay::Never,
///             pages => Delay::After(Duration::from_millis(20) * pages),
///         }
///     }
/// }
///
/// let layer = HedgeLayer::new(BySize).clone_requests();
/// # let _ = layer;
/// ```
pub trait HedgePolicy<Req>: Send + Sync {
    /// When `attempt` (1 for the first extra one) is to be sent, counted from the call's start.
    ///
    /// Asked when its turn comes: for the first one when the primary was pending for the first
    /// time, for a further one when the one before was sent. `request` is the copy that would be
    /// sent, `latency` what this layer knows of the latency of primaries.
    fn delay(&self, request: &Req, attempt: Attempt, latency: &dyn LatencyView) -> Delay;

    /// What it means to the next extra attempt that one in flight has lost. Defaults to
    /// [`Follow::Alone`].
    ///
    /// Asked for each one that lost while the call goes on, with what it was worth. What is sent by this
    /// is paid like any other copy, and never after a [`Class::NoMore`].
    #[inline]
    fn follow(&self, class: Class) -> Follow {
        let _ = class;
        Follow::Alone
    }

    /// Is told how each attempt ended. Defaults to nothing.
    #[inline]
    fn observe(&self, sample: &Sample) {
        let _ = sample;
    }

    /// The state of this request's key, if each key has one of its own ([`Keyed`]). Defaults to
    /// none: all requests share the layer's.
    ///
    /// Asked once per call. Delays, histogram and observations of the call are then the key's.
    #[inline]
    fn key_state(&self, request: &Req) -> Option<Arc<dyn KeyState<Req>>> {
        let _ = request;
        None
    }

    /// What this policy is called in [`WinnerInfo::strategy`](crate::WinnerInfo::strategy) and in
    /// traces. Defaults to `custom`.
    fn name(&self) -> &'static str {
        "custom"
    }
}

/// When an extra attempt is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// When the call is this old, counted from its start; zero means at once.
    ///
    /// If everything in flight has failed before, it is sent at once as well. The timer has a grain
    /// of one millisecond and rounds up.
    After(Duration),
    /// This long after the attempt before it was granted; for the first one as [`After`](Self::After).
    ///
    /// A copy that was sent ahead of its time, because another attempt had failed, brings the following
    /// ones forward as well.
    AfterLast(Duration),
    /// Not at all, not even when everything in flight has failed.
    Never,
}

/// When the next extra attempt is sent once another one has lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// In its time; at once if nothing else is in flight, and nothing that was lost asks to wait
    /// ([`Class::Retryable`] with a wait). The default.
    #[default]
    Alone,
    /// This long after the loss, whatever else is in flight: zero sends it at once.
    After(Duration),
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// When it ended.
    pub now: Instant,
    /// Which attempt it was.
    pub attempt: Attempt,
    /// How long it ran, from its own start.
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether its call ended with it.
    pub call: CallEnd,
}

/// What the end of an attempt means to its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallEnd {
    /// Nothing: the call goes on, was ended by another attempt, or was left by its caller.
    #[default]
    None,
    /// It ended the call, in which nothing else was sent.
    Alone,
    /// It ended the call, in which an extra attempt was sent: this one, or one of the others.
    Hedged,
}

impl Sample {
    /// An attempt that ended at `now`, and did not end its call: for tests of a policy of one's own.
    #[must_use]
    pub const fn new(now: Instant, attempt: Attempt, elapsed: Duration, outcome: Outcome) -> Self {
        Self {
            now,
            attempt,
            elapsed,
            outcome,
            call: CallEnd::None,
        }
    }

    /// The same attempt, with what its end meant to the call.
    ///
    /// Exactly one sample of a call says that it ended it, unless the caller left: that of the winner,
    /// of the one whose result was final, or of the last one to lose.
    #[must_use]
    pub const fn ending(self, call: CallEnd) -> Self {
        Self { call, ..self }
    }

    /// Books the latency, if this says anything about it.
    #[inline]
    pub(crate) fn record_into(&self, latency: &Latency) {
        if self.won() || self.censored() {
            latency.record_attempt(self.now, self.attempt, self.elapsed, self.won());
        }
    }

    /// Whether the latency is only known to be longer than `elapsed`.
    #[must_use]
    pub const fn censored(&self) -> bool {
        self.outcome.is_censored()
    }

    /// Whether this attempt's answer became the call's.
    #[must_use]
    pub const fn won(&self) -> bool {
        matches!(self.outcome, Outcome::Won)
    }
}

impl<Req, P: HedgePolicy<Req> + ?Sized> HedgePolicy<Req> for Arc<P> {
    fn delay(&self, request: &Req, attempt: Attempt, latency: &dyn LatencyView) -> Delay {
        (**self).delay(request, attempt, latency)
    }

    fn follow(&self, class: Class) -> Follow {
        (**self).follow(class)
    }

    fn observe(&self, sample: &Sample) {
        (**self).observe(sample);
    }

    fn key_state(&self, request: &Req) -> Option<Arc<dyn KeyState<Req>>> {
        (**self).key_state(request)
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}
