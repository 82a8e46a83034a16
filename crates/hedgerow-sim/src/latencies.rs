//! Measured latencies, kept one by one.

use std::time::Duration;

/// Measured latencies, sorted: every quantile is exact.
///
/// Takes 16 bytes a latency. For measurements with an end; a running service wants a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    sorted: Vec<Duration>,
}

impl Latencies {
    /// The latency that a share `q` of the measured ones stays within: the ⌈q·n⌉-th smallest.
    ///
    /// `None` if nothing was measured. 0 gives the smallest, 1 the largest.
    ///
    /// # Panics
    ///
    /// If `q` is not in 0 ≤ `q` ≤ 1.
    #[must_use]
    #[track_caller]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        assert!(
            (0.0..=1.0).contains(&q),
            "there is no quantile {q}: write a share, 0 ≤ q ≤ 1 (0.99 for p99)"
        );
        // The product may lie an ulp above a whole rank: 0.95 × 20 is not to become rank 20.
        let rank = (q * self.sorted.len() as f64 * (1.0 - 4.0 * f64::EPSILON)).ceil() as usize;
        self.sorted.get(rank.max(1) - 1).copied()
    }

    /// How many latencies were measured.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The latencies, smallest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Duration] {
        &self.sorted
    }
}

// === impl FromIterator ===

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut sorted: Vec<_> = latencies.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(n: u64) -> Latencies {
        (1..=n).rev().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_quantile_is_the_smallest_latency_that_covers_its_share() {
        for n in [20_u64, 100, 1_000, 10_000] {
            for percent in [1, 5, 50, 90, 95, 99] {
                let rank = (percent * n).div_ceil(100);
                let q = percent as f64 / 100.0;
                assert_eq!(
                    up_to(n).quantile(q),
                    Some(Duration::from_millis(rank)),
                    "{q} of {n}"
                );
            }
        }
    }

    #[test]
    fn the_ends_are_the_smallest_and_the_largest() {
        assert_eq!(up_to(7).quantile(0.0), Some(Duration::from_millis(1)));
        assert_eq!(up_to(7).quantile(1.0), Some(Duration::from_millis(7)));
    }

    #[test]
    fn nothing_measured_has_no_quantile() {
        assert_eq!(Latencies::default().quantile(0.5), None);
    }
}
