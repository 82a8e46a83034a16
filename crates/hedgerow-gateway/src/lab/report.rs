//! What the lab says: table, JSON, CSV.

use std::fmt::Write;

use hedgerow_sim::{LimitPart, Scenario, Workload};
use serde::Serialize;

use super::measure::Row;
use super::pool::side_by_side;
use super::queues::{self, QueueFigures};
use crate::cli::Allowance;

/// What stands below the tables.
const LEGEND: &str = "
extra: attempts beyond one a call, as they reached the backend; worst 1k: in the worst 1,000 calls
in a row. limit: the best that anybody could do with that extra load who knows the law; gap: how far
above it this policy is. Compare policies that spend the same.
";
/// And below those of workloads that are not one law for all calls.
const PARTED: &str = "
Where laws follow one another the limit spends that load in each of them, as a budget over every window
makes sure; a policy that spends more in one than in another may lie below it. Where classes are mixed it
spends it where it helps most.
";
/// With less extra load than this there is no limit worth the name.
const LEAST_EXTRA: f64 = 0.0005;

/// One row in figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) workload: String,
    pub(crate) policy: String,
    /// `null` for the policy's own.
    pub(crate) budget_percent: Option<f64>,
    pub(crate) calls: u64,
    pub(crate) extra_percent: f64,
    pub(crate) worst_window_percent: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    /// The best p99 that one extra attempt could reach at that extra load.
    pub(crate) p99_limit_ms: Option<f64>,
    /// The best p99.9 that two could.
    pub(crate) p999_limit_ms: Option<f64>,
    /// How far the p99 is above its limit.
    pub(crate) p99_gap_percent: Option<f64>,
    pub(crate) p999_gap_percent: Option<f64>,
    pub(crate) failed: u64,
}

impl Figures {
    /// Of every row.
    pub(crate) fn all(rows: &[Row<'_>]) -> Vec<Self> {
        side_by_side(rows, Self::of)
    }

    fn of(row: &Row<'_>) -> Self {
        let ms = |q| row.quantile(q);
        let extra = row.extra_percent / 100.0;
        let at = (row.plan.workload, row.plan.calls);
        let p99_limit_ms = limit(at, 0.99, extra, 1);
        let p999_limit_ms = limit(at, 0.999, extra, 2);
        let gap = |got: Option<f64>, limit: Option<f64>| {
            got.zip(limit)
                .map(|(got, limit)| (got / limit - 1.0) * 100.0)
        };
        Self {
            workload: row.plan.workload.name().to_owned(),
            policy: row.plan.policy.written().to_owned(),
            budget_percent: budget_percent(row.plan.allowance),
            calls: row.plan.calls * row.plan.seeds,
            extra_percent: row.extra_percent,
            worst_window_percent: row.worst_window,
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            p99_limit_ms,
            p999_limit_ms,
            p99_gap_percent: gap(ms(0.99), p99_limit_ms),
            p999_gap_percent: gap(ms(0.999), p999_limit_ms),
            failed: row.trials.iter().map(hedgerow_sim::Measured::failed).sum(),
        }
    }
}

/// The limit of so many calls of a workload, at an extra load that was really spent.
pub(crate) fn limit(
    (workload, calls): (&Workload, u64),
    q: f64,
    extra: f64,
    hedges: usize,
) -> Option<f64> {
    if extra < LEAST_EXTRA {
        return None;
    }
    let (parts, spending) = workload.parts(calls)?;
    if let ([part], true) = (&parts[..], workload.classes().is_empty()) {
        let leaves = workload.fan_out();
        let found = part.law.fan_out_limit(leaves, q, extra, hedges);
        return Some(found.ms * part.factor);
    }
    Some(LimitPart::limit(&parts, q, extra, hedges, spending).quantile)
}

/// `None` for the policy's own.
pub(super) fn budget_percent(allowance: Allowance) -> Option<f64> {
    match allowance {
        Allowance::Own => None,
        Allowance::Percent(percent) => Some(percent),
    }
}

pub(super) fn budget_cell(percent: Option<f64>) -> String {
    percent.map_or("own".to_owned(), |percent| format!("{percent} %"))
}

/// One line of JSON.
pub(crate) fn json(figures: &[Figures], queues: &[QueueFigures]) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        rows: &'a [Figures],
        congestion: &'a [QueueFigures],
    }
    let line = serde_json::to_string(&Document {
        rows: figures,
        congestion: queues,
    });
    line.expect("numbers and strings always make JSON") + "\n"
}

