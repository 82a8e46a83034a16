//! What a little more concurrency would bring, asked again and again.

mod state;

use std::fmt;

use parking_lot::Mutex;

use self::state::State;
use crate::limit::bounds::{Bounds, Published, bounds_setters};
use crate::limit::error::LimitError;
use crate::limit::{LimitPolicy, Sample};

/// Where an [`Elasticity`] begins, between what it stays, and what it steers to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a configuration does nothing by itself"]
pub struct ElasticityConfig {
    bounds: Bounds,
    target: f64,
}

/// Tries a little less and a little more concurrency in turn, and goes where the throughput still
/// answers.
///
/// The one to take where one process owns the service, or nearly. It asks the question that a limit
/// is about: how much more gets done with 1 % more calls at once? That is the elasticity of the
/// throughput. It is 1 while workers are idle and 0 once calls only wait for each other. The limit
/// is steered to where it is 0.2, just above the number of workers, without knowing that number, or
/// how long calls take without a queue: there is no least latency that could be wrong.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Elasticity, ElasticityConfig, LimitPolicy};
///
/// let limit = Elasticity::default();
/// assert_eq!(limit.limit(), 20);
///
/// let limit = Elasticity::new(ElasticityConfig::default().initial(64).max(512));
/// assert_eq!(limit.limit(), 64);
/// ```
///
/// # When not to use it
///
/// * **Where several processes share a service.** A part of what each wins by a higher limit is
///   taken from the others, so all push. Calls that take more than 2.5 times as long as they once
///   did must bring more (the target rises to 0.8 at eight times): that holds two who share 32
///   workers at 127 calls in all, but four pass 900. [`Vegas`](crate::Vegas) keeps two at 34 and
///   four at 54. Or set [`max`](ElasticityConfig::max).
/// * For a handful of workers: of 1, 2 and 3 each is far from the next, and it tries them in turn.
///   Take [`Fixed`](crate::Fixed).
/// * Where few calls end: a step needs some hundred answers.
///
/// # How it moves
///
/// A trial holds a low limit, a high one twice, and the low one again, so that a steady drift
/// cancels out, each until enough calls were answered: at first 35 % off the middle, 4 % once it
/// has arrived. How many are enough follows from how much equal parts differ. Calls that began
/// under another limit do not count. A trial in which equal parts differ too much met a change of
/// the service and is void. Where many small trials point the same way the next one is wider.
///
/// It moves only while the limit holds calls back at least four fifths of the time (calls wait, or
/// nine tenths of the places are taken; at a limit of 1, calls wait). Light load, idle time and
/// bursts leave it alone, and a limit that is too high then stays so until it matters.
///
/// Failures, and callers who leave early, are not counted at all. Where a tenth of the calls times
/// out, 2 % are refused, or more callers give up than are answered, the limit falls by a fifth (to
/// the low limit, if the high one was being tried), once for all the calls that were running.
///
/// # What it reaches
///
/// 32 workers behind one FIFO, 10 ms a call (lognormal, cv 0.5), 1.5 times as many calls as they
/// can take for 40 s, then 40 s in which calls take twice as long; shares of the best fixed limit's
/// throughput and p99, each phase from its first moment on, means of 24 seeds with the worst:
///
/// | from | throughput | p99 | settled after | slower: throughput | p99 |
/// | --- | --- | --- | --- | --- | --- |
/// | 20 | 0.989 (≥ 0.982) | 1.018 (≤ 1.027) | 1 s | 0.991 (≥ 0.983) | 1.020 (≤ 1.031) |
/// | 200 | 0.992 (≥ 0.986) | 2.4 | 2 s | 0.991 (≥ 0.982) | 1.020 (≤ 1.036) |
/// | 2,000 | 0.995 (≥ 0.990) | 33 | 16 s | 0.991 (≥ 0.984) | 1.018 (≤ 1.035) |
///
/// From a limit of 1, with the overload from the first moment, it settles within 8 s. Of 300 seeds
/// from 20 all but one have at least 0.98 and at most 1.05 in both phases (that one: 1.052). From
/// `tests/it/limits/reach.rs`; the table by `HEDGEROW_TABLE=1 cargo test -p hedgerow-admission
/// --release --test it what_they_reach -- --nocapture`.
///
/// # Cost
///
/// To ask is one atomic load. An end takes one short lock and some 370 instructions, a logarithm
/// among them. No allocation; the state has a fixed size.
///
/// # Source
///
/// The trial is the A-B-B-A design of field experiments, the goal an elasticity as economists
/// have it; throughput as what a limit is tuned by is hill climbing as in the .NET thread pool.
pub struct Elasticity {
    config: ElasticityConfig,
    published: Published,
    state: Mutex<State>,
}

impl ElasticityConfig {
    bounds_setters!();

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
