//! Hedge when a call is slower than a share of all calls.

use std::time::Duration;

use hedgerow_core::{Attempt, LatencyView};

use super::{Delay, HedgePolicy};
use crate::error::BuildError;

/// The timer's grain: nothing shorter can be waited for, and zero would mean "at once".
const GRAIN: Duration = Duration::from_millis(1);

/// Hedges an attempt that has taken longer than a percentile of the attempts' latency.
///
/// `percentile(95)` sends an extra copy in 5 % of the calls, whatever the law of the latencies, as
/// long as the budget pays. A further extra attempt is sent after twice that delay, and so on.
///
/// Until there are 100 or 5 / (1 − *p*) samples, whichever is more, it hedges after
/// [`initial`](Self::initial). A backend that is idle for an hour, or one that nobody has asked
/// yet, is never hedged at the floor.
///
/// # Source
///
/// J. Dean and L. A. Barroso, *The Tail at Scale*, CACM 56(2), 2013: "defer sending a secondary
/// request until the first request has been outstanding for more than the 95th-percentile expected
/// latency". Here the losers of a race count as samples that were cut off, without which the
/// percentile drifts down and 5 % become 9 to 13.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    q: f64,
    initial: Duration,
    min: Duration,
    max: Duration,
    needed: u64,
}

impl Percentile {
    /// Hedges beyond the percentile `p`, 1 ≤ `p` < 100; 99.9 is fine.
    ///
    /// # Errors
    ///
    /// [`BuildError::Percentile`] if `p` is out of range.
    pub fn try_new(p: f64) -> Result<Self, BuildError> {
        if !(1.0..100.0).contains(&p) {
            return Err(BuildError::Percentile(p));
        }
        let q = p / 100.0;
        Ok(Self {
            q,
            initial: Duration::from_millis(100),
            min: GRAIN,
            max: Duration::MAX,
            needed: ((5.0 / (1.0 - q)).ceil() as u64).max(100),
        })
    }

    /// Sets the delay that is used until enough samples are there. Defaults to 100 ms.
    #[must_use]
    pub fn initial(mut self, delay: Duration) -> Self {
        self.initial = delay;
        self
    }

    /// Sets the smallest and the largest delay that it may learn. Default to 1 ms, the timer's
    /// grain, and no limit.
    ///
    /// # Errors
    ///
    /// [`BuildError::Clamp`] if `min` is larger than `max`.
    pub fn try_clamp(mut self, min: Duration, max: Duration) -> Result<Self, BuildError> {
        if min > max {
            return Err(BuildError::Clamp { min, max });
        }
        (self.min, self.max) = (min, max);
        Ok(self)
    }

    /// The percentile as a quantile: 0.95 for 95.
    #[must_use]
    pub fn quantile(&self) -> f64 {
        self.q
    }

    /// The default share of extra calls that a budget should allow: 1.5 times what it wants.
    pub(crate) fn budget_percent(&self) -> f64 {
        1.5 * (1.0 - self.q) * 100.0
    }

    /// The quantile, once enough samples are there.
    pub(super) fn learnt_from(&self, latency: &dyn LatencyView) -> Option<Duration> {
        if latency.count() < self.needed {
            return None;
        }
        latency.quantile(self.q)
    }

    /// What was learnt, within the clamp; the initial delay before.
    pub(super) fn within(&self, learnt: Option<Duration>) -> Duration {
        learnt.map_or(self.initial, |found| found.clamp(self.min, self.max))
    }

    fn learnt(&self, latency: &dyn LatencyView) -> Duration {
        self.within(self.learnt_from(latency))
    }
}

impl<Req> HedgePolicy<Req> for Percentile {
    #[inline]
    fn delay(&self, _: &Req, attempt: Attempt, latency: &dyn LatencyView) -> Delay {
        Delay::After(self.learnt(latency).saturating_mul(attempt.index()))
    }

    fn name(&self) -> &'static str {
        "percentile"
    }
}
