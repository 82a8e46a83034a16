//! Hedging one call without a layer: A2, A5, A6, A13.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::ready;
use hedgerow_core::{Attempt, BoxError, accept_if};
use hedgerow_hedge::{ArgumentError, HedgeEvent, RaceError, RaceErrorKind, hedge};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::plain_support::{Answer, Down, Track};
use crate::support::ms;

/// Attempts that take so long and bring that, by their index.
fn play<'a>(
    track: &'a Track,
    script: &'static [(u64, Answer)],
) -> impl FnMut(Attempt) -> futures::future::BoxFuture<'static, Answer> + use<'a> {
    |attempt| {
        let (takes, answer) = script[attempt.index() as usize];
        track.runner(takes, answer).boxed()
    }
}

/// A13: theirs took 1004 ms, because it awaited both.
#[tokio::test(start_paused = true)]
async fn a_fast_hedge_saves_a_slow_primary() {
    let track = Track::new();
    let script = &[(1_000, Ok("primary")), (50, Ok("hedge"))];
    let won = hedge(play(&track, script), [ms(100)])
        .await
        .expect("a winner");
    assert_eq!(won.value, "hedge");
    assert!(track.now() >= 150 && track.now() <= 160, "{}", track.now());
    assert_eq!(track.started(), [(0, 0), (1, 100)]);
    let info = won.info;
    assert_eq!(
        (info.index, info.hedge_won, info.strategy),
        (1, true, "hedge")
    );
    assert_eq!((info.delay, info.cost), (Some(ms(100)), 2.0));
    assert_eq!(info.hedge_latency(), Some(ms(50)));
    assert_eq!((info.primary_latency(), track.held()), (ms(150), 0));
}

