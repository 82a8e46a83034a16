//! One row of the lab: a policy, with a budget, on a workload.

use std::fmt;
use std::io;
use std::time::Duration;

use hedgerow_sim::{Latencies, Measured, Trial, Workload};

use super::pool::side_by_side;
use super::stack::Recipe;
use crate::cli::Allowance;
use crate::policy::Policy;

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) policy: &'a Policy,
    pub(crate) allowance: Allowance,
    pub(crate) calls: u64,
    pub(crate) seeds: u64,
}

/// What was measured, pooled over the seeds.
#[derive(Clone, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) plan: Plan<'a>,
    pub(crate) latencies: Latencies,
    pub(crate) extra_percent: f64,
    /// In percent, over 1,000 calls in a row.
    pub(crate) worst_window: f64,
    pub(crate) trials: Vec<Measured>,
}

impl Row<'_> {
    /// A quantile in ms, or, of a workload with classes, as a multiple of the class's ideal.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        if self.plan.workload.classes().is_empty() {
            return Some(self.latencies.quantile(q)?.as_secs_f64() * 1e3);
        }
        let slowdowns = self.trials.iter().flat_map(Measured::slowdowns);
        let mut all: Vec<f64> = slowdowns.copied().collect();
        all.sort_by(f64::total_cmp);
        let rank = (q * all.len() as f64).ceil() as usize;
        all.get(rank.max(1) - 1).copied()
    }
}

/// How fast the lab is: calls of all trials, and the seconds on the clock that they took, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, seconds } = self;
        let rate = *calls as f64 / seconds.max(1e-9) / 1e3;
        write!(
            f,
            "{calls} calls in {seconds:.1} s, added up: {rate:.0},000 simulated calls a second and thread"
        )
    }
}

impl Pace {
    /// Does `work`, and counts the `calls` of its result.
    pub(crate) fn timed<T>(work: impl FnOnce() -> T, calls: impl FnOnce(&T) -> u64) -> (Self, T) {
        let started = real_now();
        let result = work();
        let seconds = started.elapsed().as_secs_f64();
        let pace = Self {
            calls: calls(&result),
            seconds,
        };
        (pace, result)
    }
}

impl std::iter::Sum for Pace {
    fn sum<I: Iterator<Item = Self>>(paces: I) -> Self {
        paces.fold(Self::default(), |sum, pace| Self {
            calls: sum.calls + pace.calls,
            seconds: sum.seconds + pace.seconds,
        })
    }
}

/// Measures every plan, as many trials at a time as there are cores.
pub(crate) fn all<'a>(plans: &[Plan<'a>]) -> Result<(Vec<Row<'a>>, Pace), io::Error> {
    let trials: Vec<(&Plan<'a>, u64, Recipe<'a>)> = plans
        .iter()
        .flat_map(|plan| (1..=plan.seeds).map(move |seed| (plan, seed, plan.recipe(seed))))
        .collect();
    let measured = side_by_side(&trials, |(plan, seed, recipe)| {
        let trial = Trial::new(plan.workload, plan.calls).seed(*seed);
        Pace::timed(|| recipe.measure(&trial), |_| plan.calls)
    });
    let pace = measured.iter().map(|(pace, _)| *pace).sum();
    let mut measured = measured.into_iter().map(|(_, trial)| trial);
    let rows = plans.iter().map(|plan| {
        let trials = measured.by_ref().take(plan.seeds as usize);
        Ok(plan.row(trials.collect::<Result<_, io::Error>>()?))
    });
    Ok((rows.collect::<Result<_, io::Error>>()?, pace))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how fast the lab is in real time, while its own time is paused"
)]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

impl<'a> Plan<'a> {
    fn recipe(&self, seed: u64) -> Recipe<'a> {
        let usual = |percentile: f64| {
            let ms = self.workload.quantile(self.calls, percentile / 100.0);
            // Beyond what a duration can say nothing is hedged.
            Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX)
        };
        Recipe::new(self.policy, self.allowance, seed, usual)
    }

    /// Pools the trials.
    fn row(&self, trials: Vec<Measured>) -> Row<'a> {
        let pooled = trials.iter().flat_map(|trial| trial.latencies().as_slice());
        let sum: f64 = trials.iter().map(Measured::extra_percent).sum();
        let worst = trials.iter().map(Measured::worst_window);
        Row {
            plan: self.clone(),
            latencies: pooled.copied().collect(),
            extra_percent: sum / trials.len().max(1) as f64,
            worst_window: worst.fold(0.0, f64::max),
            trials,
        }
    }
}
