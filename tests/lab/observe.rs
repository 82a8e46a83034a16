//! Observe-only: what it predicts is what hedging then does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hedgerow::{Attempt, Budget, HedgeLayer, HedgePolicy, Snapshot};
use hedgerow_sim::Law;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tower::{Layer, Service, ServiceExt};

const SCALE: f64 = 100.0;
const CALLS: u64 = 120_000;

/// An attempt takes what the law says. Primaries and copies draw from sequences of their own, so
/// that a prediction and a real run meet the same primaries or, with another seed, others.
fn client(
    law: &Law,
    seed: u64,
) -> impl Service<u64, Response = (), Error = Infallible, Future: Send> + Clone + use<> {
    let rngs = [seed, seed + 1_000].map(StdRng::seed_from_u64);
    let world = Arc::new(Mutex::new((law.clone(), rngs)));
    tower::service_fn(move |_: u64| {
        let mut world = world.lock();
        let (law, rngs) = &mut *world;
        let rng = &mut rngs[usize::from(Attempt::current().is_extra())];
        let takes = Duration::from_secs_f64(law.sample(rng) * SCALE / 1_000.0);
        async move {
            tokio::time::sleep(takes).await;
            Ok(())
        }
    })
}

/// What one of the two runs says.
#[derive(Debug)]
struct Said {
    p50: f64,
    p99: f64,
    p999: f64,
    extra_percent: f64,
    wins: u64,
}

impl Said {
    fn new(latency: &Snapshot, fired: u64, wins: u64) -> Self {
        let ms = |q| latency.quantile(q).expect("samples").as_secs_f64() * 1_000.0 / SCALE;
        Self {
            p50: ms(0.5),
            p99: ms(0.99),
            p999: ms(0.999),
            extra_percent: fired as f64 * 100.0 / CALLS as f64,
            wins,
        }
    }
}

async fn run<P: HedgePolicy<u64>>(layer: &HedgeLayer<P>, law: &Law, seed: u64) {
    let service = layer.clone().clone_requests().layer(client(law, seed));
    for _ in 0..CALLS {
        let Ok(()) = service.clone().oneshot(1).await;
    }
}

/// The prediction and the real run, on primaries of their own each.
async fn both<P: HedgePolicy<u64>>(make: impl Fn() -> HedgeLayer<P>, law: &Law) -> [Said; 2] {
    let observing = make().observe_only();
    run(&observing, law, 11).await;
    let handle = observing.handle();
    assert_eq!(handle.stats().fired, 0, "nothing extra was sent");
    let told = handle.prediction().expect("observed calls");
    assert_eq!(told.calls, CALLS);

    let hedging = make();
    run(&hedging, law, 2_022).await;
    let stats = hedging.handle().stats();
    assert!(hedging.handle().prediction().is_none());
    [
        Said::new(&told.latency, told.fired, told.hedge_wins),
        Said::new(&stats.latency, stats.fired, stats.hedge_wins),
    ]
}

fn assert_within(what: &str, predicted: f64, real: f64, share: f64) {
    let off = predicted / real - 1.0;
    assert!(
        off.abs() <= share,
        "{what}: predicted {predicted:.2}, was {real:.2}: {:+.1} %",
        off * 100.0
    );
}

async fn predicts<P: HedgePolicy<u64>>(name: &str, make: impl Fn(&Law) -> HedgeLayer<P>) {
    for law in [Law::w1(), Law::w2(), Law::w3(), Law::w4()] {
        let [predicted, real] = both(|| make(&law), &law).await;
        eprintln!("{name} on {law}: predicted {predicted:.2?}");
        eprintln!("{name} on {law}: was       {real:.2?}");
        let what = |figure| format!("{name} on {law}, {figure}");
        assert_within(&what("p50"), predicted.p50, real.p50, 0.02);
        assert_within(&what("p99"), predicted.p99, real.p99, 0.1);
        // A hundred calls in 120,000 lie beyond it, in two runs.
        assert_within(&what("p99.9"), predicted.p999, real.p999, 0.25);
        assert_within(
            &what("extra load"),
            predicted.extra_percent,
            real.extra_percent,
            0.1,
        );
        assert_within(&what("wins"), predicted.wins as f64, real.wins as f64, 0.1);
    }
}

#[tokio::test(start_paused = true)]
async fn observe_only_predicts_percentile_95_within_ten_percent_on_w1_to_w4() {
    predicts("percentile(95)", |_| {
        HedgeLayer::percentile(95).initial(Duration::from_secs(10))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_predicts_two_copies_at_stated_times() {
    let at = |law: &Law, q: f64| Duration::from_secs_f64(law.quantile(q) * SCALE / 1_000.0);
    predicts("schedule(p90, p97)", |law| {
        HedgeLayer::schedule([at(law, 0.9), at(law, 0.97)]).budget(Budget::percent(20.0))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_predicts_what_the_budget_would_deny() {
    let median = |law: &Law| Duration::from_secs_f64(law.quantile(0.7) * SCALE / 1_000.0);
    predicts("fixed(p70) within 10 %", |law| {
        HedgeLayer::fixed(median(law))
    })
    .await;
}
