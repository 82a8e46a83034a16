//! A policy of your own: hedge by what the request asks for.
//!
//! A policy is a small trait: it sees the request, which attempt it would be, and what is known of
//! the latency so far. It reads no clock and waits for nothing.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hedgerow::{Attempt, Delay, HedgeLayer, HedgePolicy, LatencyView, Outcome, Replay, Sample};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

#[derive(Clone, Debug)]
struct Query {
    rows: u32,
    urgent: bool,
}

/// A query only reads: it may be sent twice.
impl Replay for Query {
    fn replay(&mut self) -> Option<Self> {
        Some(self.clone())
    }
}

/// Large queries get more time; those that are not urgent are hedged only when very late.
#[derive(Default)]
struct ByRows {
    lost: AtomicU32,
}

impl HedgePolicy<Query> for ByRows {
    fn delay(&self, query: &Query, _: Attempt, latency: &dyn LatencyView) -> Delay {
        if query.rows > 100_000 {
            return Delay::Never;
        }
        let usual = Duration::from_millis(10) + Duration::from_micros(10) * query.rows;
        let late = latency.quantile(0.99).unwrap_or(Duration::from_millis(200));
        Delay::After(if query.urgent { usual } else { late.max(usual) })
    }

    fn observe(&self, sample: &Sample) {
        if sample.outcome == Outcome::Lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn name(&self) -> &'static str {
        "by-rows"
    }
}

#[tokio::main]
async fn main() -> Result<(), Infallible> {
    let database = tower::service_fn(async |query: Query| {
        let stuck = !Attempt::current().is_extra() && query.rows.is_multiple_of(7);
        sleep(Duration::from_millis(if stuck { 300 } else { 5 })).await;
        Ok::<_, Infallible>(query.rows)
    });
    let policy = std::sync::Arc::new(ByRows::default());
    let layer = HedgeLayer::new(policy.clone());
    let service = layer.layer(database);

    for rows in (7..=49).step_by(7) {
        let urgent = rows % 2 == 0;
        service.clone().oneshot(Query { rows, urgent }).await?;
    }
    let stats = layer.handle().stats();
    println!("{} of {} queries hedged", stats.hedged, stats.requests);
    println!("attempts lost: {}", policy.lost.load(Ordering::Relaxed));
    assert!(stats.hedge_wins > 0);
    Ok(())
}
