//! Who is told, who may finish, and who may end it: A5, A8, A9, K4; also the layer's `on_losers`.

use std::sync::Arc;

use futures::future::ready;
use hedgerow_core::{Attempt, BoxError, Class, Classify, cause_ref};
use hedgerow_hedge::{
    AttemptInfo, BoxedRaceError, Candidate, DrainLayer, HedgeEvent, HedgeLayer, Losers, Outcome,
    RaceErrorKind, hedge, race,
};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::plain_support::{Answer, Down, Track};
use crate::support::{Backend, answers, call, ms};

/// The winner, each loser with its age and outcome, and the size.
type Told = (Option<u32>, Vec<(u32, u64, Outcome)>, usize);

/// A list, and what appends losers to it.
fn list() -> (Arc<Mutex<Vec<Told>>>, impl Fn(&Losers<'_>)) {
    let list: Arc<Mutex<Vec<Told>>> = Arc::default();
    let notes = list.clone();
    let append = move |told: &Losers<'_>| {
        let loser = |l: &AttemptInfo| (l.attempt.index(), l.elapsed.as_millis() as u64, l.outcome);
        notes.lock().push((
            told.winner.map(Attempt::index),
            told.losers.iter().map(loser).collect(),
            told.size,
        ));
    };
    (list, append)
}

