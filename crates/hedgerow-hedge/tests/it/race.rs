//! Who wins, when, and what becomes of the others.

use std::time::Duration;

use hedgerow_core::{Budget, Class, accept_if};
use hedgerow_hedge::HedgeLayer;
use tower::{Layer, ServiceBuilder};

use crate::support::{Backend, answers, call, ms};

/// A13: theirs took 1004 ms, because it awaited both.
#[tokio::test(start_paused = true)]
async fn a_fast_hedge_saves_a_slow_primary() {
    let backend = Backend::taking(&[1_000, 50]);
    let layer = HedgeLayer::fixed(ms(100)).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result, Ok("hedge"));
    assert!(took >= ms(150) && took <= ms(152), "{took:?}");
    assert_eq!(backend.sent(), 2);
    assert_eq!(backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fast_primary_is_never_hedged() {
    let backend = Backend::taking(&[90, 1]);
    let layer = HedgeLayer::fixed(ms(100)).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!((result, backend.sent()), (Ok("primary"), 1));
    assert!(took < ms(92), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_answers_during_the_race_wins_it() {
    let backend = Backend::taking(&[120, 50]);
    let layer = HedgeLayer::fixed(ms(100)).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!((result, backend.sent()), (Ok("primary"), 2));
    assert!(took < ms(123), "{took:?}");
}

/// A2: one more copy per delay, from the call's start.
#[tokio::test(start_paused = true)]
async fn copies_are_staggered_from_the_calls_start() {
    let backend = Backend::taking(&[1_000, 1_000, 1_000, 1_000]);
    let layer = HedgeLayer::schedule([ms(50), ms(120), ms(300)])
        .clone_requests()
        .budget(Budget::unlimited());
    let (_, took) = call(layer.layer(backend.clone())).await;
    let times = backend.times();
    for (time, want) in times.iter().zip([0, 50, 120, 300]) {
        assert!(*time >= ms(want) && *time <= ms(want + 1), "{times:?}");
    }
    assert!(took <= ms(1_002), "{took:?}");
}

/// A2: theirs waited out the delay.
#[tokio::test(start_paused = true)]
async fn when_all_in_flight_have_failed_the_next_copy_starts_now() {
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(10), Err("down")),
        1 => (ms(10), Err("still down")),
        _ => answers(attempt, 10),
    });
    let layer = HedgeLayer::schedule([ms(5_000), ms(10_000)]).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result, Ok("hedge"));
    assert!(took <= ms(35), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_waits_for_whoever_still_runs() {
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(60), Err("down")),
        _ => answers(attempt, 500),
    });
    let layer = HedgeLayer::fixed(ms(50)).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result, Ok("hedge"));
    assert!(took >= ms(550) && took <= ms(553), "{took:?}");
    assert_eq!(backend.sent(), 2);
}

/// A3.
#[tokio::test(start_paused = true)]
async fn n_copies_start_at_once() {
    let backend = Backend::taking(&[100, 80, 60]);
    let layer = HedgeLayer::parallel(3)
        .clone_requests()
        .budget(Budget::unlimited());
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result, Ok("hedge"));
    assert_eq!(backend.times(), [Duration::ZERO; 3]);
    assert!(took <= ms(61), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_copy_is_no_hedge() {
    let backend = Backend::taking(&[100]);
    let layer = HedgeLayer::parallel(1).clone_requests();
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("primary"));
    assert_eq!(backend.sent(), 1);
}

/// A11: both ready in one poll.
#[tokio::test(start_paused = true)]
async fn of_two_ready_in_one_poll_the_lowest_index_wins_a_thousand_times() {
    for round in 0..1_000u64 {
        // Both sleep until the same instant, whose grain is one millisecond.
        let at = 10 + round % 50;
        let backend = Backend::new(move |attempt| answers(attempt, at));
        let layer = HedgeLayer::parallel(2)
            .clone_requests()
            .budget(Budget::unlimited());
        assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("primary"));
        assert_eq!(backend.sent(), 2);
    }
}

/// A14: theirs ignored it.
#[tokio::test(start_paused = true)]
async fn never_more_than_the_maximum_of_hedges() {
    for most in 1..=5usize {
        let backend = Backend::taking(&[10_000]);
        let layer = HedgeLayer::fixed(ms(10))
            .clone_requests()
            .max_hedges(most)
            .budget(Budget::unlimited());
        call(layer.layer(backend.clone()))
            .await
            .0
            .expect("an answer");
        assert_eq!(backend.sent(), most + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_hedge_comes_after_twice_the_delay() {
    let backend = Backend::taking(&[1_000, 1_000, 10]);
    let layer = HedgeLayer::fixed(ms(100)).clone_requests().max_hedges(2);
    let (_, took) = call(layer.layer(backend.clone())).await;
    assert!(took >= ms(210) && took <= ms(213), "{took:?}");
}

/// A16 and A4: a refused answer is not a win, and the caller gets the primary's own in the end.
#[tokio::test(start_paused = true)]
async fn a_refused_answer_does_not_win() {
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(200), Ok("good")),
        _ => (ms(10), Ok("bad")),
    });
    let layer = HedgeLayer::fixed(ms(50))
        .clone_requests()
        .accept(accept_if(|answer: &&str| *answer == "good"));
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result, Ok("good"));
    assert!(took >= ms(200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn when_all_are_refused_the_caller_gets_the_primarys_own_answer() {
    let backend = Backend::taking(&[20, 10]);
    let layer = HedgeLayer::fixed(ms(50))
        .clone_requests()
        .accept(accept_if(|_: &&str| false));
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("primary"));
    assert_eq!(backend.sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_caller_gets_the_primarys_own_error() {
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(100), Err("the primary's")),
        _ => (ms(10), Err("a hedge's")),
    });
    let layer = HedgeLayer::fixed(ms(50)).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    // A hedge's error never beats a pending primary.
    assert_eq!(result, Err("the primary's"));
    assert!(took >= ms(100), "{took:?}");
}

fn nothing_helps(result: &Result<&'static str, &'static str>) -> Class {
    match result {
        Err("not found") => Class::Fatal,
        Err(_) => Class::RETRYABLE,
        Ok(_) => Class::Success,
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_ends_the_race_at_once() {
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(1_000), Ok("late")),
        _ => (ms(10), Err("not found")),
    });
    let layer = HedgeLayer::fixed(ms(50))
        .clone_requests()
        .accept(nothing_helps);
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result, Err("not found"));
    assert!(took <= ms(63), "{took:?}");
    assert_eq!(backend.alive(), 0);
}

/// A6: a total timeout is a layer outside, with an error of its own; it holds also while the call
/// waits to hedge (theirs: not).
#[tokio::test(start_paused = true)]
async fn a_total_timeout_is_enforced_also_while_waiting_to_hedge() {
    for hedge_after in [40, 5_000] {
        let backend = Backend::new(|_| (ms(60_000), Ok("late")));
        let service = ServiceBuilder::new()
            .timeout(ms(100))
            .layer(HedgeLayer::fixed(ms(hedge_after)).clone_requests())
            .map_err(hedgerow_core::BoxError::from)
            .service(backend.clone());
        let (result, took) = call(service).await;
        let error = result.expect_err("it is late");
        assert!(error.is::<tower::timeout::error::Elapsed>(), "{error}");
        assert!(took <= ms(101), "{took:?}");
        assert_eq!(backend.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_ready_at_once_is_asked_once() {
    let backend = Backend::taking(&[0]);
    let layer = HedgeLayer::parallel(5)
        .clone_requests()
        .budget(Budget::unlimited());
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("primary"));
    assert_eq!(backend.sent(), 1);
}
