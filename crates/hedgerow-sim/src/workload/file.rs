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

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Class, Regime, Wave, Workload};
use crate::law::{Law, LawError, LawPart};

/// One attempt in 100,000 may take so long, 11 days: what is longer no timer can wait for in the lab's
/// time, where it is 100 times as long.
const LONGEST_MS: f64 = 1e9;
const RARE: f64 = 0.99999;
/// Multiples of less than a nanosecond say nothing.
const LEAST_IDEAL: f64 = 1e-6;
/// A wave goes no higher than this.
const MOST_FACTOR: f64 = 1e6;

const LAWS: &str = "lognormal, pareto, exponential, generation, chain, constant or trace";

/// Everything that is wrong with a workload file, each with its place and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadError {
    mistakes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    description: String,
    fan_out: Option<i64>,
    wave: Option<FileWave>,
    #[serde(default)]
    regime: Vec<FileLaw>,
    #[serde(default)]
    class: Vec<FileLaw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWave {
    factor: f64,
    period_calls: i64,
}

/// A regime, a class or a part: what does not belong there is told as a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLaw {
    /// Of a regime.
    calls: Option<i64>,
    /// Of a class.
    name: Option<String>,
    ideal_ms: Option<f64>,
    /// Of a class or a part.
    share: Option<f64>,
    /// Instead of a law of its own.
    #[serde(default)]
    part: Vec<FileLaw>,
    law: Option<String>,
    median_ms: Option<f64>,
    sigma: Option<f64>,
    mode_ms: Option<f64>,
    alpha: Option<f64>,
    mean_ms: Option<f64>,
    shift_ms: Option<f64>,
    first_median_ms: Option<f64>,
    first_sigma: Option<f64>,
    tokens_median: Option<f64>,
    tokens_sigma: Option<f64>,
    ms_per_token: Option<f64>,
    points: Option<Vec<(f64, f64)>>,
    ms: Option<f64>,
    values_ms: Option<Vec<f64>>,
    file: Option<PathBuf>,
}

/// Collects mistakes with their places.
struct Reader<'a> {
    beside: &'a Path,
    mistakes: Vec<String>,
}

impl Workload {
    /// Reads a workload from TOML. A trace's file is looked for in the working directory.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] with every mistake, its place, and what to write.
    pub fn parse(text: &str) -> Result<Self, WorkloadError> {
        Self::parse_beside(text, Path::new(""))
    }

    /// Reads a workload from a TOML file. A trace's file is looked for beside it.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let text = fs::read_to_string(path).map_err(|error| {
            WorkloadError::one(format!("{} cannot be read: {error}", path.display()))
        })?;
        Self::parse_beside(&text, path.parent().unwrap_or(Path::new("")))
    }

    fn parse_beside(text: &str, beside: &Path) -> Result<Self, WorkloadError> {
        let file: File = toml::from_str(text)
            .map_err(|error| WorkloadError::one(error.to_string().trim_end().to_owned()))?;
        let mut reader = Reader {
            beside,
            mistakes: Vec::new(),
        };
        let workload = reader.workload(file);
        WorkloadError::none_of(reader.mistakes)?;
        Ok(workload)
    }
}

