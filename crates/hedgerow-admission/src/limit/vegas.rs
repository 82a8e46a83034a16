//! The limit at which a few calls wait inside of the service.

use std::fmt;

use parking_lot::Mutex;

use crate::limit::bounds::{Bounds, Published, bounds_setters};
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
///
/// Of L calls that run, L × (1 − base / latency) wait for others, where the base is the latency
/// without a queue. The limit rises while fewer than alpha wait and falls while more than beta do,
/// by one or a thirty-second each round of up to 256 answers; at once, by all that is too much, if
/// calls take more than 1.5 times the base.
///
/// The one to take where a few processes share a service: each sees some of the queue of all.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{LimitPolicy, Vegas, VegasConfig};
///
/// assert_eq!(Vegas::default().limit(), 20);
///
/// // A little more throughput for somewhat longer calls.
/// let limit = Vegas::new(VegasConfig::default().alpha(0.1).beta(0.2));
/// assert_eq!(limit.limit(), 20);
/// ```
///
/// # The base
///
/// The least latency ever seen would fool it twice: a single lucky call is far below the mean, and
/// a queue of its own making that never empties becomes part of it. So latencies are geometric
/// means of a round, and the base is read from rounds in which the limit held nobody back, or from
/// one with half the limit, after 16, 32, 64 and then every 128 rounds, sooner if the latency
/// seems to have changed. That costs 1 to 3 % of the throughput. It keeps its limit for hours in a
/// service whose queue never empties, and in one that slows by 1 % a minute.
///
/// # When not to use it
///
/// Where one process owns the service, [`Elasticity`](crate::Elasticity) gets closer. Where the
/// latency rises with the load from the first call on, as where requests are computed in batches,
/// it takes that for a queue and stays too low. Where latencies differ much (cv 2) it reaches 0.90
/// of the throughput. Where more than a few processes share a service none sees its own queue any
/// more: eight keep 165 calls in 32 workers. Calls are compared with each other: give light and heavy
/// requests a limit each.
///
/// # What it reaches
///
/// As in the table of [`Elasticity`](crate::Elasticity#what-it-reaches), from 20: 0.981 (≥ 0.978)
/// at 1.021 (≤ 1.031) of the p99, while calls take twice as long 0.969 (≥ 0.965) at 1.029
/// (≤ 1.046). With the overload from the first moment it settles within 2 s from 20, 6 s from 1,
/// 3 s from 200 and 14 s from 2,000.
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
/// L. Brakmo, L. Peterson: *TCP Vegas*, 1994, as Netflix's `concurrency-limits` uses it for
/// requests. Here by rounds rather than by calls (per call it reaches 0.24 of the throughput), with
/// alpha and beta in proportion to the limit, and with rounds at half the limit for the base.
pub struct Vegas {
    config: VegasConfig,
    published: Published,
    rounds: Mutex<Rounds>,
}

impl VegasConfig {
    bounds_setters!();

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
