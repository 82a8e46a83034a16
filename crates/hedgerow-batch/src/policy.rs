//! When a batch is sent.

mod linger;
mod idle;
mod adaptive;

use std::sync::Arc;
use std::time::Duration;

pub use self::adaptive::Adaptive;
pub use self::idle::Idle;
pub use self::linger::Linger;

use crate::event::Reason;

/// Decides whether what waits is sent now.
///
/// The layer sends without asking what is full, what is heavy, what a deadline presses, and everything
/// when it is flushed or drained. For the rest it asks: when the first item comes into an empty queue,
/// when as many items wait as the last answer named, when the time that it named is over, when a part of
/// the queue was sent, and when nothing of the partition is in flight any more. A policy that panics is taken to say
/// "send".
///
/// Functions are policies: `|waiting: &Waiting| ...`.
///
/// # Examples
///
/// ```
/// use hedgerow_batch::{BatchLayer, Decision, Reason, Waiting};
/// use std::time::Duration;
///
/// // Pairs, or whoever is alone for 2 ms.
/// fn pairs(waiting: &Waiting) -> Decision {
///     let patience = Duration::from_millis(2);
///     if waiting.count >= 2 || waiting.age >= patience {
///         return Decision::Send(Reason::Policy);
///     }
///     Decision::wait().for_count(2).at_most(patience - waiting.age)
/// }
/// let layer: BatchLayer<u64, u64> = BatchLayer::new(pairs);
/// # let _ = layer;
/// ```
pub trait BatchPolicy: Send + Sync {
    /// Whether to send now what waits in one partition.
    fn decide(&self, waiting: &Waiting) -> Decision;

    /// Is told how a batch went.
    fn observe(&self, flown: &Flown) {
        let _ = flown;
    }

    /// A name for `Debug` and telemetry.
    fn name(&self) -> &'static str {
        "custom"
    }
}

/// What waits in one partition, at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Waiting {
    /// How many items; never zero.
    pub count: usize,
    /// The sum of their weights; their number, if no weight was set.
    pub weight: u64,
    /// How long the oldest one has waited.
    pub age: Duration,
    /// How long all of them have waited, added up.
    pub waited: Duration,
    /// The mean time between the partition's last 32 items, waiting or sent; `None` for its first one.
    pub gap: Option<Duration>,
    /// How long ago the last one came.
    pub quiet: Duration,
    /// How many batches of the partition are in flight.
    pub in_flight: usize,
    /// How many items a batch may have.
    pub max_size: usize,
}

impl Waiting {
    /// `count` items of weight 1 that have just come, nothing in flight: to be filled in by tests of
    /// policies.
    #[must_use]
    pub const fn new(count: usize) -> Self {
        Self {
            count,
            weight: count as u64,
            age: Duration::ZERO,
            waited: Duration::ZERO,
            gap: None,
            quiet: Duration::ZERO,
            in_flight: 0,
            max_size: usize::MAX,
        }
    }
}

/// What a policy answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send now, for this reason.
    Send(Reason),
    /// Wait, and ask again.
    Wait(Until),
}

/// When a policy wants to be asked again: whatever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Until {
    /// After this time, rounded up to whole milliseconds by the timer.
    pub after: Option<Duration>,
    /// When so many items wait.
    pub count: Option<usize>,
}

impl Decision {
    /// Wait until the batch is full or nothing of the partition is in flight any more.
    #[must_use]
    pub const fn wait() -> Self {
        Self::Wait(Until {
            after: None,
            count: None,
        })
    }

    /// The same, but at most so long.
    #[must_use]
    pub const fn at_most(self, after: Duration) -> Self {
        match self {
            Self::Wait(until) => Self::Wait(Until {
                after: Some(after),
                ..until
            }),
            Self::Send(_) => self,
        }
    }

    /// The same, but at most until so many items wait.
    #[must_use]
    pub const fn for_count(self, count: usize) -> Self {
        match self {
            Self::Wait(until) => Self::Wait(Until {
                count: Some(count),
                ..until
            }),
            Self::Send(_) => self,
        }
    }
}

/// A batch whose future has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Flown {
    /// Its items, twins not counted.
    pub size: usize,
    /// The sum of their weights.
    pub weight: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it ended well: what failed says nothing of how long batches take.
    pub done: bool,
}

impl Flown {
    /// A batch that ended well, each item of weight 1: for tests of policies.
    #[must_use]
    pub const fn new(size: usize, elapsed: Duration) -> Self {
        Self {
            size,
            weight: size as u64,
            elapsed,
            done: true,
        }
    }
}

// === impl BatchPolicy ===

impl<F> BatchPolicy for F
where
    F: Fn(&Waiting) -> Decision + Send + Sync,
{
    fn decide(&self, waiting: &Waiting) -> Decision {
        self(waiting)
    }
}

impl<P: BatchPolicy + ?Sized> BatchPolicy for Arc<P> {
    fn decide(&self, waiting: &Waiting) -> Decision {
        (**self).decide(waiting)
    }

    fn observe(&self, flown: &Flown) {
        (**self).observe(flown);
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}
