//! Which bucket a latency falls into: log-linear, 128 buckets an octave.
//!
//! Microseconds below 256 have a bucket each; above, a bucket is at most 1/128 of its lower edge
//! wide, so any value inside stands for any other within 0.8 %.

use std::time::Duration;

const SUB_BITS: u32 = 7;
const SUB: usize = 1 << SUB_BITS;
/// Everything from here on (about 71 minutes) falls into the last bucket.
pub(crate) const MAX_US: u64 = (1 << 32) - 1;
/// How many buckets there are.
pub(crate) const BUCKETS: usize = index(MAX_US) + 1;

/// The bucket of a latency in whole microseconds.
#[inline]
pub(crate) const fn index(us: u64) -> usize {
    let us = if us > MAX_US { MAX_US } else { us };
    // Setting the bit of the first octave makes the linear part an octave like the others.
    let shift = (us | (1 << SUB_BITS)).ilog2() - SUB_BITS;
    ((shift as usize) << SUB_BITS) + (us >> shift) as usize
}

/// The lowest value of a bucket, and how many whole microseconds it holds.
pub(crate) const fn bounds(index: usize) -> (u64, u64) {
    if index < 2 * SUB {
        return (index as u64, 1);
    }
    let shift = index / SUB - 1;
    let lowest = ((SUB + index % SUB) as u64) << shift;
    (lowest, 1 << shift)
}

/// The value in the middle of a bucket, in microseconds.
pub(crate) fn middle(index: usize) -> f64 {
    let (lowest, width) = bounds(index);
    lowest as f64 + (width - 1) as f64 / 2.0
}

/// The value a share `part` (0 to 1) of the way through a bucket.
pub(crate) fn within(index: usize, part: f64) -> Duration {
    let (lowest, width) = bounds(index);
    let us = lowest as f64 + (width - 1) as f64 * part.clamp(0.0, 1.0);
    Duration::from_nanos((us * 1_000.0) as u64)
}

/// Whole microseconds, rounded to the nearest.
#[inline]
pub(crate) const fn micros(latency: Duration) -> u64 {
    let ns = latency.subsec_nanos() as u64 + 500;
    latency
        .as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(ns / 1_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_tile_the_range_without_gap_or_overlap() {
        let mut next = 0;
        for i in 0..BUCKETS {
            let (lowest, width) = bounds(i);
            assert_eq!(lowest, next, "bucket {i}");
            assert_eq!(index(lowest), i);
            assert_eq!(index(lowest + width - 1), i);
            next = lowest + width;
        }
        assert_eq!(next, MAX_US + 1);
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn an_absurd_duration_falls_into_the_last_bucket() {
        assert_eq!(index(micros(Duration::MAX)), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn any_value_of_a_bucket_is_within_one_percent(us in 1u64..3_600_000_000, part in 0.0..1.0) {
            let got = within(index(us), part).as_nanos() as f64 / 1_000.0;
            prop_assert!((got - us as f64).abs() <= 0.01 * us as f64, "{us} -> {got}");
        }
    }
}
