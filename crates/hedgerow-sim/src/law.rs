//! Latency laws: the catalogue, and what can be asked of a law.

mod shape;
mod build;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, OpenClosed01};

use self::shape::Shape;
use crate::limit::Table;

pub use self::build::{LawError, LawPart};

/// A shape of the catalogue.
fn known(shape: Result<Shape, LawError>) -> Shape {
    shape.expect("a test draws from every law of the catalogue")
}

/// How long one attempt at a service takes: a probability law over milliseconds.
///
/// Attempts are independent of each other. A law is drawn from ([`sample`](Self::sample)) and
/// computed with ([`survival`](Self::survival), [`cdf`](Self::cdf), [`quantile`](Self::quantile)),
/// so that a measurement can be held against the truth.
///
/// | id | law, in ms | p50 | p95 | p99 | p99.9 |
/// | --- | --- | --- | --- | --- | --- |
/// | `w0` | leaf of a large fan-out: piecewise Pareto | 3.0 | 7.1 | 17.6 | 132 |
/// | `w1` | lognormal, median 20, σ 0.8 | 20.0 | 74.6 | 128.6 | 237 |
/// | `w2` | Pareto, mode 2, α 1.1 | 3.8 | 30.5 | 131.6 | 1067 |
/// | `w3` | lognormal, mean 5, standard deviation 2; one in 20 takes ten times as long | 4.8 | 17.5 | 64.2 | 102.4 |
/// | `w4` | 98 %: exponential, mean 10; 2 %: 200 + exponential, mean 300 | 7.1 | 34.9 | 407.9 | 1099 |
///
/// # Examples
///
/// ```
/// use hedgerow_sim::Law;
///
/// let law: Law = "w4".parse()?;
/// assert_eq!(law.quantile(0.99).round(), 408.0);
/// assert!((law.survival(35.0) - 0.05).abs() < 0.001);
///
/// let mistake = "w5".parse::<Law>().unwrap_err();
/// assert!(mistake.to_string().contains("w0, w1, w2, w3, w4"));
/// # Ok::<_, hedgerow_sim::UnknownLaw>(())
/// ```
///
/// # Units
///
/// Milliseconds, as `f64`. Probabilities are shares from 0 to 1, not percents.
#[derive(Clone, Debug)]
pub struct Law {
    id: Cow<'static, str>,
    name: Cow<'static, str>,
    description: Cow<'static, str>,
    parts: Vec<Part>,
    /// Made when it is first asked for, once for all clones.
    table: Arc<OnceLock<Option<Table>>>,
}

/// One component of a mixture and its share of the attempts. Shares sum to 1.
#[derive(Clone, Debug)]
struct Part {
    share: f64,
    shape: Shape,
}

/// A workload that is not in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLaw {
    written: String,
}

/// Survival of one leaf of a large fan-out: (ms, share of attempts that take longer).
///
/// The points are the latency distribution published with "The Tail at Scale" (Dean and Barroso,
/// Communications of the ACM, 2013), completed so that the slowest of 100 leaves stays under
/// 1.8 s in 999 of 1,000 fan-outs, as it does there.
const LEAF: &[(f64, f64)] = &[
    (1.5, 1.0),
    (3.0, 0.5),
    (6.0, 0.08),
    (10.0, 0.02),
    (69.0, 0.003_16),
    (1_800.0, 1e-5),
];

impl Law {
    /// `w0`: one leaf of a fan-out, survival a chain of Pareto pieces through six points.
    ///
    /// A caller that asks 100 such leaves and waits for the slowest sees p99.9 at 1.8 s.
    #[must_use]
    pub fn w0() -> Self {
        Self {
            id: "w0".into(),
            name: "fan-out leaf".into(),
            description: "one leaf of a large fan-out: Pareto pieces, 1 in 100,000 beyond 1.8 s"
                .into(),
            parts: vec![Part::whole(known(Shape::chain(LEAF)))],
            table: Arc::default(),
        }
    }

    /// `w1`: lognormal with median 20 ms and σ 0.8. A moderate tail without a second mode.
    #[must_use]
    pub fn w1() -> Self {
        Self {
            id: "w1".into(),
            name: "lognormal".into(),
            description: "lognormal, median 20 ms, sigma 0.8".into(),
            parts: vec![Part::whole(known(Shape::log_normal(20.0, 0.8)))],
            table: Arc::default(),
        }
    }

    /// `w2`: Pareto with mode 2 ms and α 1.1. The heaviest tail here: no finite variance.
    #[must_use]
    pub fn w2() -> Self {
        Self {
            id: "w2".into(),
            name: "Pareto".into(),
            description: "Pareto, mode 2 ms, alpha 1.1".into(),
            parts: vec![Part::whole(known(Shape::pareto(2.0, 1.1)))],
            table: Arc::default(),
        }
    }

    /// `w3`: lognormal with mean 5 ms and standard deviation 2 ms; one in 20 takes ten times that.
    #[must_use]
    pub fn w3() -> Self {
        // A lognormal of mean m and deviation s has σ² = ln(1 + s²/m²) and median m/√(1 + s²/m²).
        let spread: f64 = 1.0 + (2.0 / 5.0) * (2.0 / 5.0);
        let (median, sigma) = (5.0 / spread.sqrt(), spread.ln().sqrt());
        Self {
            id: "w3".into(),
            name: "stragglers".into(),
            description: "lognormal, mean 5 ms, sd 2 ms; 5 % take ten times as long".into(),
            parts: vec![
                Part {
                    share: 0.95,
                    shape: known(Shape::log_normal(median, sigma)),
                },
                Part {
                    share: 0.05,
                    shape: known(Shape::log_normal(10.0 * median, sigma)),
                },
            ],
            table: Arc::default(),
        }
    }

