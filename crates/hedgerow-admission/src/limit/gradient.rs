//! The limit that follows how much longer calls take than they should.

use std::fmt;

use parking_lot::Mutex;

use crate::limit::bounds::{Bounds, Published};
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

/// Scales the limit by how much longer calls take now than in the long run.
pub struct Gradient {
    config: GradientConfig,
    published: Published,
    rounds: Mutex<Rounds>,
}

impl GradientConfig {
    /// Sets the smallest limit, at least 1. Defaults to 1.
    pub const fn min(mut self, limit: usize) -> Self {
        self.bounds.min = limit;
        self
    }

    /// Sets the limit it begins with. Defaults to 20.
    pub const fn initial(mut self, limit: usize) -> Self {
        self.bounds.initial = limit;
        self
    }

    /// Sets the largest limit, at most 1,000,000. Defaults to 1,000.
    pub const fn max(mut self, limit: usize) -> Self {
        self.bounds.max = limit;
        self
    }

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
