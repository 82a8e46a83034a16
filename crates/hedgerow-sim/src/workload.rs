//! Workloads: what happens to the latency law in the course of many calls.

mod file;
mod parts;

use std::f64::consts::TAU;

use crate::law::Law;

pub use self::file::WorkloadError;
pub(crate) use self::file::{LONGEST_MS, description, folder, name};

/// A law, or several one after the other, for the attempts of many calls.
///
/// # Examples
///
/// ```
/// use hedgerow_sim::Workload;
///
/// let mine = Workload::parse(r#"
///     name = "mine"
///     description = "quick, then slow"
///
///     [[regime]]
///     calls = 10000
///     law = "lognormal"
///     median_ms = 8.0
///     sigma = 0.5
///
///     [[regime]]
///     [[regime.part]]
///     share = 0.99
///     law = "exponential"
///     mean_ms = 20.0
///     [[regime.part]]
///     share = 0.01
///     law = "constant"
///     ms = 400.0
/// "#)?;
/// assert_eq!(mine.regimes().len(), 2);
/// assert_eq!(mine.at(10_000, 0).0.quantile(0.995), 400.0);
/// # Ok::<_, hedgerow_sim::WorkloadError>(())
/// ```
///
/// # Units
///
/// Milliseconds as `f64`, calls counted from 0.
#[derive(Clone, Debug)]
pub struct Workload {
    name: String,
    description: String,
    /// Empty if there are classes.
    regimes: Vec<Regime>,
    classes: Vec<Class>,
    wave: Option<Wave>,
    fan_out: u32,
}

/// A law that holds for a while.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Regime {
    /// For so many calls; `None` for all that are left.
    pub calls: Option<u64>,
    /// What an attempt takes.
    pub law: Law,
}

/// A class of calls, which the request tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Class {
    /// What it is called.
    pub name: String,
    /// Its share of the calls.
    pub share: f64,
    /// What its latencies are measured in multiples of.
    pub ideal_ms: f64,
    /// What an attempt takes.
    pub law: Law,
}

/// Latencies that swing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Wave {
    /// The largest multiple; the smallest is 1.
    pub factor: f64,
    /// Calls from one smallest to the next.
    pub period_calls: u64,
}

/// The data files of the catalogue.
const FILES: [&str; 8] = [
    include_str!("../workloads/w0.toml"),
    include_str!("../workloads/w1.toml"),
    include_str!("../workloads/w2.toml"),
    include_str!("../workloads/w3.toml"),
    include_str!("../workloads/w4.toml"),
    include_str!("../workloads/w7.toml"),
    include_str!("../workloads/w8.toml"),
    include_str!("../workloads/w10.toml"),
];

/// A file of the catalogue.
fn known(file: &str) -> Workload {
    Workload::parse(file).expect("a test parses every file of the catalogue")
}

impl Workload {
    /// One law for every call.
    #[must_use]
    pub fn steady(law: Law) -> Self {
        Self {
            name: law.id().to_owned(),
            description: law.description().to_owned(),
            regimes: vec![Regime { calls: None, law }],
            classes: Vec::new(),
            wave: None,
            fan_out: 1,
        }
    }

    /// The catalogue: `w0` to `w4`, `w7`, `w8` and `w10`.
    #[must_use]
    pub fn all() -> Vec<Self> {
        FILES.into_iter().map(known).collect()
    }

    /// The one of the catalogue with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let wanted = name.trim();
        Self::all()
            .into_iter()
            .find(|workload| workload.name.eq_ignore_ascii_case(wanted))
    }

    /// Its name, such as `w4`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, on one line.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Its classes of calls. Empty if it has regimes.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Its regimes, in order. Empty if it has classes.
    #[must_use]
    pub fn regimes(&self) -> &[Regime] {
        &self.regimes
    }

    /// How its latencies swing, if they do.
    #[must_use]
    pub const fn wave(&self) -> Option<Wave> {
        self.wave
    }

    /// Of how many attempts a call takes the slowest: 1 unless it is a fan-out.
    #[must_use]
    pub const fn fan_out(&self) -> u32 {
        self.fan_out
    }

    /// Whether the same law holds for every call: only then one limit does.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.regimes.len() == 1 && self.wave.is_none()
    }

    /// What call `number` of a class meets: a law, and what its latencies are multiplied by.
    ///
    /// `class` is its place among [`classes`](Self::classes), and has no meaning where there are
    /// none. After the last regime has ended it goes on.
    ///
    /// # Panics
    ///
    /// If there are classes, and fewer than that.
    #[must_use]
    #[track_caller]
    pub fn at(&self, number: u64, class: usize) -> (&Law, f64) {
        let scale = self.scale(number);
        let Some((last, before)) = self.regimes.split_last() else {
            return (&self.classes[class].law, scale);
        };
        let mut left = number;
        for regime in before {
            match regime.calls {
                Some(calls) if left >= calls => left -= calls,
                _ => return (&regime.law, scale),
            }
        }
        (&last.law, scale)
    }

    /// The class that a share `u` (0 ≤ `u` < 1) of the calls stays within: 0 without classes.
    #[must_use]
    pub fn class_at(&self, u: f64) -> usize {
        let mut left = u;
        for (at, class) in self.classes.iter().enumerate() {
            left -= class.share;
            if left < 0.0 {
                return at;
            }
        }
        self.classes.len().saturating_sub(1)
    }

    /// How many calls its regimes describe, if they say.
    #[must_use]
    pub fn calls(&self) -> Option<u64> {
        if self.regimes.is_empty() {
            return None;
        }
        self.regimes
            .iter()
            .try_fold(0_u64, |sum, regime| sum.checked_add(regime.calls?))
    }

    fn scale(&self, number: u64) -> f64 {
        self.wave.map_or(1.0, |wave| {
            let part = (number % wave.period_calls) as f64 / wave.period_calls as f64;
            wave.factor.powf((1.0 - (TAU * part).cos()) / 2.0)
        })
    }
}
