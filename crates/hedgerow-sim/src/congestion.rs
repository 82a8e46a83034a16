//! Open-loop calls at replicas with queues: what extra work does to an overloaded service.

mod file;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use hedgerow::config::reading;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tower_service::Service;

use crate::latencies::Latencies;
use crate::law::{Law, LawPart};
use crate::replicas::{Job, Replicas};
use crate::trial::MILLISECOND;
use crate::workload::WorkloadError;

const W9: &str = include_str!("../workloads/w9.toml");

/// Calls that arrive whether or not earlier ones were answered, at [`Replicas`], in phases of load.
///
/// Each call is answered in time or it is not: a call that takes longer than the deadline has failed.
/// In virtual time, scaled by [`MILLISECOND`].
///
/// # Examples
///
/// ```
/// use hedgerow_sim::{Congestion, Replicas};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let w9 = Congestion::w9();
/// let measured = w9.run(1, true, |replicas: Replicas| replicas).await;
/// assert!(measured.between(5.0..30.0).success() > 0.97);
/// assert_eq!(measured.extra_percent(), 0.0);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Congestion {
    name: String,
    description: String,
    replicas: usize,
    per_second: f64,
    size_median_ms: f64,
    size_sigma: f64,
    hiccup_share: f64,
    hiccup_ms: f64,
    deadline_ms: f64,
    phases: Vec<Phase>,
}

/// A stretch of steady load.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Phase {
    /// How long it is.
    pub seconds: f64,
    /// Calls per second, as a multiple of the workload's.
    pub load: f64,
}

/// The calls that arrived in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Calls that arrived.
    pub calls: u64,
    /// Calls that were answered within the deadline.
    pub answered: u64,
}

impl Tally {
    /// The share of the calls that were answered in time; 1 without calls.
    #[must_use]
    pub fn success(&self) -> f64 {
        if self.calls == 0 {
            return 1.0;
        }
        self.answered as f64 / self.calls as f64
    }
}

/// What a run of [`Congestion`] measured, call by call.
#[derive(Clone, Debug)]
pub struct Congested {
    calls: Vec<Arrival>,
    attempts: u64,
}

/// A call: when it arrived, in seconds, and how long its answer took, if there was one in time.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: f64,
    took: Option<Duration>,
}

impl Congestion {
    /// Workload `w9` of the catalogue.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a test reads the file")]
    pub fn w9() -> Self {
        Self::parse(W9).expect("a test reads the file of the catalogue")
    }

    /// Reads one from TOML: see the file of `w9` for the keys.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] with every mistake: of syntax, or else of keys, types and values.
    pub fn parse(text: &str) -> Result<Self, WorkloadError> {
        file::parse(text)
    }

