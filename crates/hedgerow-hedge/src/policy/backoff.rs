//! Hedge sooner while it helps, later while it does not.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hedgerow_core::{Attempt, BoxError, LatencyView};

use super::{Delay, HedgePolicy, Sample, Stateful};
use crate::error::BuildError;
use crate::info::Outcome;

const WHEN_GOOD: f64 = 0.9;
const WHEN_WASTED: f64 = 1.5;
const WHEN_FAILED: f64 = 2.0;
const GRAIN: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3_600);

/// Where a [`Backoff`] begins and between what it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a configuration does nothing by itself"]
pub struct BackoffConfig {
    base: Duration,
    min: Duration,
    max: Duration,
}

/// A delay that each call makes shorter or longer.
///
/// | the call | the delay |
/// | --- | --- |
/// | needed no hedge, or a hedge won it | × 0.9 |
/// | was hedged, and its primary won | × 1.5 |
/// | failed | × 2.0 |
///
/// It begins at 100 ms and stays within 10 to 5,000 ms ([`BackoffConfig`]). A further extra
/// attempt, if allowed, is sent after twice the delay, and so on.
///
/// # What it reads off the attempts
///
/// A policy is told of attempts, not of calls. Each changes the delay as it ends:
///
/// | attempt | the delay |
/// | --- | --- |
/// | the primary won | × 0.9 |
/// | an extra lost in the moment in which the primary won | × 1.5 instead of that × 0.9, once |
/// | an extra won | × 0.9 |
/// | the primary failed, was refused or timed out | × 2.0 |
/// | any other: lost to an extra, failed as an extra, left by the caller | as it is |
///
/// That is the first table, exactly, limits included, for every call whose primary did not fail
/// before an extra won (× 2.0, then × 0.9) and whose extras did not fail before the primary won
/// (× 0.9: what failed as an extra is nobody's loss). Where calls end on several threads in the
/// same moment, a wasted hedge may be counted as none.
///
/// # The equilibrium
///
/// The delay rests where the logarithms of the factors cancel: without errors, where a share
/// ln(1/0.9) / (ln(1/0.9) + ln 1.5) of all calls, **20.6 %**, is hedged in vain, whatever the
/// service. The hedges that win come on top. Asked to choose its load by itself it would choose a
/// high one, so the default [`Budget`](hedgerow_core::Budget) of 10 % holds it back: then the
/// budget decides, and the delay falls to where it denies the rest. For a load of your own choice
/// take a percentile.
///
/// # Clones
///
/// A clone has the same settings and begins at its base: with [`key`](crate::HedgeLayer::key) each
/// backend has a delay of its own.
///
/// # Cost
///
/// One atomic word, which holds the delay in single precision (6e-8). No lock, no allocation.
///
/// # Source
///
/// The factors of the exponential-backoff strategy of `crucible_hedging` 0.4, per call.
pub struct Backoff {
    config: BackoffConfig,
    /// The limits in microseconds.
    least: f64,
    most: f64,
    state: AtomicU64,
    /// What stamps count from: the first sample.
    base: OnceLock<Instant>,
}

/// The delay in microseconds, and the stamp of a primary's win whose factor is not in it yet,
/// because an extra may be told to have lost to it. Packed into one word.
#[derive(Clone, Copy)]
struct State {
    delay: f64,
    /// 0 if there is none.
    stamp: u32,
}

impl BackoffConfig {
    /// Sets the delay it begins with. Defaults to 100 ms.
    pub const fn base(mut self, delay: Duration) -> Self {
        self.base = delay;
        self
    }

    /// Sets the shortest delay, at least 1 ms, the timer's grain. Defaults to 10 ms.
    pub const fn min(mut self, delay: Duration) -> Self {
        self.min = delay;
        self
    }

    /// Sets the longest delay, at most an hour. Defaults to 5,000 ms.
    pub const fn max(mut self, delay: Duration) -> Self {
        self.max = delay;
        self
    }
}

/// From 100 ms, within 10 to 5,000 ms.
impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            min: Duration::from_millis(10),
            max: Duration::from_millis(5_000),
        }
    }
}

impl Backoff {
    /// Begins and stays where `config` says.
    ///
    /// # Errors
    ///
    /// [`BuildError::Backoff`] unless 1 ms ≤ min ≤ base ≤ max ≤ 1 h.
    pub fn try_new(config: BackoffConfig) -> Result<Self, BuildError> {
        let BackoffConfig { base, min, max } = config;
        if min < GRAIN || base < min || max < base || LONGEST < max {
            return Err(BuildError::Backoff { base, min, max });
        }
        Ok(Self::new(config))
    }

