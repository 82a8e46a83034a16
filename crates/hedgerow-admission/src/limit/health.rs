//! Whether a service answers at all: what no latency and no throughput can tell.

use std::time::Instant;

use crate::limit::{Outcome, Sample};

/// The fewest ends that are judged together.
const FEWEST: usize = 32;
/// A caller who leaves after so many typical latencies has waited too long.
const TOO_LONG: f64 = 2.0;
/// The weight of a window's latency in the typical one.
const WEIGHT: f64 = 0.25;

/// Counts refusals, timeouts and callers who gave up, in windows of as many ends as calls may run.
///
/// Failures are left out: they say nothing. A caller who leaves early says nothing either, however
/// many there are. One who leaves late, after twice the typical latency of answers, gave up: but
/// so do the losers of races, so only more of them than answers mean that nothing is answered any
/// more. Where almost nothing is, half the typical latency is late: the little that was answered
/// may itself have been slow.
#[derive(Debug)]
pub(super) struct Health {
    /// The share of late ends that is put up with.
    tolerance: f64,
    /// The share of refusals that is put up with.
    refusals: f64,
    /// The logarithm of the typical latency of answers, in nanoseconds.
    typical: Option<f64>,
    /// What calls that began before it say is known already.
    since: Option<Instant>,
    window: Window,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    ends: usize,
    answers: usize,
    refused: usize,
    late: usize,
    /// Callers who left after twice the typical latency, or who may have.
    gave_up: usize,
    /// Callers who left after half the typical latency, but not after twice.
    long: usize,
    ln_sum: f64,
}

impl Health {
    pub(super) const fn new(tolerance: f64, refusals: f64) -> Self {
        Self {
            tolerance,
            refusals,
            typical: None,
            since: None,
            window: Window {
                ends: 0,
                answers: 0,
                refused: 0,
                late: 0,
                gave_up: 0,
                long: 0,
                ln_sum: 0.0,
            },
        }
    }

    /// Counts an end, and says whether the limit is to fall for it: once for all the calls that
    /// were running when it fell. `ln` is how long it took, from [`ln_nanos`]; `slow` that this
    /// was too long, by the policy's word.
    pub(super) fn falls(&mut self, sample: &Sample, ln: f64, slow: bool, limit: usize) -> bool {
        if sample.outcome == Outcome::Failed || self.is_known(sample) {
            return false;
        }
        self.count(sample, ln, slow);
        let size = limit.max(FEWEST);
        let window = self.window;
        // One alone is no share, unless none is put up with.
        let many = |count: usize, share: f64| {
            count as f64 > share * size as f64 && (count > 1 || share <= 0.0)
        };
        let bad = window.late + window.refused;
        if many(window.refused, self.refusals) || many(bad, self.tolerance) {
            return self.fall(sample.now);
        }
        if window.gave_up * 2 > size || window.ends >= size && window.is_hopeless() {
            return self.fall(sample.now);
        }
        if window.ends < size {
            return false;
        }
        if window.answers > 0 {
            let mean = window.ln_sum / window.answers as f64;
            let typical = self.typical.get_or_insert(mean);
            *typical += WEIGHT * (mean - *typical);
        }
        self.window = Window::default();
        false
    }

    fn count(&mut self, sample: &Sample, ln: f64, slow: bool) {
        let window = &mut self.window;
        window.ends += 1;
        match sample.outcome {
            Outcome::Answered => {
                window.answers += 1;
                window.ln_sum += ln;
                window.late += usize::from(slow);
                self.typical.get_or_insert(ln);
            }
            Outcome::Refused => window.refused += 1,
            Outcome::TimedOut => window.late += 1,
            Outcome::Cancelled if slow => window.late += 1,
            Outcome::Cancelled => match self.typical {
                Some(typical) if ln < typical + TOO_LONG.ln() => {
                    window.long += usize::from(ln > typical - TOO_LONG.ln());
                }
                _ => window.gave_up += 1,
            },
            Outcome::Failed => {}
        }
    }

    fn fall(&mut self, now: Instant) -> bool {
        self.since = Some(now);
        self.window = Window::default();
        true
    }

    /// Whether the call began before the limit last fell. An instant that goes back takes the fall
    /// with it, so that one from the future cannot blind it for long.
    fn is_known(&mut self, sample: &Sample) -> bool {
        let Some(since) = &mut self.since else {
            return false;
        };
        *since = sample.now.min(*since);
        sample.now.duration_since(*since) < sample.elapsed
    }
}

impl Window {
    /// Whether more callers gave up than were answered or, where almost none was, left after what
    /// may have been long.
    fn is_hopeless(&self) -> bool {
        let is_silent = self.answers * 10 < self.ends;
        let left = self.gave_up + self.late + self.refused;
        self.gave_up > self.answers || is_silent && (left + self.long) * 2 > self.ends
    }
}

/// The logarithm of how long the call took, in nanoseconds: never less than 0.
#[inline]
pub(super) fn ln_nanos(sample: &Sample) -> f64 {
    (sample.elapsed.as_nanos().max(1) as f64).ln()
}

/// Whether the limit held somebody back when the call ended.
///
/// At a limit of 1 the call itself fills it: only others who wait can tell.
#[inline]
pub(super) fn is_bound(sample: &Sample, limit: usize) -> bool {
    sample.queued > 0 || (limit > 1 && sample.in_flight.saturating_mul(10) >= limit * 9)
}
