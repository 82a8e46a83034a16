//! A law as it is written in a file.

use std::path::Path;

use hedgerow::config::reading::{self, Mistakes};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::law::{Law, LawError, LawPart};

/// One attempt in 100,000 may take so long, 11 days: what is longer no timer can wait for in the lab's
/// time, where it is 100 times as long.
pub(crate) const LONGEST_MS: f64 = 1e9;
const RARE: f64 = 0.99999;

/// Each law with the numbers that it wants and those that it may have.
const LAWS: [(&str, &[&str], &[&str]); 7] = [
    ("lognormal", &["median_ms", "sigma"], &[]),
    ("pareto", &["mode_ms", "alpha"], &[]),
    ("exponential", &["mean_ms"], &["shift_ms"]),
    (
        "generation",
        &[
            "first_median_ms",
            "first_sigma",
            "tokens_median",
            "tokens_sigma",
            "ms_per_token",
        ],
        &["shift_ms"],
    ),
    ("chain", &[], &["points"]),
    ("constant", &["ms"], &[]),
    ("trace", &[], &["file", "values_ms"]),
];

/// A law of its own.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct FileLaw {
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
    ms: Option<f64>,
    points: Option<Vec<Vec<f64>>>,
    values_ms: Option<Vec<f64>>,
    file: Option<String>,
}

/// A part of a mixture.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct FilePart {
    share: Option<f64>,
    #[serde(flatten)]
    law: FileLaw,
}

/// Reads laws, and tells every mistake in them.
pub(super) struct LawReader<'a> {
    pub(super) beside: &'a Path,
    pub(super) mistakes: &'a mut Mistakes,
}