    /// Reads one from a TOML file.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and if the file cannot be read, or is longer than 16 MiB.
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let text = reading::text(path).map_err(WorkloadError::one)?;
        Self::parse(&text)
    }

    /// Its name, such as `w9`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, on one line.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Its phases, in order.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// How many calls arrive, on average.
    #[must_use]
    pub fn expected_calls(&self) -> f64 {
        let loads = self.phases.iter().map(|phase| phase.seconds * phase.load);
        self.per_second * loads.sum::<f64>()
    }

    /// When each phase begins and ends, in seconds, in order.
    #[must_use]
    pub fn stretches(&self) -> Vec<Range<f64>> {
        let mut from = 0.0;
        let stretch = |phase: &Phase| {
            let stretch = from..from + phase.seconds;
            from = stretch.end;
            stretch
        };
        self.phases.iter().map(stretch).collect()
    }

    /// Where its pulse ends, in seconds: the last of the phases that have the highest load. `None` if
    /// it ends with it.
    #[must_use]
    pub fn pulse_ends(&self) -> Option<f64> {
        let highest = self
            .phases
            .iter()
            .map(|phase| phase.load)
            .fold(0.0, f64::max);
        let pulse = self
            .phases
            .iter()
            .rposition(|phase| phase.load == highest)?;
        let after = pulse + 1 < self.phases.len();
        after.then(|| self.stretches()[pulse].end)
    }

    /// The same with its first phase alone.
    #[must_use]
    pub fn first_phase(&self) -> Self {
        let mut first = self.clone();
        first.phases.truncate(1);
        first
    }

    /// Makes the calls through what `wrap` puts around the replicas.
    ///
    /// With `cancellation` a dropped attempt frees its replica. Each call clones the service.
    ///
    /// # Panics
    ///
    /// If a call panics.
    pub async fn run<S>(
        &self,
        seed: u64,
        cancellation: bool,
        wrap: impl FnOnce(Replicas) -> S,
    ) -> Congested
    where
        S: Service<Job, Future: Send, Error: Send, Response: Send> + Clone + Send + 'static,
    {
        let scale = MILLISECOND.as_secs_f64() * 1e3;
        let virtual_ms = |ms: f64| Duration::from_secs_f64(ms / 1e3 * scale);
        let size = LawPart::LogNormal {
            median_ms: self.size_median_ms * scale,
            sigma: self.size_sigma,
        };
        let size = Law::mixture("size", [(1.0, size)]).expect("checked when it was parsed");
        let replicas = Replicas::new(self.replicas, seed ^ 0x5eed_2222_2222_2222)
            .cancellation(cancellation)
            .hiccups(self.hiccup_share, virtual_ms(self.hiccup_ms));
        let counted = replicas.clone();
        let service = wrap(replicas);
        let deadline = virtual_ms(self.deadline_ms);
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut calls, mut at, mut ends) = (JoinSet::new(), 0.0_f64, 0.0_f64);
        let start = Instant::now();
        for phase in &self.phases {
            ends += phase.seconds;
            let gap = Exp::new(self.per_second * phase.load).expect("checked when it was parsed");
            loop {
                at += gap.sample(&mut rng);
                if at >= ends {
                    at = ends;
                    break;
                }
                let job = Job::drawn(&size, &mut rng);
                sleep_until(start + virtual_ms(at * 1e3)).await;
                let mut service = service.clone();
                calls.spawn(async move {
                    let started = Instant::now();
                    let call = async {
                        std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                        service.call(job).await
                    };
                    let answered = matches!(timeout(deadline, call).await, Ok(Ok(_)));
                    let took = answered.then(|| started.elapsed().div_f64(scale));
                    Arrival { at, took }
                });
            }
        }
        let mut arrivals = Vec::with_capacity(calls.len());
        while let Some(ended) = calls.join_next().await {
            match ended {
                Ok(arrival) => arrivals.push(arrival),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        arrivals.sort_by(|one, other| one.at.total_cmp(&other.at));
        Congested {
            calls: arrivals,
            attempts: counted.attempts(),
        }
    }
}

impl Congested {
    /// The calls that arrived within a stretch of seconds, the end of which does not belong to it.
    #[must_use]
    pub fn between(&self, seconds: Range<f64>) -> Tally {
        let mut tally = Tally::default();
        for call in self.calls.iter().filter(|call| seconds.contains(&call.at)) {
            tally.calls += 1;
            tally.answered += u64::from(call.took.is_some());
        }
        tally
    }

    /// Attempts beyond one a call, as they reached the replicas, in percent of the calls.
    #[must_use]
    pub fn extra_percent(&self) -> f64 {
        if self.calls.is_empty() {
            return 0.0;
        }
        let calls = self.calls.len() as f64;
        100.0 * (self.attempts as f64 - calls) / calls
    }

    /// How long the calls took that were answered in time, in the workload's own milliseconds.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        self.calls.iter().filter_map(|call| call.took).collect()
    }
}

/// Several runs as one.
impl FromIterator<Self> for Congested {
    fn from_iter<I: IntoIterator<Item = Self>>(runs: I) -> Self {
        let mut all = Self {
            calls: Vec::new(),
            attempts: 0,
        };
        for run in runs {
            all.calls.extend(run.calls);
            all.attempts += run.attempts;
        }
        all
    }
}
