//! Which bucket a latency falls into: log-linear, so many buckets an octave.
//!
//! Microseconds below the first whole octave have a bucket each; above, with 128 buckets an octave,
//! the largest value of a bucket is at most 1/128 more than its smallest, so any value inside
//! stands for any other within 0.8 %.
//!
//! The bucket is read off the floating-point number 128 + µs: its exponent and the first seven bits
//! of its mantissa, which grow by one from bucket to bucket.

use std::time::Duration;

/// Everything from here on (about 71 minutes) falls into the last bucket.
pub(crate) const MAX_US: u64 = (1 << 32) - 1 - 128;

/// How finely latencies are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grain {
    /// Moves the linear part, below the first whole octave, into one.
    offset: u64,
    /// Mantissa bits that a bucket does not look at: 52 less those that part an octave.
    shift: u32,
    /// What the smallest latency reads as.
    first: u64,
}

impl Grain {
    /// 128 buckets an octave: within 0.8 %.
    pub(crate) const FINE: Self = Self::new(7);
    /// 16 buckets an octave: within 6.3 %.
    pub(crate) const COARSE: Self = Self::new(4);

    const fn new(bits: u32) -> Self {
        let offset = 1 << bits;
        let shift = 52 - bits;
        Self {
            offset,
            shift,
            first: (offset as f64).to_bits() >> shift,
        }
    }

    /// The grain that parts an octave by so many bits, if there is one.
    #[cfg(feature = "serde")]
    pub(crate) fn of_bits(bits: u32) -> Option<Self> {
        [Self::FINE, Self::COARSE]
            .into_iter()
            .find(|grain| grain.bits() == bits)
    }

    /// Mantissa bits that part an octave.
    #[cfg(feature = "serde")]
    pub(crate) const fn bits(self) -> u32 {
        52 - self.shift
    }

    /// How many buckets there are.
    pub(crate) const fn buckets(self) -> usize {
        self.index(MAX_US) + 1
    }

    /// The bucket of a latency in whole microseconds.
    #[inline]
    pub(crate) const fn index(self, us: u64) -> usize {
        let us = if us > MAX_US { MAX_US } else { us };
        // By way of `i64`, which is one instruction.
        let bits = ((us + self.offset) as i64 as f64).to_bits();
        ((bits >> self.shift) - self.first) as usize
    }

    /// The lowest value of a bucket, and how many whole microseconds it holds.
    pub(crate) fn bounds(self, index: usize) -> (u64, u64) {
        let lowest = |index: usize| {
            f64::from_bits((index as u64 + self.first) << self.shift) as u64 - self.offset
        };
        (lowest(index), lowest(index + 1) - lowest(index))
    }

    /// The value in the middle of a bucket, in microseconds.
    pub(crate) fn middle(self, index: usize) -> f64 {
        let (lowest, width) = self.bounds(index);
        lowest as f64 + (width - 1) as f64 / 2.0
    }

    /// The value a share `part` (0 to 1) of the way through a bucket.
    pub(crate) fn within(self, index: usize, part: f64) -> Duration {
        let (lowest, width) = self.bounds(index);
        let us = lowest as f64 + (width - 1) as f64 * part.clamp(0.0, 1.0);
        Duration::from_nanos((us * 1_000.0) as u64)
    }
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
        for grain in [Grain::FINE, Grain::COARSE] {
            let mut next = 0;
            for i in 0..grain.buckets() {
                let (lowest, width) = grain.bounds(i);
                assert_eq!(lowest, next, "bucket {i}");
                assert_eq!(grain.index(lowest), i);
                if lowest + width <= MAX_US {
                    assert_eq!(grain.index(lowest + width - 1), i);
                }
                next = lowest + width;
            }
            assert!(next > MAX_US, "{next}");
            assert_eq!(grain.index(u64::MAX), grain.buckets() - 1);
        }
    }

    #[test]
    fn an_absurd_duration_falls_into_the_last_bucket() {
        let grain = Grain::FINE;
        assert_eq!(grain.index(micros(Duration::MAX)), grain.buckets() - 1);
    }

    fn error(grain: Grain, us: u64, part: f64) -> f64 {
        let got = grain.within(grain.index(us), part).as_nanos() as f64 / 1_000.0;
        (got - us as f64).abs() / us as f64
    }

    proptest! {
        #[test]
        fn any_value_of_a_bucket_is_within_one_percent(us in 1u64..3_600_000_000, part in 0.0..1.0) {
            prop_assert!(error(Grain::FINE, us, part) <= 0.01, "{us}");
        }

        #[test]
        fn any_value_of_a_coarse_bucket_is_within_a_sixteenth(
            us in 1u64..3_600_000_000,
            part in 0.0..1.0,
        ) {
            prop_assert!(error(Grain::COARSE, us, part) <= 1.0 / 16.0, "{us}");
        }
    }
}
