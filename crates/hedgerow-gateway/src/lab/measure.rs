//! One row of the lab: a policy, with a budget, on a workload.

use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hedgerow::policy::{Adaptive, BackoffConfig};
use hedgerow::{Budget, HedgeLayer, HedgePolicy};
use hedgerow_sim::{Call, Latencies, MILLISECOND, Measured, Trial, Workload};
use parking_lot::Mutex;
use tower::Layer;
use tower::hedge::Hedge;

use crate::cli::Allowance;
use crate::policy::{Policy, Strategy};

/// The depth of every budget: what a burst may spend.
pub(crate) const DEPTH: u32 = 50;
/// What tower's hedge asks of its user: samples before it hedges, and how long it looks back. Its
/// docs use 10 and say nothing of a period; ten seconds are many calls here and there.
const TOWER_SAMPLES: u64 = 10;
const TOWER_PERIOD: Duration = Duration::from_secs(10);

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) policy: &'a Policy,
    pub(crate) allowance: Allowance,
    pub(crate) calls: u64,
    pub(crate) seeds: u64,
}

/// What was measured, pooled over the seeds.
#[derive(Clone, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) plan: Plan<'a>,
    pub(crate) latencies: Latencies,
    pub(crate) extra_percent: f64,
    /// In percent, over 1,000 calls in a row.
    pub(crate) worst_window: f64,
    pub(crate) trials: Vec<Measured>,
}

impl Row<'_> {
    /// A quantile in ms, or, of a workload with classes, as a multiple of the class's ideal.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        if self.plan.workload.classes().is_empty() {
            return Some(self.latencies.quantile(q)?.as_secs_f64() * 1e3);
        }
        let slowdowns = self.trials.iter().flat_map(Measured::slowdowns);
        let mut all: Vec<f64> = slowdowns.copied().collect();
        all.sort_by(f64::total_cmp);
        let rank = (q * all.len() as f64).ceil() as usize;
        all.get(rank.max(1) - 1).copied()
    }
}

/// How fast the lab is: calls of all trials, and the seconds of a core that they took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    pub(crate) calls: u64,
    pub(crate) core_seconds: f64,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            core_seconds,
        } = self;
        let rate = *calls as f64 / core_seconds.max(1e-9) / 1e3;
        write!(
            f,
            "{calls} calls in {core_seconds:.1} s of a core: {rate:.0},000 simulated calls a second and core"
        )
    }
}

/// Measures every plan, as many trials at a time as there are cores.
pub(crate) fn all<'a>(plans: &[Plan<'a>]) -> Result<(Vec<Row<'a>>, Pace), io::Error> {
    let trials: Vec<(usize, u64)> = plans
        .iter()
        .enumerate()
        .flat_map(|(at, plan)| (1..=plan.seeds).map(move |seed| (at, seed)))
        .collect();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let measured = Mutex::new((vec![Vec::new(); plans.len()], Pace::default()));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(trials.len()))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(&(at, seed)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let started = real_now();
                        let trial = plans[at].measure(seed)?;
                        let took = started.elapsed().as_secs_f64();
                        let mut measured = measured.lock();
                        measured.0[at].push((seed, trial));
                        measured.1.calls += plans[at].calls;
                        measured.1.core_seconds += took;
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let (measured, pace) = measured.into_inner();
    let rows = plans.iter().zip(measured);
    let rows = rows
        .map(|(plan, mut trials)| {
            trials.sort_by_key(|(seed, _)| *seed);
            plan.row(trials.into_iter().map(|(_, trial)| trial).collect())
        })
        .collect();
    Ok((rows, pace))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how fast the lab is in real time, while its own time is paused"
)]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

impl<'a> Plan<'a> {
    fn measure(&self, seed: u64) -> Result<Measured, io::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let trial = Trial::new(self.workload, self.calls).seed(seed);
        Ok(runtime.block_on(self.run(&trial)))
    }

    /// Pools the trials.
    fn row(&self, trials: Vec<Measured>) -> Row<'a> {
        let pooled = trials.iter().flat_map(|trial| trial.latencies().as_slice());
        let sum: f64 = trials.iter().map(Measured::extra_percent).sum();
        let worst = trials.iter().map(Measured::worst_window);
        Row {
            plan: self.clone(),
            latencies: pooled.copied().collect(),
            extra_percent: sum / trials.len().max(1) as f64,
            worst_window: worst.fold(0.0, f64::max),
            trials,
        }
    }

    async fn run(&self, trial: &Trial<'_>) -> Measured {
        const CHECKED: &str = "the policy was built once when it was parsed";
        match self.policy.strategy() {
            Strategy::None => trial.run(|backend| backend).await,
            Strategy::Off => self.hedged(trial, HedgeLayer::off()).await,
            Strategy::Fixed(delay) => self.hedged(trial, HedgeLayer::fixed(scaled(*delay))).await,
            Strategy::Percentile(p) => {
                let layer = HedgeLayer::try_percentile(*p).expect(CHECKED);
                let initial = scaled(Duration::from_millis(100));
                self.hedged(trial, layer.initial(initial)).await
            }
            Strategy::Parallel(copies) => {
                let layer = HedgeLayer::try_parallel(*copies).expect(CHECKED);
                self.hedged(trial, layer).await
            }
            Strategy::Schedule(delays) => {
                let delays = delays.iter().copied().map(scaled);
                let layer = HedgeLayer::try_schedule(delays).expect(CHECKED);
                self.hedged(trial, layer).await
            }
            Strategy::Adaptive(delays) => {
                let default = Adaptive::default();
                let delays = delays.as_deref().unwrap_or(default.delays());
                let delays = delays.iter().copied().map(scaled);
                let layer = HedgeLayer::try_adaptive(delays).expect(CHECKED);
                let price = scaled(Duration::from_millis(50));
                self.hedged(trial, layer.price(price)).await
            }
            Strategy::Backoff => {
                let ms = |ms| scaled(Duration::from_millis(ms));
                let config = BackoffConfig::default()
                    .base(ms(100))
                    .min(ms(10))
                    .max(ms(5_000));
                let layer = HedgeLayer::try_backoff(config).expect(CHECKED);
                self.hedged(trial, layer).await
            }
            Strategy::Tower(p) => {
                let quantile = *p as f32 / 100.0;
                let period = scaled(TOWER_PERIOD);
                let wrap = |backend| Hedge::new(backend, Always, TOWER_SAMPLES, quantile, period);
                trial.run(wrap).await
            }
        }
    }

    async fn hedged<P: HedgePolicy<Call>>(
        &self,
        trial: &Trial<'_>,
        layer: HedgeLayer<P>,
    ) -> Measured {
        const CHECKED: &str = "the budget was built once when it was parsed";
        let layer = layer.clone_requests();
        let layer = match self.allowance {
            Allowance::Own => layer,
            Allowance::Percent(percent) => {
                layer.budget(Budget::try_percent(percent).expect(CHECKED).depth(DEPTH))
            }
        };
        trial.run(|backend| layer.layer(backend)).await
    }
}

/// A configured duration in the lab's virtual time.
pub(crate) fn scaled(duration: Duration) -> Duration {
    let seconds = duration.as_secs_f64() * MILLISECOND.as_secs_f64() * 1e3;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// tower's policy that allows everything.
#[derive(Clone, Debug)]
struct Always;

impl tower::hedge::Policy<Call> for Always {
    fn clone_request(&self, call: &Call) -> Option<Call> {
        Some(*call)
    }

    fn can_retry(&self, _: &Call) -> bool {
        true
    }
}
