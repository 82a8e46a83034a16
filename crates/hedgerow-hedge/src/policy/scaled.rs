//! One percentile for classes that differ in scale: what `.class(f)` sets.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, LatencyView};
use hedgerow_latency::Latency;

use super::{Delay, HedgePolicy, Percentile, Sample, Stateful};
use crate::info::Outcome;

/// So many samples of its own make a class's scale.
const NEEDED: u32 = 16;
/// A scale is the mean of about so many of the latest samples.
const MEMORY: u32 = 1_000;
/// Between these logarithms are a microsecond and the longest `Duration`.
#[cfg(feature = "serde")]
const LOGS: std::ops::RangeInclusive<f32> = -14.0..=44.0;

/// A percentile of latencies that were divided by their class's scale.
///
/// Its clones share one histogram of the scaled latencies and learn a scale each; see
/// [`HedgeLayer::class`](crate::HedgeLayer::class).
pub struct Scaled {
    percentile: Percentile,
    shared: Arc<Shared>,
    /// The logarithm of the scale in seconds (an `f32`), and how many samples it was made of.
    scale: AtomicU64,
}

struct Shared {
    /// Of latencies divided by their scale: 1 s is the scale itself.
    latency: Latency,
    /// The bits of the quantile that was restored, 0 if none.
    restored: AtomicU64,
}

#[derive(Clone, Copy)]
struct Scale {
    log: f32,
    samples: u32,
}

impl Scaled {
    /// With a histogram whose window has halves of `half` samples.
    pub(crate) fn new(percentile: Percentile, half: u64) -> Self {
        let latency = Latency::with_window(half);
        // Asked for once, it is kept computed from now on.
        let _ = latency.quantile(percentile.quantile());
        Self::sharing(
            percentile,
            Arc::new(Shared {
                latency,
                restored: AtomicU64::new(0),
            }),
        )
    }

    const fn sharing(percentile: Percentile, shared: Arc<Shared>) -> Self {
        Self {
            percentile,
            shared,
            scale: AtomicU64::new(0),
        }
    }

    /// What this class's latencies are divided by, once it has 16 samples: their geometric mean,
    /// of about the latest 1,000.
    #[must_use]
    pub fn scale(&self) -> Option<Duration> {
        let scale = |factor| Duration::try_from_secs_f64(factor).unwrap_or(Duration::MAX);
        self.factor().map(scale)
    }

    fn factor(&self) -> Option<f64> {
        let scale = Scale::unpack(self.scale.load(Ordering::Relaxed));
        (scale.samples >= NEEDED).then(|| f64::from(scale.log).exp())
    }

    /// The scaled quantile, once enough samples of all classes are there.
    fn quantile(&self) -> Option<f64> {
        let learnt = self.percentile.learnt_from(&self.shared.latency);
        learnt.map(|found| found.as_secs_f64()).or_else(|| {
            let restored = self.shared.restored.load(Ordering::Relaxed);
            (restored != 0).then(|| f64::from_bits(restored))
        })
    }

    fn book(&self, sample: &Sample) {
        let elapsed = sample.elapsed.max(Duration::from_micros(1)).as_secs_f64();
        let known = self.factor();
        let log = elapsed.ln() as f32;
        let left = sample.outcome == Outcome::Cancelled;
        let next = |word| {
            let scale = Scale::unpack(word);
            (!left || scale.outlasted_by(log)).then(|| scale.and(log).pack())
        };
        // Refused where the sample says nothing of the scale.
        let _ = self
            .scale
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        if let Some(scale) = known {
            let scaled = Duration::try_from_secs_f64(elapsed / scale).unwrap_or(Duration::MAX);
            let latency = &self.shared.latency;
            latency.record_attempt(sample.now, sample.attempt, scaled, sample.won());
        }
    }
}

impl Scale {
    /// With one more sample. What was cut off counts with its age: as classes are hedged at the
    /// same quantile, that shifts the scales of all by the same factor.
    fn and(self, log: f32) -> Self {
        let samples = (self.samples + 1).min(MEMORY);
        Self {
            log: self.log + (log - self.log) / samples as f32,
            samples,
        }
    }

    /// Whether a call whose caller left so late says that the scale may be larger. One that was left
    /// sooner says nothing of it: callers that are in a hurry do not make their class a fast one.
    fn outlasted_by(self, log: f32) -> bool {
        self.samples > 0 && log > self.log
    }

    fn pack(self) -> u64 {
        u64::from(self.log.to_bits()) << 32 | u64::from(self.samples)
    }

    fn unpack(word: u64) -> Self {
        Self {
            log: f32::from_bits((word >> 32) as u32),
            samples: word as u32,
        }
    }
}

// === impl HedgePolicy ===

impl<Req> HedgePolicy<Req> for Scaled {
    fn delay(&self, _: &Req, attempt: Attempt, _: &dyn LatencyView) -> Delay {
        let learnt = self.factor().zip(self.quantile());
        let delay = self.percentile.within(learnt.map(|(scale, quantile)| {
            Duration::try_from_secs_f64(scale * quantile).unwrap_or(Duration::MAX)
        }));
        Delay::After(delay.saturating_mul(attempt.index()))
    }

    fn observe(&self, sample: &Sample) {
        let known = sample.won() || sample.censored();
        if known && !sample.attempt.is_extra() {
            self.book(sample);
        }
    }

    fn name(&self) -> &'static str {
        "percentile"
    }
}

// === impl Stateful ===

/// The class's scale, and the quantile of all, as JSON. Without the feature `serde` nothing.
impl Stateful for Scaled {
    #[cfg(feature = "serde")]
    fn save(&self) -> Option<String> {
        let Scale { log, samples } = Scale::unpack(self.scale.load(Ordering::Relaxed));
        let quantile = self.quantile();
        serde_json::to_string(&Saved {
            log,
            samples,
            quantile,
        })
        .ok()
    }

    #[cfg(feature = "serde")]
    fn restore(&self, state: &str) -> Result<(), BoxError> {
        let Saved {
            log,
            samples,
            quantile,
        } = serde_json::from_str(state)?;
        let above_zero = |quantile: f64| quantile > 0.0 && quantile.is_finite();
        if !LOGS.contains(&log) || !quantile.is_none_or(above_zero) {
            return Err(format!("no class has the scale e^{log} and quantile {quantile:?}").into());
        }
        let samples = samples.min(MEMORY);
        self.scale
            .store(Scale { log, samples }.pack(), Ordering::Relaxed);
        if let Some(quantile) = quantile {
            let restored = &self.shared.restored;
            restored.store(quantile.to_bits(), Ordering::Relaxed);
        }
        Ok(())
    }

    #[cfg(not(feature = "serde"))]
    fn restore(&self, _: &str) -> Result<(), BoxError> {
        Err("a class's scale needs the feature `serde`".into())
    }
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    log: f32,
    samples: u32,
    quantile: Option<f64>,
}

// === impl Clone, Debug ===

/// Shares the histogram, and has a scale to learn.
impl Clone for Scaled {
    fn clone(&self) -> Self {
        Self::sharing(self.percentile, self.shared.clone())
    }
}

impl fmt::Debug for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scaled")
            .field("percentile", &self.percentile)
            .field("scale", &self.scale())
            .finish_non_exhaustive()
    }
}
