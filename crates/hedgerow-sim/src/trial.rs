//! Many calls of a workload through a real service, in virtual time.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use pin_project::pin_project;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use crate::latencies::Latencies;
use crate::workload::Workload;

/// How long a millisecond of a workload is in virtual time.
///
/// tokio's timer has a grain of 1 ms, under the paused clock too. With this factor its rounding is
/// half a hundredth of a workload's millisecond. Every configured duration has to be scaled with it.
pub const MILLISECOND: Duration = Duration::from_millis(100);

/// The calls whose extra attempts are counted together for [`Measured::worst_window`].
const WINDOW: usize = 1_000;

/// A trial: so many calls of a workload, one after the other, through whatever service.
///
/// The layers are the real ones, on tokio's clock: run it on a runtime whose time is paused. The
/// primaries of a seed are the same whatever the service does; copies are drawn from a sequence of
/// their own.
///
/// # Examples
///
/// ```
/// use hedgerow_sim::{Backend, MILLISECOND, Trial, Workload};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let workload = Workload::named("w4").expect("it is in the catalogue");
/// let measured = Trial::new(&workload, 20_000).run(|backend: Backend| backend).await;
/// let p99 = measured.latencies().quantile(0.99).expect("20,000 calls");
/// assert!((p99.as_secs_f64() * 1e3 / 408.0 - 1.0).abs() < 0.1, "{p99:?}");
/// assert_eq!(measured.extra_percent(), 0.0);
/// # let _ = MILLISECOND;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    workload: &'a Workload,
    calls: u64,
    seed: u64,
}

/// One call of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    number: u64,
    class: usize,
}

impl Call {
    /// Its number, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The place of its class among the workload's, 0 if there are none.
    #[must_use]
    pub const fn class(&self) -> usize {
        self.class
    }
}

/// The service at the bottom of a trial: each attempt takes what the workload says.
#[derive(Clone)]
pub struct Backend {
    world: Arc<Mutex<World>>,
}

/// One attempt at a [`Backend`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct BackendFuture {
    #[pin]
    sleep: Sleep,
}

struct World {
    workload: Workload,
    primaries: StdRng,
    extras: StdRng,
    /// How many attempts each call has sent.
    attempts: Vec<u8>,
}

/// What a trial measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Ascending; empty without classes.
    slowdowns: Vec<f64>,
    latencies: Latencies,
    attempts: Vec<u8>,
    failed: u64,
}

impl<'a> Trial<'a> {
    /// `calls` calls of `workload`. A fan-out counts its leaves: 20,000 fan-outs of 100 are 2,000,000
    /// calls.
    #[must_use]
    pub const fn new(workload: &'a Workload, calls: u64) -> Self {
        Self {
            workload,
            calls,
            seed: 1,
        }
    }

    /// Sets the seed of the latencies. Defaults to 1.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the calls through what `wrap` puts around the backend.
    pub async fn run<S>(&self, wrap: impl FnOnce(Backend) -> S) -> Measured
    where
        S: Service<Call>,
    {
        let world = Arc::new(Mutex::new(World {
            workload: self.workload.clone(),
            primaries: StdRng::seed_from_u64(self.seed),
            // Far from the primaries of any other seed.
            extras: StdRng::seed_from_u64(self.seed ^ 0x5eed_0000_0000_0000),
            attempts: vec![0; self.calls as usize],
        }));
        let mut service = wrap(Backend {
            world: world.clone(),
        });
        let (mut took, mut failed) = (Vec::with_capacity(self.calls as usize), 0);
        let mut classes = StdRng::seed_from_u64(self.seed ^ 0x5eed_1111_1111_1111);
        let classed = !self.workload.classes().is_empty();
        let mut slowdowns = Vec::new();
        for number in 0..self.calls {
            let class = if classed {
                self.workload.class_at(classes.random())
            } else {
                0
            };
            let started = Instant::now();
            let answered = match std::future::poll_fn(|cx| service.poll_ready(cx)).await {
                Ok(()) => service.call(Call { number, class }).await.is_ok(),
                Err(_) => false,
            };
            failed += u64::from(!answered);
            took.push(started.elapsed());
            if classed {
                let ideal = self.workload.classes()[class].ideal_ms * MILLISECOND.as_secs_f64();
                slowdowns.push(started.elapsed().as_secs_f64() / ideal);
            }
        }
        slowdowns.sort_by(f64::total_cmp);
        let leaves = self.workload.fan_out() as usize;
        let slowest = took.chunks(leaves).filter(|chunk| chunk.len() == leaves);
        let factor = 1.0 / (MILLISECOND.as_secs_f64() * 1e3);
        let latencies = slowest
            .filter_map(|chunk| chunk.iter().max())
            .map(|took| took.mul_f64(factor))
            .collect();
        Measured {
            slowdowns,
            latencies,
            attempts: std::mem::take(&mut world.lock().attempts),
            failed,
        }
    }
}

