//! Hedge sooner while it helps, later while it does not.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, LatencyView};

use super::{CallEnd, Delay, HedgePolicy, Sample, Stateful};
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
/// A call counts once, when it ends, whatever it sent and whatever of that failed on the way. One
/// that its caller left counts for nothing.
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
/// One atomic word. No lock, no allocation.
///
/// # Source
///
/// The factors of the exponential-backoff strategy of `crucible_hedging` 0.4, per call.
pub struct Backoff {
    config: BackoffConfig,
    /// The limits in microseconds.
    least: f64,
    most: f64,
    /// The bits of the delay in microseconds.
    delay: AtomicU64,
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
        Self {
            config,
            least: micros(config.min),
            most: micros(config.max),
            delay: AtomicU64::new(micros(config.base).to_bits()),
        }
    }

    /// The delay in use.
    #[must_use]
    pub fn current(&self) -> Duration {
        // Rounded: it is above zero. The limits are finer than that.
        let delay = Duration::from_micros((self.micros() + 0.5) as u64);
        delay.clamp(self.config.min, self.config.max)
    }

    fn micros(&self) -> f64 {
        f64::from_bits(self.delay.load(Ordering::Relaxed))
    }

    #[inline]
    fn bounded(&self, delay: f64) -> f64 {
        delay.clamp(self.least, self.most)
    }
}

/// What a call makes of the delay that ended with this attempt.
#[inline]
fn factor(sample: &Sample) -> f64 {
    let extra = sample.attempt.is_extra();
    match (sample.outcome, sample.call) {
        (Outcome::Won, CallEnd::Hedged) if !extra => WHEN_WASTED,
        (Outcome::Won, _) => WHEN_GOOD,
        _ => WHEN_FAILED,
    }
}

/// 100 ms, within 10 to 5,000 ms.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(BackoffConfig::default())
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
        if sample.call == CallEnd::None {
            return;
        }
        let factor = factor(sample);
        let next = |word| Some(self.bounded(f64::from_bits(word) * factor).to_bits());
        // It never refuses.
        let _ = self
            .delay
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
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
        let delay_us = self.micros();
        serde_json::to_string(&Saved { delay_us }).ok()
    }

    /// A delay beyond this policy's limits becomes the nearest that is within.
    #[cfg(feature = "serde")]
    fn restore(&self, state: &str) -> Result<(), BoxError> {
        let Saved { delay_us } = serde_json::from_str(state)?;
        if !(delay_us > 0.0 && delay_us.is_finite()) {
            return Err(format!("a delay of {delay_us} µs cannot be restored").into());
        }
        self.delay
            .store(self.bounded(delay_us).to_bits(), Ordering::Relaxed);
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
