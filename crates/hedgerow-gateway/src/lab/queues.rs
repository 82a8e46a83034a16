//! Rows of a congestion: a stack around replicas with queues, before, in and after a pulse of calls.

use std::fmt::Write;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use hedgerow_sim::{Congested, Congestion};
use serde::Serialize;

use super::ground::Queues;
use super::measure::Pace;
use super::pool::side_by_side;
use super::report::{budget_cell, budget_percent};
use super::stack::Recipe;
use crate::cli::Allowance;
use crate::policy::Policy;

/// What stands below the tables.
pub(super) const LEGEND: &str = "
extra: attempts beyond one a call, as they reached the replicas; cancelled: whether an attempt that is
dropped frees its replica. The others are the share of the calls that were answered within the deadline,
of those that arrived in each phase, and from 1 s after the last of the busiest phases.
";
/// When a service has to have recovered from a pulse.
const RECOVERED: f64 = 1.0;

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct QueuePlan<'a> {
    pub(crate) congestion: &'a Congestion,
    pub(crate) policy: &'a Policy,
    pub(crate) allowance: Allowance,
    pub(crate) cancellation: bool,
    pub(crate) seeds: u64,
}

/// One row in figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QueueFigures {
    pub(crate) workload: String,
    pub(crate) policy: String,
    /// `null` for the policy's own.
    pub(crate) budget_percent: Option<f64>,
    /// Whether a dropped attempt frees its replica.
    pub(crate) cancellation: bool,
    pub(crate) calls: u64,
    pub(crate) extra_percent: f64,
    pub(crate) success_percent: f64,
    pub(crate) phases: Vec<PhaseFigures>,
    /// Of the calls from 1 s after the last of the busiest phases; `null` if nothing follows it.
    pub(crate) recovered_percent: Option<f64>,
}

/// A phase of the load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PhaseFigures {
    pub(crate) seconds: f64,
    pub(crate) load: f64,
    pub(crate) calls: u64,
    pub(crate) success_percent: f64,
}

impl<'a> QueuePlan<'a> {
    fn recipe(&self, seed: u64) -> Recipe<'a> {
        let allowance = self.allowance;
        Recipe::new(self.policy, allowance, seed, |p| usual(self.congestion, p))
    }

    fn figures(&self, measured: &Congested) -> QueueFigures {
        let percent = |success: f64| 100.0 * success;
        let all = measured.between(0.0..f64::INFINITY);
        let stretches = self.congestion.stretches().into_iter();
        let phases = stretches
            .zip(self.congestion.phases())
            .map(|(seconds, phase)| {
                let tally = measured.between(seconds);
                PhaseFigures {
                    seconds: phase.seconds,
                    load: phase.load,
                    calls: tally.calls,
                    success_percent: percent(tally.success()),
                }
            });
        let recovered = self.congestion.pulse_ends().map(|ends| {
            let tally = measured.between(ends + RECOVERED..f64::INFINITY);
            percent(tally.success())
        });
        QueueFigures {
            workload: self.congestion.name().to_owned(),
            policy: self.policy.written().to_owned(),
            budget_percent: budget_percent(self.allowance),
            cancellation: self.cancellation,
            calls: all.calls,
            extra_percent: measured.extra_percent(),
            success_percent: percent(all.success()),
            phases: phases.collect(),
            recovered_percent: recovered,
        }
    }
}

/// What a percentile of the calls stays within while the first phase lasts and none is hedged.
fn usual(congestion: &Congestion, percentile: f64) -> Duration {
    // Where nobody was answered there is nothing to wait for.
    let latencies = unhedged(congestion, 1..=4)
        .ok()
        .map(|runs| runs.latencies());
    let quantile = latencies.and_then(|latencies| latencies.quantile(percentile / 100.0));
    quantile.unwrap_or_default()
}

/// The first phase without hedges, several times, because a single pause makes many wait.
fn unhedged(congestion: &Congestion, seeds: RangeInclusive<u64>) -> Result<Congested, io::Error> {
    let calm = congestion.first_phase();
    let none: Policy = "none".parse().expect("a test parses exactly this");
    let run = |seed| {
        let ground = Queues {
            congestion: &calm,
            seed,
            cancellation: true,
        };
        Recipe::new(&none, Allowance::Own, seed, |_| Duration::ZERO).measure(&ground)
    };
    seeds.map(run).collect()
}

