//! The caller of a cascade leaves at every await point, one after the other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_hedge::{Cascade, CascadeEvent, SpendCap, Tier};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceExt};

use crate::cascade_support::{Answer, Stub, World, score};
use crate::cascade_tiers::Build;
use crate::support::ms;

const DEPTH: f64 = 100.0;
const COSTS: [f64; 3] = [1.0, 5.0, 20.0];
const NAMES: [&str; 3] = ["a", "b", "c"];

/// How long a tier takes, and what it brings.
type Script = [(u64, Result<f64, &'static str>); 3];

/// What it is, how many calls each tier takes at a time, and what the tiers do.
const WORLDS: [(&str, usize, Script); 6] = [
    (
        "all are slow",
        9,
        [(90, Ok(1.0)), (80, Ok(1.0)), (60, Ok(1.0))],
    ),
    (
        "one at a time",
        1,
        [(60, Ok(0.1)), (60, Ok(0.2)), (60, Ok(0.3))],
    ),
    (
        "the first fails early",
        9,
        [(5, Err("down")), (70, Ok(1.0)), (90, Ok(1.0))],
    ),
    (
        "all fail",
        9,
        [(25, Err("down")), (25, Err("down")), (25, Err("down"))],
    ),
    (
        "nobody answers",
        9,
        [(60_000, Ok(1.0)), (60_000, Ok(1.0)), (60_000, Ok(1.0))],
    ),
    (
        "a poor answer, then silence",
        9,
        [(15, Ok(0.1)), (60_000, Ok(1.0)), (60_000, Ok(1.0))],
    ),
];

/// Polls a future so many times, and then leaves: `None` if it was not ready until then.
struct Patience<F>(F, usize);

impl<F: Future + Unpin> Future for Patience<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.1 == 0 {
            return Poll::Ready(None);
        }
        self.1 -= 1;
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.1 == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

struct Stage {
    world: World,
    limited: ConcurrencyLimit<Stub>,
    cap: SpendCap,
    cascade: Cascade<u64, Answer>,
    ends: Arc<Mutex<Vec<CascadeEvent>>>,
}

/// With one permit for all if there is but one.
fn stage(permits: usize, script: Script) -> Stage {
    let world = World::new();
    let cap = SpendCap::new(0.0, DEPTH);
    let ends: Arc<Mutex<Vec<CascadeEvent>>> = Arc::default();
    let told = ends.clone();
    let stub = |at: usize| world.stub(NAMES[at], script[at].0, script[at].1);
    let limited = ConcurrencyLimit::new(stub(0), permits);
    let mut builder = Cascade::builder();
    for at in 0..3 {
        let tier = if permits == 1 || at == 0 {
            Tier::new(NAMES[at], limited.clone())
        } else {
            Tier::new(NAMES[at], ConcurrencyLimit::new(stub(at), permits))
        };
        let delay = ms([0, 10, 30][at]);
        builder = builder.tier(tier.after(delay).cost(COSTS[at]).threshold(0.5));
    }
    let cascade = builder
        .score(score)
        .timeout(ms(110))
        .spend_cap(cap.clone())
        .on_event(move |event: &CascadeEvent| {
            if event.is_terminal() {
                told.lock().push(event.clone());
            }
        })
        .build_cloning();
    Stage {
        world,
        limited,
        cap,
        cascade,
        ends,
    }
}

/// What must hold once the caller has left, or has its answer.
async fn all_is_back(stage: &Stage, permits: usize, left: bool, at: &str) {
    assert_eq!(stage.world.alive(), 0, "{at}: tiers live on");
    let started = stage.world.started();
    let extras = if permits == 1 {
        // They all have the first one's name, and come in order.
        COSTS
            .iter()
            .skip(1)
            .take(started.len().saturating_sub(1))
            .sum::<f64>()
    } else {
        let cost = |who: &str| COSTS[NAMES.iter().position(|name| *name == who).expect("a tier")];
        started
            .iter()
            .filter(|(who, _)| *who != "a")
            .map(|(who, _)| cost(who))
            .sum()
    };
    assert_eq!(stage.cap.spent(), extras, "{at}: paid for what was sent");
    assert_eq!(
        stage.cap.available(),
        DEPTH - extras,
        "{at}: the rest is back"
    );
    let mut held = Vec::new();
    for _ in 0..permits {
        let mut free = stage.limited.clone();
        let ready = timeout(ms(1), free.ready()).await.is_ok();
        assert!(ready, "{at}: a permit is gone");
        held.push(free);
    }
    drop(held);
    let stats = stage.cascade.handle().stats();
    assert_eq!((stats.calls, stats.cancelled), (1, u64::from(left)), "{at}");
    let sent: u64 = stats.tiers.iter().map(|tier| tier.started).sum();
    assert_eq!(sent, started.len() as u64, "{at}");
    assert_eq!(stats.cost, 1.0 + extras, "{at}");
    let ends = stage.ends.lock().clone();
    assert_eq!(ends.len(), 1, "{at}: one terminal event");
    let cancelled = matches!(ends[0], CascadeEvent::Cancelled(_));
    assert_eq!(cancelled, left, "{at}: {:?}", ends[0]);
    assert_eq!(
        ends[0].info().expect("it is terminal").cost,
        stats.cost,
        "{at}"
    );
    sleep(Duration::from_secs(100)).await;
    assert_eq!(
        stage.world.started(),
        started,
        "{at}: one was started afterwards"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_a_cascade_may_leave_after_any_poll() {
    for (what, permits, script) in WORLDS {
        let mut places = 0;
        for polls in 0.. {
            let stage = stage(permits, script);
            let mut service = stage.cascade.clone();
            let call = service.ready().await.unwrap().call(1);
            let ended = Patience(Box::pin(call), polls).await;
            drop(service);
            let at = format!("{what}, after {polls} polls");
            all_is_back(&stage, permits, ended.is_none(), &at).await;
            if ended.is_some() {
                break;
            }
            places = polls + 1;
        }
        eprintln!("{what}: left at {places} places");
        assert!(places >= 3, "{what}: only {places} places to leave");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_a_cascade_may_leave_at_any_moment() {
    for (what, permits, script) in WORLDS {
        for age in 0..125 {
            let stage = stage(permits, script);
            let ended = timeout(ms(age), stage.cascade.clone().oneshot(1)).await;
            let at = format!("{what}, after {age} ms");
            all_is_back(&stage, permits, ended.is_err(), &at).await;
            if age > 110 {
                assert!(ended.is_ok(), "{at}: the deadline is over");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_polled_still_ends_and_is_paid() {
    let stage = stage(9, WORLDS[0].2);
    drop(stage.cascade.clone().ready().await.unwrap().call(1));
    all_is_back(&stage, 9, true, "never polled").await;
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_panics_takes_the_call_along_and_all_is_booked() {
    use futures::FutureExt;
    use std::panic::AssertUnwindSafe;
    use tower::service_fn;
    let world = World::new();
    for in_call in [true, false] {
        let panics = service_fn(move |n: u64| {
            assert!(!in_call, "on purpose");
            async move {
                assert!(n == 0, "on purpose");
                Ok::<Answer, hedgerow_core::BoxError>(Answer {
                    from: "?",
                    score: 1.0,
                })
            }
        });
        let cap = SpendCap::new(0.0, 10.0);
        let cascade = Cascade::builder()
            .tier(world.tier("a", 100, Ok(1.0)))
            .tier(Tier::new("panics", panics).after(ms(10)).cost(5.0))
            .spend_cap(cap.clone())
            .build_cloning();
        let call = AssertUnwindSafe(cascade.clone().oneshot(1));
        assert!(call.catch_unwind().await.is_err());
        assert_eq!((world.alive(), cap.spent()), (0, 5.0));
        let stats = cascade.handle().stats();
        assert_eq!((stats.cancelled, stats.calls, stats.cost), (1, 1, 6.0));
        assert_eq!(stats.tiers[1].dropped, 1);
    }
}
