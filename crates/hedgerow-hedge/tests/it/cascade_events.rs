//! What a cascade tells: events, info, counts, and answers that carry it all.

use std::sync::Arc;

use hedgerow_core::Recorder;
use hedgerow_hedge::{Cascade, CascadeEvent, CascadeInfo, Outcome, Tier};
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tower::{ServiceExt, service_fn};

use crate::cascade_support::{World, score};
use crate::cascade_tiers::Build;
use crate::support::{call, ms};

/// An event in short.
fn short(event: &CascadeEvent) -> String {
    match event {
        CascadeEvent::TierStarted { name, after, .. } => format!("{name} started {after:?}"),
        CascadeEvent::Skipped { name, reason, .. } => format!("{name} skipped {reason:?}"),
        CascadeEvent::TierDone(tier) => format!("{} {}", tier.name, tier.outcome),
        CascadeEvent::TierTimedOut(tier) => format!("{} out of time", tier.name),
        CascadeEvent::TierCancelled(tier) => format!("{} dropped {}", tier.name, tier.outcome),
        CascadeEvent::Answered(_) => "answered".into(),
        CascadeEvent::Best(_) => "best".into(),
        CascadeEvent::AllFailed(_) => "all failed".into(),
        CascadeEvent::TimedOut(_) => "timed out".into(),
        CascadeEvent::Cancelled(_) => "cancelled".into(),
        other => format!("{other:?}"),
    }
}

type Notes = Arc<Mutex<Vec<String>>>;

fn notes() -> (Notes, impl Fn(&CascadeEvent) + Send + Sync + 'static) {
    let notes = Notes::default();
    let told = notes.clone();
    (notes, move |event: &CascadeEvent| {
        told.lock().push(short(event));
    })
}