/// A line per row, and, after an empty line, one per row of a congestion, which has a head of its own.
pub(crate) fn csv(figures: &[Figures], queues: &[QueueFigures]) -> String {
    match (figures.is_empty(), queues.is_empty()) {
        (_, true) => csv_of_calls(figures),
        (true, false) => queues::csv(queues),
        (false, false) => csv_of_calls(figures) + "\n" + &queues::csv(queues),
    }
}

/// Policies hold commas, so they are quoted.
fn csv_of_calls(figures: &[Figures]) -> String {
    let mut text = String::from(
        "workload,policy,budget_percent,calls,extra_percent,worst_window_percent,p50_ms,p95_ms,\
         p99_ms,p999_ms,p99_limit_ms,p999_limit_ms,p99_gap_percent,p999_gap_percent,failed\n",
    );
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    for row in figures {
        let cells = [
            row.workload.clone(),
            format!("\"{}\"", row.policy.replace('"', "\"\"")),
            number(row.budget_percent),
            row.calls.to_string(),
            number(Some(row.extra_percent)),
            number(Some(row.worst_window_percent)),
            number(row.p50_ms),
            number(row.p95_ms),
            number(row.p99_ms),
            number(row.p999_ms),
            number(row.p99_limit_ms),
            number(row.p999_limit_ms),
            number(row.p99_gap_percent),
            number(row.p999_gap_percent),
            row.failed.to_string(),
        ];
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// A table per workload, in the order in which they were asked for.
pub(crate) fn table(
    figures: &[Figures],
    queues: &[QueueFigures],
    scenarios: &[Scenario],
) -> String {
    let mut text = String::new();
    let (mut legend, mut parted, mut congested) = (false, false, false);
    for scenario in scenarios {
        match scenario {
            Scenario::Calls(workload) => {
                legend = true;
                parted |= !workload.is_steady();
                text += &table_of(figures, workload);
            }
            Scenario::Congestion(congestion) => {
                congested = true;
                text += &queues::table(queues, congestion);
            }
        }
    }
    for (there, words) in [
        (legend, LEGEND),
        (parted, PARTED),
        (congested, queues::LEGEND),
    ] {
        if there {
            text += words;
        }
    }
    text
}

fn table_of(figures: &[Figures], workload: &Workload) -> String {
    let mut text = String::new();
    let mine = || figures.iter().filter(|row| row.workload == workload.name());
    let names = mine().map(|row| row.policy.chars().count());
    let width = names.max().unwrap_or(0).max("policy".len());
    let slowest = match workload.fan_out() {
        1 => String::new(),
        leaves => format!(", the slowest of {leaves}"),
    };
    let _ = writeln!(
        text,
        "\n{} ({}){slowest}, in {}\n",
        workload.name(),
        workload.description(),
        if workload.classes().is_empty() {
            "its own ms"
        } else {
            "multiples of the class's ideal"
        }
    );
    let _ = writeln!(
        text,
        "{:width$}  {:>7} {:>8} {:>9}  {:>8} {:>8} {:>8} {:>8}  {:>9} {:>7}  {:>11} {:>7}",
        "policy",
        "budget",
        "extra",
        "worst 1k",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "p99 limit",
        "gap",
        "p99.9 limit",
        "gap",
    );
    for row in mine() {
        let ms = |value: Option<f64>| {
            value.map_or("-".to_owned(), |ms| {
                if ms < 9.995 {
                    format!("{ms:.2}")
                } else {
                    format!("{ms:.1}")
                }
            })
        };
        let gap = |value: Option<f64>| value.map_or("-".to_owned(), |p| format!("{p:+.1} %"));
        let budget = budget_cell(row.budget_percent);
        let _ = writeln!(
            text,
            "{:width$}  {budget:>7} {:>6.2} % {:>7.1} %  {:>8} {:>8} {:>8} {:>8}  {:>9} {:>7}  {:>11} {:>7}",
            row.policy,
            row.extra_percent,
            row.worst_window_percent,
            ms(row.p50_ms),
            ms(row.p95_ms),
            ms(row.p99_ms),
            ms(row.p999_ms),
            ms(row.p99_limit_ms),
            gap(row.p99_gap_percent),
            ms(row.p999_limit_ms),
            gap(row.p999_gap_percent),
        );
    }
    for row in mine().filter(|row| row.failed > 0) {
        let _ = writeln!(text, "{} calls of {} failed", row.failed, row.policy);
    }
    text
}
