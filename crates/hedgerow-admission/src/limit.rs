//! How many calls may run at once.

mod bounds;
mod error;
mod dynamic;
mod health;
mod aimd;
mod rounds;
mod vegas;
mod gradient;
mod elasticity;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::aimd::{Aimd, AimdConfig};
pub use self::dynamic::Dynamic;
pub use self::elasticity::{Elasticity, ElasticityConfig};
pub use self::error::LimitError;
pub use self::gradient::{Gradient, GradientConfig};
pub use self::vegas::{Vegas, VegasConfig};

/// Decides how many calls may run at once.
///
/// Asked at every admission, told of every end. It reads no clock, spawns nothing and awaits nothing;
/// a new limit is noticed when a call comes or ends, or by [`Gate::refresh`](crate::Gate::refresh), and then holds
/// for those who wait too. Behind an `Arc` it is shared.
///
/// A limit of 0 lets nobody start; after it rises with nothing running, call `refresh`.
///
/// # Which one
///
/// | what is known of the service | policy |
/// | --- | --- |
/// | how many calls it can take | [`Fixed`] |
/// | somebody else decides | [`Dynamic`] |
/// | one process calls it | [`Elasticity`] |
/// | a few processes call it | [`Vegas`], or [`Gradient`] where a longer queue may stand |
/// | it refuses what is too much, or a latency is set; any number of processes | [`Aimd`] |
///
/// Those that learn never take an end that was no answer for a low latency, fall where a service
/// times out, and move only while the limit holds calls back.
pub trait LimitPolicy: Send + Sync {
    /// The limit now. Cheap: it is asked at every admission and at every end, outside of the queue's lock.
    fn limit(&self) -> usize;

    /// A call has ended. Called outside of the queue's lock, once for every call that started.
    fn observe(&self, sample: &Sample) {
        let _ = sample;
    }

    /// Whether [`observe`](Self::observe) wants to be called: a limit that learns nothing saves the
    /// clock reads.
    fn learns(&self) -> bool {
        true
    }
}

/// A call that has ended, as a [`LimitPolicy`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// When it ended.
    pub now: Instant,
    /// How long it ran, without its wait in the queue.
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// How many calls were running when it ended, itself included.
    pub in_flight: usize,
    /// How many calls waited for a place when it ended.
    pub queued: usize,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// An answer: its time is a latency.
    Answered,
    /// An error that says nothing about load.
    Failed,
    /// The service said that it cannot take more now, or broke off.
    Refused,
    /// It took too long, by the judge's word: its latency is at least its age.
    TimedOut,
    /// Dropped by its caller, who may have had a timeout: its latency is at least its age.
    Cancelled,
}

/// The same limit always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(usize);

impl Fixed {
    /// At most `limit` calls at once.
    #[must_use]
    pub const fn new(limit: NonZeroUsize) -> Self {
        Self(limit.get())
    }
}

impl Sample {
    /// A sample as the layer makes it, for tests of policies.
    #[must_use]
    pub const fn new(
        now: Instant,
        elapsed: Duration,
        outcome: Outcome,
        in_flight: usize,
        queued: usize,
    ) -> Self {
        Self {
            now,
            elapsed,
            outcome,
            in_flight,
            queued,
        }
    }
}

// === impl LimitPolicy ===

impl LimitPolicy for Fixed {
    #[inline]
    fn limit(&self) -> usize {
        self.0
    }

    #[inline]
    fn learns(&self) -> bool {
        false
    }
}

impl<T: LimitPolicy + ?Sized> LimitPolicy for Box<T> {
    #[inline]
    fn limit(&self) -> usize {
        (**self).limit()
    }

    #[inline]
    fn observe(&self, sample: &Sample) {
        (**self).observe(sample);
    }

    #[inline]
    fn learns(&self) -> bool {
        (**self).learns()
    }
}

impl<T: LimitPolicy + ?Sized> LimitPolicy for Arc<T> {
    #[inline]
    fn limit(&self) -> usize {
        (**self).limit()
    }

    #[inline]
    fn observe(&self, sample: &Sample) {
        (**self).observe(sample);
    }

    #[inline]
    fn learns(&self) -> bool {
        (**self).learns()
    }
}