impl LawReader<'_> {
    /// The law at `place`, a simple one or a mixture.
    pub(super) fn law(
        &mut self,
        place: &str,
        name: &str,
        own: &FileLaw,
        parts: Vec<FilePart>,
    ) -> Option<Law> {
        let mixture = if parts.is_empty() {
            // What stands there instead of parts was told, and says that there is no law of its own.
            if own.law.is_none() && self.mistakes.told(&format!("{place}.part")) {
                return None;
            }
            vec![(1.0, self.part(place, own)?)]
        } else {
            if own.law.is_some() {
                let problem = "there are parts too: write either a law of its own or parts";
                let law = format!("{place}.law");
                self.mistakes.refuse(&law, &own.law, problem);
            } else {
                self.strays(place, own, &[], "a mixture does not read it: leave it out");
            }
            self.parts(place, parts)?
        };
        let law = match Law::mixture(name, mixture) {
            Ok(law) => law,
            Err(error) => {
                self.mistakes.say(place, error);
                return None;
            }
        };
        // Also what is no number at all.
        let long = law.quantile(RARE);
        if long.is_nan() || long > LONGEST_MS {
            let problem = format_args!(
                "one attempt in 100,000 takes {long:e} ms and more: write a law that stays within \
                 {LONGEST_MS} ms"
            );
            self.mistakes.say(place, problem);
            return None;
        }
        Some(law)
    }

    /// The share of a class or a part, which `is` what it says.
    pub(super) fn share(&mut self, place: &str, share: Option<f64>, is: &str) {
        let key = format!("{place}.share");
        match share {
            None => {
                let problem =
                    format_args!("it is missing: write which part {is}, above 0, up to 1");
                self.mistakes.say(&key, problem);
            }
            Some(share) if !(share > 0.0 && share <= 1.0) => {
                let problem = "write a number above 0, up to 1";
                self.mistakes.refuse(&key, share, problem);
            }
            Some(_) => {}
        }
    }

    /// Whether shares, each right by itself, add up to 1.
    pub(super) fn whole(&mut self, key: &str, shares: &[Option<f64>]) -> bool {
        let shares: Option<Vec<f64>> = shares.iter().copied().collect();
        let Some(shares) = shares.filter(|all| all.iter().all(|one| *one > 0.0 && *one <= 1.0))
        else {
            return false;
        };
        let sum: f64 = shares.iter().sum();
        let whole = shares.is_empty() || (sum - 1.0).abs() <= 1e-6;
        if !whole {
            let problem = format_args!("the shares add up to {sum}: write shares that add up to 1");
            self.mistakes.say(key, problem);
        }
        whole
    }

    fn parts(&mut self, place: &str, parts: Vec<FilePart>) -> Option<Vec<(f64, LawPart)>> {
        let shares: Vec<Option<f64>> = parts.iter().map(|part| part.share).collect();
        let mut read = Vec::new();
        for (at, part) in parts.into_iter().enumerate() {
            let place = format!("{place}.part[{at}]");
            if self.mistakes.told(&place) {
                read.push(None);
                continue;
            }
            self.share(&place, part.share, "of the attempts follows it");
            read.push(self.part(&place, &part.law));
        }
        let whole = self.whole(&format!("{place}.part"), &shares);
        let read: Option<Vec<LawPart>> = read.into_iter().collect();
        let shares: Option<Vec<f64>> = shares.into_iter().collect();
        Some(shares?.into_iter().zip(read?).collect()).filter(|_| whole)
    }

    /// The simple law at `place`.
    fn part(&mut self, place: &str, file: &FileLaw) -> Option<LawPart> {
        let key = format!("{place}.law");
        let names = LAWS.map(|(name, ..)| name);
        let Some(law) = &file.law else {
            let problem = format_args!("it is missing: write one of {}", names.join(", "));
            self.mistakes.say(&key, problem);
            return None;
        };
        let Some((law, wants, may)) = LAWS.into_iter().find(|(name, ..)| name == law) else {
            let problem = match reading::guess(law, &names) {
                Some(name) => format!("there is no such law; did you mean {name:?}?"),
                None => format!("there is no such law: write one of {}", names.join(", ")),
            };
            self.mistakes.refuse(&key, law, problem);
            return None;
        };
        let mut right = self.numbers(place, file, law, wants);
        if let Some(shift) = file
            .shift_ms
            .filter(|shift| may.contains(&"shift_ms") && *shift < 0.0)
        {
            let key = format!("{place}.shift_ms");
            self.mistakes.refuse(&key, shift, "write 0 or more");
            right = false;
        }
        let reads = [wants, may].concat();
        let stray = format!("a {law} does not read it: leave it out");
        self.strays(place, file, &reads, &stray);
        let part = match law {
            "chain" => self.chain(place, file.points.as_deref()),
            "trace" => self.trace(place, file),
            _ => right.then(|| file.simple(law)),
        }?;
        // By itself, so that each part has its mistakes told.
        if let Err(error) = Law::mixture("", [(1.0, part.clone())]) {
            self.refused(place, file, &error);
            return None;
        }
        Some(part)
    }

    /// Whether the numbers that a law wants are there, and above 0.
    fn numbers(&mut self, place: &str, file: &FileLaw, law: &str, wants: &[&str]) -> bool {
        let mut right = true;
        for (key, value) in file.written().filter(|(key, _)| wants.contains(key)) {
            let key = format!("{place}.{key}");
            match value {
                Some(value) if value > 0.0 => continue,
                Some(value) => self.mistakes.refuse(&key, value, "write a number above 0"),
                None => {
                    let wants = wants.join(", ");
                    self.mistakes
                        .say(&key, format_args!("it is missing: a {law} wants {wants}"));
                }
            }
            right = false;
        }
        right
    }

    fn chain(&mut self, place: &str, points: Option<&[Vec<f64>]>) -> Option<LawPart> {
        let key = format!("{place}.points");
        let Some(points) = points else {
            let problem =
                "it is missing: write at least two [ms, survival], the first with survival 1";
            self.mistakes.say(&key, problem);
            return None;
        };
        let mut pairs = Vec::new();
        for (at, point) in points.iter().enumerate() {
            if let [ms, survival] = point[..] {
                pairs.push((ms, survival));
            } else {
                let key = format!("{key}[{at}]");
                self.mistakes.refuse(&key, point, "write [ms, survival]");
            }
        }
        (pairs.len() == points.len()).then_some(LawPart::Chain { points: pairs })
    }

    fn trace(&mut self, place: &str, file: &FileLaw) -> Option<LawPart> {
        match (&file.values_ms, &file.file) {
            (Some(ms), None) => Some(LawPart::Trace { ms: ms.clone() }),
            (None, Some(path)) => {
                let ms = self.values(&format!("{place}.file"), path)?;
                Some(LawPart::Trace { ms })
            }
            (Some(_), Some(path)) => {
                let problem = "there are values_ms too: write either of them";
                self.mistakes
                    .refuse(&format!("{place}.file"), path, problem);
                None
            }
            (None, None) => {
                let told = |key| self.mistakes.told(&format!("{place}.{key}"));
                if !(told("values_ms") || told("file")) {
                    self.mistakes.say(place, "a trace wants values_ms or file");
                }
                None
            }
        }
    }

    /// The latencies of a trace's file, one a line.
    fn values(&mut self, key: &str, name: &str) -> Option<Vec<f64>> {
        let path = self.beside.join(name);
        let text = match reading::text(&path) {
            Ok(text) => text,
            Err(problem) => {
                self.mistakes.refuse(key, name, problem);
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
                let problem = format!(
                    "{}, line {}: {line:?} is no number of ms",
                    path.display(),
                    at + 1
                );
                self.mistakes.refuse(key, name, problem);
                return None;
            };
            values.push(value);
        }
        Some(values)
    }

    /// What is written and not read.
    fn strays(&mut self, place: &str, file: &FileLaw, reads: &[&str], problem: &str) {
        for (key, value) in file.written() {
            if let Some(value) = value.filter(|_| !reads.contains(&key)) {
                self.mistakes
                    .refuse(&format!("{place}.{key}"), value, problem);
            }
        }
        for (key, there) in [
            ("points", file.points.is_some()),
            ("values_ms", file.values_ms.is_some()),
            ("file", file.file.is_some()),
        ] {
            if there && !reads.contains(&key) {
                self.mistakes.say(&format!("{place}.{key}"), problem);
            }
        }
    }

    /// What the law itself finds.
    fn refused(&mut self, place: &str, file: &FileLaw, error: &LawError) {
        let beneath = |key: &str| format!("{place}.{key}");
        match *error {
            LawError::Positive { what, value } => {
                let problem = "write a number above 0, and within what numbers can be";
                self.mistakes.refuse(&beneath(what), value, problem);
            }
            LawError::Chain => self.mistakes.say(&beneath("points"), error),
            LawError::Trace { at, value } if file.values_ms.is_some() => {
                let key = beneath(&format!("values_ms[{at}]"));
                self.mistakes
                    .refuse(&key, value, "write milliseconds, 0 or more");
            }
            LawError::EmptyTrace | LawError::Trace { .. } => {
                let key = if file.file.is_some() {
                    "file"
                } else {
                    "values_ms"
                };
                self.mistakes.say(&beneath(key), error);
            }
            _ => self.mistakes.say(place, error),
        }
    }
}

