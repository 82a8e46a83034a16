//! A recorder of your own: a line per event, and a count per ending.
//!
//! Any closure that takes a `&HedgeEvent` is a recorder; a type of your own implements `Recorder`.
//! A recorder that panics loses its own event and nothing else.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hedgerow::{Attempt, HedgeEvent, HedgeLayer, Recorder};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

#[derive(Default)]
struct Endings {
    won: AtomicU32,
    saved: AtomicU32,
    failed: AtomicU32,
    cancelled: AtomicU32,
}

impl Recorder<HedgeEvent> for Endings {
    fn record(&self, event: &HedgeEvent) {
        let add = |count: &AtomicU32| count.fetch_add(1, Ordering::Relaxed);
        match event {
            HedgeEvent::Won(info) if info.hedge_won => add(&self.saved),
            HedgeEvent::Won(_) => add(&self.won),
            HedgeEvent::AllLost(_) | HedgeEvent::Fatal(_) => add(&self.failed),
            HedgeEvent::Cancelled(_) => add(&self.cancelled),
            _ => 0,
        };
    }
}

fn print(event: &HedgeEvent) {
    match event {
        HedgeEvent::Fired { attempt, after } => println!("  copy {attempt} sent after {after:?}"),
        HedgeEvent::Won(info) => {
            for attempt in info.attempts.iter() {
                println!(
                    "  attempt {}: {} {:?}",
                    attempt.attempt, attempt.outcome, attempt.elapsed
                );
            }
        }
        _ => {}
    }
}

#[tokio::main]
async fn main() -> Result<(), Infallible> {
    let endings = Arc::new(Endings::default());
    let client = tower::service_fn(async |n: u32| {
        let slow = n.is_multiple_of(3) && !Attempt::current().is_extra();
        sleep(Duration::from_millis(if slow { 200 } else { 5 })).await;
        Ok::<_, Infallible>(n)
    });
    let service = HedgeLayer::fixed(Duration::from_millis(20))
        .clone_requests()
        .recorder((endings.clone(), print as fn(&HedgeEvent)))
        .layer(client);

    for n in 0..6 {
        println!("call {n}");
        service.clone().oneshot(n).await?;
    }
    let read = |count: &AtomicU32| count.load(Ordering::Relaxed);
    let (won, saved) = (read(&endings.won), read(&endings.saved));
    println!("{won} won by the primary, {saved} saved by a copy");
    assert_eq!(
        (won, saved, read(&endings.failed), read(&endings.cancelled)),
        (4, 2, 0, 0)
    );
    Ok(())
}