#[tokio::test(start_paused = true)]
async fn every_tier_is_told_and_every_call_ends_in_one_terminal_event() {
    let world = World::new();
    let (told, note) = notes();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 60, Ok(0.1)).threshold(0.5))
        .tier(world.tier("b", 50, Err("down")).after(ms(20)))
        .tier(world.tier("c", 900, Ok(0.4)).after(ms(30)).threshold(0.5))
        .tier(world.tier("d", 10, Ok(0.8)).after(ms(80)).threshold(0.5))
        .score(score)
        .timeout(ms(500))
        .on_event(note)
        .build_cloning();
    call(cascade.clone()).await.0.unwrap();
    assert_eq!(
        *told.lock(),
        [
            "a started 0ns",
            "b started 20ms",
            "c started 30ms",
            "a refused",
            "b failed",
            "d started 80ms",
            "d won",
            "c dropped lost",
            "answered",
        ]
    );
    told.lock().clear();
    let _ = timeout(ms(25), cascade.oneshot(1)).await;
    assert_eq!(
        *told.lock(),
        [
            "a started 0ns",
            "b started 20ms",
            "a dropped cancelled",
            "b dropped cancelled",
            "cancelled",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_and_failures_are_told() {
    let world = World::new();
    let (told, note) = notes();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 900, Ok(1.0)))
        .timeout(ms(50))
        .on_event(note)
        .build_cloning();
    call(cascade).await.0.unwrap_err();
    assert_eq!(
        *told.lock(),
        ["a started 0ns", "a out of time", "timed out"]
    );

    let (told, note) = notes();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Err("down")))
        .on_event(note)
        .build_cloning();
    call(cascade).await.0.unwrap_err();
    assert_eq!(*told.lock(), ["a started 0ns", "a failed", "all failed"]);

    let (told, note) = notes();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Ok(0.2)).threshold(1.0))
        .score(score)
        .on_event(note)
        .build_cloning();
    call(cascade).await.0.unwrap();
    assert_eq!(*told.lock(), ["a started 0ns", "a refused", "best"]);
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_described_with_every_tiers_times() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("small", 500, Ok(0.9)).cost(1.0))
        .tier(
            world
                .tier("poor", 10, Ok(0.3))
                .after(ms(20))
                .cost(5.0)
                .threshold(0.5),
        )
        .tier(
            world
                .tier("good", 15, Ok(0.7))
                .after(ms(40))
                .cost(20.0)
                .threshold(0.5),
        )
        .score(score)
        .build_cloning();
    let info = cascade.informed().oneshot(1).await.unwrap().info;
    assert_eq!((info.tier, info.name.as_deref()), (Some(2), Some("good")));
    assert_eq!((info.started, info.elapsed), (ms(40), ms(55)));
    assert_eq!((info.cost, info.hedges), (26.0, 0));
    assert_eq!((info.quality, info.accepted), (Some(0.7), true));
    let seen: Vec<_> = info
        .attempts
        .iter()
        .map(|t| (t.tier, &*t.name, t.started, t.elapsed, t.outcome, t.quality))
        .collect();
    assert_eq!(
        seen,
        [
            (0, "small", ms(0), ms(55), Outcome::Lost, None),
            (1, "poor", ms(20), ms(10), Outcome::Refused, Some(0.3)),
            (2, "good", ms(40), ms(15), Outcome::Won, Some(0.7)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panicking_recorder_loses_nothing() {
    struct Panics;
    impl Recorder<CascadeEvent> for Panics {
        fn record(&self, _: &CascadeEvent) {
            panic!("on purpose");
        }
    }
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Err("down")))
        .tier(world.tier("b", 10, Ok(1.0)).after(ms(5)))
        .recorder(Panics)
        .build_cloning();
    let handle = cascade.handle();
    assert_eq!(call(cascade).await.0.unwrap().from, "b");
    assert_eq!(handle.stats().answered, 1);
}

#[tokio::test(start_paused = true)]
async fn stats_count_each_tier_and_each_way_to_end() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Ok(0.4)).threshold(0.5))
        .tier(world.tier("b", 10, Err("down")).after(ms(50)).cost(3.0))
        .tier(
            world
                .tier("c", 100, Ok(0.6))
                .after(ms(60))
                .cost(5.0)
                .threshold(0.5),
        )
        .tier(world.tier("d", 900, Ok(0.6)).after(ms(70)).cost(7.0))
        .score(score)
        .build_cloning();
    let handle = cascade.handle();
    for _ in 0..3 {
        // a until 10, b until 20, c until 120 while d starts at 70.
        assert_eq!(call(cascade.clone()).await.0.unwrap().from, "c");
    }
    let _ = timeout(ms(15), cascade.clone().oneshot(1)).await;
    let stats = handle.stats();
    assert_eq!((stats.calls, stats.answered, stats.cancelled), (4, 3, 1));
    let tiers: Vec<_> = stats
        .tiers
        .iter()
        .map(|t| {
            (
                &*t.name, t.started, t.answered, t.refused, t.failed, t.dropped,
            )
        })
        .collect();
    assert_eq!(
        tiers,
        [
            ("a", 4, 0, 4, 0, 0),
            ("b", 4, 0, 0, 3, 1),
            ("c", 3, 3, 0, 0, 0),
            ("d", 3, 0, 0, 0, 3),
        ]
    );
    assert_eq!(stats.cost, 3.0 * 16.0 + 4.0);
    assert_eq!(stats.average_cost, 13.0);
    assert_eq!(stats.latency.answered(), 3);
    assert_eq!(stats.latency.censored(), 1);
    let p50 = stats.p50().unwrap().as_secs_f64();
    assert!((p50 / 0.12 - 1.0).abs() < 0.01, "{p50}");
    let p99 = stats.p99().unwrap().as_secs_f64();
    assert!((p99 / 0.12 - 1.0).abs() < 0.01, "{p99}");

    handle.reset();
    let stats = handle.stats();
    assert_eq!((stats.calls, stats.cost, stats.average_cost), (0, 0.0, 0.0));
    assert_eq!((stats.latency.count(), stats.tiers[0].started), (0, 0));
    assert_eq!(&*stats.tiers[3].name, "d");
    call(cascade).await.0.unwrap();
    assert_eq!(handle.stats().latency.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_is_no_latency() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 1, Err("down")))
        .build_cloning();
    let handle = cascade.handle();
    call(cascade).await.0.unwrap_err();
    assert_eq!(handle.stats().failed, 1);
    assert_eq!(handle.latency().total().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn over_http_a_5xx_is_no_answer_and_the_answer_carries_the_info() {
    let answering = |status: u16| {
        service_fn(move |_: Request<()>| async move {
            sleep(ms(10)).await;
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, std::io::Error>(response)
        })
    };
    let cascade = Cascade::builder()
        .tier(Tier::new("replica", answering(503)))
        .tier(Tier::new("primary", answering(404)).cost(3.0))
        .http()
        .build()
        .unwrap();
    let get = || Request::get("/").body(()).unwrap();
    let response = cascade.clone().oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let info = response.extensions().get::<CascadeInfo>().unwrap();
    assert_eq!((info.name.as_deref(), info.cost), (Some("primary"), 4.0));

    // A POST may be sent only once.
    let post = Request::post("/").body(()).unwrap();
    assert!(cascade.oneshot(post).await.is_err());
}
