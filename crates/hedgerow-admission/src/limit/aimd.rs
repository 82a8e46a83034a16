//! Up by one while all is well, down by a share when it is not.

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;

use crate::limit::bounds::{Bounds, Published, bounds_setters};
use crate::limit::error::LimitError;
use crate::limit::health::{Health, is_bound, ln_nanos};
use crate::limit::{LimitPolicy, Outcome, Sample};

const DAY: Duration = Duration::from_secs(86_400);

/// Where an [`Aimd`] begins, between what it stays, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a configuration does nothing by itself"]
pub struct AimdConfig {
    bounds: Bounds,
    backoff: f64,
    slow_after: Option<Duration>,
    tolerate: f64,
}

/// Lets one call more run for each round without trouble, and a tenth less when there is some.
///
/// A round is as many answers as calls may run. It counts if the limit held calls back. Trouble is
/// a refusal; or more than 5 % of calls that timed out, or took longer than
/// [`slow_after`](AimdConfig::slow_after), the cancelled ones included; or more callers who gave up,
/// after twice the typical latency, than answers. The limit falls once for all the calls that were
/// running when it fell.
///
/// The one to take where the service says by itself that it has enough (503, 429), or where a
/// latency is known that calls must not exceed, and where many processes share a service: all that
/// share a service come to the same limit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use hedgerow_admission::{Aimd, AimdConfig, LimitPolicy};
///
/// assert_eq!(Aimd::default().limit(), 20);
///
/// // As many as keep 95 % of the calls below 200 ms.
/// let limit = Aimd::new(AimdConfig::default().slow_after(Duration::from_millis(200)));
/// assert_eq!(limit.limit(), 20);
/// ```
///
/// # When not to use it
///
/// Where the service queues and refuses nobody, and no latency is set, nothing ever stops it
/// but callers who give up. With one set it keeps calls just below that latency, whether or not
/// more get done that way. It rises at load peaks and does not come down by itself.
///
/// # What it reaches
///
/// As in the table of [`Elasticity`](crate::Elasticity#what-it-reaches), with 40 ms set: all of the
/// throughput at 1.66 of the p99; while calls take twice as long 0.989 (≥ 0.978) at 1.05. A
/// service that refuses the 51st call it keeps at 48.
///
/// # Cost
///
/// To ask is one atomic load. An end takes one short lock and some 250 instructions, a logarithm
/// among them. No allocation; the state has a fixed size.
///
/// # Source
///
/// D. Chiu, R. Jain: *Analysis of the Increase and Decrease Algorithms for Congestion Avoidance*,
/// 1989, by which TCP shares a line. Here a share of late calls is tolerated, or the usual few
/// would hold it down.
pub struct Aimd {
    config: AimdConfig,
    published: Published,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    health: Health,
    ends: usize,
    bound: usize,
}

impl AimdConfig {
    bounds_setters!();

    /// Sets what remains of the limit when it falls, 0.1 to 0.99. Defaults to 0.9.
    pub const fn backoff(mut self, share: f64) -> Self {
        self.backoff = share;
        self
    }

    /// Sets after how long an answer is too slow, at most a day. Defaults to never: then only
    /// refusals, timeouts and callers who gave up count.
    pub const fn slow_after(mut self, time: Duration) -> Self {
        self.slow_after = Some(time);
        self
    }

    /// Sets the share of calls that may be slow, timed out or given up before the limit falls, 0
    /// to 0.5. Defaults to 0.05. A refusal is never tolerated.
    pub const fn tolerate(mut self, share: f64) -> Self {
        self.tolerate = share;
        self
    }

    fn check(self) -> Result<Self, LimitError> {
        self.bounds.check()?;
        LimitError::check("backoff", self.backoff, 0.1, 0.99, "0.1 to 0.99")?;
        LimitError::check("tolerate", self.tolerate, 0.0, 0.5, "0 to 0.5")?;
        match self.slow_after {
            Some(time) if time.is_zero() || DAY < time => Err(LimitError::Slow(time)),
            _ => Ok(self),
        }
    }
}

/// From 20, within 1 to 1,000, × 0.9 on refusals and where more than 5 % are late.
impl Default for AimdConfig {
    fn default() -> Self {
        Self {
            bounds: Bounds::DEFAULT,
            backoff: 0.9,
            slow_after: None,
            tolerate: 0.05,
        }
    }
}

impl Aimd {
    /// Begins, stays and moves as `config` says.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) returns an error.
    #[must_use]
    pub fn new(config: AimdConfig) -> Self {
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
    pub fn try_new(config: AimdConfig) -> Result<Self, LimitError> {
        let config = config.check()?;
        Ok(Self {
            config,
            published: Published::new(config.bounds.initial),
            state: Mutex::new(State {
                limit: config.bounds.initial as f64,
                health: Health::new(config.tolerate, 0.0),
                ends: 0,
                bound: 0,
            }),
        })
    }

    fn is_slow(&self, sample: &Sample) -> bool {
        let slow = self.config.slow_after;
        slow.is_some_and(|slow| sample.elapsed >= slow)
    }
}

impl State {
    fn restart(&mut self) {
        self.ends = 0;
        self.bound = 0;
    }
}

/// With the defaults of [`AimdConfig`].
impl Default for Aimd {
    fn default() -> Self {
        Self::new(AimdConfig::default())
    }
}

// === impl LimitPolicy ===

impl LimitPolicy for Aimd {
    #[inline]
    fn limit(&self) -> usize {
        self.published.get()
    }

    fn observe(&self, sample: &Sample) {
        let mut state = self.state.lock();
        let limit = self.published.get();
        if state
            .health
            .falls(sample, ln_nanos(sample), self.is_slow(sample), limit)
        {
            let lower = state.limit * self.config.backoff;
            state.limit = self.config.bounds.hold(lower, state.limit);
            state.restart();
        } else if sample.outcome == Outcome::Answered {
            state.ends += 1;
            state.bound += usize::from(is_bound(sample, limit));
            if state.ends < limit {
                return;
            }
            if state.bound * 10 >= state.ends * 8 {
                state.limit = self.config.bounds.hold(state.limit + 1.0, state.limit);
            }
            state.restart();
        } else {
            return;
        }
        self.published.set(self.config.bounds.whole(state.limit));
    }
}

// === impl Debug ===

impl fmt::Debug for Aimd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aimd")
            .field("config", &self.config)
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