/// Measures every plan, as many runs at a time as there are cores.
pub(crate) fn all(plans: &[QueuePlan<'_>]) -> Result<(Vec<QueueFigures>, Pace), io::Error> {
    let runs: Vec<(&QueuePlan<'_>, u64, Recipe<'_>)> = plans
        .iter()
        .flat_map(|plan| (1..=plan.seeds).map(move |seed| (plan, seed, plan.recipe(seed))))
        .collect();
    let measured = side_by_side(&runs, |(plan, seed, recipe)| {
        let ground = Queues {
            congestion: plan.congestion,
            seed: *seed,
            cancellation: plan.cancellation,
        };
        Pace::timed(
            || recipe.measure(&ground),
            |measured| {
                measured
                    .as_ref()
                    .map_or(0, |run| run.between(0.0..f64::INFINITY).calls)
            },
        )
    });
    let pace = measured.iter().map(|(pace, _)| *pace).sum();
    let mut measured = measured.into_iter().map(|(_, run)| run);
    let rows = plans.iter().map(|plan| {
        let runs = measured.by_ref().take(plan.seeds as usize);
        let pooled: Congested = runs.collect::<Result<_, io::Error>>()?;
        Ok(plan.figures(&pooled))
    });
    Ok((rows.collect::<Result<_, io::Error>>()?, pace))
}

/// A table of one congestion.
pub(super) fn table(figures: &[QueueFigures], congestion: &Congestion) -> String {
    let rows: Vec<_> = figures
        .iter()
        .filter(|row| row.workload == congestion.name())
        .collect();
    let names = rows.iter().map(|row| row.policy.chars().count());
    let width = names.max().unwrap_or(0).max("policy".len());
    let (name, description) = (congestion.name(), congestion.description());
    let mut text = format!("\n{name} ({description}), calls answered in time\n\n");
    let phases = congestion.phases().iter();
    let heads: Vec<_> = phases
        .map(|phase| format!("{} s at {}", phase.seconds, phase.load))
        .chain([String::from("1 s after")])
        .collect();
    let _ = write!(
        text,
        "{:width$}  {:>7} {:>9} {:>8}",
        "policy", "budget", "cancelled", "extra"
    );
    for head in &heads {
        let _ = write!(text, "  {head:>12}");
    }
    text.push('\n');
    for row in rows {
        let _ = write!(
            text,
            "{:width$}  {:>7} {:>9} {:>6.2} %",
            row.policy,
            budget_cell(row.budget_percent),
            if row.cancellation { "yes" } else { "no" },
            row.extra_percent,
        );
        let phases = row.phases.iter().map(|phase| Some(phase.success_percent));
        for success in phases.chain([row.recovered_percent]) {
            let cell = success.map_or("-".to_owned(), |percent| format!("{percent:.2} %"));
            let _ = write!(text, "  {cell:>12}");
        }
        text.push('\n');
    }
    text
}

/// A line per row, with as many phases as the longest file has. Policies hold commas, so they are
/// quoted.
pub(super) fn csv(figures: &[QueueFigures]) -> String {
    let most = figures
        .iter()
        .map(|row| row.phases.len())
        .max()
        .unwrap_or(0);
    let mut text = String::from(
        "workload,policy,budget_percent,cancellation,calls,extra_percent,success_percent,\
         recovered_percent",
    );
    for phase in 1..=most {
        let _ = write!(
            text,
            ",phase_{phase}_seconds,phase_{phase}_load,phase_{phase}_success_percent"
        );
    }
    text.push('\n');
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    for row in figures {
        let mut cells = vec![
            row.workload.clone(),
            format!("\"{}\"", row.policy.replace('"', "\"\"")),
            number(row.budget_percent),
            row.cancellation.to_string(),
            row.calls.to_string(),
            number(Some(row.extra_percent)),
            number(Some(row.success_percent)),
            number(row.recovered_percent),
        ];
        for at in 0..most {
            let phase = row.phases.get(at);
            cells.push(phase.map_or(String::new(), |phase| phase.seconds.to_string()));
            cells.push(phase.map_or(String::new(), |phase| phase.load.to_string()));
            cells.push(number(phase.map(|phase| phase.success_percent)));
        }
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls of other seeds are beyond it in about five of a hundred: pauses come in clusters.
    #[test]
    fn the_usual_delay_is_the_p95_of_the_first_phase() {
        let found = usual(&Congestion::w9(), 95.0);
        let others = unhedged(&Congestion::w9(), 5..=8).expect("a runtime");
        let latencies = others.latencies();
        let all = latencies.as_slice().iter();
        let beyond = all.filter(|took| **took > found).count();
        let share = beyond as f64 / latencies.len() as f64;
        assert!((0.04..0.065).contains(&share), "{share} beyond {found:?}");
    }

    #[test]
    fn what_nobody_answers_has_no_usual_delay() {
        let text = "name = \"late\"\nreplicas = 1\nper_second = 10.0\nsize_median_ms = 800.0\n\
                    size_sigma = 0.1\nhiccup_share = 0.0\nhiccup_ms = 0.0\ndeadline_ms = 5.0\n\
                    [[phase]]\nseconds = 2.0\nload = 1.0\n";
        let late = Congestion::parse(text).expect("a good file");
        assert_eq!(usual(&late, 95.0), Duration::ZERO);
    }
}