    /// `w4`: exponential with mean 10 ms; one in 50 takes 200 ms and an exponential of mean 300 ms.
    ///
    /// The p99 lies in the slow mode (408 ms) and the p95 in the fast one (35 ms), which is what
    /// pauses, retransmissions and cold caches look like to a caller.
    #[must_use]
    pub fn w4() -> Self {
        Self {
            id: "w4".into(),
            name: "slow mode".into(),
            description: "98 %: exponential, mean 10 ms; 2 %: 200 ms + exponential, mean 300 ms"
                .into(),
            parts: vec![
                Part {
                    share: 0.98,
                    shape: known(Shape::exponential(0.0, 10.0)),
                },
                Part {
                    share: 0.02,
                    shape: known(Shape::exponential(200.0, 300.0)),
                },
            ],
            table: Arc::default(),
        }
    }

    /// Every law of the catalogue, by id.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![Self::w0(), Self::w1(), Self::w2(), Self::w3(), Self::w4()]
    }

    /// The id it is parsed from, such as `w4`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A short name, such as `slow mode`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The law in words and numbers, on one line.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Draws one latency, in ms.
    #[must_use]
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let mut ticket: f64 = OpenClosed01.sample(rng);
        for part in &self.parts {
            ticket -= part.share;
            if ticket <= 0.0 {
                return part.shape.sample(rng);
            }
        }
        // Rounding left a crumb beyond the last share.
        self.last().shape.sample(rng)
    }

    /// Draws one latency as a `Duration`.
    #[must_use]
    pub fn sample_duration<R: Rng + ?Sized>(&self, rng: &mut R) -> Duration {
        let seconds = self.sample(rng) / 1e3;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// The share of attempts that take longer than `ms`.
    #[must_use]
    pub fn survival(&self, ms: f64) -> f64 {
        self.parts
            .iter()
            .map(|part| part.share * part.shape.survival(ms))
            .sum()
    }

    /// The share of attempts that take at most `ms`.
    #[must_use]
    pub fn cdf(&self, ms: f64) -> f64 {
        1.0 - self.survival(ms)
    }

    /// The latency in ms that a share `q` of the attempts stays within, to the last bit of an
    /// `f64`.
    ///
    /// # Panics
    ///
    /// If `q` is not in 0 ≤ `q` < 1. A share of 1 has no quantile: these laws have no slowest
    /// attempt.
    #[must_use]
    #[track_caller]
    pub fn quantile(&self, q: f64) -> f64 {
        assert!(
            (0.0..1.0).contains(&q),
            "there is no quantile {q}: write a share, 0 ≤ q < 1 (0.99 for p99)"
        );
        let tail = 1.0 - q;
        if self.survival(0.0) <= tail {
            return 0.0;
        }
        let (mut below, mut within) = (0.0, 1.0);
        while self.survival(within) > tail {
            (below, within) = (within, 2.0 * within);
        }
        loop {
            let middle = f64::midpoint(below, within);
            if middle <= below || middle >= within {
                return within;
            }
            if self.survival(middle) > tail {
                below = middle;
            } else {
                within = middle;
            }
        }
    }

    /// Whether a survival is a sum of hundreds.
    pub(crate) fn is_slow(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part.shape, Shape::Generation { .. }))
    }

    /// Its survivals as a table, if parts of it have no jumps.
    pub(crate) fn table(&self) -> Option<&Table> {
        let table = self.table.get_or_init(|| {
            let (share, smooth) = self.smooth()?;
            Some(Table::of(share, &smooth))
        });
        table.as_ref()
    }

    /// The parts that have no jumps as a law, and their share of this one.
    fn smooth(&self) -> Option<(f64, Self)> {
        let parts = self.parts.iter().filter(|part| part.shape.is_smooth());
        let mut smooth = Self {
            parts: parts.cloned().collect(),
            table: Arc::default(),
            ..self.clone()
        };
        let share = smooth.parts.iter().map(|part| part.share).sum();
        for part in &mut smooth.parts {
            part.share /= share;
        }
        (!smooth.parts.is_empty()).then_some((share, smooth))
    }

    /// What the parts that jump add to the survival.
    pub(crate) fn jumping(&self, ms: f64) -> f64 {
        let parts = self.parts.iter().filter(|part| !part.shape.is_smooth());
        parts.map(|part| part.share * part.shape.survival(ms)).sum()
    }

    fn last(&self) -> &Part {
        self.parts
            .last()
            .expect("every law of the catalogue has a part")
    }
}

impl Part {
    fn whole(shape: Shape) -> Self {
        Self { share: 1.0, shape }
    }
}

// === impl Distribution ===

impl Distribution<f64> for Law {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        Self::sample(self, rng)
    }
}

// === impl FromStr, Display ===

impl FromStr for Law {
    type Err = UnknownLaw;

    /// Finds a law by its id; upper and lower case are the same.
    fn from_str(written: &str) -> Result<Self, UnknownLaw> {
        let wanted = written.trim();
        Self::all()
            .into_iter()
            .find(|law| law.id.eq_ignore_ascii_case(wanted))
            .ok_or_else(|| UnknownLaw {
                written: wanted.to_owned(),
            })
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl fmt::Display for UnknownLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Law::all();
        let ids: Vec<_> = all.iter().map(Law::id).collect();
        write!(
            f,
            "there is no workload `{}`: write one of {}",
            self.written,
            ids.join(", ")
        )
    }
}

impl std::error::Error for UnknownLaw {}