#[tokio::test(start_paused = true)]
async fn a_fast_primary_is_never_hedged() {
    let track = Track::new();
    let script = &[(90, Ok("primary"))];
    let won = hedge(play(&track, script), [ms(100)])
        .await
        .expect("a winner");
    assert_eq!((won.value, won.info.hedged), ("primary", false));
    sleep(ms(1_000)).await;
    assert_eq!(track.started(), [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn copies_are_staggered_from_the_calls_start() {
    let track = Track::new();
    let script = &[(1_000, Ok("a")); 5];
    let delays = [50, 120, 120, 300].map(ms);
    let won = hedge(play(&track, script), delays).await.expect("a winner");
    assert_eq!((won.info.index, track.now()), (0, 1_000));
    assert_eq!(
        track.started(),
        [(0, 0), (1, 50), (2, 120), (3, 120), (4, 300)]
    );
}

/// A2: theirs waited out the delay.
#[tokio::test(start_paused = true)]
async fn when_all_in_flight_have_failed_the_next_copy_starts_now() {
    let track = Track::new();
    let script = &[
        (10, Err(Down("down"))),
        (10, Err(Down("still down"))),
        (10, Ok("up")),
    ];
    let delays = [5_000, 10_000].map(ms);
    let won = hedge(play(&track, script), delays).await.expect("a winner");
    assert_eq!((won.value, track.now()), ("up", 30));
    assert_eq!(track.started(), [(0, 0), (1, 10), (2, 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_follows_early_does_not_move_the_others() {
    let track = Track::new();
    let script = &[
        (10, Err(Down("down"))),
        (500, Ok("slow")),
        (50, Ok("in time")),
    ];
    let delays = [100, 200].map(ms);
    let won = hedge(play(&track, script), delays).await.expect("a winner");
    assert_eq!((won.value, track.now()), ("in time", 250));
    assert_eq!(track.started(), [(0, 0), (1, 10), (2, 200)]);
}

#[tokio::test(start_paused = true)]
async fn no_delays_is_the_primary_alone() {
    let track = Track::new();
    let script = &[(10, Err(Down("down")))];
    let error = hedge(play(&track, script), []).await.expect_err("it fails");
    assert_eq!(
        error.to_string(),
        "the only attempt lost after 10ms: 1 failed"
    );
    assert_eq!(error.source().expect("the primary's").to_string(), "down");
}

/// A5: the primary's error, though it came last.
#[tokio::test(start_paused = true)]
async fn if_all_fail_the_source_is_the_primarys_error() {
    let track = Track::new();
    let script = &[
        (100, Err(Down("the primary's"))),
        (10, Err(Down("a copy's"))),
    ];
    let error = hedge(play(&track, script), [ms(50)])
        .await
        .expect_err("all fail");
    assert_eq!(
        error.source().expect("an error").to_string(),
        "the primary's"
    );
    let times: Vec<_> = error
        .losses()
        .iter()
        .map(|l| (l.started(), l.elapsed()))
        .collect();
    assert_eq!(times, [(ms(0), ms(100)), (ms(50), ms(10))]);
}

/// A6: theirs was not enforced.
#[tokio::test(start_paused = true)]
async fn a_total_timeout_is_enforced_also_while_waiting_to_hedge() {
    for delay in [40, 5_000] {
        let track = Track::new();
        let script = &[(60_000, Ok("late")); 2];
        let error = hedge(play(&track, script), [ms(delay)])
            .timeout(ms(100))
            .await
            .expect_err("it is late");
        assert!(error.is_timeout());
        assert_eq!((track.now(), track.held()), (100, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_answer_of_the_primary_brings_the_copy_at_once() {
    let track = Track::new();
    let script = &[(10, Ok("bad")), (10, Ok("good"))];
    let won = hedge(play(&track, script), [ms(500)])
        .accept(accept_if(|answer: &&str| *answer == "good"))
        .await
        .expect("a winner");
    assert_eq!((won.value, track.now()), ("good", 20));
}

#[tokio::test(start_paused = true)]
async fn at_most_65_attempts_are_made() {
    let made = AtomicUsize::new(0);
    let fails = |_| {
        made.fetch_add(1, Ordering::Relaxed);
        ready(Answer::Err(Down("down")))
    };
    let error = hedge(fails, [ms(1); 64]).await.expect_err("all fail");
    assert_eq!(
        (error.losses().len(), made.swap(0, Ordering::Relaxed)),
        (65, 65)
    );
    // Also a schedule without an end.
    let error = hedge(fails, std::iter::repeat(ms(1)))
        .await
        .expect_err("too many");
    assert_eq!(
        *error.kind(),
        RaceErrorKind::Invalid(ArgumentError::TooManyDelays)
    );
    assert!(error.to_string().contains("at most 64 delays"), "{error}");
    assert_eq!(made.load(Ordering::Relaxed), 0);
}

#[test]
fn delays_that_go_back_are_refused_with_what_to_write() {
    let made = AtomicUsize::new(0);
    let count = |_| {
        made.fetch_add(1, Ordering::Relaxed);
        ready(Answer::Ok("x"))
    };
    let error = block_on(hedge(count, [200, 50].map(ms))).expect_err("unordered");
    assert_eq!(
        error.to_string(),
        "the delays go back from 200ms to 50ms: write them from the call's start, in ascending order"
    );
    assert_eq!(made.load(Ordering::Relaxed), 0);
}

/// A primary that is ready in its first poll arms nothing and calls the factory once.
#[test]
fn a_ready_primary_needs_no_runtime() {
    let made = AtomicUsize::new(0);
    let won = block_on(hedge(
        |_| {
            made.fetch_add(1, Ordering::Relaxed);
            ready(Answer::Ok("ready"))
        },
        [0, 0, 100].map(ms),
    ))
    .expect("a winner");
    assert_eq!((won.value, made.load(Ordering::Relaxed)), ("ready", 1));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_factory_or_attempt_still_drops_and_tells_all() {
    for in_attempt in [false, true] {
        let track = Track::new();
        let told = AtomicUsize::new(0);
        let racing = hedge(
            |attempt: Attempt| {
                assert!(in_attempt || !attempt.is_extra(), "on purpose");
                let runner = track.runner(500, Answer::Ok("late"));
                async move {
                    assert!(!attempt.is_extra(), "on purpose");
                    runner.await
                }
            },
            [20, 30].map(ms),
        )
        .on_event(|event: &HedgeEvent| {
            told.fetch_add(usize::from(event.is_terminal()), Ordering::Relaxed);
        });
        assert!(AssertUnwindSafe(racing).catch_unwind().await.is_err());
        assert_eq!((track.now(), track.held()), (20, 0));
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert_eq!(Attempt::current(), Attempt::PRIMARY);
    }
}

/// With everything set, boxed errors, and inside of an async block, where rustc is at its strictest.
#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_send_can_be_spawned() {
    let run = async |attempt: Attempt| Ok::<_, BoxError>(attempt.index());
    let task = async move {
        let won = hedge(run, [ms(10)])
            .accept(accept_if(|index: &u32| *index == 1))
            .timeout(ms(100))
            .cancel_on(CancellationToken::new())
            .on_event(|event: &HedgeEvent| drop(event.clone()))
            .on_losers(|lost| assert_eq!(lost.size, 2))
            .await;
        won.map(|won| won.into_value()).map_err(RaceError::boxed)
    };
    #[expect(clippy::disallowed_methods, reason = "that it can be is the test")]
    let won = tokio::spawn(task).await.expect("no panic");
    assert_eq!(won.expect("a winner"), 1);
}
