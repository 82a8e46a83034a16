//! Quantiles that anyone may read with a few loads.

use std::time::Duration;

use crate::cell::Counts;
use crate::estimate::{self, Beyond};
use crate::sync::{AtomicU64, Ordering};

const SLOTS: usize = 8;
const EMPTY: u64 = 0;
const UNKNOWN: u64 = u64::MAX;

/// Up to eight quantiles that are kept computed, and how many samples have come.
pub(crate) struct Published {
    /// The bits of each tracked `q`, [`EMPTY`] from the first free slot on.
    asked: [AtomicU64; SLOTS],
    /// Nanoseconds, or [`UNKNOWN`].
    values: [AtomicU64; SLOTS],
    count: AtomicU64,
}

impl Published {
    pub(crate) fn new() -> Self {
        Self {
            asked: std::array::from_fn(|_| AtomicU64::new(EMPTY)),
            values: std::array::from_fn(|_| AtomicU64::new(UNKNOWN)),
            count: AtomicU64::new(0),
        }
    }

    /// `None` if `q` is not tracked, `Some(None)` if nothing is known yet.
    #[inline]
    pub(crate) fn get(&self, q: f64) -> Option<Option<Duration>> {
        let bits = q.to_bits();
        for (asked, value) in self.asked.iter().zip(&self.values) {
            let asked = asked.load(Ordering::Acquire);
            if asked == bits && bits != EMPTY {
                let ns = value.load(Ordering::Relaxed);
                return Some((ns != UNKNOWN).then(|| Duration::from_nanos(ns)));
            }
            if asked == EMPTY {
                break;
            }
        }
        None
    }

    /// Tracks `q` from now on; false if all slots are taken. Under the maintenance lock.
    pub(crate) fn track(&self, q: f64) -> bool {
        for asked in &self.asked {
            let bits = asked.load(Ordering::Relaxed);
            if bits == q.to_bits() {
                return true;
            }
            if bits == EMPTY {
                asked.store(q.to_bits(), Ordering::Release);
                return true;
            }
        }
        false
    }

    /// Computes every tracked quantile from `counts`, the window of `samples` that came since the
    /// start. Under the maintenance lock.
    pub(crate) fn publish(&self, counts: &Counts, samples: u64) {
        for (asked, value) in self.asked.iter().zip(&self.values) {
            let bits = asked.load(Ordering::Relaxed);
            if bits == EMPTY {
                break;
            }
            let ns = estimate::quantiles(counts, [f64::from_bits(bits)], Beyond::Patience)
                .map_or(UNKNOWN, |[found]| found.as_nanos() as u64);
            value.store(ns, Ordering::Relaxed);
        }
        self.count.store(samples, Ordering::Release);
    }

    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }
}
