//! Trials of two limits, and what follows from them.

use std::time::{Duration, Instant};

use crate::limit::bounds::Bounds;
use crate::limit::health::{Health, is_bound, ln_nanos};
use crate::limit::{Outcome, Sample};

/// The span of the first trial, of the widest and of the narrowest: half the logarithm of the
/// ratio of the two limits, so that 0.04 tries some 4 % less and 4 % more.
const FIRST: f64 = 0.35;
const WIDEST: f64 = 0.5;
const NARROWEST: f64 = 0.04;
/// Above it a trial is wide: it searches. Below it steers.
const WIDE: f64 = 1.4 * NARROWEST;
/// What remains of the span once the answer lies inside of it.
const NARROWED: f64 = 0.6;
/// How far a narrow trial steers, as a share of half its width.
const GAIN: f64 = 0.6;
/// The lasting deviation that makes a narrow trial wide again, and how long it is remembered.
const LEAN: f64 = 0.9;
const MEMORY: f64 = 0.8;
/// The error of an elasticity that is put up with, by wide and by narrow trials.
const WIDE_ERROR: f64 = 0.15;
const NARROW_ERROR: f64 = 0.3;
/// A trial whose equal parts differ by so many times their variance met a change of the service:
/// it is void.
const CHANGE: f64 = 9.0;
/// The least variance: a service that was perfectly steady for long may still change.
const STEADIEST: f64 = 1e-4;
/// The fewest answers in a part of a trial, or as many as may run if that is more.
const FEWEST: f64 = 32.0;
/// The most, or eight times as many as may run.
const MOST: f64 = 2_048.0;
/// Latencies of more than 2.5 times the least one raise the target, those of eight times it to 0.8.
const SLOW: f64 = 2.5;
const SLOWEST: f64 = 8.0;
const STRICT: f64 = 0.8;
/// Where the elasticity is usually greater, latencies are none of the limit's making: then the
/// least one follows with this weight.
const PROPORTIONAL: f64 = 0.75;
const RELAXED: f64 = 1.0 / 64.0;
/// What remains of the limit when the service is late or refuses.
const BACKOFF: f64 = 0.8;

#[derive(Debug)]
pub(super) struct State {
    bounds: Bounds,
    target: f64,
    health: Health,
    /// What it believes in: the geometric mean of the two limits it tries.
    middle: f64,
    span: f64,
    /// Where the last wide trial pointed, past its own limits: 1 up, -1 down, 0 nowhere.
    last: i8,
    /// What narrow trials have deviated, the latest most.
    lean: f64,
    /// The variance of a single answer in the logarithm of a rate.
    variance: f64,
    /// The logarithm of the least latency of a part, in nanoseconds.
    least: f64,
    /// The mean elasticity of the last trials.
    usual: f64,
    step: Step,
    part: Part,
    ended: Option<Instant>,
}

/// What is measured now.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Whether the limit holds anybody back.
    Watch,
    /// What two limits are worth.
    Try(Trial),
}

/// Low, high, high, low: what drifts steadily cancels out.
#[derive(Clone, Copy, Debug)]
struct Trial {
    low: usize,
    high: usize,
    answers: usize,
    part: usize,
    ln_rates: [f64; 4],
    /// The sum of the parts' mean latencies, as logarithms.
    ln_latency: f64,
}

/// A part of a trial, under one limit.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Answers still to come of calls that began under another limit.
    skip: usize,
    began: Option<Instant>,
    answers: usize,
    bound: usize,
    ln_sum: f64,
    /// When a call ended that had begun after all others had ended.
    idle: Duration,
}

impl State {
    pub(super) fn new(bounds: Bounds, target: f64) -> Self {
        Self {
            bounds,
            target,
            health: Health::new(0.1, 0.02),
            middle: bounds.initial as f64,
            span: FIRST,
            last: 0,
            lean: 0.0,
            variance: 1.0,
            least: f64::INFINITY,
            usual: target,
            step: Step::Watch,
            part: Part::default(),
            ended: None,
        }
    }

