//! A copy of the counts, to read at leisure.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::bucket::{self, Grain};
use crate::cell::Counts;
use crate::estimate::{self, Beyond};

/// A copy of a [`Latency`](crate::Latency)'s counts at one moment.
///
/// # Units
///
/// Values are [`Duration`]s within 1 % of what was recorded, from 1 µs to 1 h.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "crate::saved::Saved", try_from = "crate::saved::Saved")
)]
pub struct Snapshot {
    counts: Counts,
}

impl Snapshot {
    pub(crate) fn new(counts: Counts) -> Self {
        Self { counts }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A snapshot without samples.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Counts::new(Grain::FINE))
    }

    /// The `q`-quantile by the product-limit estimate, or `None` without samples or for a `q`
    /// outside of 0 < q < 1.
    ///
    /// Where too many samples were cut off to know it, the largest age seen: a lower bound.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if !(q > 0.0 && q < 1.0) {
            return None;
        }
        estimate::quantiles(&self.counts, [q], Beyond::LargestAge).map(|[found]| found)
    }

    /// How many samples there are, cut-off ones included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.answered() + self.censored()
    }

    /// How many samples are whole latencies.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.counts.events.iter().sum()
    }

    /// How many samples were cut off: a loser of a race, a timeout, a dropped call.
    #[must_use]
    pub fn censored(&self) -> u64 {
        self.counts.censored.iter().sum()
    }

    /// The smallest whole latency.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        let first = self.counts.events.iter().position(|&n| n > 0)?;
        Some(self.counts.grain.within(first, 0.0))
    }

    /// The largest whole latency.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        let last = self.counts.events.iter().rposition(|&n| n > 0)?;
        Some(self.counts.grain.within(last, 1.0))
    }

    /// The mean of the whole latencies.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let count = self.answered();
        if count == 0 {
            return None;
        }
        let counted = self.counts.events.iter().enumerate();
        let sum: f64 = counted
            .map(|(index, &n)| self.counts.grain.middle(index) * n as f64)
            .sum();
        Some(Duration::from_nanos((sum / count as f64 * 1_000.0) as u64))
    }

    /// Adds another snapshot's samples to this one.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
    }

    /// The whole latencies alone, without the samples that were cut off.
    ///
    /// For calls rather than attempts: a call that was won by another attempt is not unfinished.
    #[must_use]
    pub fn answered_only(mut self) -> Self {
        self.counts.censored.fill(0);
        self
    }

    /// What came since `earlier`, an older snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts.clone();
        counts.subtract(&earlier.counts);
        Self::new(counts)
    }

    /// The whole latencies as an HDR histogram of microseconds, three significant digits.
    ///
    /// Cut-off samples have no place there: read the quantiles of a hedged service from
    /// [`quantile`](Self::quantile).
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "the bounds are constants that it accepts"
    )]
    pub fn to_hdr(&self) -> Histogram<u64> {
        let mut hdr = Histogram::new_with_bounds(1, bucket::MAX_US, 3)
            .expect("the bounds are constants that hdrhistogram accepts");
        for (index, &count) in self.counts.events.iter().enumerate() {
            if count > 0 {
                let us = (self.counts.grain.middle(index).round() as u64).clamp(1, bucket::MAX_US);
                hdr.saturating_record_n(us, count);
            }
        }
        hdr
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("answered", &self.answered())
            .field("censored", &self.censored())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .finish()
    }
}
