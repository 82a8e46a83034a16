//! C5: every started tier costs, and the tiers beyond the first stay within their cap.

use std::collections::VecDeque;

use hedgerow_core::BoxError;
use hedgerow_hedge::{Cascade, CascadeEvent, SkipReason, SpendCap, Tier};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::timeout;
use tower::{Service, ServiceExt, service_fn};

use crate::cascade_support::{World, race_error, score};
use crate::cascade_tiers::Build;
use crate::support::{call, ms};

#[tokio::test(start_paused = true)]
async fn every_started_tier_costs_failed_and_dropped_ones_too() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("fails", 10, Err("down")).cost(1.0))
        .tier(world.tier("hangs", 60_000, Ok(1.0)).after(ms(5)).cost(5.0))
        .tier(world.tier("wins", 10, Ok(1.0)).after(ms(20)).cost(20.0))
        .tier(world.tier("never", 10, Ok(1.0)).after(ms(900)).cost(100.0))
        .build_cloning();
    let handle = cascade.handle();
    let answer = cascade.informed().oneshot(1).await.unwrap();
    assert_eq!(answer.info.cost, 26.0);
    let costs: Vec<f64> = answer.info.attempts.iter().map(|tier| tier.cost).collect();
    assert_eq!(costs, [1.0, 5.0, 20.0]);
    let stats = handle.stats();
    assert_eq!((stats.cost, stats.average_cost), (26.0, 26.0));
    let costs: Vec<f64> = stats.tiers.iter().map(|tier| tier.cost).collect();
    assert_eq!(costs, [1.0, 5.0, 20.0, 0.0]);
}

#[tokio::test(start_paused = true)]
async fn a_denied_tier_is_skipped_and_a_cheaper_one_further_down_may_still_start() {
    let world = World::new();
    let cap = SpendCap::new(0.0, 20.0);
    let told = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let notes = told.clone();
    let cascade = Cascade::builder()
        .tier(world.tier("first", 500, Ok(1.0)).cost(1_000.0))
        .tier(world.tier("dear", 10, Err("down")).after(ms(10)).cost(20.0))
        .tier(world.tier("dearer", 10, Ok(1.0)).after(ms(30)).cost(20.0))
        .tier(world.tier("free", 100, Ok(1.0)).after(ms(40)).cost(0.0))
        .spend_cap(cap.clone())
        .on_event(move |event: &CascadeEvent| {
            if let CascadeEvent::Skipped {
                tier,
                after,
                reason,
                ..
            } = event
            {
                notes.lock().push((*tier, *after, *reason));
            }
        })
        .build_cloning();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("free", ms(140)));
    assert_eq!(world.started(), [("first", 0), ("dear", 10), ("free", 40)]);
    assert_eq!(*told.lock(), [(2, ms(30), SkipReason::Denied)]);
    assert_eq!((cap.available(), cap.spent()), (0.0, 20.0));
}

#[tokio::test(start_paused = true)]
async fn a_denied_tier_never_fails_the_call_nor_disturbs_who_runs() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("first", 100, Ok(0.5)).threshold(0.6))
        .tier(world.tier("second", 10, Ok(1.0)).after(ms(50)).cost(5.0))
        .score(score)
        .spend_cap(SpendCap::new(0.0, 5.0))
        .build_cloning();
    let handle = cascade.handle();
    let (result, took) = call(cascade.clone()).await;
    assert_eq!((result.unwrap().from, took), ("second", ms(60)));
    // Now the cap is empty: the first one's answer is the best there is, at its own pace.
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("first", ms(100)));
    let stats = handle.stats();
    assert_eq!((stats.best, stats.failed), (1, 0));
    assert_eq!((stats.tiers[1].started, stats.tiers[1].skipped), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn if_all_further_tiers_are_denied_the_first_tiers_error_returns() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("first", 10, Err("down")))
        .tier(world.tier("second", 10, Ok(1.0)).after(ms(50)).cost(5.0))
        .spend_cap(SpendCap::new(100.0, 5.0))
        .build_cloning();
    assert!(cascade.clone().oneshot(1).await.is_ok());
    let (result, took) = call(cascade).await;
    let error = result.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "down");
    assert_eq!(race_error(&error).not_started(), 1);
    assert_eq!(took, ms(10), "nothing is waited for");
}

#[tokio::test(start_paused = true)]
async fn the_first_tier_is_always_paid_and_takes_nothing_out() {
    let world = World::new();
    let cap = SpendCap::new(0.0, 0.0);
    let cascade = Cascade::builder()
        .tier(world.tier("only", 0, Ok(1.0)).cost(1_000.0))
        .spend_cap(cap.clone())
        .build_cloning();
    for _ in 0..100 {
        assert!(cascade.clone().oneshot(1).await.is_ok());
    }
    assert_eq!((cap.spent(), cascade.handle().stats().cost), (0.0, 1e5));
}