    /// Counts an end, and returns the next limit where there is one.
    pub(super) fn observe(&mut self, sample: &Sample, limit: usize) -> Option<usize> {
        let before = self.ended.replace(sample.now).unwrap_or(sample.now);
        let gap = sample.now.saturating_duration_since(before);
        self.part.idle = self
            .part
            .idle
            .saturating_add(gap.saturating_sub(sample.elapsed));
        let ln = ln_nanos(sample);
        if self.health.falls(sample, ln, false, limit) {
            self.fall(limit);
            return Some(self.watch(sample.in_flight.min(limit)));
        }
        if sample.outcome != Outcome::Answered {
            return None;
        }
        let answers = match self.step {
            Step::Watch => (limit * 8).clamp(32, 256).max(limit),
            Step::Try(trial) => trial.answers,
        };
        let took = self.part.count(sample, ln, limit, answers)?;
        self.least = self.least.min(self.part.latency());
        if took.is_zero() || self.part.idle > took / 4 || !self.part.is_bound() {
            return Some(self.watch(0));
        }
        match self.step {
            Step::Watch => Some(self.begin(limit)),
            Step::Try(trial) => self.next(trial, took, sample.now),
        }
    }

    /// Falls back to the low limit of a trial whose high one was too much, or else by a share.
    fn fall(&mut self, limit: usize) {
        match self.step {
            Step::Try(trial) if limit == trial.high => {
                self.middle = trial.low as f64;
                self.span = (self.span * NARROWED).max(NARROWEST);
            }
            _ => {
                self.middle = self.bounds.hold(self.middle * BACKOFF, self.middle);
                self.span = self.span.max(3.0 * NARROWEST);
            }
        }
        self.last = 0;
        self.lean = 0.0;
    }

    /// Goes on to the next part of a trial, or draws its conclusion.
    fn next(&mut self, mut trial: Trial, took: Duration, now: Instant) -> Option<usize> {
        trial.ln_rates[trial.part] = (trial.answers as f64 / took.as_secs_f64()).ln();
        trial.ln_latency += self.part.latency();
        trial.part += 1;
        self.step = Step::Try(trial);
        match trial.part {
            1 => {
                self.part = Part::after(trial.high);
                Some(trial.high)
            }
            2 => {
                self.part = Part::from(now);
                None
            }
            3 => {
                self.part = Part::after(trial.high);
                Some(trial.low)
            }
            _ => {
                self.conclude(&trial);
                Some(self.begin(trial.low))
            }
        }
    }

    /// Looks whether the limit holds anybody back, once `skip` calls have ended.
    fn watch(&mut self, skip: usize) -> usize {
        self.step = Step::Watch;
        self.part = Part::after(skip);
        self.bounds.whole(self.middle)
    }

    /// Begins a trial: returns its low limit. Where only one limit is allowed there is none.
    fn begin(&mut self, limit: usize) -> usize {
        let Bounds { min, max, .. } = self.bounds;
        if min == max {
            return self.watch(0);
        }
        let low = self
            .bounds
            .whole(self.middle * (-self.span).exp())
            .min(max - 1);
        let high = self
            .bounds
            .whole(self.middle * self.span.exp())
            .max(low + 1);
        self.step = Step::Try(Trial {
            low,
            high,
            answers: self.answers(low, high),
            part: 0,
            ln_rates: [0.0; 4],
            ln_latency: 0.0,
        });
        self.part = Part::after(if low == limit { 0 } else { limit.max(low) });
        low
    }

    /// How many answers a part needs, so that the trial is as exact as it has to be.
    fn answers(&self, low: usize, high: usize) -> usize {
        let error = if self.span > WIDE {
            WIDE_ERROR
        } else {
            NARROW_ERROR
        };
        let needed = self.variance / (error * width(low, high)).powi(2);
        let running = high as f64;
        needed.clamp(FEWEST.max(running), MOST.max(8.0 * running)) as usize
    }

