//! Latencies in rounds, and what they are without a queue.

use crate::limit::bounds::{Bounds, Published};
use crate::limit::health::{Health, is_bound, ln_nanos};
use crate::limit::{Outcome, Sample};

/// A round of so many answers for each call that may run,
const PER_CALL: usize = 8;
/// at least
const FEWEST: usize = 32;
/// and at most, or as many as may run if that is more.
const MOST: usize = 256;
/// Rounds after which the latency without a queue is looked up again, once it is well known,
const STALE: u32 = 128;
/// or already after so many, if it seems to have changed.
const DOUBTED: u32 = 8;
/// A base whose logarithm differs by more is another one.
const CHANGED: f64 = 0.08;
/// A latency that is so many times the base is believed only just after the base was looked up,
/// and then met by a long step.
pub(super) const FAR: f64 = 1.5;
/// What remains of the limit when the service is late or refuses.
const BACKOFF: f64 = 0.8;

/// The limit of a policy that compares the latency of now with the one of a service without queue.
///
/// The latter, the base, is read from rounds in which the limit held nobody back, and from a round
/// with half the limit, which is taken every now and then. A base that is never found too low is
/// what makes such policies creep: the queue that they keep becomes what they take for the service.
#[derive(Debug)]
pub(super) struct Rounds {
    bounds: Bounds,
    limit: f64,
    health: Health,
    /// The logarithm of the base, in nanoseconds, and the limit it was seen at.
    base: Option<f64>,
    base_limit: f64,
    /// How often it was found the same, up to 4.
    looks: u32,
    checked: f64,
    halved: bool,
    since: u32,
    /// Answers still to come of calls that began under another limit.
    skip: usize,
    count: usize,
    bound: usize,
    ln_sum: f64,
}

impl Rounds {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            limit: bounds.initial as f64,
            health: Health::new(0.1, 0.02),
            base: None,
            base_limit: 0.0,
            looks: 0,
            checked: 0.0,
            halved: false,
            since: 0,
            skip: 0,
            count: 0,
            bound: 0,
            ln_sum: 0.0,
        }
    }

    /// Counts an end. At the end of a round whose calls were held back by the limit, `step` says
    /// the next limit: it is told this one, and the latency as a multiple of the base.
    #[inline]
    pub(super) fn observe(
        &mut self,
        sample: &Sample,
        published: &Published,
        step: impl FnOnce(f64, f64) -> f64,
    ) {
        let limit = published.get();
        let ln = ln_nanos(sample);
        if self.health.falls(sample, ln, false, limit) {
            self.limit = self.bounds.hold(self.limit * BACKOFF, self.limit);
            self.halved = false;
            return self.publish(published);
        }
        if sample.outcome != Outcome::Answered {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.count += 1;
        self.bound += usize::from(is_bound(sample, limit));
        self.ln_sum += ln;
        let size = (self.limit as usize * PER_CALL).clamp(FEWEST, MOST);
        // What all others are compared with is measured twice as well.
        let size = if self.halved { 2 * size } else { size };
        if self.count >= size.max(limit) {
            self.round(published, step);
        }
    }

    fn round(&mut self, published: &Published, step: impl FnOnce(f64, f64) -> f64) {
        let mean = self.ln_sum / self.count as f64;
        let is_bound = self.bound * 10 >= self.count * 8;
        if self.halved || !is_bound {
            self.rebase(mean, published.get() as f64);
            self.halved = false;
            return self.publish(published);
        }
        self.since += 1;
        // Without a base yet, this latency could hide any queue.
        let ratio = self.base.map_or(f64::MAX, |base| (mean - base).exp());
        let is_doubted = ratio > FAR && self.since > 1 || ratio < 0.9 && self.since > DOUBTED;
        if self.base.is_some() && !is_doubted {
            self.limit = self.bounds.hold(step(self.limit, ratio), self.limit);
        }
        // Fallen to where the base was seen, there may be a lower one.
        let is_near = self.limit < 1.2 * self.base_limit;
        // Fallen without being any faster, it fell for nothing.
        let is_vain = self.limit < 0.85 * self.checked && self.since > DOUBTED;
        if self.base.is_none() || is_doubted || is_near || is_vain || self.since > self.patience() {
            self.halved = true;
        }
        if is_doubted || is_vain {
            self.looks = 0;
        }
        self.publish(published);
    }

    fn rebase(&mut self, mean: f64, limit: f64) {
        let base = self.base.get_or_insert(mean);
        if (mean - *base).abs() > CHANGED {
            self.looks = 0;
        }
        self.looks = (self.looks + 1).min(4);
        *base += (mean - *base) / f64::from(self.looks);
        self.base_limit = limit;
        self.checked = self.limit;
        self.since = 0;
    }

    /// How many rounds the base is good for: the more, the oftener it was found the same.
    fn patience(&self) -> u32 {
        (DOUBTED << self.looks).min(STALE)
    }

    fn publish(&mut self, published: &Published) {
        let before = published.get();
        let limit = if self.halved {
            self.limit / 2.0
        } else {
            self.limit
        };
        let limit = self.bounds.whole(limit);
        self.skip = if limit == before {
            0
        } else {
            before.max(limit)
        };
        self.count = 0;
        self.bound = 0;
        self.ln_sum = 0.0;
        published.set(limit);
    }
}
