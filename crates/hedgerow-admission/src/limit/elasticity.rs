//! What a little more concurrency would bring, asked again and again.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::limit::bounds::{Bounds, Published};
use crate::limit::error::LimitError;
use crate::limit::health::{Health, is_bound};
use crate::limit::{LimitPolicy, Outcome, Sample};

/// Where an [`Elasticity`] begins, between what it stays, and what it steers to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a configuration does nothing by itself"]
pub struct ElasticityConfig {
    bounds: Bounds,
    target: f64,
    narrowest: f64,
}

/// Placeholder.
pub struct Elasticity {
    config: ElasticityConfig,
    published: Published,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What it believes in: the middle of the two limits it tries.
    middle: f64,
    /// Half the logarithm of the ratio of the two.
    span: f64,
    /// The last move was up (1), down (-1), or undecided.
    last: i8,
    noise: f64,
    lean: f64,
    scale: usize,
    health: Health,
    step: Step,
    /// Answers still to come of calls that began under another limit.
    skip: usize,
    count: usize,
    bound: usize,
    /// When the part began, and the last end of any kind.
    began: Option<Instant>,
    ended: Option<Instant>,
    idle: Duration,
}

/// What is measured now.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Whether the limit holds anybody back.
    Watch,
    /// A part of a trial of two limits.
    Try(Trial),
}

/// Low, high, high, low: what drifts steadily cancels out.
#[derive(Clone, Copy, Debug)]
struct Trial {
    low: usize,
    high: usize,
    part: usize,
    ln_rates: [f64; 4],
}

impl ElasticityConfig {
    /// Sets the smallest limit, at least 1. Defaults to 1.
    pub const fn min(mut self, limit: usize) -> Self {
        self.bounds.min = limit;
        self
    }

    /// Sets the limit it begins with. Defaults to 20.
    pub const fn initial(mut self, limit: usize) -> Self {
        self.bounds.initial = limit;
        self
    }

    /// Sets the largest limit, at most 1,000,000. Defaults to 1,000.
    pub const fn max(mut self, limit: usize) -> Self {
        self.bounds.max = limit;
        self
    }

    /// Sets the elasticity it steers to.
    pub const fn target(mut self, elasticity: f64) -> Self {
        self.target = elasticity;
        self
    }

    /// Narrowest.
    pub const fn narrowest(mut self, share: f64) -> Self {
        self.narrowest = share;
        self
    }

    fn check(self) -> Result<Self, LimitError> {
        self.bounds.check()?;
        LimitError::check("target", self.target, 0.05, 0.95, "0.05 to 0.95")?;
        LimitError::check("narrowest", self.narrowest, 0.01, 0.5, "0.01 to 0.5")?;
        Ok(self)
    }
}

impl Default for ElasticityConfig {
    fn default() -> Self {
        Self {
            bounds: Bounds::DEFAULT,
            target: 0.2,
            narrowest: 0.04,
        }
    }
}

impl Elasticity {
    /// Begins, stays and steers as `config` says.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) returns an error.
    #[must_use]
    pub fn new(config: ElasticityConfig) -> Self {
        match Self::try_new(config) {
            Ok(policy) => policy,
            Err(error) => panic!("{error}"),
        }
    }

    /// Begins, stays and steers as `config` says.
    ///
    /// # Errors
    ///
    /// [`LimitError`] for a setting out of its range.
    pub fn try_new(config: ElasticityConfig) -> Result<Self, LimitError> {
        let config = config.check()?;
        Ok(Self {
            config,
            published: Published::new(config.bounds.initial),
            state: Mutex::new(State {
                middle: config.bounds.initial as f64,
                span: env("FIRST", 0.35),
                last: 0,
                noise: 0.001,
                lean: 0.0,
                scale: 1,
                health: Health::new(0.1, 0.02),
                step: Step::Watch,
                skip: 0,
                count: 0,
                bound: 0,
                began: None,
                ended: None,
                idle: Duration::ZERO,
            }),
        })
    }
}

fn env(k: &str, d: f64) -> f64 { std::env::var(k).map_or(d, |v| v.parse().unwrap()) }
const WIDEST: f64 = 0.5;

impl State {
    /// Forgets the part that was measured, and leaves out the calls that run already.
    fn restart(&mut self, skip: usize) {
        self.skip = skip;
        self.count = 0;
        self.bound = 0;
        self.began = None;
        self.idle = Duration::ZERO;
    }

    fn watch(&mut self, config: &ElasticityConfig, skip: usize) -> usize {
        self.step = Step::Watch;
        self.restart(skip);
        config.bounds.whole(self.middle)
    }

    /// Begins a trial.
    fn trial(&mut self, config: &ElasticityConfig, running: usize) -> usize {
        let Bounds { min, max, .. } = config.bounds;
        let low = (self.middle * (-self.span).exp()).round() as usize;
        let low = low.clamp(min, (max - 1).max(min));
        let high = (self.middle * self.span.exp()).round() as usize;
        let high = high.clamp(low + 1, max.max(low + 1));
        if high > max {
            // min = max
            return self.watch(config, 0);
        }
        self.step = Step::Try(Trial {
            low,
            high,
            part: 0,
            ln_rates: [0.0; 4],
        });
        self.restart(running);
        low
    }