    /// Moves by what a trial says of the elasticity, unless the service changed in the midst of it.
    fn conclude(&mut self, trial: &Trial) {
        let [a, b, c, d] = trial.ln_rates;
        let noise = ((b - c).powi(2) + (a - d).powi(2)) / 4.0 * trial.answers as f64;
        let is_change = noise > CHANGE * self.variance;
        self.variance += 0.1 * (noise.min(4.0 * self.variance) - self.variance);
        self.variance = self.variance.max(STEADIEST);
        if is_change {
            return;
        }
        let width = width(trial.low, trial.high);
        let elasticity = (b + c - a - d) / 2.0 / width;
        let target = self.target(trial.ln_latency / 4.0, elasticity);
        let off = elasticity - target;
        let before = self.middle;
        if self.span > WIDE {
            self.search(off, target, width / 2.0);
        } else {
            self.steer(off.clamp(-1.0, 1.0), width / 2.0);
        }
        self.middle = self.bounds.hold(self.middle, before);
    }

    /// The target at a latency: the longer calls take, the more must another one bring.
    fn target(&mut self, ln_latency: f64, elasticity: f64) -> f64 {
        let slower = ln_latency - self.least;
        self.usual += (elasticity.clamp(-1.0, 2.0) - self.usual) / 16.0;
        if self.usual > PROPORTIONAL {
            self.least += RELAXED * slower;
        }
        let share = (slower - SLOW.ln()) / (SLOWEST / SLOW).ln();
        let strict = STRICT.max(self.target);
        self.target + (strict - self.target) * share.clamp(0.0, 1.0)
    }

    /// Goes to where the target should be, if the rate bends between the two limits; past them, and
    /// the further the longer it goes on, if it bends outside.
    fn search(&mut self, off: f64, target: f64, half: f64) {
        let room = if off > 0.0 { 1.0 - target } else { target };
        let reach = (off / room).clamp(-1.0, 1.0);
        let towards = if reach.abs() > 0.5 {
            reach.signum() as i8
        } else {
            0
        };
        let goes_on = towards != 0 && towards == self.last;
        let times = if goes_on { 2.0 } else { 1.0 };
        self.middle *= (times * reach * half).exp();
        if towards == 0 {
            self.span = (self.span * NARROWED).max(NARROWEST);
        } else if goes_on {
            self.span = (self.span * 1.5).min(WIDEST);
        }
        self.last = towards;
        self.lean = 0.0;
    }

    /// Moves a little, as one trial says little; many that say the same make the next one wide.
    fn steer(&mut self, off: f64, half: f64) {
        self.middle *= (GAIN * half * off).exp();
        self.lean = self.lean * MEMORY + off;
        if self.lean.abs() > LEAN {
            self.last = self.lean.signum() as i8;
            self.lean = 0.0;
            self.span = NARROWEST * 2.0;
        }
    }
}

impl Part {
    fn after(skip: usize) -> Self {
        Self {
            skip,
            ..Self::default()
        }
    }

    fn from(now: Instant) -> Self {
        Self {
            began: Some(now),
            ..Self::default()
        }
    }

    /// Counts an answer, and says how long the part took if that was its last.
    fn count(
        &mut self,
        sample: &Sample,
        ln: f64,
        limit: usize,
        answers: usize,
    ) -> Option<Duration> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let Some(began) = self.began else {
            self.began = Some(sample.now);
            self.idle = Duration::ZERO;
            return None;
        };
        self.answers += 1;
        self.bound += usize::from(is_bound(sample, limit));
        self.ln_sum += ln;
        (self.answers >= answers).then(|| sample.now.saturating_duration_since(began))
    }

    /// The mean logarithm of a latency, in nanoseconds.
    fn latency(&self) -> f64 {
        self.ln_sum / self.answers as f64
    }

    /// Whether the limit held calls back nearly all of the time.
    fn is_bound(&self) -> bool {
        self.bound * 10 >= self.answers * 8
    }
}

/// The logarithm of the ratio of two limits. They are whole: small ones are further apart than the
/// span asks for.
fn width(low: usize, high: usize) -> f64 {
    (high as f64 / low as f64).ln()
}