    fn new(config: BackoffConfig) -> Self {
        let state = State {
            delay: micros(config.base),
            stamp: 0,
        };
        Self {
            config,
            least: micros(config.min),
            most: micros(config.max),
            state: AtomicU64::new(state.pack()),
            base: OnceLock::new(),
        }
    }

    /// The delay in use.
    #[must_use]
    pub fn current(&self) -> Duration {
        let delay = self.settled(State::unpack(self.state.load(Ordering::Relaxed)));
        // Rounded: it is above zero. The limits are finer than that, and than single precision.
        let delay = Duration::from_micros((delay + 0.5) as u64);
        delay.clamp(self.config.min, self.config.max)
    }

    #[inline]
    fn bounded(&self, delay: f64) -> f64 {
        delay.clamp(self.least, self.most)
    }

    /// The delay with the factor that was held back.
    fn settled(&self, state: State) -> f64 {
        match state.stamp {
            0 => state.delay,
            _ => self.bounded(state.delay * WHEN_GOOD),
        }
    }

    #[inline]
    fn next(&self, state: State, sample: &Sample) -> Option<State> {
        let times = |factor| State {
            delay: self.bounded(self.settled(state) * factor),
            stamp: 0,
        };
        match (sample.attempt.is_extra(), sample.outcome) {
            (false, Outcome::Won) => Some(State {
                delay: self.settled(state),
                stamp: self.stamp(sample.now),
            }),
            (false, Outcome::Failed | Outcome::Refused | Outcome::TimedOut) => {
                Some(times(WHEN_FAILED))
            }
            (true, Outcome::Won) => Some(times(WHEN_GOOD)),
            (true, Outcome::Lost) if state.stamp == self.stamp(sample.now) => Some(State {
                delay: self.bounded(state.delay * WHEN_WASTED),
                stamp: 0,
            }),
            _ => None,
        }
    }

    /// Two samples of one moment have the same; it repeats after 4 s, and is never 0.
    fn stamp(&self, now: Instant) -> u32 {
        let base = *self.base.get_or_init(|| now);
        let since = now.saturating_duration_since(base);
        // Wrapping is what is wanted of both.
        let nanos = (since.as_secs() as u32).wrapping_mul(1_000_000_000);
        nanos.wrapping_add(since.subsec_nanos()) | 1
    }
}

/// 100 ms, within 10 to 5,000 ms.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(BackoffConfig::default())
    }
}

impl State {
    fn pack(self) -> u64 {
        u64::from((self.delay as f32).to_bits()) << 32 | u64::from(self.stamp)
    }

    fn unpack(word: u64) -> Self {
        Self {
            delay: f64::from(f32::from_bits((word >> 32) as u32)),
            stamp: word as u32,
        }
    }
}

fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

// === impl HedgePolicy ===

impl<Req> HedgePolicy<Req> for Backoff {
    #[inline]
    fn delay(&self, _: &Req, attempt: Attempt, _: &dyn LatencyView) -> Delay {
        Delay::After(self.current().saturating_mul(attempt.index()))
    }

    #[inline]
    fn observe(&self, sample: &Sample) {
        let next = |word| Some(self.next(State::unpack(word), sample)?.pack());
        // Refused where the attempt changes nothing.
        let state = &self.state;
        let _ = state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn name(&self) -> &'static str {
        "backoff"
    }
}

// === impl Stateful ===

/// The delay, as JSON. Without the feature `serde` nothing.
impl Stateful for Backoff {
    #[cfg(feature = "serde")]
    fn save(&self) -> Option<String> {
        let state = State::unpack(self.state.load(Ordering::Relaxed));
        let saved = Saved {
            delay_us: self.settled(state),
        };
        serde_json::to_string(&saved).ok()
    }

    /// A delay beyond this policy's limits becomes the nearest that is within.
    #[cfg(feature = "serde")]
    fn restore(&self, state: &str) -> Result<(), BoxError> {
        let Saved { delay_us } = serde_json::from_str(state)?;
        if !(delay_us > 0.0 && delay_us.is_finite()) {
            return Err(format!("a delay of {delay_us} µs cannot be restored").into());
        }
        let state = State {
            delay: self.bounded(delay_us),
            stamp: 0,
        };
        self.state.store(state.pack(), Ordering::Relaxed);
        Ok(())
    }

    #[cfg(not(feature = "serde"))]
    fn restore(&self, _: &str) -> Result<(), BoxError> {
        Err("a backoff's state needs the feature `serde`".into())
    }
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    delay_us: f64,
}

// === impl Clone, Debug ===

impl Clone for Backoff {
    fn clone(&self) -> Self {
        Self::new(self.config)
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("config", &self.config)
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}
