//! How large batches were.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes below this have a bucket each; above, there are so many to an octave.
const EXACT: usize = 16;
const SHIFT: u32 = 3;
/// Octaves above the exact ones: up to a million.
const OCTAVES: usize = 16;
const BUCKETS: usize = EXACT + (OCTAVES << SHIFT);

/// Counts that only grow.
#[derive(Debug)]
pub(crate) struct Sizes {
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    largest: AtomicU64,
}

/// The sizes of the batches that were sent, in buckets of an eighth of an octave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSizes {
    counts: Vec<u64>,
    sum: u64,
    largest: u64,
}

fn index(size: usize) -> usize {
    if size < EXACT {
        return size;
    }
    let octave = size.ilog2();
    let part = (size >> (octave - SHIFT)) & ((1 << SHIFT) - 1);
    let above = ((octave - EXACT.ilog2()) as usize) << SHIFT;
    (EXACT + above + part).min(BUCKETS - 1)
}

/// The largest size of a bucket.
fn top(index: usize) -> u64 {
    if index < EXACT {
        return index as u64;
    }
    let above = index - EXACT;
    let octave = EXACT.ilog2() + (above >> SHIFT) as u32;
    let part = (above & ((1 << SHIFT) - 1)) as u64;
    ((1 << SHIFT) + part + 1) * (1 << (octave - SHIFT)) - 1
}

impl Sizes {
    pub(crate) fn new() -> Self {
        Self {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            largest: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, size: usize) {
        self.counts[index(size)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(size as u64, Ordering::Relaxed);
        self.largest.fetch_max(size as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> BatchSizes {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BatchSizes {
            counts: self.counts.iter().map(read).collect(),
            sum: read(&self.sum),
            largest: read(&self.largest),
        }
    }
}

impl BatchSizes {
    /// How many batches.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their mean size; none without batches.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum as f64 / count as f64)
    }

    /// The largest size; zero without batches.
    #[must_use]
    pub const fn largest(&self) -> u64 {
        self.largest
    }

    /// The size that a share of `q` (0 to 1) of the batches does not exceed: exact below 16, else at most
    /// an eighth too large; none without batches.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(top(at).min(self.largest));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_lies_in_its_bucket_and_at_most_an_eighth_below_its_top() {
        for size in (0..5_000).chain([65_535, 65_536, 999_999]) {
            let at = index(size);
            assert!(top(at) >= size as u64, "{size}");
            assert!(top(at) as f64 <= size as f64 * 1.125 + 1e-9, "{size}");
            assert!(at == 0 || top(at - 1) < size as u64, "{size}");
        }
    }

    #[test]
    fn quantiles_count_batches() {
        let sizes = Sizes::new();
        assert_eq!(sizes.read().quantile(0.5), None);
        for size in 1..=10 {
            sizes.record(size);
        }
        let read = sizes.read();
        assert_eq!(read.quantile(0.5), Some(5));
        assert_eq!(read.quantile(1.0), Some(10));
        assert_eq!(
            (read.count(), read.mean(), read.largest()),
            (10, Some(5.5), 10)
        );
    }
}
