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
/// many there are; one who leaves late says that the answer would have taken longer still. Late is
/// twice the typical latency of answers or, where almost nothing is answered, half of it: then
/// what little was answered may itself have been slow.
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
    /// Callers who left after half the typical latency, but not late.
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
                long: 0,
                ln_sum: 0.0,
            },
        }
    }

    /// Counts an end, and says whether the limit is to fall for it: once for all the calls that
    /// were running when it fell. `slow` is an answer that took too long, by the policy's word.
    pub(super) fn falls(&mut self, sample: &Sample, slow: bool, limit: usize) -> bool {
        if sample.outcome == Outcome::Failed || self.is_known(sample) {
            return false;
        }
        self.count(sample, slow);
        let size = limit.max(FEWEST);
        let window = self.window;
        let many = |count: usize, share: f64| count as f64 > share * size as f64;
        let bad = window.late + window.refused;
        if many(window.refused, self.refusals) || many(bad, self.tolerance) {
            return self.fall(sample.now);
        }
        if window.ends < size {
            return false;
        }
        let silent = window.answers * 10 < window.ends;
        if silent && (bad + window.long) * 2 > window.ends {
            return self.fall(sample.now);
        }
        if window.answers > 0 {
            let mean = window.ln_sum / window.answers as f64;
            let typical = self.typical.get_or_insert(mean);
            *typical += WEIGHT * (mean - *typical);
        }
        self.window = Window::default();
        false
    }

    fn count(&mut self, sample: &Sample, slow: bool) {
        let ln = ln_nanos(sample);
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
            Outcome::Cancelled => match self.typical {
                Some(typical) if !slow && ln < typical + TOO_LONG.ln() => {
                    window.long += usize::from(ln > typical - TOO_LONG.ln());
                }
                _ => window.late += 1,
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