/// A9.
#[tokio::test(start_paused = true)]
async fn the_hook_is_told_the_winner_the_losers_and_the_size() {
    let (track, (told, hook)) = (Track::new(), list());
    race([
        Candidate::new(track.runner(10, Answer::Err(Down("down")))),
        Candidate::new(track.runner(60, Ok("answer"))),
        Candidate::new(track.runner(500, Ok("late"))).after(ms(20)),
        Candidate::new(track.runner(500, Ok("never"))).after(ms(900)),
    ])
    .on_losers(hook)
    .await
    .expect("a winner");
    let losers = vec![(0, 10, Outcome::Failed), (2, 40, Outcome::Lost)];
    assert_eq!(*told.lock(), [(Some(1), losers, 3)]);
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_told_when_nobody_won_and_not_when_there_was_no_race() {
    let (track, (told, hook)) = (Track::new(), list());
    let hook = &hook;
    let pair = |a: Answer, b: Answer| race([track.runner(10, a), track.runner(20, b)]);
    // All lost, out of time, left by the caller; and one attempt alone.
    let lost = pair(Err(Down("a")), Err(Down("b"))).on_losers(hook).await;
    assert!(lost.is_err());
    let late = pair(Err(Down("a")), Ok("b"))
        .timeout(ms(15))
        .on_losers(hook);
    assert!(late.await.is_err());
    let left = pair(Ok("a"), Ok("b")).on_losers(hook);
    assert!(timeout(ms(5), left).await.is_err());
    let alone = race([track.runner(10, Answer::Ok("alone"))]).on_losers(hook);
    assert!(alone.await.is_ok());
    use Outcome::{Cancelled, Failed, TimedOut};
    assert_eq!(
        *told.lock(),
        [
            (None, vec![(0, 10, Failed), (1, 20, Failed)], 2),
            (None, vec![(0, 10, Failed), (1, 15, TimedOut)], 2),
            (None, vec![(0, 5, Cancelled), (1, 5, Cancelled)], 2),
        ]
    );
}

/// A9, whatever the order in which they are set.
#[tokio::test(start_paused = true)]
async fn a_panicking_hook_loses_nothing() {
    let (track, (told, hook), events) = (Track::new(), list(), Mutex::new(0));
    let won = race([30, 10].map(|takes| track.runner(takes, Ok::<_, Down>(takes))))
        .on_event(|_: &HedgeEvent| panic!("on purpose"))
        .on_losers(|_| panic!("on purpose"))
        .on_losers(hook)
        .on_event(|_: &HedgeEvent| *events.lock() += 1)
        .await
        .expect("a winner");
    assert_eq!((won.value, track.now(), track.held()), (10, 10, 0));
    assert_eq!(*told.lock(), [(Some(1), vec![(0, 10, Outcome::Lost)], 2)]);
    // Started, Fired, AttemptCancelled, Won.
    assert_eq!(*events.lock(), 4);
}

#[tokio::test(start_paused = true)]
async fn every_event_is_told_once_and_in_order() {
    let track = Track::new();
    let told = Mutex::new(Vec::new());
    let note = |event: &HedgeEvent| {
        told.lock().push(match event {
            HedgeEvent::Started => "started".to_owned(),
            HedgeEvent::Fired { attempt, after } => format!("fired {attempt} {after:?}"),
            HedgeEvent::AttemptCancelled { attempt, age } => format!("cancelled {attempt} {age:?}"),
            HedgeEvent::Won(info) => format!("won {} {:?}", info.index, info.elapsed),
            HedgeEvent::Fatal(info) => format!("fatal {}", info.index),
            HedgeEvent::AllLost(info) => format!("all lost {}", info.cost),
            HedgeEvent::Cancelled(info) => format!("cancelled {:?}", info.elapsed),
            other => format!("{other:?}"),
        });
    };
    // What came after the start, of which there is one.
    let lines = || {
        let lines = std::mem::take(&mut *told.lock());
        assert_eq!(lines.iter().filter(|line| *line == "started").count(), 1);
        assert_eq!(lines[0], "started");
        lines[1..].to_vec()
    };
    let takes = |attempt: Attempt| track.runner([90, 500, 40][attempt.index() as usize], ());
    let ok = async |attempt: Attempt| {
        takes(attempt).await;
        Ok::<_, Down>(())
    };
    hedge(ok, [20, 30].map(ms))
        .on_event(note)
        .await
        .expect("a winner");
    assert_eq!(
        lines(),
        [
            "fired 1 20ms",
            "fired 2 30ms",
            "cancelled 0 70ms",
            "cancelled 1 50ms",
            "won 2 70ms"
        ]
    );
    let down = async |attempt: Attempt| {
        takes(attempt).await;
        Answer::Err(Down("down"))
    };
    let _ = hedge(down, [ms(20)]).on_event(note).await;
    assert_eq!(lines(), ["fired 1 20ms", "all lost 2"]);
    let _ = hedge(down, [ms(20)])
        .accept(|_: &Answer| Class::Fatal)
        .on_event(note)
        .await;
    assert_eq!(lines(), ["fired 1 20ms", "cancelled 1 70ms", "fatal 0"]);
    let _ = hedge(down, [ms(20)]).timeout(ms(50)).on_event(note).await;
    let late = [
        "fired 1 20ms",
        "cancelled 0 50ms",
        "cancelled 1 30ms",
        "cancelled 50ms",
    ];
    assert_eq!(lines(), late);
    let _ = timeout(ms(50), hedge(down, [ms(20)]).on_event(note)).await;
    assert_eq!(lines(), late);
    // Refused, or never polled: there was no race.
    let _ = hedge(down, [20, 10].map(ms)).on_event(note).await;
    drop(hedge(down, []).on_event(note));
    assert_eq!(*told.lock(), [""; 0]);
}

/// K4, at every age: before the start, in a wait, while somebody runs.
#[tokio::test(start_paused = true)]
async fn a_cancelled_token_ends_the_race_at_once_also_in_a_wait() {
    for (age, started) in [(0, 0), (5, 0), (25, 1), (60, 2)] {
        let (track, token) = (Track::new(), CancellationToken::new());
        let racing = race([20, 50].map(|delay| {
            Candidate::new(track.runner(60_000, Answer::Ok("late"))).after(ms(delay))
        }))
        .cancel_on(token.clone());
        if age == 0 {
            token.cancel();
        }
        let cancel = async {
            sleep(ms(age)).await;
            token.cancel();
        };
        let (result, ()) = tokio::join!(racing, cancel);
        let error = result.expect_err("it is cancelled");
        assert!(error.is_cancelled() && !error.is_timeout());
        assert_eq!(*error.kind(), RaceErrorKind::Cancelled);
        assert_eq!((error.elapsed(), track.held()), (ms(age), 0));
        assert_eq!(
            (error.attempts().len(), error.not_started()),
            (started, 2 - started)
        );
        sleep(ms(1_000)).await;
        assert_eq!(track.started().len(), started);
    }
}

#[tokio::test(start_paused = true)]
async fn once_it_is_cancelled_no_answer_wins() {
    let token = CancellationToken::new();
    token.cancel();
    let error = race([ready(Answer::Ok("ready"))])
        .cancel_on(token)
        .await
        .expect_err("it is cancelled");
    assert_eq!(error.to_string(), "cancelled after 0ns: 1 not started");
}

/// A8.
#[tokio::test(start_paused = true)]
async fn wrapped_losers_finish_in_the_drain() {
    let (track, drain) = (Track::new(), DrainLayer::new(ms(2_000), 8));
    let script = [
        (10, Ok("first"), 0),
        (800, Ok("late"), 0),
        (300, Err(Down("down")), 0),
        (1, Ok("never"), 100),
    ];
    let won = race(script.map(|(takes, answer, delay)| {
        Candidate::new(drain.wrap(track.runner(takes, answer))).after(ms(delay))
    }))
    .await
    .expect("a winner");
    assert_eq!((won.value, track.now()), ("first", 10));
    // The one that was not started is dropped, not drained.
    assert_eq!((track.held(), drain.stats().running), (2, 2));
    sleep(ms(1_000)).await;
    let stats = drain.stats();
    assert_eq!((stats.running, stats.answered, stats.failed), (0, 1, 1));
    assert_eq!((stats.dropped, track.held()), (0, 0));
    assert_eq!(track.started().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_loser_goes_on_as_the_attempt_that_it_was() {
    let (drain, seen) = (
        DrainLayer::new(ms(500), 8),
        Arc::new(Mutex::new(Vec::new())),
    );
    let run = |attempt: Attempt| {
        let seen = seen.clone();
        drain.wrap(async move {
            sleep(ms(if attempt.index() == 2 { 5 } else { 100 })).await;
            seen.lock().push(Attempt::current().index());
            Ok::<_, Down>(())
        })
    };
    hedge(run, [10, 20].map(ms)).await.expect("a winner");
    sleep(ms(200)).await;
    assert_eq!(*seen.lock(), [2, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn only_losers_are_drained() {
    let (track, drain) = (Track::new(), DrainLayer::new(ms(500), 8));
    let pair = || race([50, 60].map(|takes| drain.wrap(track.runner(takes, Answer::Ok("x")))));
    let token = CancellationToken::new();
    assert!(pair().timeout(ms(10)).await.is_err());
    assert!(timeout(ms(10), pair()).await.is_err());
    let (result, ()) = tokio::join!(pair().cancel_on(token.clone()), async {
        sleep(ms(10)).await;
        token.cancel();
    });
    assert!(result.is_err());
    drop(pair());
    assert_eq!((track.held(), drain.stats().running), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn errors_of_any_kind_travel_as_an_error() {
    let boxed = |name: &'static str| -> Result<Rc, BoxError> { Err(Box::new(Down(name))) };
    let error = race([ready(boxed("first")), ready(boxed("second"))])
        .await
        .expect_err("all fail")
        .boxed();
    assert_eq!(cause_ref::<Down>(&*error), Some(&Down("first")));
    assert_eq!(error.to_string(), "all 2 attempts lost after 0ns: 2 failed");
    let race_error = cause_ref::<BoxedRaceError>(&*error).expect("the race's");
    assert_eq!(race_error.get_ref().losses().len(), 2);

    let text = race([ready(Err::<Rc, _>(String::from("plain text")))])
        .await
        .expect_err("it fails")
        .boxed();
    assert_eq!(text.source().expect("a source").to_string(), "plain text");

    // One whose errors are errors needs no boxing, and shows no answer.
    let typed = race([ready(Err::<Quiet, _>(Down("typed")))]).await;
    let typed: BoxError = typed.map(|_| ()).expect_err("it fails").into();
    assert_eq!(cause_ref::<Down>(&*typed), Some(&Down("typed")));
    assert!(format!("{typed:?}").contains("Down(\"typed\")"));
}

/// Neither `Send` nor `Debug`.
struct Rc(#[expect(dead_code, reason = "makes it not Send")] std::rc::Rc<()>);

impl std::fmt::Debug for Rc {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        unreachable!("answers are not shown")
    }
}

/// Not `Debug`.
struct Quiet;

#[tokio::test(start_paused = true)]
async fn a_judge_that_wants_them_is_shown_all_losses_in_order() {
    struct Shows<'a>(&'a Mutex<Vec<(u32, Answer)>>);
    impl Classify<&'static str, Down> for Shows<'_> {
        fn classify(&self, _: &Answer) -> Class {
            Class::TimedOut
        }

        fn wants_losses(&self) -> bool {
            true
        }

        fn all_lost(&self, results: &[(Attempt, &Answer)]) {
            let copied = results.iter().map(|(attempt, r)| (attempt.index(), **r));
            self.0.lock().extend(copied);
            panic!("on purpose");
        }
    }
    let (track, shown) = (Track::new(), Mutex::new(Vec::new()));
    let error = race([(20, Ok("a")), (10, Err(Down("b")))].map(|(t, a)| track.runner(t, a)))
        .accept(Shows(&shown))
        .await
        .expect_err("all lost");
    assert_eq!(*shown.lock(), [(0, Ok("a")), (1, Err(Down("b")))]);
    assert_eq!(error.losses()[0].info.outcome, Outcome::TimedOut);
}

/// A9, for the layer: whoever was told before is told as well.
#[tokio::test(start_paused = true)]
async fn the_layers_losers_are_shown_with_their_ages() {
    let ((told, hook), events) = (list(), Arc::new(Mutex::new(0)));
    let count = events.clone();
    let layer = HedgeLayer::schedule([ms(50), ms(80)])
        .clone_requests()
        .on_event(move |_: &HedgeEvent| *count.lock() += 1)
        .on_losers(hook);
    let backend = Backend::new(|attempt| match attempt.index() {
        1 => (ms(20), Err("down")),
        2 => (ms(20), Ok("hedge")),
        _ => answers(attempt, 1_000),
    });
    let (result, took) = call(layer.layer(backend)).await;
    assert_eq!(result, Ok("hedge"));
    assert!(took >= ms(90) && took <= ms(102), "{took:?}");
    let told = told.lock();
    let (winner, losers, size) = &told[0];
    assert_eq!((told.len(), *winner, *size), (1, Some(2), 3));
    let outcomes: Vec<_> = losers.iter().map(|l| (l.0, l.2)).collect();
    assert_eq!(outcomes, [(0, Outcome::Lost), (1, Outcome::Failed)]);
    assert_eq!(losers[1].1, 20);
    // Started, twice fired, one cut off, won.
    assert_eq!(*events.lock(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_layers_panicking_hook_loses_nothing_and_quiet_calls_are_not_shown() {
    let (told, hook) = list();
    let layer = HedgeLayer::fixed(ms(50))
        .clone_requests()
        .on_losers(hook)
        .on_losers(|_| panic!("on purpose"));
    let (result, _) = call(layer.layer(Backend::taking(&[10]))).await;
    assert_eq!((result, told.lock().len()), (Ok("primary"), 0));
    let (result, _) = call(layer.layer(Backend::taking(&[1_000, 10]))).await;
    assert_eq!((result, told.lock().len()), (Ok("hedge"), 1));
    assert_eq!(layer.handle().stats().hedge_wins, 1);
}
