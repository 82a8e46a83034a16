//! Which bucket a latency falls into: log-linear, 128 buckets an octave.
//!
//! Microseconds below 128 have a bucket each; above, the largest value of a bucket is at most 1/128
//! more than its smallest, so any value inside stands for any other within 0.8 %.
//!
//! The bucket is read off the floating-point number 128 + µs: its exponent and the first seven bits
//! of its mantissa, which grow by one from bucket to bucket.

use std::time::Duration;

/// Moves the linear part, below the first whole octave, into one.
const OFFSET: u64 = 128;
/// Mantissa bits that a bucket does not look at: 52 less the seven that make 128 an octave.
const SHIFT: u32 = 52 - 7;
const FIRST: u64 = (OFFSET as f64).to_bits() >> SHIFT;
/// Everything from here on (about 71 minutes) falls into the last bucket.
pub(crate) const MAX_US: u64 = (1 << 32) - 1 - OFFSET;
/// How many buckets there are.
pub(crate) const BUCKETS: usize = index(MAX_US) + 1;

/// The bucket of a latency in whole microseconds.
#[inline]
pub(crate) const fn index(us: u64) -> usize {
    let us = if us > MAX_US { MAX_US } else { us };
    // By way of `i64`, which is one instruction.
    let bits = ((us + OFFSET) as i64 as f64).to_bits();
    ((bits >> SHIFT) - FIRST) as usize
}

/// The lowest value of a bucket, and how many whole microseconds it holds.
pub(crate) fn bounds(index: usize) -> (u64, u64) {
    let lowest = |index: usize| f64::from_bits((index as u64 + FIRST) << SHIFT) as u64 - OFFSET;
    (lowest(index), lowest(index + 1) - lowest(index))
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

/// Whole microseconds, rounded to the nearest. Beyond the last bucket any number will do.
#[inline]
pub(crate) fn micros(latency: Duration) -> u64 {
    let secs = latency.as_secs().min(MAX_US / 1_000_000 + 1);
    secs * 1_000_000 + u64::from(latency.subsec_nanos() + 500) / 1_000
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
