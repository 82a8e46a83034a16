//! C1 to C4: which tier answers, when, and what if none is good enough.

use std::convert::Infallible;

use hedgerow_core::{BoxError, Class, accept_if};
use hedgerow_hedge::{Cascade, HedgeLayer, Outcome, RaceErrorKind, Tier};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt, service_fn};

use crate::cascade_support::{Answer, World, race_error, score};
use crate::support::{call, ms};

#[tokio::test(start_paused = true)]
async fn services_of_different_types_and_errors_stand_behind_one_type() {
    let world = World::new();
    let text = service_fn(async |n: u64| n.to_string().parse::<i8>());
    let text = text.map_response(|n| Answer {
        from: "text",
        score: f64::from(n),
    });
    let refusing = service_fn(async |_: u64| Err::<Answer, BoxError>("not today".into()));
    let sure = service_fn(async |_: u64| {
        let answer = Answer {
            from: "sure",
            score: 1.0,
        };
        Ok::<_, Infallible>(answer)
    });
    let cascade: Cascade<u64, Answer> = Cascade::builder()
        .tier(Tier::new("text", text))
        .tier(Tier::new("refusing", refusing))
        .tier(world.tier("stub", 10, Err("down")))
        .tier(Tier::new("sure", sure))
        .clone_requests()
        .build()
        .unwrap();
    let mut clone = cascade.clone();
    let answer = clone.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!(answer.from, "text");
    let answer = cascade.oneshot(1_000).await.unwrap();
    assert_eq!(answer.from, "sure", "1000 is no i8");
    assert_eq!(world.now(), 0, "the stub of 10 ms is dropped");
}

#[tokio::test(start_paused = true)]
async fn any_tiers_acceptable_answer_returns_at_once() {
    // The first hangs, the third would take long: the second's 60 ms are what counts.
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("hangs", 60_000, Ok(1.0)))
        .tier(world.tier("fast", 60, Ok(1.0)).after(ms(0)))
        .tier(world.tier("slow", 500, Ok(1.0)).after(ms(10)))
        .clone_requests()
        .build()
        .unwrap();
    let (result, took) = call(cascade).await;
    assert_eq!(result.unwrap().from, "fast");
    assert_eq!(took, ms(60));
    assert_eq!(world.started(), [("hangs", 0), ("fast", 0), ("slow", 10)]);
    assert_eq!(world.alive(), 0, "the others are dropped at once");
}

#[tokio::test(start_paused = true)]
async fn a_later_tier_answers_though_a_preferred_one_still_runs() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("preferred", 110, Ok(1.0)))
        .tier(world.tier("second", 50, Ok(1.0)).after(ms(50)))
        .clone_requests()
        .build()
        .unwrap();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("second", ms(100)));
}

#[tokio::test(start_paused = true)]
async fn of_two_acceptable_in_one_poll_the_earlier_tier_wins() {
    for _ in 0..100 {
        let world = World::new();
        let cascade = Cascade::builder()
            .tier(world.tier("z", 100, Ok(0.5)))
            .tier(world.tier("a", 50, Ok(1.0)).after(ms(50)))
            .tier(world.tier("b", 100, Ok(0.9)).after(ms(50)))
            .score(score)
            .clone_requests()
            .build()
            .unwrap();
        let (result, took) = call(cascade).await;
        assert_eq!((result.unwrap().from, took), ("z", ms(100)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tier_starts_at_its_delay_and_not_in_a_poll_that_has_an_answer() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 300, Ok(1.0)))
        .tier(world.tier("b", 900, Ok(1.0)).after(ms(100)))
        .tier(world.tier("c", 900, Ok(1.0)).after(ms(300)))
        .clone_requests()
        .build()
        .unwrap();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("a", ms(300)));
    assert_eq!(world.started(), [("a", 0), ("b", 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_refused_tier_starts_the_next_one_now_if_nothing_else_runs() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("fails", 10, Err("down")))
        .tier(
            world
                .tier("poor", 20, Ok(0.1))
                .after(ms(500))
                .threshold(0.5),
        )
        .tier(world.tier("good", 30, Ok(0.2)).after(ms(1_000)))
        .score(score)
        .clone_requests()
        .build()
        .unwrap();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("good", ms(60)));
    assert_eq!(world.started(), [("fails", 0), ("poor", 10), ("good", 30)]);
}

#[tokio::test(start_paused = true)]
async fn while_another_tier_runs_a_failure_starts_nobody() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("slow", 400, Ok(1.0)))
        .tier(world.tier("fails", 10, Err("down")).after(ms(100)))
        .tier(world.tier("third", 10, Ok(1.0)).after(ms(300)))
        .clone_requests()
        .build()
        .unwrap();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("third", ms(310)));
    assert_eq!(
        world.started(),
        [("slow", 0), ("fails", 100), ("third", 300)]
    );
}

