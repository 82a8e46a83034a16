//! Races of plain futures: A1, A4 to A7, A9 to A11, K4.

use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::{pending, ready};
use hedgerow_core::{Attempt, Class, Classify, accept_if};
use hedgerow_hedge::{ArgumentError, Candidate, Outcome, RaceErrorKind, race, race_candidates};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{advance, sleep};
use tokio_util::sync::CancellationToken;

use crate::plain_support::{Answer, Down, Track};
use crate::support::ms;

/// A1.
#[tokio::test(start_paused = true)]
async fn the_first_answer_wins_and_losers_are_dropped_at_once() {
    let track = Track::new();
    let runners = [(30, Ok("a")), (10, Ok("b")), (20, Ok("c"))];
    let won = race(runners.map(|(takes, result): (_, Answer)| track.runner(takes, result)))
        .await
        .expect("a winner");
    assert_eq!((won.value, won.info.index), ("b", 1));
    assert_eq!((track.now(), track.held()), (10, 0));
    assert_eq!(track.started(), [(0, 0), (1, 0), (2, 0)]);
    let info = won.info;
    assert_eq!((info.elapsed, info.started), (ms(10), ms(0)));
    assert_eq!((info.hedged, info.hedge_won), (true, true));
    assert_eq!((info.delay, info.cost), (Some(ms(0)), 3.0));
    assert_eq!(info.strategy, "race");
    let outcomes: Vec<_> = info
        .attempts
        .iter()
        .map(|a| (a.outcome, a.elapsed))
        .collect();
    assert_eq!(
        outcomes,
        [
            (Outcome::Lost, ms(10)),
            (Outcome::Won, ms(10)),
            (Outcome::Lost, ms(10))
        ]
    );
}

