//! A congestion as a TOML file.

use std::ops::RangeInclusive;

use hedgerow::config::reading::{self, Mistakes};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Congestion, Phase};
use crate::workload::{LONGEST_MS, WorkloadError, description, name};

/// What is so little, and no less, is above 0.
const LEAST: f64 = 1e-6;
const MOST_REPLICAS: i64 = 100_000;
const MOST_PER_SECOND: f64 = 1e6;
const MOST_SECONDS: f64 = 1e6;
const MOST_LOAD: f64 = 1e6;
/// Beyond it one job in 100,000 takes years, whatever the median.
const MOST_SIGMA: f64 = 5.0;
/// All of them are kept.
const MOST_CALLS: f64 = 1e7;

/// What may be written. What has to be is looked for afterwards, so that it hides nothing.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct File {
    name: Option<String>,
    description: Option<String>,
    replicas: Option<i64>,
    per_second: Option<f64>,
    size_median_ms: Option<f64>,
    size_sigma: Option<f64>,
    hiccup_share: Option<f64>,
    hiccup_ms: Option<f64>,
    deadline_ms: Option<f64>,
    phase: Vec<FilePhase>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct FilePhase {
    seconds: Option<f64>,
    load: Option<f64>,
}

pub(super) fn parse(text: &str) -> Result<Congestion, WorkloadError> {
    Ok(reading::table(text, |file, mistakes| {
        Some(congestion(file, mistakes))
    })?)
}

fn congestion(file: File, mistakes: &mut Mistakes) -> Congestion {
    let name = name(file.name, mistakes);
    let description = description(file.description, &name, mistakes);
    let write = format!("write 1 to {MOST_REPLICAS}");
    match file.replicas {
        None => mistakes.say("replicas", format_args!("it is missing: {write}")),
        Some(count) if !(1..=MOST_REPLICAS).contains(&count) => {
            mistakes.refuse("replicas", count, write);
        }
        Some(_) => {}
    }
    let mut number = |key: &str, written, range| within(key, written, range, mistakes);
    let mut read = Congestion {
        replicas: file.replicas.unwrap_or(1).clamp(1, MOST_REPLICAS) as usize,
        per_second: number("per_second", file.per_second, LEAST..=MOST_PER_SECOND),
        size_median_ms: number("size_median_ms", file.size_median_ms, LEAST..=LONGEST_MS),
        size_sigma: number("size_sigma", file.size_sigma, LEAST..=MOST_SIGMA),
        hiccup_share: number("hiccup_share", file.hiccup_share, 0.0..=1.0),
        hiccup_ms: number("hiccup_ms", file.hiccup_ms, 0.0..=LONGEST_MS),
        deadline_ms: number("deadline_ms", file.deadline_ms, LEAST..=LONGEST_MS),
        phases: Vec::new(),
        name,
        description,
    };
    for (at, phase) in file.phase.iter().enumerate() {
        let place = format!("phase[{at}]");
        if mistakes.told(&place) {
            continue;
        }
        let mut number = |key: &str, written, most| {
            within(&format!("{place}.{key}"), written, LEAST..=most, mistakes)
        };
        read.phases.push(Phase {
            seconds: number("seconds", phase.seconds, MOST_SECONDS),
            load: number("load", phase.load, MOST_LOAD),
        });
    }
    if file.phase.is_empty() {
        mistakes.say("phase", "write at least one [[phase]]");
    }
    let calls = read.expected_calls();
    if calls > MOST_CALLS {
        let problem = format_args!(
            "{calls:e} calls are too many to keep: write less, so that per_second times the sum of seconds \
             times load stays within {MOST_CALLS}"
        );
        mistakes.say("phase", problem);
    }
    read
}

/// A number within a range, or its least one with a mistake.
fn within(
    key: &str,
    written: Option<f64>,
    range: RangeInclusive<f64>,
    mistakes: &mut Mistakes,
) -> f64 {
    let write = format!("write a number from {} to {}", range.start(), range.end());
    match written {
        None => mistakes.say(key, format_args!("it is missing: {write}")),
        Some(number) if !range.contains(&number) => mistakes.refuse(key, number, write),
        Some(number) => return number,
    }
    *range.start()
}
