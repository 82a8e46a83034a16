//! Every strategy on the same slow day: what it does to the latency, and what it adds to the load.
//!
//! One request in twenty takes 60 ms instead of 4 to 10, wherever it goes. Each strategy stands in
//! front of a service of its own.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use hedgerow::policy::{BackoffConfig, Complexity, Factors, TimeOfDay};
use hedgerow::{Attempt, Budget, Delay, HedgeHandle, HedgeLayer, HedgePolicy, LatencyView, Replay};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

const CALLS: u64 = 2_000;
const AT_A_TIME: u64 = 20;

#[derive(Clone)]
struct Ask {
    prompt_chars: usize,
}

/// Asking only reads: it may be sent twice.
impl Replay for Ask {
    fn replay(&mut self) -> Option<Self> {
        Some(self.clone())
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The twentieth, the fortieth, … of a scrambled order: the same for every strategy.
fn backend() -> impl Service<Ask, Response = (), Error = Infallible, Future: Send> + Clone + Send {
    let count = Arc::new(AtomicU64::new(0));
    tower::service_fn(move |_: Ask| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        let scrambled = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let slow = scrambled.is_multiple_of(20);
        async move {
            sleep(if slow { ms(60) } else { ms(4 + scrambled % 7) }).await;
            Ok(())
        }
    })
}

/// Makes all calls through `layer`, some at a time.
async fn run<L>(name: &'static str, layer: L, handle: HedgeHandle) -> (&'static str, HedgeHandle)
where
    L: Layer<tower::util::BoxCloneSyncService<Ask, (), Infallible>>,
    L::Service: Service<Ask, Response = (), Error = Infallible> + Clone,
{
    let service = layer.layer(tower::util::BoxCloneSyncService::new(backend()));
    let callers = (0..AT_A_TIME).map(async |_| {
        for n in 0..CALLS / AT_A_TIME {
            let prompt_chars = 20 * n as usize;
            let Ok(()) = service.clone().oneshot(Ask { prompt_chars }).await;
        }
    });
    join_all(callers).await;
    (name, handle)
}

/// A strategy of one's own: later for long prompts, and not at all for the longest.
struct Own;

impl HedgePolicy<Ask> for Own {
    fn delay(&self, ask: &Ask, _: Attempt, latency: &dyn LatencyView) -> Delay {
        match ask.prompt_chars {
            0..1_500 => Delay::After(latency.quantile(0.9).unwrap_or(ms(15))),
            _ => Delay::Never,
        }
    }
}

/// What a request of this kind is worth waiting for.
fn patience(ask: &Ask) -> Duration {
    let factors = Factors::default()
        .base(ms(10))
        .prompt_chars(ask.prompt_chars);
    factors
        .complexity(Complexity::Complex)
        .time_of_day(TimeOfDay::Peak)
        .delay()
}

macro_rules! run {
    ($name:literal, $layer:expr) => {{
        let layer = $layer;
        let handle = layer.handle();
        run($name, layer, handle)
    }};
}

#[tokio::main]
async fn main() {
    let (arms, from) = ([5, 15, 30].map(ms), BackoffConfig::default().base(ms(20)));
    let (off, fixed, schedule, parallel, percentile) = tokio::join!(
        run!("off", HedgeLayer::off()),
        run!("fixed", HedgeLayer::fixed(ms(15))),
        run!("schedule", HedgeLayer::schedule([ms(15), ms(30)])),
        run!(
            "parallel",
            HedgeLayer::parallel(2).budget(Budget::unlimited())
        ),
        run!("percentile", HedgeLayer::percentile(94)),
    );
    let (adaptive, workload, backoff, own) = tokio::join!(
        run!("adaptive", HedgeLayer::adaptive(arms).price(ms(10))),
        run!("workload", HedgeLayer::workload(patience)),
        run!("backoff", HedgeLayer::backoff(from)),
        run!("own", HedgeLayer::new(Own)),
    );
    let all = [
        off, fixed, schedule, parallel, percentile, adaptive, workload, backoff, own,
    ];
    println!(
        "{:<11} {:>7} {:>7} {:>7}",
        "strategy", "p50", "p99", "extra"
    );
    for (name, handle) in &all {
        let stats = handle.stats();
        let ms = |t: Option<Duration>| t.map_or(f64::NAN, |t| t.as_secs_f64() * 1e3);
        let (p50, p99) = (ms(stats.p50()), ms(stats.p99()));
        let extra = stats.cost_overhead_percent;
        println!("{name:<11} {p50:>4.0} ms {p99:>4.0} ms {extra:>5.1} %");
        let (requests, fired) = (stats.requests, stats.fired);
        assert_eq!(requests, CALLS, "{name}");
        match *name {
            "off" => assert_eq!(fired, 0),
            "parallel" => assert_eq!(fired, CALLS),
            // One call in twenty is slow. What was sent, the budget paid: 10 % and a depth of 50.
            _ => assert!(fired > 20 && fired <= CALLS / 10 + 50, "{name}: {fired}"),
        }
    }
}
