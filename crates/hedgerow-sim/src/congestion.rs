//! Open-loop calls at replicas with queues: what extra work does to an overloaded service.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tower_service::Service;

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
/// let seconds = w9.run(1, true, |replicas: Replicas| replicas).await;
/// let calm = &seconds[5..25];
/// assert!(calm.iter().all(|second| second.success() > 0.97));
/// # }
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Congestion {
    name: String,
    #[serde(default)]
    description: String,
    replicas: usize,
    per_second: f64,
    size_median_ms: f64,
    size_sigma: f64,
    hiccup_share: f64,
    hiccup_ms: f64,
    deadline_ms: f64,
    #[serde(rename = "phase")]
    phases: Vec<Phase>,
}

/// A stretch of steady load.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Phase {
    /// How long it is.
    pub seconds: f64,
    /// Calls per second, as a multiple of the workload's.
    pub load: f64,
}

/// The calls that arrived in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Second {
    /// Calls that arrived.
    pub calls: u64,
    /// Calls that were answered within the deadline.
    pub answered: u64,
}

impl Second {
    /// The share of the calls that were answered in time; 1 without calls.
    #[must_use]
    pub fn success(&self) -> f64 {
        if self.calls == 0 {
            return 1.0;
        }
        self.answered as f64 / self.calls as f64
    }
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
    /// [`WorkloadError`] with every mistake.
    pub fn parse(text: &str) -> Result<Self, WorkloadError> {
        let read: Self =
            toml::from_str(text).map_err(|error| WorkloadError::one(error.to_string()))?;
        let above = |value: f64| value.is_finite() && value > 0.0;
        let mut mistakes = Vec::new();
        for (name, fine) in [
            ("replicas: write 1 or more", read.replicas > 0),
            ("per_second: write a number above 0", above(read.per_second)),
            (
                "size_median_ms: write a number above 0",
                above(read.size_median_ms),
            ),
            ("size_sigma: write a number above 0", above(read.size_sigma)),
            (
                "hiccup_share: write 0 to 1",
                (0.0..=1.0).contains(&read.hiccup_share),
            ),
            (
                "hiccup_ms: write 0 or more",
                read.hiccup_ms.is_finite() && read.hiccup_ms >= 0.0,
            ),
            (
                "deadline_ms: write a number above 0",
                above(read.deadline_ms),
            ),
            ("phase: write at least one", !read.phases.is_empty()),
        ] {
            if !fine {
                mistakes.push(name.to_owned());
            }
        }
        for (at, phase) in read.phases.iter().enumerate() {
            if !(above(phase.seconds) && above(phase.load)) {
                mistakes.push(format!("phase {}: write seconds and load above 0", at + 1));
            }
        }
        WorkloadError::none_of(mistakes)?;
        Ok(read)
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

    /// Makes the calls through what `wrap` puts around the replicas; a row per second of arrivals.
    ///
    /// With `cancellation` a dropped attempt frees its replica. Each call clones the service.
    ///
    /// # Panics
    ///
    /// If a parameter is so extreme that no law can be made of it.
    pub async fn run<S>(
        &self,
        seed: u64,
        cancellation: bool,
        wrap: impl FnOnce(Replicas) -> S,
    ) -> Vec<Second>
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
                let (second, mut service) = (at as usize, service.clone());
                calls.spawn(async move {
                    let call = async {
                        std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                        service.call(job).await
                    };
                    (second, matches!(timeout(deadline, call).await, Ok(Ok(_))))
                });
            }
        }
        let mut seconds = vec![Second::default(); ends.ceil() as usize];
        while let Some(ended) = calls.join_next().await {
            let Ok((second, answered)) = ended else {
                continue;
            };
            if let Some(row) = seconds.get_mut(second) {
                row.calls += 1;
                row.answered += u64::from(answered);
            }
        }
        seconds
    }
}
