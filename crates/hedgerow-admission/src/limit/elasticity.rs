//! What a little more concurrency would bring, asked again and again.

mod state;

use std::fmt;

use parking_lot::Mutex;

use self::state::State;
use crate::limit::bounds::{Bounds, Published};
use crate::limit::error::LimitError;
use crate::limit::{LimitPolicy, Sample};

/// Where an [`Elasticity`] begins, between what it stays, and what it steers to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a configuration does nothing by itself"]
pub struct ElasticityConfig {
    bounds: Bounds,
    target: f64,
}

/// DOC
pub struct Elasticity {
    config: ElasticityConfig,
    published: Published,
    state: Mutex<State>,
}

impl ElasticityConfig {
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

    /// Sets the elasticity it steers to, 0.05 to 0.9: less for more throughput, more for shorter
    /// latencies. Defaults to 0.2.
    pub const fn target(mut self, elasticity: f64) -> Self {
        self.target = elasticity;
        self
    }

    fn check(self) -> Result<Self, LimitError> {
        self.bounds.check()?;
        LimitError::check("target", self.target, 0.05, 0.9, "0.05 to 0.9")?;
        Ok(self)
    }
}

/// From 20, within 1 to 1,000, to an elasticity of 0.2.
impl Default for ElasticityConfig {
    fn default() -> Self {
        Self {
            bounds: Bounds::DEFAULT,
            target: 0.2,
        }
    }
}

impl Elasticity {
    /// Begins, stays and steers as `config` says.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) returns an error.
    #[must_use]
    pub fn new(config: ElasticityConfig) -> Self {
        match Self::try_new(config) {
            Ok(policy) => policy,
            Err(error) => panic!("{error}"),
        }
    }

    /// Begins, stays and steers as `config` says.
    ///
    /// # Errors
    ///
    /// [`LimitError`] for a setting out of its range.
    pub fn try_new(config: ElasticityConfig) -> Result<Self, LimitError> {
        let config = config.check()?;
        Ok(Self {
            config,
            published: Published::new(config.bounds.initial),
            state: Mutex::new(State::new(config.bounds, config.target)),
        })
    }
}

/// With the defaults of [`ElasticityConfig`].
impl Default for Elasticity {
    fn default() -> Self {
        Self::new(ElasticityConfig::default())
    }
}

// === impl LimitPolicy ===

impl LimitPolicy for Elasticity {
    #[inline]
    fn limit(&self) -> usize {
        self.published.get()
    }

    fn observe(&self, sample: &Sample) {
        let mut state = self.state.lock();
        let limit = self.published.get();
        if let Some(next) = state.observe(sample, limit) {
            self.published.set(next);
        }
    }
}

// === impl Debug ===

impl fmt::Debug for Elasticity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elasticity")
            .field("config", &self.config)
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
