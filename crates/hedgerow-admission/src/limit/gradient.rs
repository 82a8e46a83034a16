//! The limit that follows how much longer calls take than they should.

use std::fmt;

use parking_lot::Mutex;

use crate::limit::bounds::{Bounds, Published, bounds_setters};
use crate::limit::error::LimitError;
use crate::limit::rounds::{FAR, Rounds};
use crate::limit::{LimitPolicy, Sample};

/// Where a [`Gradient`] begins, between what it stays, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a configuration does nothing by itself"]
pub struct GradientConfig {
    bounds: Bounds,
    tolerance: f64,
    queue: f64,
    smoothing: f64,
}

/// Scales the limit by how much longer calls take now than without a queue.
///
/// Each round of up to 256 answers makes the limit L × gradient + queue, where the gradient is
/// tolerance × base / latency, within 0.5 and 1. The steps are smoothed, unless calls take more than
/// 1.5 times the base. It is gentler than [`Vegas`](crate::Vegas), and lets a longer queue stand: a
/// higher tolerance spares a service whose latency rises a little with the load before it is full.
///
/// The base is found as [`Vegas`](crate::Vegas#the-base) finds it.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Gradient, GradientConfig, LimitPolicy};
///
/// assert_eq!(Gradient::default().limit(), 20);
///
/// let limit = Gradient::new(GradientConfig::default().tolerance(1.5).initial(100));
/// assert_eq!(limit.limit(), 100);
/// ```
///
/// # When not to use it
///
/// As for [`Vegas`](crate::Vegas#when-not-to-use-it): it sees still less of the queue of others
/// (two who share 32 workers keep 46 calls in them, four 141, eight 375). It needs half a minute to
/// rise from 20 to a thousand, [`Elasticity`](crate::Elasticity) two seconds.
///
/// # What it reaches
///
/// As in the table of [`Elasticity`](crate::Elasticity#what-it-reaches), from 20: 0.983 (≥ 0.978)
/// at 1.050 (≤ 1.058) of the p99, while calls take twice as long 0.974 (≥ 0.970) at 1.058
/// (≤ 1.072). With the overload from the first moment it settles within 2 s from 20, 6 s from 1,
/// 3 s from 200 and 10 s from 2,000.
///
/// It moves only while the limit holds calls back, and falls by a fifth where the service is late
/// or refuses: as [`Elasticity`](crate::Elasticity#how-it-moves).
///
/// # Cost
///
/// To ask is one atomic load. An end takes one short lock and some 260 instructions, a logarithm
/// among them. No allocation; the state has a fixed size.
///
/// # Source
///
/// Gradient2 of Netflix's `concurrency-limits`. There the long-term latency is a mean of all
/// latencies, which learns the queue as well; here only rounds without one, or with half the limit,
/// count for it. Its tolerance of 1.5 reached 0.998 and 0.959 of the throughput at 1.17 and 0.97 of
/// the p99; here 1.05 is the default.
pub struct Gradient {
    config: GradientConfig,
    published: Published,
    rounds: Mutex<Rounds>,
}

impl GradientConfig {
    bounds_setters!();

    /// Sets how many times the long-term latency is put up with, 1 to 4. Defaults to 1.05.
    pub const fn tolerance(mut self, ratio: f64) -> Self {
        self.tolerance = ratio;
        self
    }

    /// Sets how many calls the limit rises by while all is well, before smoothing, 1 to 1,000; as
    /// many will wait in the service. Defaults to 4.
    pub const fn queue(mut self, calls: f64) -> Self {
        self.queue = calls;
        self
    }

    /// Sets the weight of a round's limit in the next one, 0.01 to 1. Defaults to 0.2.
    pub const fn smoothing(mut self, weight: f64) -> Self {
        self.smoothing = weight;
        self
    }

    fn check(self) -> Result<Self, LimitError> {
        self.bounds.check()?;
        LimitError::check("tolerance", self.tolerance, 1.0, 4.0, "1 to 4")?;
        LimitError::check("queue", self.queue, 1.0, 1_000.0, "1 to 1,000")?;
        LimitError::check("smoothing", self.smoothing, 0.01, 1.0, "0.01 to 1")?;
        Ok(self)
    }

    /// The next limit, smoothed unless it is far off.
    fn step(&self, limit: f64, ratio: f64) -> f64 {
        let gradient = (self.tolerance / ratio).clamp(0.5, 1.0);
        let next = limit * gradient + self.queue;
        if ratio > FAR {
            return next;
        }
        limit + self.smoothing * (next - limit)
    }
}

/// From 20, within 1 to 1,000; tolerance 1.05, queue 4, smoothing 0.2.
impl Default for GradientConfig {
    fn default() -> Self {
        Self {
            bounds: Bounds::DEFAULT,
            tolerance: 1.05,
            queue: 4.0,
            smoothing: 0.2,
        }
    }
}

impl Gradient {
    /// Begins, stays and moves as `config` says.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) returns an error.
    #[must_use]
    pub fn new(config: GradientConfig) -> Self {
        match Self::try_new(config) {
            Ok(policy) => policy,
            Err(error) => panic!("{error}"),
        }
    }

    /// Begins, stays and moves as `config` says.
    ///
    /// # Errors
    ///
    /// [`LimitError`] for a setting out of its range.
    pub fn try_new(config: GradientConfig) -> Result<Self, LimitError> {
        let config = config.check()?;
        Ok(Self {
            config,
            published: Published::new(config.bounds.initial),
            rounds: Mutex::new(Rounds::new(config.bounds)),
        })
    }
}

/// With the defaults of [`GradientConfig`].
impl Default for Gradient {
    fn default() -> Self {
        Self::new(GradientConfig::default())
    }
}

// === impl LimitPolicy ===

impl LimitPolicy for Gradient {
    #[inline]
    fn limit(&self) -> usize {
        self.published.get()
    }

    fn observe(&self, sample: &Sample) {
        let step = |limit, ratio| self.config.step(limit, ratio);
        self.rounds.lock().observe(sample, &self.published, step);
    }
}

// === impl Debug ===

impl fmt::Debug for Gradient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gradient")
            .field("config", &self.config)
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
