//! Look before you leap: observe what hedging would do to your latencies, then switch it on.

#![expect(clippy::print_stdout, reason = "a program")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow::{HedgeLayer, Replay};
use tower::{Service, ServiceBuilder, ServiceExt};

static ASKED: AtomicU64 = AtomicU64::new(0);

/// A lookup may be asked twice: this line allows it.
#[derive(Clone)]
struct Lookup;

impl Replay for Lookup {
    fn replay(&mut self) -> Option<Self> {
        Some(self.clone())
    }
}

/// A backend that takes 1 to 8 ms, and 100 ms once in 25 times.
async fn backend(_: Lookup) -> Result<&'static str, Infallible> {
    let n = ASKED.fetch_add(1, Ordering::Relaxed);
    let ms = if n % 25 == 11 { 100 } else { 1 + n % 8 };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok("found")
}

async fn lookups<S: Service<Lookup, Response = &'static str>>(service: &mut S, calls: usize)
where
    S::Error: std::fmt::Debug,
{
    for _ in 0..calls {
        let ready = service.ready().await.expect("it cannot fail");
        ready.call(Lookup).await.expect("it cannot fail");
    }
}

#[tokio::main]
async fn main() {
    // Until there are 100 samples to learn from, 30 ms would be waited for.
    let layer = HedgeLayer::percentile(95)
        .initial(Duration::from_millis(30))
        .observe_only();
    let handle = layer.handle();
    let mut service = ServiceBuilder::new().layer(layer).service_fn(backend);

    // As long as it only observes, the backend gets not one request more.
    lookups(&mut service, 400).await;
    let seen = handle.stats();
    let told = handle.prediction().expect("400 observed calls");
    println!("now:       p50 {:?}, p99 {:?}", seen.p50(), seen.p99());
    println!(
        "predicted: p50 {:?}, p99 {:?} for {:.1} % more requests",
        told.p50(),
        told.p99(),
        told.extra_load_percent
    );
    assert_eq!(ASKED.load(Ordering::Relaxed), 400);
    assert!(told.p99() < seen.p99(), "it says that hedging helps");

    // Worth it: switch it on. What has been learnt stays.
    handle.set_observe_only(false);
    handle.reset();
    lookups(&mut service, 400).await;
    let real = handle.stats();
    println!(
        "hedged:    p50 {:?}, p99 {:?} for {:.1} % more requests",
        real.p50(),
        real.p99(),
        real.cost_overhead_percent
    );
    assert!(real.hedge_wins > 0, "slow lookups were saved");
}