    fn steer(&mut self, config: &ElasticityConfig, trial: &Trial) {
        let [a, b, c, d] = trial.ln_rates;
        let width = (trial.high as f64 / trial.low as f64).ln();
        let e = (b + c - a - d) / 2.0 / width;
        let off = e - config.target;
        let narrowest = config.narrowest;
        let (low, high) = (trial.low as f64, trial.high as f64);
        let noise = ((b - c).powi(2) + (a - d).powi(2)) / 4.0;
        self.noise += 0.2 * (noise - self.noise);
        let wide = self.span > 1.4 * narrowest;
        if wide {
            let reach = if off > 0.0 { off / (1.0 - config.target) } else { off / config.target };
            let reach = reach.clamp(-1.0, 1.0);
            let sign = if reach > env("CLEAR", 0.5) { 1 } else if reach < -env("CLEAR", 0.5) { -1 } else { 0 };
            let times = if sign != 0 && sign == self.last { 2.0 } else { 1.0 };
            self.middle *= (times * reach * self.span).exp();
            if sign == 0 {
                self.span = (self.span * env("SHRINK", 0.6)).max(narrowest);
            } else if sign == self.last {
                self.span = (self.span * 1.5).min(WIDEST);
            }
            self.last = sign;
            self.lean = 0.0;
        } else {
            let off = off.clamp(-1.0, 1.0);
            self.middle *= (GAIN * self.span * off).exp();
            self.lean = self.lean * 0.8 + off;
            self.last = 0;
            if self.lean.abs() > 0.7 {
                self.last = if self.lean > 0.0 { 1 } else { -1 };
                self.lean = 0.0;
                self.span = narrowest * 2.0;
            }
        }
        if self.span < 1.1 * narrowest {
            let sd = self.noise.sqrt() / (2.0 * narrowest);
            if sd > hi() { self.scale = (self.scale * 2).min(8); self.noise /= 2.0; }
            if sd < hi() * 0.4 && self.scale > 1 { self.scale /= 2; self.noise *= 2.0; }
        }
        self.middle = config.bounds.hold(self.middle, low);
        if std::env::var_os("TRACE").is_some() {
            eprintln!(
                "low {low} high {high} e {e:.3} -> {:.1} span {:.3} scale {}",
                self.middle, self.span, self.scale
            );
        }
    }
}

const GAIN: f64 = 0.6;
fn hi() -> f64 { std::env::var("HI").map_or(0.3, |v| v.parse().unwrap()) }

fn size(limit: usize) -> usize {
    (limit * 8).clamp(32, 256).max(limit)
}

impl Default for Elasticity {
    fn default() -> Self {
        Self::new(ElasticityConfig::default())
    }
}

// === impl LimitPolicy ===

impl LimitPolicy for Elasticity {
    #[inline]
    fn limit(&self) -> usize {
        self.published.get()
    }

    fn observe(&self, sample: &Sample) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let limit = self.published.get();
        let config = &self.config;
        if let Some(next) = state.step(config, sample, limit) {
            self.published.set(next);
        }
    }
}

impl State {
    fn step(&mut self, config: &ElasticityConfig, sample: &Sample, limit: usize) -> Option<usize> {
        let now = sample.now;
        let before = self.ended.replace(now);
        if let Some(before) = before {
            let gap = now.saturating_duration_since(before);
            self.idle += gap.saturating_sub(sample.elapsed);
        }
        if self.health.falls(sample, false, limit) {
            self.middle = config.bounds.hold(self.middle * 0.8, self.middle);
            return Some(self.watch(config, sample.in_flight.min(limit)));
        }
        if sample.outcome != Outcome::Answered {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let Some(began) = self.began else {
            self.began = Some(now);
            self.idle = Duration::ZERO;
            return None;
        };
        self.count += 1;
        self.bound += usize::from(is_bound(sample, limit));
        let n = match self.step {
            Step::Watch => size(limit),
            Step::Try(trial) => if self.span > env("HALF", 0.2) { size(trial.high).div_ceil(2).max(trial.high) } else { size(trial.high) * self.scale },
        };
        if self.count < n {
            return None;
        }
        let took = now.saturating_duration_since(began);
        let idle = self.idle > took / 16 || took.is_zero();
        let bound = self.bound * 10 >= self.count * 8;
        let running = sample.in_flight.min(limit);
        if idle || !bound {
            return Some(self.watch(config, 0));
        }
        match self.step {
            Step::Watch => Some(self.trial(config, running)),
            Step::Try(mut trial) => {
                trial.ln_rates[trial.part] = (n as f64 / took.as_secs_f64()).ln();
                trial.part += 1;
                self.step = Step::Try(trial);
                match trial.part {
                    1 => {
                        self.restart(trial.high);
                        Some(trial.high)
                    }
                    2 => {
                        self.restart(0);
                        self.began = Some(now);
                        None
                    }
                    3 => {
                        self.restart(trial.high);
                        Some(trial.low)
                    }
                    _ => {
                        self.steer(config, &trial);
                        Some(self.trial(config, running))
                    }
                }
            }
        }
    }
}

// === impl Debug ===

impl fmt::Debug for Elasticity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elasticity")
            .field("config", &self.config)
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
