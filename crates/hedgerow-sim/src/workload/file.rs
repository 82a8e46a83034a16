//! A workload as a TOML file.
//!
//! ```toml
//! name = "mine"                  # letters, digits, - and _
//! description = "in one line"
//! fan_out = 1                    # a call takes the slowest of so many attempts
//!
//! [wave]                         # latencies swing between once and `factor` times
//! factor = 4.0
//! period_calls = 100000
//!
//! [[regime]]                     # one or more, one after the other
//! calls = 30000                  # the last one may leave it out
//! law = "lognormal"              # a simple law ...
//! median_ms = 20.0
//! sigma = 0.8
//!
//! [[regime]]
//! [[regime.part]]                # ... or a mixture of them; shares add up to 1
//! share = 0.98
//! law = "exponential"
//! mean_ms = 10.0
//! [[regime.part]]
//! share = 0.02
//! law = "trace"
//! file = "slow.txt"              # one latency in ms a line, beside this file
//! ```
//!
//! Instead of regimes a workload may have classes of calls, each with a law of its own; its
//! latencies are then told as multiples of the class's `ideal_ms`:
//!
//! ```toml
//! [[class]]
//! name = "short"
//! share = 0.6                    # of the calls; shares add up to 1
//! ideal_ms = 968.0
//! law = "lognormal"              # or [[class.part]]s
//! median_ms = 900.0
//! sigma = 0.3
//! ```
//!
//! | law | wants |
//! | --- | --- |
//! | `lognormal` | `median_ms`, `sigma` |
//! | `pareto` | `mode_ms`, `alpha` |
//! | `exponential` | `mean_ms`; `shift_ms` if it does not begin at 0 |
//! | `generation` | `first_median_ms`, `first_sigma`, `tokens_median`, `tokens_sigma`, `ms_per_token`; `shift_ms` |
//! | `chain` | `points`: [ms, survival], log-log linear between them |
//! | `constant` | `ms` |
//! | `trace` | `file` or `values_ms` |

mod error;
mod law;

use std::path::Path;

use hedgerow::config::reading::{self, Mistakes};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::error::WorkloadError;
pub(crate) use self::law::LONGEST_MS;
use self::law::{FileLaw, FilePart, LawReader};
use super::{Class, Regime, Wave, Workload};

/// Multiples of less than a nanosecond say nothing.
const LEAST_IDEAL: f64 = 1e-6;
/// A wave goes no higher than this.
const MOST_FACTOR: f64 = 1e6;
/// A call asks no more leaves than this.
const MOST_LEAVES: i64 = 10_000;