impl Reader<'_> {
    fn wrong(&mut self, place: &str, problem: impl fmt::Display) {
        self.mistakes.push(format!("{place}: {problem}"));
    }

    fn workload(&mut self, file: File) -> Workload {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if file.name.is_empty() || !file.name.chars().all(fine) {
            self.wrong("name", "write letters, digits, `-` and `_`");
        }
        if file.description.contains(char::is_control) {
            self.wrong("description", "write one line, without control characters");
        }
        let fan_out = file.fan_out.unwrap_or(1);
        if !(1..=10_000).contains(&fan_out) {
            self.wrong("fan_out", "write 1 to 10000 attempts");
        }
        let wave = file.wave.map(|wave| self.wave(&wave));
        let (count, classless) = (file.regime.len(), file.class.is_empty());
        let classes = self.classes(&file.name, file.class);
        match (count, classless) {
            (0, true) => self.wrong("regime", "write at least one [[regime]] or [[class]]"),
            (1.., false) => self.wrong("class", "write either regimes or classes"),
            _ => {}
        }
        let mut regimes = Vec::new();
        for (at, mut regime) in file.regime.into_iter().enumerate() {
            let place = format!("regime {}", at + 1);
            let of_a_class = (
                regime.name.take(),
                regime.share.take(),
                regime.ideal_ms.take(),
            );
            if of_a_class != (None, None, None) {
                self.wrong(&place, "name, share and ideal_ms belong to a [[class]]");
            }
            let calls = match regime.calls.take() {
                Some(calls) if calls > 0 => Some(calls as u64),
                Some(_) => {
                    self.wrong(&place, "calls: write 1 or more");
                    None
                }
                None if at + 1 < count => {
                    self.wrong(&place, "calls: only the last regime may leave it out");
                    None
                }
                None => None,
            };
            if let Some(law) = self.law_of(&place, &file.name, regime) {
                regimes.push(Regime { calls, law });
            }
        }
        Workload {
            description: if file.description.is_empty() {
                file.name.clone()
            } else {
                file.description
            },
            name: file.name,
            regimes,
            classes,
            wave,
            fan_out: fan_out.clamp(1, 10_000) as u32,
        }
    }

    fn classes(&mut self, name: &str, files: Vec<FileLaw>) -> Vec<Class> {
        let mut classes = Vec::new();
        let mut sum = 0.0;
        let count = files.len();
        for (at, mut file) in files.into_iter().enumerate() {
            let place = format!("class {}", at + 1);
            if file.calls.take().is_some() {
                self.wrong(&place, "calls belongs to a [[regime]]");
            }
            let wants = (file.name.take(), file.share.take(), file.ideal_ms.take());
            let law = self.law_of(&place, name, file);
            let (Some(name), Some(share), Some(ideal_ms)) = wants else {
                self.wrong(&place, "wants name, share and ideal_ms");
                continue;
            };
            if !(share > 0.0 && ideal_ms > 0.0) {
                self.wrong(&place, "share and ideal_ms: write numbers above 0");
            } else if !(LEAST_IDEAL..=LONGEST_MS).contains(&ideal_ms) {
                self.wrong(
                    &place,
                    format_args!("ideal_ms: write a number from {LEAST_IDEAL} to {LONGEST_MS}"),
                );
            }
            sum += share;
            if let Some(law) = law {
                classes.push(Class {
                    name,
                    share,
                    ideal_ms,
                    law,
                });
            }
        }
        if count > 0 && classes.len() == count && (sum - 1.0).abs() > 1e-6 {
            self.wrong(
                "class",
                format_args!("the shares add up to {sum}: write shares that add up to 1"),
            );
        }
        classes
    }

    fn wave(&mut self, wave: &FileWave) -> Wave {
        if !(1.0..=MOST_FACTOR).contains(&wave.factor) {
            self.wrong(
                "wave",
                format_args!("factor: write a number from 1 to {MOST_FACTOR}"),
            );
        }
        if wave.period_calls < 2 {
            self.wrong("wave", "period_calls: write 2 or more");
        }
        Wave {
            factor: wave.factor,
            period_calls: wave.period_calls.max(2) as u64,
        }
    }

    fn law_of(&mut self, place: &str, name: &str, mut simple: FileLaw) -> Option<Law> {
        let parts = std::mem::take(&mut simple.part);
        let mixture = match (simple.law.is_some(), parts.is_empty()) {
            (true, false) => {
                self.wrong(place, "write either a law of its own or [[regime.part]]s");
                return None;
            }
            (_, true) => vec![(1.0, self.part(place, simple)?)],
            (false, false) => {
                if let Some(stray) = simple.stray() {
                    self.wrong(
                        place,
                        format_args!("a mixture has no {stray}: leave it out"),
                    );
                }
                self.parts(place, parts)?
            }
        };
        let law = self.fine(place, Law::mixture(name, mixture))?;
        // Also what is no number at all.
        let long = law.quantile(RARE);
        if long.is_nan() || long > LONGEST_MS {
            self.wrong(
                place,
                format_args!(
                    "one attempt in 100,000 takes {long:e} ms and more: write a law that stays \
                     within {LONGEST_MS} ms"
                ),
            );
            return None;
        }
        Some(law)
    }

    fn fine<T>(&mut self, place: &str, tried: Result<T, LawError>) -> Option<T> {
        tried.map_err(|error| self.wrong(place, error)).ok()
    }

    fn parts(&mut self, place: &str, parts: Vec<FileLaw>) -> Option<Vec<(f64, LawPart)>> {
        let mut read = Vec::new();
        let mut whole = true;
        for (at, mut part) in parts.into_iter().enumerate() {
            let place = format!("{place}, part {}", at + 1);
            let share = part.share.take();
            if share.is_none() {
                self.wrong(&place, "share: write which part of the attempts follows it");
            }
            let part = self.part(&place, part);
            // Each by itself, so that every part has its mistakes told.
            let alone = part
                .as_ref()
                .map(|part| Law::mixture("", [(1.0, part.clone())]));
            let fine = alone.is_some_and(|alone| self.fine(&place, alone).is_some());
            match (share, part) {
                (Some(share), _) if !(share > 0.0 && share <= 1.0) => {
                    self.wrong(&place, LawError::Share(share));
                    whole = false;
                }
                (Some(share), Some(part)) if fine => read.push((share, part)),
                _ => whole = false,
            }
        }
        whole.then_some(read)
    }

    fn part(&mut self, place: &str, mut file: FileLaw) -> Option<LawPart> {
        let Some(law) = file.law.take() else {
            self.wrong(place, format_args!("law: write {LAWS}"));
            return None;
        };
        let read = match law.as_str() {
            "lognormal" => file
                .median_ms
                .take()
                .zip(file.sigma.take())
                .map(|(median_ms, sigma)| LawPart::LogNormal { median_ms, sigma })
                .ok_or("wants median_ms and sigma"),
            "pareto" => file
                .mode_ms
                .take()
                .zip(file.alpha.take())
                .map(|(mode_ms, alpha)| LawPart::Pareto { mode_ms, alpha })
                .ok_or("wants mode_ms and alpha"),
            "exponential" => {
                let shift_ms = file.shift_ms.take().unwrap_or(0.0);
                let mean = file.mean_ms.take();
                mean.map(|mean_ms| LawPart::Exponential { shift_ms, mean_ms })
                    .ok_or("wants mean_ms")
            }
            "chain" => file
                .points
                .take()
                .map(|points| LawPart::Chain { points })
                .ok_or("wants points"),
            "generation" => file.generation().ok_or(
                "wants first_median_ms, first_sigma, tokens_median, tokens_sigma and ms_per_token",
            ),
            "constant" => file
                .ms
                .take()
                .map(|ms| LawPart::Constant { ms })
                .ok_or("wants ms"),
            "trace" => match (file.values_ms.take(), file.file.take()) {
                (Some(ms), None) => Ok(LawPart::Trace { ms }),
                (None, Some(path)) => Ok(LawPart::Trace {
                    ms: self.trace(place, &path)?,
                }),
                _ => Err("wants either values_ms or file"),
            },
            other => {
                self.wrong(
                    place,
                    format_args!("there is no law `{other}`: write {LAWS}"),
                );
                return None;
            }
        };
        if let Some(stray) = file.stray() {
            self.wrong(place, format_args!("a {law} has no {stray}: leave it out"));
        }
        read.map_err(|wants| self.wrong(place, format_args!("a {law} {wants}")))
            .ok()
    }

    fn trace(&mut self, place: &str, path: &Path) -> Option<Vec<f64>> {
        let path = self.beside.join(path);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                self.wrong(
                    place,
                    format_args!("{} cannot be read: {error}", path.display()),
                );
                return None;
            }
        };
        let mut values = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Ok(value) = line.parse() else {
                let name = path.display();
                self.wrong(
                    place,
                    format_args!("{name}, line {}: `{line}` is no number of ms", at + 1),
                );
                return None;
            };
            values.push(value);
        }
        Some(values)
    }
}

