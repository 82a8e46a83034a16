//! Tiers, answers, errors, recorders and numbers that mean harm.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use futures::FutureExt;
use hedgerow_core::{BoxError, accept_if};
use hedgerow_hedge::{Cascade, CascadeEvent, HedgeEvent, HedgeLayer, SpendCap, Tier};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tower::{ServiceExt, service_fn};

use crate::cascade_support::{Answer, World, score};
use crate::cascade_tiers::Build;
use crate::support::ms;

/// Panics when it is dropped, if it is armed.
#[derive(Debug)]
struct Bomb {
    score: f64,
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.armed, "on purpose");
    }
}

impl std::fmt::Display for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("armed")
    }
}

impl std::error::Error for Bomb {}

fn armed(score: f64) -> Bomb {
    Bomb { score, armed: true }
}

/// A tier that brings such an answer, or error, at once.
fn brings(name: &'static str, make: fn() -> Result<Bomb, BoxError>) -> Tier<u64, Bomb> {
    Tier::new(name, service_fn(move |_: u64| async move { make() }))
}

#[tokio::test]
async fn what_lost_and_panics_as_it_is_dropped_does_not_take_the_answer_along() {
    let good = || {
        Ok(Bomb {
            score: 1.0,
            armed: false,
        })
    };
    // An error, an answer that was kept as the best, one that is better and replaces it.
    let cascade = Cascade::builder()
        .tier(brings("error", || Err(armed(0.0).into())))
        .tier(brings("poor", || Ok(armed(0.1))).threshold(0.5))
        .tier(brings("better", || Ok(armed(0.2))).threshold(0.5))
        .tier(brings("good", good))
        .score(|bomb: &Bomb| bomb.score)
        .clone_requests()
        .build()
        .expect("it is right");
    let answer = cascade.clone().oneshot(1).await.expect("an answer");
    assert_eq!(answer.score, 1.0);
    let stats = cascade.handle().stats();
    assert_eq!((stats.calls, stats.answered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_not_hit_by_what_it_leaves() {
    let world = service_fn(async |_: u64| {
        sleep(ms(1_000)).await;
        Err::<Bomb, BoxError>("late".into())
    });
    let cascade = Cascade::builder()
        .tier(brings("poor", || Ok(armed(0.1))).threshold(0.5))
        .tier(brings("error", || Err(armed(0.0).into())))
        .tier(Tier::new("slow", world))
        .score(|bomb: &Bomb| bomb.score)
        .clone_requests()
        .build()
        .expect("it is right");
    let left = tokio::time::timeout(ms(10), cascade.clone().oneshot(1));
    assert!(left.await.is_err());
    assert_eq!(cascade.handle().stats().cancelled, 1);
}

/// The same of a hedge: a refused answer is kept until the race is over.
#[tokio::test(start_paused = true)]
async fn a_refused_answer_that_panics_as_it_is_dropped_does_not_take_a_hedges_answer_along() {
    use tower::Layer;
    let client = service_fn(async |_: u64| {
        let extra = hedgerow_core::Attempt::current().is_extra();
        let score = if extra { 1.0 } else { 0.0 };
        Ok::<_, BoxError>(Bomb {
            score,
            armed: !extra,
        })
    });
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .accept(accept_if(|bomb: &Bomb| bomb.score > 0.5));
    let answer = layer.layer(client).oneshot(1).await.expect("an answer");
    assert_eq!(answer.score, 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_counted_though_the_hedges_own_recorder_panics() {
    let world = World::new();
    let hedge = HedgeLayer::fixed(ms(5))
        .clone_requests()
        .on_event(|event: &HedgeEvent| panic!("on purpose, at {event:?}"));
    let cascade = Cascade::builder()
        .tier(world.tier("a", 20, Ok(1.0)).cost(2.0).hedged(hedge))
        .build_cloning();
    let answer = cascade.informed().oneshot(1).await.expect("an answer");
    assert_eq!((answer.info.hedges, answer.info.cost), (1, 4.0));
}

#[tokio::test(start_paused = true)]
async fn numbers_at_the_ends_of_what_is_allowed_are_counted_right() {
    let world = World::new();
    for (cost, depth) in [
        (1e9_f64, 1e9),
        (1.0 / 3.0, 1.0 / 3.0),
        (0.0, 0.0),
        (5e-324, 0.0),
    ] {
        let cap = SpendCap::new(0.0, f64::max(depth, cost));
        let cascade = Cascade::builder()
            .tier(world.tier("a", 1, Err("down")).cost(0.0))
            .tier(
                world
                    .tier("b", 1, Ok(f64::MAX))
                    .cost(cost)
                    .threshold(f64::MAX),
            )
            .score(score)
            .spend_cap(cap.clone())
            .build_cloning();
        let answer = cascade.clone().informed().oneshot(1).await;
        let answer = answer.expect("what the cap holds can be paid");
        assert_eq!((answer.value.from, answer.info.cost), ("b", cost));
        assert!(cap.available() < 1e-9, "{cap:?}");
        let again = cascade.clone().oneshot(1).await;
        assert_eq!(again.is_ok(), cost < 1e-9, "{cost}");
    }
}

#[tokio::test(start_paused = true)]
async fn scores_beyond_all_numbers_are_ordered() {
    let world = World::new();
    let best = async |first: f64, second: f64| {
        let cascade = Cascade::builder()
            .tier(world.tier("a", 1, Ok(first)).threshold(f64::MAX))
            .tier(world.tier("b", 1, Ok(second)).threshold(f64::MAX))
            .score(score)
            .build_cloning();
        let answer = cascade.informed().oneshot(1).await.expect("the best");
        (answer.value.from, answer.info.accepted)
    };
    assert_eq!(best(0.0, f64::INFINITY).await, ("b", true));
    assert_eq!(best(f64::NEG_INFINITY, f64::NAN).await, ("a", false));
    assert_eq!(best(f64::NAN, f64::NEG_INFINITY).await, ("b", false));
    assert_eq!(best(-0.0, 0.0).await, ("a", false));
}

#[tokio::test(start_paused = true)]
async fn delays_and_timeouts_beyond_all_time_are_never_over() {
    let world = World::new();
    let never = std::time::Duration::MAX;
    let cascade = Cascade::builder()
        .tier(world.tier("a", 86_400_000, Err("down")))
        .tier(world.tier("b", 5, Ok(1.0)).after(never))
        .timeout(never)
        .build_cloning();
    let answer = cascade.informed().oneshot(1).await.expect("an answer");
    // It follows the failure at once, as ever.
    assert_eq!(
        (answer.value.from, answer.info.elapsed),
        ("b", ms(86_400_005))
    );
}

/// What a tier of the flood does: after some polls it answers, fails or panics.
fn flooded(name: &'static str, sent: Arc<AtomicU64>, seed: u64) -> Tier<u64, Answer> {
    let service = service_fn(move |n: u64| {
        let mut rng = StdRng::seed_from_u64(n.wrapping_mul(31).wrapping_add(seed));
        sent.fetch_add(1, Ordering::Relaxed);
        let (mut polls, fate) = (rng.random_range(0..4), rng.random_range(0..100));
        async move {
            poll_fn(|cx| {
                if polls == 0 {
                    return Poll::Ready(());
                }
                polls -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            assert!(fate >= 3, "on purpose");
            let score = f64::from(fate) / 100.0;
            if fate < 30 {
                Err::<_, BoxError>("down".into())
            } else {
                Ok(Answer { from: name, score })
            }
        }
    });
    Tier::new(name, service)
}

#[test]
fn a_flood_of_calls_on_several_threads_is_booked_to_the_last_one() {
    const CALLS: u64 = 4_000;
    const THREADS: u64 = 4;
    let sent: [Arc<AtomicU64>; 3] = Default::default();
    let cap = SpendCap::new(300.0, 40.0);
    let ends = Arc::new(AtomicU64::new(0));
    let told = ends.clone();
    let cascade = Cascade::builder()
        .tier(flooded("a", sent[0].clone(), 1).threshold(0.9))
        .tier(flooded("b", sent[1].clone(), 2).cost(5.0).threshold(0.8))
        .tier(flooded("c", sent[2].clone(), 3).cost(20.0))
        .score(score)
        .spend_cap(cap.clone())
        .on_event(move |event: &CascadeEvent| {
            if event.is_terminal() {
                told.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build_cloning();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let cascade = cascade.clone();
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(thread);
                for n in 0..CALLS {
                    let call = cascade.clone().oneshot(n * THREADS + thread);
                    let mut call = Box::pin(AssertUnwindSafe(call).catch_unwind());
                    // Some leave after a few polls.
                    let patience = rng.random_range(0..40);
                    for _ in 0..patience {
                        let polled = call.as_mut().now_or_never();
                        if polled.is_some() {
                            break;
                        }
                    }
                }
            });
        }
    });
    let stats = cascade.handle().stats();
    let by_end = [
        stats.answered,
        stats.best,
        stats.fatal,
        stats.failed,
        stats.timed_out,
        stats.cancelled,
    ];
    eprintln!("seeds 0 to {THREADS}: {by_end:?}");
    // Without patience nothing is called.
    assert_eq!(by_end.iter().sum::<u64>(), stats.calls);
    assert_eq!(ends.load(Ordering::Relaxed), stats.calls);
    assert!(stats.calls > CALLS * THREADS * 9 / 10, "{}", stats.calls);
    assert!(
        by_end[0] > 0 && by_end[1] > 0 && by_end[5] > 0,
        "{by_end:?}"
    );
    let sent = sent.map(|sent| sent.load(Ordering::Relaxed));
    for (tier, sent) in stats.tiers.iter().zip(sent) {
        assert_eq!(tier.started, sent, "{tier:?}");
        let booked = tier.answered + tier.refused + tier.failed + tier.dropped;
        assert_eq!(booked, sent, "{tier:?}");
    }
    let extras = 5.0 * sent[1] as f64 + 20.0 * sent[2] as f64;
    assert_eq!(cap.spent(), extras);
    assert!(extras <= 3.0 * stats.calls as f64 + 40.0, "{extras}");
    assert_eq!(stats.cost, sent[0] as f64 + extras);
}

/// A tier that panics as its service is copied, or asked whether it is ready, takes the call along
/// and gives back what it was granted.
#[tokio::test(start_paused = true)]
async fn a_service_that_panics_before_it_is_sent_costs_nothing() {
    #[derive(Debug)]
    struct Hostile {
        in_clone: bool,
        clones: Arc<AtomicU64>,
    }
    impl Clone for Hostile {
        fn clone(&self) -> Self {
            let copies = self.clones.fetch_add(1, Ordering::Relaxed);
            assert!(!self.in_clone || copies < 1, "on purpose");
            Self {
                in_clone: self.in_clone,
                clones: self.clones.clone(),
            }
        }
    }
    impl tower::Service<u64> for Hostile {
        type Response = Answer;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Answer, BoxError>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), BoxError>> {
            panic!("on purpose")
        }
        fn call(&mut self, _: u64) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let world = World::new();
    for in_clone in [true, false] {
        let cap = SpendCap::new(0.0, 10.0);
        // Boxed and cloned into the cascade once at most before the call.
        let clones = Arc::new(AtomicU64::new(u64::from(in_clone)));
        let hostile = Hostile { in_clone, clones };
        let cascade = Cascade::builder()
            .tier(world.tier("a", 100, Ok(1.0)))
            .tier(Tier::new("hostile", hostile).after(ms(10)).cost(5.0))
            .spend_cap(cap.clone())
            .build_cloning();
        let call = AssertUnwindSafe(cascade.clone().informed().oneshot(1)).catch_unwind();
        assert!(call.await.is_err());
        assert_eq!(
            (world.alive(), cap.spent(), cap.available()),
            (0, 0.0, 10.0)
        );
        let stats = cascade.handle().stats();
        assert_eq!((stats.cancelled, stats.cost), (1, 1.0));
        assert_eq!((stats.tiers[1].started, stats.tiers[1].skipped), (0, 1));
        assert_eq!(stats.tiers[0].dropped, 1);
    }
}