impl FileLaw {
    /// The numbers that may be written.
    fn written(&self) -> impl Iterator<Item = (&'static str, Option<f64>)> + use<> {
        [
            ("median_ms", self.median_ms),
            ("sigma", self.sigma),
            ("mode_ms", self.mode_ms),
            ("alpha", self.alpha),
            ("mean_ms", self.mean_ms),
            ("shift_ms", self.shift_ms),
            ("first_median_ms", self.first_median_ms),
            ("first_sigma", self.first_sigma),
            ("tokens_median", self.tokens_median),
            ("tokens_sigma", self.tokens_sigma),
            ("ms_per_token", self.ms_per_token),
            ("ms", self.ms),
        ]
        .into_iter()
    }

    /// A law of numbers, all of which are there.
    fn simple(&self, law: &str) -> LawPart {
        let number = |number: Option<f64>| number.unwrap_or_default();
        match law {
            "lognormal" => LawPart::LogNormal {
                median_ms: number(self.median_ms),
                sigma: number(self.sigma),
            },
            "pareto" => LawPart::Pareto {
                mode_ms: number(self.mode_ms),
                alpha: number(self.alpha),
            },
            "exponential" => LawPart::Exponential {
                shift_ms: number(self.shift_ms),
                mean_ms: number(self.mean_ms),
            },
            "generation" => LawPart::Generation {
                first_median_ms: number(self.first_median_ms),
                first_sigma: number(self.first_sigma),
                tokens_median: number(self.tokens_median),
                tokens_sigma: number(self.tokens_sigma),
                ms_per_token: number(self.ms_per_token),
                shift_ms: number(self.shift_ms),
            },
            _ => LawPart::Constant {
                ms: number(self.ms),
            },
        }
    }
}
