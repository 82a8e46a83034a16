//! How fast items come, from the last few of them.

use std::time::Duration;

/// So many arrivals: enough to know a rate to a sixth, few enough to follow a burst within them.
const KEPT: usize = 32;

/// When the last items came, in nanoseconds of the queue's own count.
#[derive(Clone, Debug)]
pub(crate) struct Gaps {
    times: [u64; KEPT],
    /// How many came so far.
    seen: u64,
}

impl Gaps {
    pub(crate) const fn new() -> Self {
        Self {
            times: [0; KEPT],
            seen: 0,
        }
    }

    #[inline]
    pub(crate) const fn arrive(&mut self, at: u64) {
        self.times[self.seen as usize % KEPT] = at;
        self.seen += 1;
    }

    /// The mean time between the last arrivals, once there were two of them.
    pub(crate) fn mean(&self) -> Option<Duration> {
        if self.seen < 2 {
            return None;
        }
        let kept = self.seen.min(KEPT as u64);
        let newest = self.times[(self.seen - 1) as usize % KEPT];
        let oldest = self.times[(self.seen - kept) as usize % KEPT];
        Some(Duration::from_nanos(
            newest.saturating_sub(oldest) / (kept - 1),
        ))
    }

    /// When the last one came.
    pub(crate) const fn last(&self) -> Option<u64> {
        if self.seen == 0 {
            return None;
        }
        Some(self.times[(self.seen - 1) as usize % KEPT])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_arrival_tells_no_rate() {
        let mut gaps = Gaps::new();
        assert_eq!(gaps.mean(), None);
        gaps.arrive(7);
        assert_eq!(gaps.mean(), None);
        gaps.arrive(17);
        assert_eq!(gaps.mean(), Some(Duration::from_nanos(10)));
    }

    #[test]
    fn after_a_window_of_arrivals_the_past_is_forgotten() {
        let mut gaps = Gaps::new();
        let mut at = 0;
        for _ in 0..100 {
            at += 1_000_000;
            gaps.arrive(at);
        }
        for _ in 0..KEPT {
            at += 50;
            gaps.arrive(at);
        }
        assert_eq!(gaps.mean(), Some(Duration::from_nanos(50)));
        assert_eq!(gaps.last(), Some(at));
    }
}