impl Service<Call> for Backend {
    type Response = ();
    type Error = Infallible;
    type Future = BackendFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Call { number, class }: Call) -> BackendFuture {
        let mut world = self.world.lock();
        let World {
            workload,
            primaries,
            extras,
            attempts,
        } = &mut *world;
        let attempts = &mut attempts[number as usize];
        let rng = if *attempts == 0 { primaries } else { extras };
        *attempts = attempts.saturating_add(1);
        let (law, scale) = workload.at(number, class);
        let takes = MILLISECOND.as_secs_f64() * law.sample(rng) * scale;
        let takes = Duration::try_from_secs_f64(takes).unwrap_or(Duration::MAX);
        BackendFuture {
            sleep: sleep(takes),
        }
    }
}

impl Future for BackendFuture {
    type Output = Result<(), Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.project().sleep.poll(cx));
        Poll::Ready(Ok(()))
    }
}

impl Measured {
    /// How long the calls took, in the workload's own milliseconds. Of a fan-out, the slowest leaf.
    #[must_use]
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Each call's latency as a multiple of its class's ideal, ascending. Empty without classes.
    #[must_use]
    pub fn slowdowns(&self) -> &[f64] {
        &self.slowdowns
    }

    /// Calls that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Attempts beyond the first, as they reached the backend, in percent of the calls.
    #[must_use]
    pub fn extra_percent(&self) -> f64 {
        percent(&self.attempts)
    }

    /// The same over calls from number `first` on, once the service has learnt what it needs to.
    #[must_use]
    pub fn extra_percent_from(&self, first: usize) -> f64 {
        percent(self.attempts.get(first..).unwrap_or_default())
    }

    /// The largest share of extra attempts in any 1,000 calls in a row, in percent.
    #[must_use]
    pub fn worst_window(&self) -> f64 {
        let window = WINDOW.min(self.attempts.len());
        let extras = |n: u8| u64::from(n.saturating_sub(1));
        let mut inside: u64 = self.attempts[..window].iter().map(|&n| extras(n)).sum();
        let mut worst = inside;
        for (left, came) in self.attempts.iter().zip(&self.attempts[window..]) {
            inside = inside + extras(*came) - extras(*left);
            worst = worst.max(inside);
        }
        100.0 * worst as f64 / window.max(1) as f64
    }

    /// The largest of *extras − `share` · n* over any window of *n* calls: what a budget's depth has
    /// to cover.
    #[must_use]
    pub fn largest_surplus(&self, share: f64) -> f64 {
        let (mut surplus, mut lowest, mut worst) = (0.0_f64, 0.0_f64, 0.0_f64);
        for &attempts in &self.attempts {
            lowest = lowest.min(surplus);
            surplus += f64::from(attempts.saturating_sub(1)) - share;
            worst = worst.max(surplus - lowest);
        }
        worst
    }
}

fn percent(attempts: &[u8]) -> f64 {
    if attempts.is_empty() {
        return 0.0;
    }
    let extras: u64 = attempts
        .iter()
        .map(|&n| u64::from(n.saturating_sub(1)))
        .sum();
    100.0 * extras as f64 / attempts.len() as f64
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("workload", &self.world.lock().workload.name())
            .finish_non_exhaustive()
    }
}