#[tokio::test(start_paused = true)]
async fn each_tier_has_its_own_threshold_and_reaching_it_is_enough() {
    for (scores, winner) in [
        ([0.8, 0.0, 0.0], "small"),
        ([0.799, 0.6, 0.0], "medium"),
        ([0.7, 0.59, -1.0], "large"),
    ] {
        let world = World::new();
        let cascade = Cascade::builder()
            .tier(world.tier("small", 10, Ok(scores[0])).threshold(0.8))
            .tier(world.tier("medium", 10, Ok(scores[1])).threshold(0.6))
            .tier(world.tier("large", 10, Ok(scores[2])).after(ms(50)))
            .score(score)
            .clone_requests()
            .build()
            .unwrap();
        let (result, _) = call(cascade).await;
        assert_eq!(result.unwrap().from, winner, "{scores:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn if_none_passes_the_best_by_score_returns() {
    // Neither the last nor the first by the alphabet.
    for (scores, best) in [
        ([0.1, 0.3, 0.2], "z"),
        ([0.3, 0.1, 0.3], "m"),
        ([f64::NAN, f64::NEG_INFINITY, f64::NAN], "z"),
        ([f64::NAN, f64::NAN, f64::NAN], "m"),
        ([f64::NAN, f64::NAN, -7.0], "a"),
    ] {
        let world = World::new();
        let names = ["m", "z", "a"];
        let mut builder = Cascade::builder();
        for (name, score) in names.into_iter().zip(scores) {
            builder = builder.tier(world.tier(name, 10, Ok(score)).threshold(0.9));
        }
        let cascade = builder.score(score).clone_requests().build().unwrap();
        let handle = cascade.handle();
        let answer = cascade.informed().oneshot(1).await.unwrap();
        assert_eq!(answer.value.from, best, "{scores:?}");
        assert!(!answer.info.accepted);
        assert_eq!(answer.info.name.as_deref(), Some(best));
        assert_eq!(answer.info.attempts.len(), 3);
        let refused = |at: usize| answer.info.attempts[at].outcome == Outcome::Refused;
        assert!((0..3).all(refused));
        let stats = handle.stats();
        assert_eq!((stats.best, stats.answered, stats.failed), (1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn nan_never_passes_even_without_a_threshold() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("nan", 10, Ok(f64::NAN)))
        .tier(world.tier("low", 10, Ok(f64::NEG_INFINITY)).after(ms(50)))
        .score(score)
        .clone_requests()
        .build()
        .unwrap();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("low", ms(20)));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_score_is_a_refusal() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Ok(-1.0)))
        .tier(world.tier("b", 10, Ok(1.0)).after(ms(50)))
        .score(|answer: &Answer| {
            assert!(answer.score > 0.0, "on purpose");
            answer.score
        })
        .clone_requests()
        .build()
        .unwrap();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("b", ms(20)));

    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Ok(1.0)))
        .score(|_: &Answer| panic!("on purpose"))
        .build_cloning();
    let error = cascade.oneshot(1).await.unwrap_err();
    let error = race_error(&error);
    assert_eq!(*error.kind(), RaceErrorKind::AllLost);
    assert!(error.losses()[0].refused().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_a_judge_refuses_is_never_the_best_there_is() {
    let world = World::new();
    let usable = accept_if(|answer: &Answer| answer.score >= 0.0);
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Ok(-0.1)).threshold(0.9))
        .tier(world.tier("b", 10, Ok(-0.2)).threshold(0.9))
        .score(score)
        .accept(usable)
        .build_cloning();
    let (result, took) = call(cascade).await;
    let error = result.unwrap_err();
    let error = race_error(&error);
    assert_eq!(*error.kind(), RaceErrorKind::AllLost);
    assert_eq!(error.losses().len(), 2);
    assert!(error.losses().iter().all(|loss| loss.refused().is_some()));
    assert_eq!(took, ms(20).min(ms(10)), "both started at once");
}