impl FileLaw {
    fn generation(&mut self) -> Option<LawPart> {
        let shift_ms = self.shift_ms.take().unwrap_or(0.0);
        Some(LawPart::Generation {
            first_median_ms: self.first_median_ms.take()?,
            first_sigma: self.first_sigma.take()?,
            tokens_median: self.tokens_median.take()?,
            tokens_sigma: self.tokens_sigma.take()?,
            ms_per_token: self.ms_per_token.take()?,
            shift_ms,
        })
    }

    /// A parameter that the law did not take.
    fn stray(&self) -> Option<&'static str> {
        [
            ("calls", self.calls.is_some()),
            ("name", self.name.is_some()),
            ("ideal_ms", self.ideal_ms.is_some()),
            ("share", self.share.is_some()),
            ("part", !self.part.is_empty()),
            ("median_ms", self.median_ms.is_some()),
            ("sigma", self.sigma.is_some()),
            ("mode_ms", self.mode_ms.is_some()),
            ("alpha", self.alpha.is_some()),
            ("mean_ms", self.mean_ms.is_some()),
            ("shift_ms", self.shift_ms.is_some()),
            ("first_median_ms", self.first_median_ms.is_some()),
            ("first_sigma", self.first_sigma.is_some()),
            ("tokens_median", self.tokens_median.is_some()),
            ("tokens_sigma", self.tokens_sigma.is_some()),
            ("ms_per_token", self.ms_per_token.is_some()),
            ("points", self.points.is_some()),
            ("ms", self.ms.is_some()),
            ("values_ms", self.values_ms.is_some()),
            ("file", self.file.is_some()),
        ]
        .into_iter()
        .find_map(|(name, there)| there.then_some(name))
    }
}

impl WorkloadError {
    pub(crate) fn one(mistake: String) -> Self {
        Self {
            mistakes: vec![mistake],
        }
    }

    /// An error if there are mistakes.
    pub(crate) fn none_of(mistakes: Vec<String>) -> Result<(), Self> {
        if mistakes.is_empty() {
            return Ok(());
        }
        Err(Self { mistakes })
    }

    /// Every mistake, with its place.
    #[must_use]
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl fmt::Display for WorkloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistakes.join("; "))
    }
}

impl std::error::Error for WorkloadError {}