/// A1: counted from the start, mixed with none, in any order.
#[tokio::test(start_paused = true)]
async fn start_delays_count_from_the_start_and_may_be_mixed_with_none() {
    let track = Track::new();
    let slow = |takes| track.runner(takes, Answer::Ok("slow"));
    let won = race([
        Candidate::new(slow(500)).after(ms(60)),
        slow(500).into(),
        Candidate::new(slow(20)).after(ms(50)),
        Candidate::new(slow(1)).after(ms(80)),
        Candidate::new(slow(500)).after(Duration::ZERO),
    ])
    .await
    .expect("a winner");
    assert_eq!((won.info.index, track.now()), (2, 70));
    assert_eq!((won.info.started, won.info.elapsed), (ms(50), ms(70)));
    assert_eq!(track.started(), [(1, 0), (4, 0), (2, 50), (0, 60)]);
    let sent: Vec<_> = won
        .info
        .attempts
        .iter()
        .map(|a| a.attempt.index())
        .collect();
    assert_eq!(sent, [0, 1, 2, 4]);
    assert_eq!(track.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn if_all_have_delays_the_first_waits_for_its_own() {
    let track = Track::new();
    let won = race(
        [70, 40].map(|delay| Candidate::new(track.runner(5, Answer::Ok("late"))).after(ms(delay))),
    )
    .await
    .expect("a winner");
    assert_eq!((won.info.index, track.now()), (1, 45));
    assert_eq!(track.started(), [(1, 40)]);
}

/// A2's rule: by the start time, then by the index.
#[tokio::test(start_paused = true)]
async fn when_all_that_started_have_failed_the_next_one_starts_now() {
    let track = Track::new();
    let runner = |takes, result| track.runner(takes, result);
    let won = race([
        Candidate::new(runner(10, Err(Down("zero")))),
        Candidate::new(runner(10, Ok("last"))).after(ms(9_000)),
        Candidate::new(runner(10, Err(Down("two")))).after(ms(3_000)),
        Candidate::new(runner(10, Err(Down("three")))).after(ms(3_000)),
    ])
    .await
    .expect("a winner");
    assert_eq!((won.value, track.now()), ("last", 40));
    assert_eq!(track.started(), [(0, 0), (2, 10), (3, 20), (1, 30)]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_waits_for_whoever_still_runs() {
    let track = Track::new();
    let won = race([
        Candidate::new(track.runner(10, Answer::Err(Down("fast")))),
        Candidate::new(track.runner(50, Ok("slow"))),
        Candidate::new(track.runner(1, Ok("never"))).after(ms(60)),
    ])
    .await
    .expect("a winner");
    assert_eq!((won.value, track.now()), ("slow", 50));
    assert_eq!(track.started(), [(0, 0), (1, 0)]);
}

/// A11.
#[tokio::test(start_paused = true)]
async fn of_two_ready_in_one_poll_the_lowest_index_wins_a_thousand_times() {
    for round in 0..1_000u64 {
        let track = Track::new();
        let at = 10 + round % 50;
        let won = race((0..3).map(|_| track.runner(at, Answer::Ok("tie"))))
            .await
            .expect("a winner");
        assert_eq!((won.info.index, track.now()), (0, at));
    }
    let both = || race([ready(Answer::Ok("first")), ready(Ok("second"))]);
    for _ in 0..1_000 {
        let won = both().await.expect("a winner");
        assert_eq!((won.value, won.info.attempts.len()), ("first", 1));
    }
}

/// Nobody is started in a poll that has an answer already.
#[tokio::test(start_paused = true)]
async fn an_answer_in_the_moment_of_a_start_spares_the_start() {
    let track = Track::new();
    let won = race([
        Candidate::new(track.runner(1, Answer::Ok("late"))).after(ms(50)),
        Candidate::new(track.runner(50, Ok("in time"))),
    ])
    .await
    .expect("a winner");
    assert_eq!((won.value, track.now()), ("in time", 50));
    assert_eq!(track.started(), [(1, 0)]);
}

/// A4.
#[tokio::test(start_paused = true)]
async fn a_rejected_answer_keeps_the_race_waiting() {
    let track = Track::new();
    let won = race([(10, "bad"), (60, "good")].map(|(t, a)| track.runner(t, Answer::Ok(a))))
        .accept(accept_if(|answer: &&str| *answer == "good"))
        .await
        .expect("a winner");
    assert_eq!((won.value, track.now()), ("good", 60));
    assert_eq!(won.info.attempts[0].outcome, Outcome::Refused);
    assert_eq!(won.info.attempts[0].elapsed, ms(10));
}

/// A4: theirs crashed.
#[tokio::test(start_paused = true)]
async fn if_all_are_rejected_the_error_carries_the_answers() {
    let track = Track::new();
    let error = race([(20, "bad"), (10, "worse")].map(|(t, a)| track.runner(t, Answer::Ok(a))))
        .accept(accept_if(|_: &&str| false))
        .await
        .expect_err("all are rejected");
    assert_eq!(*error.kind(), RaceErrorKind::AllLost);
    assert_eq!(
        error.to_string(),
        "all 2 attempts lost after 20ms: 2 refused"
    );
    assert!(error.source().is_none(), "nobody failed");
    let answers: Vec<_> = error
        .into_losses()
        .into_iter()
        .map(|loss| (loss.index(), loss.elapsed(), loss.result))
        .collect();
    assert_eq!(answers, [(0, ms(20), Ok("bad")), (1, ms(10), Ok("worse"))]);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_judge_rejects() {
    struct Panics;
    impl Classify<&'static str, Down> for Panics {
        fn classify(&self, _: &Answer) -> Class {
            panic!("on purpose")
        }
    }
    let predicate = accept_if(|answer: &&str| {
        assert_ne!(*answer, "bad", "on purpose");
        true
    });
    let track = Track::new();
    let won = race([(10, "bad"), (20, "good")].map(|(t, a)| track.runner(t, Answer::Ok(a))))
        .accept(predicate)
        .await
        .expect("a winner");
    assert_eq!(won.value, "good");
    let error = race([track.runner(1, Answer::Ok("x"))])
        .accept(Panics)
        .await
        .expect_err("nobody is accepted");
    assert_eq!(error.losses()[0].refused(), Some(&"x"));
}

/// A5.
#[tokio::test(start_paused = true)]
async fn if_all_fail_one_error_has_every_error_index_and_latency() {
    let track = Track::new();
    let error = race([
        Candidate::new(track.runner(30, Answer::Err(Down("the first one's")))).after(ms(5)),
        Candidate::new(track.runner(10, Err(Down("the second one's")))),
        Candidate::new(track.runner(20, Ok("refused"))),
    ])
    .accept(accept_if(|_: &&str| false))
    .await
    .expect_err("all lost");
    assert_eq!(
        error.to_string(),
        "all 3 attempts lost after 35ms: 2 failed, 1 refused"
    );
    let told: Vec<_> = error
        .losses()
        .iter()
        .map(|loss| {
            (
                loss.index(),
                loss.started(),
                loss.elapsed(),
                loss.info.outcome,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, ms(5), ms(30), Outcome::Failed),
            (1, ms(0), ms(10), Outcome::Failed),
            (2, ms(0), ms(20), Outcome::Refused)
        ]
    );
    assert_eq!(error.losses()[1].error(), Some(&Down("the second one's")));
    let source = error.source().expect("the primary's");
    assert_eq!(source.downcast_ref(), Some(&Down("the first one's")));
    assert_eq!((error.elapsed(), error.not_started()), (ms(35), 0));
    assert_eq!(error.attempts().len(), 3);
    assert_eq!(error.still_running().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn if_the_primary_was_refused_the_source_is_the_first_error_by_index() {
    let track = Track::new();
    let answers = [(1, Ok("no")), (9, Err(Down("one"))), (5, Err(Down("two")))];
    let error = race(answers.map(|(t, a)| track.runner(t, a)))
        .accept(accept_if(|_: &&str| false))
        .await
        .expect_err("all lost");
    let source = error.source().expect("an error");
    assert_eq!(source.to_string(), "one");
}

fn not_found_is_final(result: &Answer) -> Class {
    match result {
        Err(Down("not found")) => Class::Fatal,
        Err(_) => Class::RETRYABLE,
        Ok(_) => Class::Success,
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_ends_the_race_at_once() {
    let track = Track::new();
    let error = race([
        Candidate::new(track.runner(500, Ok("late"))),
        Candidate::new(track.runner(10, Err(Down("down")))),
        Candidate::new(track.runner(20, Err(Down("not found")))),
        Candidate::new(track.runner(1, Ok("later"))).after(ms(100)),
    ])
    .accept(not_found_is_final)
    .await
    .expect_err("a final refusal");
    assert_eq!(*error.kind(), RaceErrorKind::Fatal { index: 2 });
    assert_eq!(
        error.to_string(),
        "attempt 2 ended the race for good after 20ms: 2 failed, 1 still running, 1 not started"
    );
    assert_eq!((track.now(), track.held()), (20, 0));
    let running: Vec<_> = error.still_running().map(|a| a.attempt.index()).collect();
    assert_eq!(running, [0]);
    assert_eq!(error.attempts()[0].outcome, Outcome::Lost);
    assert_eq!(track.started().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_the_judge_accepts_ends_the_race_as_an_error() {
    let track = Track::new();
    let error = race([(10, Err(Down("fine"))), (20, Ok("late"))].map(|(t, a)| track.runner(t, a)))
        .accept(|_: &Answer| Class::Success)
        .await
        .expect_err("no value");
    assert_eq!(*error.kind(), RaceErrorKind::Fatal { index: 0 });
    assert_eq!(error.losses()[0].error(), Some(&Down("fine")));
    assert_eq!(track.now(), 10);
}

/// A6: theirs did not.
#[tokio::test(start_paused = true)]
async fn a_total_timeout_holds_also_while_waiting_to_start_somebody() {
    for delay in [40, 5_000] {
        let track = Track::new();
        let error = race([
            Candidate::new(track.runner(60_000, Answer::Ok("late"))),
            Candidate::new(track.runner(60_000, Ok("later"))).after(ms(delay)),
        ])
        .timeout(ms(100))
        .await
        .expect_err("it is late");
        assert!(error.is_timeout() && !error.is_cancelled());
        assert_eq!(*error.kind(), RaceErrorKind::TimedOut { after: ms(100) });
        assert_eq!((track.now(), track.held()), (100, 0));
        assert_eq!(error.attempts()[0].outcome, Outcome::TimedOut);
        assert!(
            error
                .to_string()
                .starts_with("no accepted answer within 100ms: ")
        );
        sleep(ms(10_000)).await;
        assert_eq!(track.started().len(), if delay == 40 { 2 } else { 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_total_timeout_holds_while_nobody_has_started() {
    let track = Track::new();
    let error = race([Candidate::new(track.runner(1, Answer::Ok("late"))).after(ms(100))])
        .timeout(ms(100))
        .await
        .expect_err("it is late");
    assert_eq!(
        error.to_string(),
        "no accepted answer within 100ms: 1 not started"
    );
    assert_eq!((track.now(), track.started().len()), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_timeout_is_in_its_error() {
    let track = Track::new();
    let answers = [(10, Err(Down("down"))), (500, Ok("late"))];
    let error = race(answers.map(|(t, a)| track.runner(t, a)))
        .timeout(ms(50))
        .await
        .expect_err("it is late");
    assert_eq!(
        error.to_string(),
        "no accepted answer within 50ms: 1 failed, 1 still running"
    );
    assert_eq!(error.losses().len(), 1);
    assert_eq!(error.source().expect("an error").to_string(), "down");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_moment_of_the_timeout_still_wins() {
    let track = Track::new();
    let won = race([track.runner(100, Answer::Ok("just"))])
        .timeout(ms(100))
        .await
        .expect("a winner");
    assert_eq!((won.value, track.now()), ("just", 100));
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_starts_nothing() {
    let track = Track::new();
    let error = race([track.runner(0, Answer::Ok("at once"))])
        .timeout(Duration::ZERO)
        .await
        .expect_err("no time");
    assert!(error.is_timeout());
    assert_eq!((track.started().len(), track.held()), (0, 0));
}

/// A7: theirs came 511 ms late.
#[tokio::test(start_paused = true)]
async fn the_winner_does_not_wait_for_a_losers_cleanup() {
    struct CleansUp(Arc<AtomicUsize>);
    impl Drop for CleansUp {
        #[expect(
            clippy::disallowed_methods,
            reason = "a client that cleans up behind the caller's back"
        )]
        fn drop(&mut self) {
            let done = self.0.clone();
            tokio::spawn(async move {
                sleep(ms(500)).await;
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    }
    let (track, cleaned) = (Track::new(), Arc::new(AtomicUsize::new(0)));
    let won = race([10_000, 10].map(|takes| {
        let (slow, runner) = (
            CleansUp(cleaned.clone()),
            track.runner(takes, Ok::<_, Down>(takes)),
        );
        async move {
            let _slow = slow;
            runner.await
        }
    }))
    .await
    .expect("a winner");
    assert_eq!((won.value, track.now()), (10, 10));
    assert_eq!(cleaned.load(Ordering::Relaxed), 0, "the answer came first");
    sleep(ms(600)).await;
    assert_eq!(cleaned.load(Ordering::Relaxed), 2);
}

/// Does something when it is dropped, whatever became of it.
struct OnDrop<F>(Pin<Box<F>>, fn());

impl<F: Future> Future for OnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<F> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.1)();
    }
}

/// A10: each drop itself takes 500 ms, also the winner's own.
#[tokio::test(start_paused = true)]
async fn the_winners_times_exclude_all_clean_up() {
    let track = Track::new();
    // Moves the clock in its first poll.
    let slow = || assert_eq!(advance(ms(500)).now_or_never(), None);
    let runners = [10_000, 10].map(|takes| track.runner(takes, Ok::<_, Down>(takes)));
    let won = race(runners.map(|runner| OnDrop(Box::pin(runner), slow)))
        .await
        .expect("a winner");
    assert_eq!(track.now(), 1_010, "the clean-up took its time");
    assert_eq!((won.value, won.info.elapsed), (10, ms(10)));
    assert_eq!(won.info.attempts[0].elapsed, ms(10));
}

/// Losers that run, one that was not started, and the winner itself.
#[tokio::test(start_paused = true)]
async fn a_drop_that_panics_does_not_take_the_answer_along() {
    let track = Track::new();
    let runners = [(500, 0), (10, 0), (500, 0), (1, 100)];
    let won = race(runners.map(|(takes, delay)| {
        let runner = track.runner(takes, Answer::Ok("answer"));
        Candidate::new(OnDrop(Box::pin(runner), || panic!("on purpose"))).after(ms(delay))
    }))
    .await
    .expect("a winner");
    assert_eq!((won.value, won.info.index), ("answer", 1));
    assert_eq!((track.now(), track.held()), (10, 0));
    assert_eq!(track.started().len(), 3);
}

/// A permit of one is enough for three, one after the other.
#[tokio::test(start_paused = true)]
async fn a_finished_attempt_is_dropped_before_the_next_one_starts() {
    let permits = Arc::new(Semaphore::new(1));
    let won = race_candidates([false, false, true], |good| {
        let permit = permits.clone().try_acquire_owned();
        std::future::poll_fn(move |_| match (&permit, good) {
            (Ok(_), true) => Poll::Ready(Ok("answer")),
            (Ok(_), false) => Poll::Ready(Err("failed")),
            (Err(_), _) => Poll::Ready(Err("no permit")),
        })
    })
    .stagger(ms(1_000))
    .await
    .expect("the third");
    assert_eq!((won.info.index, won.info.elapsed), (2, ms(0)));
}

/// No timer is armed, so no runtime is needed; nor `Send`, nor `'static`.
#[test]
fn without_delays_and_timeout_it_runs_on_any_executor() {
    let (sender, receiver) = futures::channel::oneshot::channel::<u32>();
    let (name, shared) = (String::from("borrowed"), Rc::new(7));
    type Local<'a> = Pin<Box<dyn Future<Output = Result<usize, Down>> + 'a>>;
    let never: Local<'_> = Box::pin(pending());
    let borrows: Local<'_> = Box::pin(async {
        let answer = receiver.await.map_err(|_| Down("gone"))?;
        Ok(name.len() + *shared + answer as usize)
    });
    let mut sender = Some(sender);
    let sends: Local<'_> = Box::pin(std::future::poll_fn(move |_| {
        let _ = sender.take().map(|sender| sender.send(1));
        Poll::Pending
    }));
    let token = CancellationToken::new();
    let won = block_on(race([never, borrows, sends]).cancel_on(token)).expect("a winner");
    assert_eq!((won.value, won.info.index), (16, 1));
    let error = block_on(race([ready(Answer::Err(Down("down")))])).expect_err("one fails");
    assert!(
        error
            .to_string()
            .starts_with("the only attempt lost after ")
    );
}

/// Should both be possible at once, no runtime is needed either: nothing has to be waited for.
#[test]
fn a_delay_that_is_not_waited_for_needs_no_runtime() {
    let won = block_on(race([
        Candidate::new(ready(Answer::Err(Down("down")))),
        Candidate::new(ready(Ok("follows"))).after(ms(5_000)),
    ]))
    .expect("a winner");
    assert_eq!(won.value, "follows");
}

#[tokio::test(start_paused = true)]
async fn an_empty_race_is_refused() {
    let nobody: [futures::future::Ready<Answer>; 0] = [];
    let error = race(nobody).await.expect_err("nobody");
    assert_eq!(*error.kind(), RaceErrorKind::Empty);
    assert_eq!(
        error.to_string(),
        "nothing to race: write at least one candidate"
    );
    let error = race_candidates(Vec::<u8>::new(), |_| ready(Answer::Ok("x")))
        .timeout(ms(1))
        .await
        .expect_err("nobody");
    assert_eq!(*error.kind(), RaceErrorKind::Empty);
}

#[tokio::test(start_paused = true)]
async fn more_than_1024_candidates_are_refused_and_none_is_started() {
    let ran = AtomicUsize::new(0);
    let run = |n: usize| {
        ran.fetch_add(1, Ordering::Relaxed);
        ready(if n == 1_023 { Ok(n) } else { Err(Down("down")) })
    };
    let won = race_candidates(0..1_024, run).await.expect("the last");
    assert_eq!((won.value, ran.swap(0, Ordering::Relaxed)), (1_023, 1_024));
    // Also an iterator without an end.
    let error = race_candidates(0.., run).await.expect_err("too many");
    assert_eq!(
        *error.kind(),
        RaceErrorKind::Invalid(ArgumentError::TooManyCandidates)
    );
    assert!(error.to_string().contains("at most 1024"), "{error}");
    let error = race(std::iter::repeat_with(|| ready(Answer::Ok("x"))))
        .await
        .expect_err("too many");
    assert!(error.to_string().contains("at most 1024"), "{error}");
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn candidates_are_made_when_their_turn_comes() {
    let (track, made) = (Track::new(), Mutex::new(Vec::new()));
    let run = |(name, takes): (&'static str, u64)| {
        made.lock()
            .push((name, track.now(), Attempt::current().index()));
        track.runner(takes, Answer::Ok(name))
    };
    let items = [("a", 500), ("b", 500), ("c", 25), ("d", 1)];
    let won = race_candidates(items, run)
        .stagger(ms(40))
        .await
        .expect("a winner");
    assert_eq!((won.value, track.now()), ("c", 105));
    assert_eq!(*made.lock(), [("a", 0, 0), ("b", 40, 1), ("c", 80, 2)]);
    assert_eq!((won.info.strategy, track.held()), ("candidates", 0));
}

#[tokio::test(start_paused = true)]
async fn candidates_may_have_delays_in_any_order() {
    let track = Track::new();
    let won = race_candidates([500, 30, 500], |takes| track.runner(takes, Answer::Ok("x")))
        .delays([ms(50), ms(20), ms(0)])
        .await
        .expect("a winner");
    assert_eq!((won.info.index, track.now()), (1, 50));
    assert_eq!(track.started(), [(2, 0), (1, 20)]);
}

#[tokio::test(start_paused = true)]
async fn delays_that_do_not_match_the_candidates_are_refused() {
    for delays in [1, 3] {
        let error = race_candidates([1, 2], |_| ready(Answer::Ok("x")))
            .delays((0..delays).map(ms))
            .await
            .expect_err("a mismatch");
        let want = format!("{delays} delays for 2 candidates: write one for each");
        assert!(error.to_string().starts_with(&want), "{error}");
        assert_eq!(error.not_started(), 2);
    }
}