#[tokio::test(start_paused = true)]
async fn a_final_result_ends_the_call_at_once() {
    fn judge(result: &Result<Answer, BoxError>) -> Class {
        match result {
            Ok(answer) if answer.score > 0.0 => Class::Success,
            _ => Class::Fatal,
        }
    }
    let world = World::new();
    let bad = Cascade::builder()
        .tier(world.tier("a", 10, Ok(-1.0)))
        .tier(world.tier("b", 10, Ok(1.0)).after(ms(5)))
        .accept(judge)
        .build_cloning();
    let handle = bad.handle();
    let (result, took) = call(bad).await;
    assert_eq!((result.unwrap().from, took), ("a", ms(10)));
    assert_eq!(world.alive(), 0);
    let stats = handle.stats();
    assert_eq!((stats.fatal, stats.answered, stats.cost), (1, 0, 2.0));

    let down = Cascade::builder()
        .tier(world.tier("a", 500, Ok(1.0)))
        .tier(world.tier("b", 10, Err("gone")).after(ms(5)))
        .accept(judge)
        .build_cloning();
    let (result, took) = call(down).await;
    let error = result.unwrap_err();
    let error = race_error(&error);
    assert_eq!(*error.kind(), RaceErrorKind::Fatal { index: 1 });
    assert_eq!(error.losses()[0].error().unwrap().to_string(), "gone");
    assert_eq!(error.still_running().count(), 1);
    assert_eq!(took, ms(15));
}

