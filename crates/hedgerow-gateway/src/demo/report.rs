//! What a demo says: table, sentence, JSON, picture, warnings.

use std::fmt::Write;
use std::time::Duration;

use hedgerow_sim::{Curve, Picture};
use serde::Serialize;

use super::measure::Outcome;
use crate::cli::DemoArgs;

/// A generator later than this at its p99 has not kept the rate it was asked for.
const LATE: Duration = Duration::from_millis(10);
/// With fewer calls, the slowest 1 % are fewer than ten.
const ENOUGH_CALLS: u64 = 1_000;

#[derive(Serialize)]
struct Runs<'a> {
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    policy: &'a str,
    calls: u64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    extra_percent: f64,
    hedge_wins: u64,
    errors: u64,
}

/// One line of JSON.
pub(super) fn json(outcomes: &[Outcome]) -> String {
    let runs = outcomes.iter().map(Run::of).collect();
    let line = serde_json::to_string(&Runs { runs });
    line.expect("numbers and strings always make JSON") + "\n"
}

/// The table, and below it the sentence that sums it up.
pub(super) fn table(args: &DemoArgs, outcomes: &[Outcome]) -> String {
    let names = outcomes
        .iter()
        .map(|outcome| outcome.policy.chars().count());
    let width = names.max().unwrap_or(0).max("policy".len());
    let mut text = format!(
        "\n{} ({})\n{}\n\n",
        args.workload,
        args.workload.description(),
        conditions(args)
    );
    let head = [
        "p50",
        "p95",
        "p99",
        "p99.9",
        "extra calls",
        "hedge wins",
        "errors",
    ];
    row(&mut text, width, "policy", head.map(str::to_owned));
    for outcome in outcomes {
        let run = Run::of(outcome);
        let cells = [
            in_ms(run.p50_ms),
            in_ms(run.p95_ms),
            in_ms(run.p99_ms),
            in_ms(run.p999_ms),
            format!("{:.1} %", run.extra_percent),
            grouped(run.hedge_wins),
            grouped(run.errors),
        ];
        row(&mut text, width, run.policy, cells);
    }
    format!("{text}\n{}", verdict(outcomes))
}

/// The curves of every policy.
pub(super) fn picture(args: &DemoArgs, outcomes: &[Outcome]) -> String {
    let title = format!("Latency with and without hedging: {}", args.workload.id());
    let subtitle = format!("{}; {}", args.workload.description(), conditions(args));
    let picture = Picture::new(title).subtitle(subtitle);
    outcomes
        .iter()
        .fold(picture, |picture, outcome| {
            let curve = Curve::new(&outcome.policy, outcome.report.latencies());
            let extra = outcome.extra_percent();
            let note = if extra == 0.0 {
                String::new()
            } else {
                format!("{extra:.1} % extra calls")
            };
            picture.curve(curve.note(note))
        })
        .to_svg()
}

/// What makes a run less than it claims to be.
pub(super) fn warnings(outcome: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(first) = outcome.report.first_error() {
        let errors = outcome.report.errors();
        warnings.push(format!(
            "{errors} calls with `{}` failed, the first: {first}",
            outcome.policy
        ));
    }
    if let Some(late) = outcome
        .report
        .lags()
        .quantile(0.99)
        .filter(|late| *late > LATE)
    {
        warnings.push(format!(
            "with `{}`, calls were sent up to {:.0} ms late (p99), which counts as latency: this \
             machine does not keep the rate; lower --rate, or build with --release",
            outcome.policy,
            ms(late)
        ));
    }
    warnings
}

impl<'a> Run<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let latencies = outcome.report.latencies();
        let quantile = |q| latencies.quantile(q).map(|latency| round(ms(latency)));
        Self {
            policy: &outcome.policy,
            calls: outcome.calls,
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            extra_percent: round(outcome.extra_percent()),
            hedge_wins: outcome.wins,
            errors: outcome.report.errors(),
        }
    }
}

/// How the best policy compares with none.
fn verdict(outcomes: &[Outcome]) -> String {
    let p99 = |outcome: &Outcome| outcome.report.latencies().quantile(0.99);
    let plain = outcomes.iter().find(|outcome| outcome.policy == "none");
    let best = outcomes
        .iter()
        .filter(|outcome| outcome.policy != "none")
        .min_by_key(|best| p99(best));
    let (Some(plain), Some(best)) = (plain, best) else {
        return String::new();
    };
    let (Some(before), Some(after)) = (p99(plain), p99(best)) else {
        return String::new();
    };
    if plain.calls.min(best.calls) < ENOUGH_CALLS {
        return format!(
            "Too few calls to compare the p99: it rests on the slowest 1 %. Write --calls {ENOUGH_CALLS} or \
             more.\n",
        );
    }
    let times = before.as_secs_f64() / after.as_secs_f64();
    let (before, after) = (in_ms(Some(ms(before))), in_ms(Some(ms(after))));
    if times < 1.05 {
        return format!(
            "No policy brought the p99 of {before} down: {} has {after}.\n",
            best.policy
        );
    }
    format!(
        "{} divided the p99 by {times:.1}, from {before} to {after}, for {:.1} % extra calls.\n",
        best.policy,
        best.extra_percent()
    )
}

fn conditions(args: &DemoArgs) -> String {
    format!(
        "{} calls at {}/s, seed {}",
        grouped(args.calls),
        args.rate,
        args.seed
    )
}

fn row(text: &mut String, width: usize, policy: &str, cells: [String; 7]) {
    let [p50, p95, p99, p999, extra, wins, errors] = cells;
    writeln!(
        text,
        "{policy:width$}  {p50:>10}  {p95:>10}  {p99:>10}  {p999:>10}  {extra:>11}  {wins:>10}  \
         {errors:>6}"
    )
    .expect("a String takes all text");
}

fn in_ms(ms: Option<f64>) -> String {
    ms.map_or_else(|| String::from("-"), |ms| format!("{ms:.1} ms"))
}

fn ms(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e3
}

/// To the microsecond, and to a thousandth of a percent: finer is noise.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// 10000 as 10,000.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