/// What may be written. What has to be is looked for afterwards, so that it hides nothing.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct File {
    name: Option<String>,
    description: Option<String>,
    fan_out: Option<i64>,
    wave: Option<FileWave>,
    regime: Vec<FileRegime>,
    class: Vec<FileClass>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct FileWave {
    factor: Option<f64>,
    period_calls: Option<i64>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct FileRegime {
    calls: Option<i64>,
    part: Vec<FilePart>,
    #[serde(flatten)]
    law: FileLaw,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct FileClass {
    name: Option<String>,
    share: Option<f64>,
    ideal_ms: Option<f64>,
    part: Vec<FilePart>,
    #[serde(flatten)]
    law: FileLaw,
}

impl Workload {
    /// Reads a workload from TOML. A trace's file is looked for in the working directory.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] with every mistake: of syntax, or else of keys, types and values.
    pub fn parse(text: &str) -> Result<Self, WorkloadError> {
        Self::parse_beside(text, Path::new(""))
    }

    /// Reads a workload from a TOML file. A trace's file is looked for beside it.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and if the file cannot be read, or is longer than 16 MiB.
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let text = reading::text(path).map_err(WorkloadError::one)?;
        Self::parse_beside(&text, folder(path))
    }

    pub(crate) fn parse_beside(text: &str, beside: &Path) -> Result<Self, WorkloadError> {
        let read = reading::table(text, |file: File, mistakes| {
            Some(workload(file, &mut LawReader { beside, mistakes }))
        });
        Ok(read?)
    }
}

/// Where the files are that a file names.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The name of a workload, or an empty one with a mistake.
pub(crate) fn name(written: Option<String>, mistakes: &mut Mistakes) -> String {
    const WRITE: &str = "write letters, digits, `-` and `_`";
    let Some(name) = written else {
        mistakes.say("name", format_args!("it is missing: {WRITE}"));
        return String::new();
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(fine) {
        mistakes.refuse("name", &name, WRITE);
    }
    name
}

/// What it is, on one line: its name if nothing is written.
pub(crate) fn description(written: Option<String>, name: &str, mistakes: &mut Mistakes) -> String {
    let Some(description) = written.filter(|written| !written.is_empty()) else {
        return name.to_owned();
    };
    if description.contains(char::is_control) {
        let problem = "write one line, without control characters";
        mistakes.refuse("description", &description, problem);
    }
    description
}

fn workload(file: File, reader: &mut LawReader<'_>) -> Workload {
    let name = name(file.name, reader.mistakes);
    let description = description(file.description, &name, reader.mistakes);
    let fan_out = file.fan_out.unwrap_or(1);
    if !(1..=MOST_LEAVES).contains(&fan_out) {
        let problem = format_args!("write 1 to {MOST_LEAVES} attempts");
        reader.mistakes.refuse("fan_out", fan_out, problem);
    }
    let wave = file.wave.map(|file| wave(&file, reader.mistakes));
    match (file.regime.is_empty(), file.class.is_empty()) {
        (true, true) if !reader.mistakes.told("class") => reader
            .mistakes
            .say("regime", "write at least one [[regime]] or [[class]]"),
        (false, false) => reader
            .mistakes
            .say("class", "write either regimes or classes"),
        _ => {}
    }
    Workload {
        regimes: regimes(file.regime, &name, reader),
        classes: classes(file.class, &name, reader),
        name,
        description,
        wave,
        fan_out: fan_out.clamp(1, MOST_LEAVES) as u32,
    }
}

fn wave(file: &FileWave, mistakes: &mut Mistakes) -> Wave {
    let write = format!("write a number from 1 to {MOST_FACTOR}");
    match file.factor {
        None => mistakes.say("wave.factor", format_args!("it is missing: {write}")),
        Some(factor) if !(1.0..=MOST_FACTOR).contains(&factor) => {
            mistakes.refuse("wave.factor", factor, write);
        }
        Some(_) => {}
    }
    let write = "write 2 or more";
    match file.period_calls {
        None => mistakes.say("wave.period_calls", format_args!("it is missing: {write}")),
        Some(calls) if calls < 2 => mistakes.refuse("wave.period_calls", calls, write),
        Some(_) => {}
    }
    Wave {
        factor: file.factor.unwrap_or(1.0),
        period_calls: file.period_calls.unwrap_or(2).max(2) as u64,
    }
}

fn regimes(files: Vec<FileRegime>, name: &str, reader: &mut LawReader<'_>) -> Vec<Regime> {
    let count = files.len();
    let mut regimes = Vec::new();
    for (at, file) in files.into_iter().enumerate() {
        let place = format!("regime[{at}]");
        if reader.mistakes.told(&place) {
            continue;
        }
        let calls = format!("{place}.calls");
        match file.calls {
            Some(1..) => {}
            Some(none) => reader.mistakes.refuse(&calls, none, "write 1 or more"),
            None if at + 1 < count => {
                let problem = "it is missing: only the last regime may leave it out";
                reader.mistakes.say(&calls, problem);
            }
            None => {}
        }
        if let Some(law) = reader.law(&place, name, &file.law, file.part) {
            regimes.push(Regime {
                calls: file.calls.and_then(|calls| u64::try_from(calls).ok()),
                law,
            });
        }
    }
    regimes
}

fn classes(files: Vec<FileClass>, name: &str, reader: &mut LawReader<'_>) -> Vec<Class> {
    let mut classes = Vec::new();
    let shares: Vec<Option<f64>> = files.iter().map(|file| file.share).collect();
    for (at, file) in files.into_iter().enumerate() {
        let place = format!("class[{at}]");
        if reader.mistakes.told(&place) {
            continue;
        }
        if file.name.is_none() {
            let problem = "it is missing: write what the class is called";
            reader.mistakes.say(&format!("{place}.name"), problem);
        }
        reader.share(&place, file.share, "of the calls it is");
        let (key, write) = (
            format!("{place}.ideal_ms"),
            format!("write a number from {LEAST_IDEAL} to {LONGEST_MS}"),
        );
        match file.ideal_ms {
            None => reader
                .mistakes
                .say(&key, format_args!("it is missing: {write}")),
            Some(ms) if !(LEAST_IDEAL..=LONGEST_MS).contains(&ms) => {
                reader.mistakes.refuse(&key, ms, write);
            }
            Some(_) => {}
        }
        if let Some(law) = reader.law(&place, name, &file.law, file.part) {
            classes.push(Class {
                name: file.name.unwrap_or_default(),
                share: file.share.unwrap_or_default(),
                ideal_ms: file.ideal_ms.unwrap_or(1.0),
                law,
            });
        }
    }
    reader.whole("class", &shares);
    classes
}