#[tokio::test(start_paused = true)]
async fn it_waits_until_the_deadline_so_two_slow_tiers_succeed() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 500, Ok(1.0)))
        .tier(world.tier("b", 500, Ok(1.0)).after(ms(100)))
        .timeout(ms(1_000))
        .build_cloning();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("a", ms(500)));

    let cascade = Cascade::builder()
        .tier(world.tier("a", 500, Err("down")))
        .tier(world.tier("b", 500, Ok(1.0)).after(ms(499)))
        .timeout(ms(1_000))
        .build_cloning();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("b", ms(999)));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_an_answer_that_is_there_counts() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 200, Ok(1.0)))
        .timeout(ms(200))
        .build_cloning();
    let (result, took) = call(cascade).await;
    assert_eq!((result.unwrap().from, took), ("a", ms(200)));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_best_refused_answer_returns() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Ok(0.2)).threshold(0.9))
        .tier(world.tier("b", 20, Ok(0.4)).after(ms(5)).threshold(0.9))
        .tier(world.tier("c", 5_000, Ok(1.0)).after(ms(50)))
        .score(score)
        .timeout(ms(300))
        .build_cloning();
    let handle = cascade.handle();
    let start = Instant::now();
    let answer = cascade.informed().oneshot(1).await.unwrap();
    assert_eq!(start.elapsed(), ms(300));
    assert_eq!((answer.value.from, answer.info.accepted), ("b", false));
    assert_eq!(answer.info.quality, Some(0.4));
    assert_eq!(answer.info.attempts[2].outcome, Outcome::TimedOut);
    assert_eq!(answer.info.cost, 3.0);
    assert_eq!(world.alive(), 0);
    assert_eq!((handle.stats().best, handle.stats().timed_out), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_without_any_answer_a_typed_error_says_so() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 10, Err("down")))
        .tier(world.tier("b", 5_000, Ok(1.0)).after(ms(5)))
        .tier(world.tier("c", 5_000, Ok(1.0)).after(ms(400)))
        .timeout(ms(300))
        .build_cloning();
    let handle = cascade.handle();
    let (result, took) = call(cascade).await;
    assert_eq!(took, ms(300));
    let error = result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no accepted answer within 300ms: 1 failed, 1 still running, 1 not started"
    );
    let error = race_error(&error);
    assert!(error.is_timeout());
    assert_eq!(error.attempts()[1].outcome, Outcome::TimedOut);
    sleep(ms(1_000)).await;
    assert_eq!(world.started(), [("a", 0), ("b", 5)]);
    assert_eq!(handle.stats().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_every_error_is_there_and_the_first_tiers_is_the_source() {
    let world = World::new();
    let cascade = Cascade::builder()
        .tier(world.tier("a", 30, Err("first")))
        .tier(world.tier("b", 10, Err("second")).after(ms(5)))
        .tier(world.tier("c", 10, Err("third")).after(ms(900)))
        .build_cloning();
    let (result, took) = call(cascade).await;
    assert_eq!(took, ms(40));
    let error = result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "all 3 attempts lost after 40ms: 3 failed"
    );
    assert_eq!(error.source().unwrap().to_string(), "first");
    let seen: Vec<_> = race_error(&error)
        .losses()
        .iter()
        .map(|loss| {
            let error = loss.error().unwrap().to_string();
            let name = loss.name().unwrap();
            (loss.index(), name, loss.started(), loss.elapsed(), error)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (0, "a", ms(0), ms(30), "first".to_owned()),
            (1, "b", ms(5), ms(10), "second".to_owned()),
            (2, "c", ms(30), ms(10), "third".to_owned()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_tier_is_dropped_before_the_next_one_starts() {
    use tower::limit::ConcurrencyLimit;
    // One permit for both: the next tier needs the one that the first held.
    let world = World::new();
    let limited = ConcurrencyLimit::new(world.stub("one", 10, Err("down")), 1);
    let cascade = Cascade::builder()
        .tier(Tier::new("a", limited.clone()))
        .tier(Tier::new("b", limited).after(ms(1_000)))
        .build_cloning();
    let (result, took) = call(cascade).await;
    assert_eq!(race_error(&result.unwrap_err()).losses().len(), 2);
    assert_eq!(took, ms(20));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_be_sent_only_once_goes_to_the_first_tier_alone() {
    let world = World::new();
    let cascade = || {
        Cascade::builder()
            .tier(world.tier("a", 10, Err("down")))
            .tier(world.tier("b", 10, Ok(1.0)).after(ms(5)))
            .replay_with(|n: &mut u64| (*n == 1).then_some(*n))
            .build()
            .unwrap()
    };
    assert_eq!(cascade().oneshot(1).await.unwrap().from, "b");
    let only_once = cascade();
    let handle = only_once.handle();
    let error = only_once.oneshot(2).await.unwrap_err();
    assert_eq!(race_error(&error).not_started(), 1);
    assert_eq!(handle.stats().tiers[1].skipped, 1);
    assert_eq!(world.started().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_panics_is_not_sent() {
    #[derive(Debug)]
    struct Bomb;
    impl Clone for Bomb {
        fn clone(&self) -> Self {
            panic!("on purpose")
        }
    }
    let fails = service_fn(async |_: Bomb| Err::<Answer, BoxError>("down".into()));
    let cascade = Cascade::builder()
        .tier(Tier::new("a", fails))
        .tier(Tier::new("b", fails))
        .clone_requests()
        .build()
        .unwrap();
    let error = cascade.oneshot(Bomb).await.unwrap_err();
    assert_eq!(race_error(&error).losses().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_copies_of_a_hedged_tier_are_counted_and_paid() {
    let world = World::new();
    let hedge = HedgeLayer::schedule([ms(10), ms(20)]).clone_requests();
    let budget = hedge.handle().budget().clone();
    let cascade = Cascade::builder()
        .tier(
            world
                .tier("hedged", 25, Ok(0.1))
                .cost(2.0)
                .threshold(0.5)
                .hedged(hedge),
        )
        .tier(
            world
                .tier("large", 100, Ok(0.9))
                .after(ms(15))
                .cost(30.0)
                .threshold(0.5),
        )
        .score(score)
        .build_cloning();
    let handle = cascade.handle();
    let answer = cascade.informed().oneshot(1).await.unwrap();
    assert_eq!(answer.value.from, "large");
    let hedges: Vec<u32> = answer
        .info
        .attempts
        .iter()
        .map(|tier| tier.hedges)
        .collect();
    assert_eq!((answer.info.hedges, hedges), (2, vec![2, 0]));
    assert_eq!(answer.info.cost, 3.0 * 2.0 + 30.0);
    assert_eq!(answer.info.attempts[0].elapsed, ms(25));
    let stats = handle.stats();
    assert_eq!((stats.tiers[0].hedges, stats.tiers[0].cost), (2, 6.0));
    assert_eq!(stats.average_cost, 36.0);
    assert_eq!(budget.granted(hedgerow_core::Kind::Hedge), 2);
    let who: Vec<_> = world.started().iter().map(|(who, _)| *who).collect();
    assert_eq!(who, ["hedged", "hedged", "large", "hedged"]);
}

#[tokio::test(start_paused = true)]
async fn every_tier_is_a_primary_to_the_service_beneath() {
    use hedgerow_core::Attempt;
    let asks = service_fn(async |_: u64| {
        sleep(ms(1)).await;
        assert_eq!(Attempt::current(), Attempt::PRIMARY);
        Err::<Answer, BoxError>("down".into())
    });
    let cascade = Cascade::builder()
        .tier(Tier::new("a", asks))
        .tier(Tier::new("b", asks).after(ms(1)))
        .build_cloning();
    assert!(cascade.oneshot(1).await.is_err());
}

#[test]
fn a_cascade_is_send_and_sync_though_its_services_are_not_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    let cell = std::cell::Cell::new(0);
    let unsync = service_fn(move |n: u64| {
        cell.set(cell.get() + 1);
        std::future::ready(Ok::<_, Infallible>(n))
    });
    let cascade = Cascade::builder()
        .tier(Tier::new("only", unsync))
        .clone_requests()
        .build()
        .unwrap();
    check(&cascade);
    check(&cascade.handle());
}

/// What nearly every test wants.
pub(crate) trait Build<Req, Res> {
    fn build_cloning(self) -> Cascade<Req, Res>;
}

impl<Req: Clone, Res> Build<Req, Res> for hedgerow_hedge::CascadeBuilder<Req, Res> {
    fn build_cloning(self) -> Cascade<Req, Res> {
        self.clone_requests().build().expect("a cascade")
    }
}
