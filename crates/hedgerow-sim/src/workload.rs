//! Workloads: what happens to the latency law in the course of many calls.

mod file;

use std::f64::consts::TAU;

use crate::law::Law;

pub use self::file::WorkloadError;

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
/// assert_eq!(mine.at(10_000).0.quantile(0.995), 400.0);
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
    regimes: Vec<Regime>,
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
const FILES: [&str; 7] = [
    include_str!("../workloads/w0.toml"),
    include_str!("../workloads/w1.toml"),
    include_str!("../workloads/w2.toml"),
    include_str!("../workloads/w3.toml"),
    include_str!("../workloads/w4.toml"),
    include_str!("../workloads/w7.toml"),
    include_str!("../workloads/w8.toml"),
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
            wave: None,
            fan_out: 1,
        }
    }

    /// The catalogue: `w0` to `w4`, `w7` and `w8`.
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

    /// Its regimes, in order. At least one.
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

    /// What call `number` meets: a law, and what its latencies are multiplied by.
    ///
    /// After the last regime has ended it goes on.
    #[must_use]
    pub fn at(&self, number: u64) -> (&Law, f64) {
        let mut left = number;
        let last = self.regimes.len() - 1;
        for regime in &self.regimes[..last] {
            match regime.calls {
                Some(calls) if left >= calls => left -= calls,
                _ => return (&regime.law, self.scale(number)),
            }
        }
        (&self.regimes[last].law, self.scale(number))
    }

    /// How many calls its regimes describe, if they say.
    #[must_use]
    pub fn calls(&self) -> Option<u64> {
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
