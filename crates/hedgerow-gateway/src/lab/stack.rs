//! From a policy to the stack that is run, every duration of it in virtual time.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow::config::Stack;
use hedgerow::policy::{Adaptive, Backoff, BackoffConfig, Percentile};
use hedgerow::{Budget, HedgeLayer, HedgePolicy};
use hedgerow_sim::MILLISECOND;
use parking_lot::Mutex;
use tower::hedge::Hedge;
use tower::{Layer, Service};

use super::ground::{Asked, Ground, Simulated};
use super::{retrying, scale};
use crate::cli::Allowance;
use crate::policy::{Policy, Strategy};

/// The depth of every budget: what a burst may spend.
pub(crate) const DEPTH: u32 = 50;
/// What tower's hedge asks of its user: samples before it hedges, and how long it looks back. Its
/// docs use 10 and say nothing of a period; ten seconds are many calls here and there.
const TOWER_SAMPLES: u64 = 10;
const TOWER_PERIOD: Duration = Duration::from_secs(10);
const CHECKED: &str = "it was built once when it was parsed, and longer delays were refused";
/// So many times as long is a duration in virtual time.
pub(crate) const SCALE: u32 = (MILLISECOND.as_nanos() / 1_000_000) as u32;

/// A stack that can be put around any backend, once: what it has learnt stays in it.
#[derive(Clone, Debug)]
pub(crate) struct Recipe<'a> {
    strategy: &'a Strategy,
    allowance: Allowance,
    seed: u64,
    /// What a fixed delay at a percentile is, in the workload's own time.
    usual: Duration,
    /// The layers of a file. Their random numbers are counted out where they are built, so they are
    /// built in order.
    built: Option<Stack>,
}

impl<'a> Recipe<'a> {
    /// `usual` tells the percentile of the workload's attempts, if it is asked.
    pub(crate) fn new(
        policy: &'a Policy,
        allowance: Allowance,
        seed: u64,
        usual: impl FnOnce(f64) -> Duration,
    ) -> Self {
        let strategy = policy.strategy();
        let built = match strategy {
            Strategy::Stack(config) => Some(scale::built(config)),
            _ => None,
        };
        let usual = match strategy {
            Strategy::FixedAt(p) => usual(*p),
            _ => Duration::ZERO,
        };
        Self {
            strategy,
            allowance,
            seed,
            usual,
            built,
        }
    }

