//! The product-limit (Kaplan–Meier) estimate over the buckets.
//!
//! A sample that was cut off at age *t* still says that the latency was longer than *t*: it counts
//! among those at risk up to its bucket and leaves without an event. Within a bucket events come
//! before cut-offs.
//!
//! Source: E. L. Kaplan and P. Meier, *Nonparametric Estimation from Incomplete Observations*,
//! JASA 53 (1958).

use std::time::Duration;

use crate::bucket::Grain;
use crate::cell::Counts;

/// Rounding errors of the product must not push a quantile into the next bucket.
const EPSILON: f64 = 1e-9;

/// What stands for a quantile that is beyond the last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// The largest age seen: the latency is known to be at least that.
    LargestAge,
    /// The same, but at most twice the largest whole latency: what to wait for, where many are
    /// never answered at all.
    Patience,
}

/// The quantiles `wanted` (each 0 < q < 1, ascending) in one pass.
///
/// A quantile beyond the last event, because too much was cut off, is as `beyond` says. `None`
/// without any sample, or without what `beyond` asks for.
pub(crate) fn quantiles<const N: usize>(
    counts: &Counts,
    wanted: [f64; N],
    beyond: Beyond,
) -> Option<[Duration; N]> {
    let grain = counts.grain;
    let mut found = [Duration::ZERO; N];
    let mut pending = 0;
    let mut at_risk: u64 = counts.events.iter().chain(&counts.censored).sum();
    if at_risk == 0 {
        return None;
    }
    let mut surviving = 1.0_f64;
    let (mut last, mut last_event) = (0, None);
    for (index, (&events, &censored)) in counts.events.iter().zip(&counts.censored).enumerate() {
        if events == 0 && censored == 0 {
            continue;
        }
        last = index;
        if events > 0 {
            last_event = Some(index);
        }
        let after = surviving * (at_risk - events) as f64 / at_risk as f64;
        while pending < N && after <= 1.0 - wanted[pending] + EPSILON {
            let part = (surviving - (1.0 - wanted[pending])) / (surviving - after);
            found[pending] = grain.within(index, part);
            pending += 1;
        }
        if pending == N {
            return Some(found);
        }
        surviving = after;
        at_risk -= events + censored;
    }
    let largest = grain.within(last, 1.0);
    found[pending..].fill(match beyond {
        Beyond::LargestAge => largest,
        Beyond::Patience => largest.min(grain.within(last_event?, 1.0) * 2),
    });
    Some(found)
}

/// The whole estimate, to draw latencies from.
pub(crate) struct Survival {
    grain: Grain,
    /// The share of latencies beyond each bucket, falling.
    beyond: Box<[f64]>,
}

impl Survival {
    pub(crate) fn new(counts: &Counts) -> Self {
        let mut at_risk = counts.total();
        let mut surviving = 1.0_f64;
        let beyond = counts.events.iter().zip(&counts.censored);
        let beyond = beyond.map(|(&events, &censored)| {
            if events > 0 {
                surviving *= (at_risk - events) as f64 / at_risk as f64;
            }
            at_risk -= events + censored;
            surviving
        });
        Self {
            grain: counts.grain,
            beyond: beyond.collect(),
        }
    }

    /// The latency that a share `u` stays within, if so much is known.
    pub(crate) fn draw(&self, u: f64) -> Option<Duration> {
        let left = 1.0 - u;
        let index = self.beyond.partition_point(|&beyond| beyond >= left);
        let after = *self.beyond.get(index)?;
        let before = index.checked_sub(1).map_or(1.0, |i| self.beyond[i]);
        Some(self.grain.within(index, (before - left) / (before - after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(events: &[u64], censored: &[u64]) -> Counts {
        let mut counts = Counts::new(Grain::FINE);
        for &us in events {
            counts.events[Grain::FINE.index(us)] += 1;
        }
        for &us in censored {
            counts.censored[Grain::FINE.index(us)] += 1;
        }
        counts
    }

    fn us(counts: &Counts, q: f64) -> Option<u64> {
        quantiles(counts, [q], Beyond::LargestAge).map(|[d]| d.as_micros() as u64)
    }

    #[test]
    fn nothing_is_known_without_samples() {
        assert_eq!(us(&counts(&[], &[]), 0.5), None);
    }

    #[test]
    fn without_cut_offs_it_is_the_order_statistic() {
        let all: Vec<u64> = (1..=100).collect();
        let counts = counts(&all, &[]);
        for (q, want) in [(0.01, 1), (0.5, 50), (0.95, 95), (0.951, 96), (0.999, 100)] {
            assert_eq!(us(&counts, q), Some(want), "{q}");
        }
    }

    /// The worked example of the textbooks: remission times 6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+
    /// 20+ 22 23 25+ 32+ 32+ 34+ 35+ weeks (E. J. Freireich and others, Blood 21, 1963): survival
    /// .857 after 6, .807 after 7, .753 after 10, .690 after 13, .627 after 16, .538 after 22,
    /// .448 after 23, which makes the median 23.
    #[test]
    fn it_agrees_with_the_textbook() {
        let counts = counts(
            &[6, 6, 6, 7, 10, 13, 16, 22, 23],
            &[6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
        );
        for (q, want) in [
            (0.14, 6),
            (0.19, 7),
            (0.24, 10),
            (0.30, 13),
            (0.37, 16),
            (0.46, 22),
            (0.5, 23),
        ] {
            assert_eq!(us(&counts, q), Some(want), "{q}");
        }
    }

    #[test]
    fn beyond_the_last_event_it_is_the_largest_age_seen() {
        assert_eq!(us(&counts(&[10, 20], &[50, 60, 90]), 0.9), Some(90));
        assert_eq!(us(&counts(&[], &[40]), 0.5), Some(40));
    }

    #[test]
    fn patience_ends_at_twice_the_largest_whole_latency() {
        let wait = |counts: &Counts| {
            let found = quantiles(counts, [0.9], Beyond::Patience);
            found.map(|[d]| d.as_micros() as u64)
        };
        assert_eq!(wait(&counts(&[10, 20], &[50, 60, 90])), Some(40));
        assert_eq!(wait(&counts(&[10, 20], &[21, 22, 25])), Some(25));
        assert_eq!(wait(&counts(&[], &[40])), None);
    }

    #[test]
    fn one_pass_finds_several_in_order() {
        let all: Vec<u64> = (1..=100).collect();
        let found = quantiles(&counts(&all, &[]), [0.5, 0.9, 0.99], Beyond::LargestAge);
        assert_eq!(found, Some([50, 90, 99].map(Duration::from_micros)));
    }

    #[test]
    fn draws_agree_with_the_quantiles() {
        let counts = counts(&[10, 20, 20, 30, 400, 500], &[25, 450]);
        let survival = Survival::new(&counts);
        let ways = |u: f64| quantiles(&counts, [u], Beyond::LargestAge).map(|[d]| d);
        for u in [0.01, 0.2, 0.3, 0.5, 0.6, 0.8] {
            assert_eq!(survival.draw(u), ways(u), "{u}");
        }
    }

    #[test]
    fn a_draw_beyond_what_is_known_is_none() {
        assert_eq!(Survival::new(&counts(&[], &[])).draw(0.5), None);
        let survival = Survival::new(&counts(&[10, 20], &[50, 60]));
        assert!(survival.draw(0.49).is_some());
        assert_eq!(survival.draw(0.51), None);
    }
}