#[tokio::test(start_paused = true)]
async fn cascades_may_share_a_cap_and_each_feeds_it() {
    let world = World::new();
    let cap = SpendCap::new(100.0, 1.0);
    let cascade = || {
        Cascade::builder()
            .tier(world.tier("first", 0, Err("down")))
            .tier(world.tier("second", 0, Ok(1.0)))
            .spend_cap(cap.clone())
            .build_cloning()
    };
    let (one, other) = (cascade(), cascade());
    for n in 0..10 {
        let cascade = if n % 2 == 0 { &one } else { &other };
        assert!(cascade.clone().oneshot(1).await.is_ok(), "call {n}");
    }
    assert_eq!((cap.spent(), cap.available()), (10.0, 0.0));
}

/// Every window of any length: the walk that is furthest above its lowest point must stay within
/// the depth.
#[tokio::test(start_paused = true)]
async fn over_100_000_calls_no_window_exceeds_share_and_depth() {
    let seed = 0x00CA_5CAD;
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (share, depth) = (37.5, 60.0);
    // A call fails at a tier if its bit is set.
    let bit = |at: u32| {
        service_fn(move |n: u64| async move {
            match n >> at & 1 {
                0 => Ok(at),
                _ => Err::<_, BoxError>("down".into()),
            }
        })
    };
    let cap = SpendCap::new(share, depth);
    let mut cascade = Cascade::builder()
        .tier(Tier::new("a", bit(0)))
        .tier(Tier::new("b", bit(1)).cost(0.7))
        .tier(Tier::new("c", bit(2)).cost(5.0))
        .tier(Tier::new("d", bit(3)).cost(20.0))
        .spend_cap(cap.clone())
        .build_cloning();
    // Extra cost beyond the share so far, and its minimum before each call.
    let (mut walk, mut lowest, mut spent_before) = (0.0_f64, 0.0_f64, 0.0);
    let mut most: f64 = 0.0;
    let mut recent = VecDeque::new();
    for n in 0..100_000_u32 {
        // Quiet times and storms.
        let storm = (n / 5_000) % 2 == 1;
        let word = random.random::<u64>();
        let request = if storm {
            word | 1
        } else {
            word & random.random::<u64>()
        };
        let _ = cascade.ready().await.unwrap().call(request).await;
        let spent = cap.spent();
        let extra = spent - spent_before;
        spent_before = spent;
        lowest = lowest.min(walk);
        walk += extra - share / 100.0;
        most = most.max(walk - lowest);
        recent.push_back(extra);
        if recent.len() > 1_000 {
            recent.pop_front();
        }
        let window: f64 = recent.iter().sum();
        assert!(window <= share / 100.0 * recent.len() as f64 + depth + 1e-6);
    }
    assert!(most <= depth + 1e-6, "a window exceeded the cap by {most}");
    assert!(most > depth - 21.0, "the cap was never reached: {most}");
    let stats = cascade.handle().stats();
    assert!((stats.cost - stats.tiers[0].cost - cap.spent()).abs() < 1e-3);
    assert!(stats.tiers.iter().skip(1).all(|tier| tier.skipped > 0));
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_waits_for_its_service_gives_back_what_it_was_granted() {
    use tower::limit::ConcurrencyLimit;
    let world = World::new();
    let limited = ConcurrencyLimit::new(world.stub("busy", 10, Ok(1.0)), 1);
    let mut holder = limited.clone();
    holder.ready().await.unwrap();
    let cap = SpendCap::new(0.0, 5.0);
    let cascade = Cascade::builder()
        .tier(world.tier("first", 100, Ok(1.0)))
        .tier(Tier::new("busy", limited).after(ms(10)).cost(5.0))
        .spend_cap(cap.clone())
        .build_cloning();
    // Granted while it waits.
    let patient = timeout(ms(50), cascade.clone().oneshot(1));
    let watch = async {
        tokio::time::sleep(ms(30)).await;
        assert_eq!((cap.available(), cap.spent()), (0.0, 5.0));
    };
    let (left, ()) = tokio::join!(patient, watch);
    assert!(left.is_err());
    assert_eq!(
        (cap.available(), cap.spent()),
        (5.0, 0.0),
        "the caller left"
    );
    // The future is over, but kept.
    let mut call = Box::pin(cascade.clone().ready().await.unwrap().call(1));
    assert_eq!((&mut call).await.unwrap().from, "first");
    assert_eq!((cap.available(), cap.spent()), (5.0, 0.0), "another won");
    drop(holder);
    assert_eq!(cascade.oneshot(1).await.unwrap().from, "busy");
    assert_eq!((cap.available(), cap.spent()), (0.0, 5.0));
}