    /// Runs the stack on a runtime whose time is paused.
    pub(crate) fn measure<Req, B, G>(&self, ground: &G) -> Result<G::Outcome, io::Error>
    where
        Req: Asked,
        B: Simulated<Req>,
        G: Ground<Req, B>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        Ok(runtime.block_on(self.run(ground)))
    }

    async fn run<Req, B, G>(&self, ground: &G) -> G::Outcome
    where
        Req: Asked,
        B: Simulated<Req>,
        G: Ground<Req, B>,
    {
        match self.strategy {
            Strategy::None => ground.run(|backend| backend).await,
            Strategy::Off => self.hedged(ground, HedgeLayer::off()).await,
            Strategy::Fixed(delay) => {
                let layer = HedgeLayer::fixed(scaled(*delay));
                self.hedged(ground, layer).await
            }
            Strategy::FixedAt(_) => {
                let layer = HedgeLayer::fixed(scaled(self.usual));
                self.hedged(ground, layer).await
            }
            Strategy::Percentile(p) => self.hedged(ground, percentile(*p)).await,
            Strategy::Class(p) => {
                let layer = percentile(*p).class(|request: &Req| request.class());
                self.hedged(ground, layer).await
            }
            Strategy::Key(inner) => self.keyed(ground, inner).await,
            Strategy::Workload(delays) => {
                let delays: Vec<_> = delays.iter().copied().map(scaled).collect();
                let of = move |request: &Req| delays[request.class().min(delays.len() - 1)];
                self.hedged(ground, HedgeLayer::workload(of)).await
            }
            Strategy::Parallel(copies) => {
                let layer = HedgeLayer::try_parallel(*copies).expect(CHECKED);
                self.hedged(ground, layer).await
            }
            Strategy::Schedule(delays) => {
                let delays = delays.iter().copied().map(scaled);
                let layer = HedgeLayer::try_schedule(delays).expect(CHECKED);
                self.hedged(ground, layer).await
            }
            Strategy::Adaptive(delays) => {
                let layer = adaptive(delays.as_deref(), self.seed);
                self.hedged(ground, layer).await
            }
            Strategy::Backoff => self.hedged(ground, backoff()).await,
            Strategy::Tower(p) => {
                let quantile = *p as f32 / 100.0;
                let period = scaled(TOWER_PERIOD);
                let stack = |backend| {
                    Locked::new(Hedge::new(backend, Always, TOWER_SAMPLES, quantile, period))
                };
                ground.run(stack).await
            }
            Strategy::Retry(tries) => retrying::run(ground, *tries).await,
            Strategy::Stack(_) => {
                let stack = self
                    .built
                    .as_ref()
                    .expect("a recipe of a file has it built");
                let stack = stack.clone_requests::<Req>().expect(CHECKED);
                ground.run(|backend| stack.layer(backend)).await
            }
        }
    }

    /// A histogram and a policy for each class.
    async fn keyed<Req, B, G>(&self, ground: &G, inner: &Strategy) -> G::Outcome
    where
        Req: Asked,
        B: Simulated<Req>,
        G: Ground<Req, B>,
    {
        let class = |request: &Req| request.class();
        match inner {
            Strategy::Percentile(p) => self.hedged(ground, percentile(*p).key(class)).await,
            Strategy::Adaptive(delays) => {
                let layer = adaptive(delays.as_deref(), self.seed);
                self.hedged(ground, layer.key(class)).await
            }
            Strategy::Backoff => self.hedged(ground, backoff().key(class)).await,
            _ => unreachable!("others were refused when it was parsed"),
        }
    }

    async fn hedged<Req, B, G, P>(&self, ground: &G, layer: HedgeLayer<P>) -> G::Outcome
    where
        Req: Asked,
        B: Simulated<Req>,
        G: Ground<Req, B>,
        P: HedgePolicy<Req> + 'static,
    {
        let layer = layer.clone_requests();
        let layer = match self.allowance {
            Allowance::Own => layer,
            Allowance::Percent(percent) => {
                layer.budget(Budget::try_percent(percent).expect(CHECKED).depth(DEPTH))
            }
        };
        ground.run(|backend| layer.layer(backend)).await
    }
}

fn percentile(p: f64) -> HedgeLayer<Percentile> {
    let layer = HedgeLayer::try_percentile(p).expect(CHECKED);
    layer.initial(scaled(Duration::from_millis(100)))
}

fn adaptive(delays: Option<&[Duration]>, seed: u64) -> HedgeLayer<Adaptive> {
    let default = Adaptive::default();
    let delays = delays.unwrap_or(default.delays());
    let layer = HedgeLayer::try_adaptive(delays.iter().copied().map(scaled)).expect(CHECKED);
    layer.price(scaled(Duration::from_millis(50))).seed(seed)
}

fn backoff() -> HedgeLayer<Backoff> {
    let ms = |ms| scaled(Duration::from_millis(ms));
    let config = BackoffConfig::default()
        .base(ms(100))
        .min(ms(10))
        .max(ms(5_000));
    HedgeLayer::try_backoff(config).expect(CHECKED)
}

/// A configured duration in the lab's virtual time.
pub(crate) fn scaled(duration: Duration) -> Duration {
    duration.saturating_mul(SCALE)
}

/// tower's policy that allows everything.
#[derive(Clone, Debug)]
struct Always;

impl<Req: Asked> tower::hedge::Policy<Req> for Always {
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(*request)
    }

    fn can_retry(&self, _: &Req) -> bool {
        true
    }
}

/// A service that cannot be cloned, as one that can: tower's hedge, over a backend that is always
/// ready.
struct Locked<S>(Arc<Mutex<S>>);

impl<S> Locked<S> {
    fn new(service: S) -> Self {
        Self(Arc::new(Mutex::new(service)))
    }
}

impl<S> Clone for Locked<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for Locked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

impl<S: Service<Req>, Req> Service<Req> for Locked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.lock().poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> S::Future {
        self.0.lock().call(request)
    }
}
