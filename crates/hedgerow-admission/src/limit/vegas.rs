//! The limit at which a few calls wait inside of the service.

use std::fmt;

use parking_lot::Mutex;

use crate::limit::bounds::{Bounds, Published};
use crate::limit::error::LimitError;
use crate::limit::rounds::{FAR, Rounds};
use crate::limit::{LimitPolicy, Sample};

/// Where a [`Vegas`] begins, between what it stays, and what queue it keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a configuration does nothing by itself"]
pub struct VegasConfig {
    bounds: Bounds,
    alpha: f64,
    beta: f64,
}

/// Keeps a short queue inside of the service: a few of the calls that run wait there.
pub struct Vegas {
    config: VegasConfig,
    published: Published,
    rounds: Mutex<Rounds>,
}

impl VegasConfig {
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

    /// Sets the share of the running calls that may wait in the service before the limit stops
    /// rising, 0.01 to 0.5. At least one call. Defaults to 0.05.
    pub const fn alpha(mut self, share: f64) -> Self {
        self.alpha = share;
        self
    }

    /// Sets the share of the running calls that may wait in the service before the limit falls,
    /// from alpha to 0.5. At least two calls. Defaults to 0.1.
    pub const fn beta(mut self, share: f64) -> Self {
        self.beta = share;
        self
    }

    fn check(self) -> Result<Self, LimitError> {
        self.bounds.check()?;
        LimitError::check("alpha", self.alpha, 0.01, 0.5, "0.01 to 0.5")?;
        LimitError::check("beta", self.beta, self.alpha, 0.5, "alpha to 0.5")?;
        Ok(self)
    }

    fn step(&self, limit: f64, ratio: f64) -> f64 {
        let queue = limit * (1.0 - 1.0 / ratio);
        let alpha = (self.alpha * limit).max(1.0);
        let beta = (self.beta * limit).max(2.0);
        let pace = (limit / 32.0).max(1.0);
        if queue < alpha {
            limit + pace
        } else if queue <= beta {
            limit
        } else if ratio < FAR {
            limit - pace
        } else {
            (limit - queue + beta).max(limit / 2.0)
        }
    }
}

/// From 20, within 1 to 1,000, with 5 to 10 % of the calls in the queue.
impl Default for VegasConfig {
    fn default() -> Self {
        Self {
            bounds: Bounds::DEFAULT,
            alpha: 0.05,
            beta: 0.1,
        }
    }
}

impl Vegas {
    /// Begins, stays and moves as `config` says.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) returns an error.
    #[must_use]
    pub fn new(config: VegasConfig) -> Self {
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
    pub fn try_new(config: VegasConfig) -> Result<Self, LimitError> {
        let config = config.check()?;
        Ok(Self {
            config,
            published: Published::new(config.bounds.initial),
            rounds: Mutex::new(Rounds::new(config.bounds)),
        })
    }
}

/// With the defaults of [`VegasConfig`].
impl Default for Vegas {
    fn default() -> Self {
        Self::new(VegasConfig::default())
    }
}

// === impl LimitPolicy ===

impl LimitPolicy for Vegas {
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

impl fmt::Debug for Vegas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vegas")
            .field("config", &self.config)
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
