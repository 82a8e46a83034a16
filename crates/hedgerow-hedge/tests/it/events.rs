//! What recorders are told: A8 to A10.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Attempt, Budget, Class, Recorder};
use hedgerow_hedge::{HedgeEvent, HedgeLayer, Outcome, WinnerInfo};
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::Layer;

use crate::support::{Backend, answers, call, ms};

/// Keeps a line per event, and the last terminal one's info.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<(Vec<String>, Option<WinnerInfo>)>>);

impl Recorder<HedgeEvent> for Notes {
    fn record(&self, event: &HedgeEvent) {
        let line = match event {
            HedgeEvent::Started => "started".into(),
            HedgeEvent::Fired { attempt, after } => {
                format!("fired {attempt} {}", after.as_millis())
            }
            HedgeEvent::Denied { attempt, .. } => format!("denied {attempt}"),
            HedgeEvent::NotReady { attempt, .. } => format!("not ready {attempt}"),
            HedgeEvent::AttemptCancelled { attempt, age } => {
                format!("cancelled {attempt} {}", age.as_millis())
            }
            HedgeEvent::Won(info) => format!("won {}", info.index),
            HedgeEvent::Fatal(info) => format!("fatal {}", info.index),
            HedgeEvent::AllLost(_) => "all lost".into(),
            HedgeEvent::Cancelled(_) => "cancelled".into(),
            _ => "unknown".into(),
        };
        let mut notes = self.0.lock();
        notes.0.push(line);
        if let Some(info) = event.info() {
            notes.1 = Some(info.clone());
        }
    }
}

impl Notes {
    /// What came after the start.
    fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().0.clone();
        assert_eq!(lines[0], "started");
        lines[1..].to_vec()
    }

    fn info(&self) -> WinnerInfo {
        self.0.lock().1.clone().expect("a terminal event")
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_call_is_its_start_and_one_end() {
    let notes = Notes::default();
    let layer = HedgeLayer::fixed(ms(100))
        .clone_requests()
        .recorder(notes.clone());
    call(layer.layer(Backend::taking(&[30])))
        .await
        .0
        .expect("an answer");
    assert_eq!(notes.lines(), ["won 0"]);
    let info = notes.info();
    assert_eq!(
        (info.hedged, info.hedge_won, info.delay, info.cost),
        (false, false, None, 1.0)
    );
    assert_eq!(info.strategy, "fixed");
    assert_eq!(info.attempts.len(), 1);
    assert_eq!(info.attempts[0].outcome, Outcome::Won);
}

/// A10 and the row "Result of a hedged call".
#[tokio::test(start_paused = true)]
async fn the_winner_is_described_with_every_attempts_times() {
    let notes = Notes::default();
    let layer = HedgeLayer::schedule([ms(100), ms(200)])
        .clone_requests()
        .recorder(notes.clone());
    call(layer.layer(Backend::taking(&[1_000, 900, 50])))
        .await
        .0
        .expect("an answer");
    assert_eq!(
        notes.lines(),
        [
            "fired 1 100",
            "fired 2 200",
            "cancelled 0 250",
            "cancelled 1 150",
            "won 2"
        ]
    );
    let info = notes.info();
    assert_eq!((info.index, info.hedged, info.hedge_won), (2, true, true));
    assert_eq!(
        (info.started, info.elapsed, info.delay),
        (ms(200), ms(250), Some(ms(100)))
    );
    assert_eq!((info.cost, info.strategy), (3.0, "schedule"));
    assert_eq!(info.primary_latency(), ms(250));
    assert_eq!(info.hedge_latency(), Some(ms(150)));
    let outcomes: Vec<_> = info
        .attempts
        .iter()
        .map(|a| (a.started, a.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            (Duration::ZERO, Outcome::Lost),
            (ms(100), Outcome::Lost),
            (ms(200), Outcome::Won)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_won_hedge_costs_two() {
    let notes = Notes::default();
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .recorder(notes.clone());
    call(layer.layer(Backend::taking(&[1_000, 5])))
        .await
        .0
        .expect("an answer");
    assert_eq!(notes.info().cost, 2.0);
}

#[tokio::test(start_paused = true)]
async fn when_all_lose_one_event_says_so_and_every_result_is_shown() {
    fn refuse_all(_: &Result<&'static str, &'static str>) -> Class {
        Class::RETRYABLE
    }
    let shown = Arc::new(Mutex::new(Vec::new()));
    let shown_to = shown.clone();
    let notes = Notes::default();
    let backend = Backend::new(|attempt| match attempt.index() {
        0 => (ms(20), Err("zero")),
        1 => (ms(20), Err("one")),
        _ => (ms(20), Ok("two")),
    });
    let layer = HedgeLayer::schedule([ms(500), ms(900)])
        .clone_requests()
        .accept(refuse_all)
        .on_all_lost(
            move |results: &[(Attempt, &Result<&'static str, &'static str>)]| {
                let results = results
                    .iter()
                    .map(|(attempt, result)| (attempt.index(), **result));
                shown_to.lock().extend(results);
            },
        )
        .recorder(notes.clone());
    assert_eq!(call(layer.layer(backend)).await.0, Err("zero"));
    assert_eq!(notes.lines(), ["fired 1 20", "fired 2 40", "all lost"]);
    let outcomes: Vec<_> = notes.info().attempts.iter().map(|a| a.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Failed, Outcome::Failed, Outcome::Refused]
    );
}

#[tokio::test(start_paused = true)]
async fn every_call_ends_in_exactly_one_terminal_event() {
    let notes = Notes::default();
    let endings = Arc::new(Mutex::new((0, 0)));
    let count = endings.clone();
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(Budget::percent(50.0).depth(2))
        .recorder((notes, move |event: &HedgeEvent| {
            let mut count = count.lock();
            count.0 += u64::from(*event == HedgeEvent::Started);
            count.1 += u64::from(event.is_terminal());
        }));
    for n in 0..200u64 {
        let backend = Backend::new(move |attempt| match (n + u64::from(attempt.index())) % 5 {
            0 => (ms(n % 40), Err("down")),
            k => answers(attempt, (n * k) % 40),
        });
        // Some leave early.
        let _ = timeout(
            ms(if n % 3 == 0 { 15 } else { 1_000 }),
            call(layer.layer(backend)),
        )
        .await;
    }
    assert_eq!(*endings.lock(), (200, 200));
    assert_eq!(layer.handle().stats().requests, 200);
}

/// A9: a hook that panics loses nothing.
#[tokio::test(start_paused = true)]
async fn a_panicking_recorder_loses_nothing() {
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .on_event(|_: &HedgeEvent| panic!("on purpose"));
    let backend = Backend::taking(&[100, 5]);
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("hedge"));
    assert_eq!(backend.alive(), 0);
    let stats = layer.handle().stats();
    assert_eq!((stats.hedge_wins, stats.fired), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_recorder_of_ones_own_that_panics_loses_nothing_either() {
    struct Panics;
    impl Recorder<HedgeEvent> for Panics {
        fn record(&self, _: &HedgeEvent) {
            panic!("on purpose");
        }
    }
    let layer = HedgeLayer::fixed(ms(10)).clone_requests().recorder(Panics);
    let backend = Backend::taking(&[100, 5]);
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("hedge"));
    assert_eq!(
        call(layer.layer(Backend::taking(&[0]))).await.0,
        Ok("primary")
    );
    assert_eq!((backend.alive(), layer.handle().stats().hedge_wins), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_told_with_the_ages_of_its_attempts() {
    let notes = Notes::default();
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .recorder(notes.clone());
    let held = call(layer.layer(Backend::taking(&[1_000])));
    assert!(timeout(ms(30), held).await.is_err());
    assert_eq!(
        notes.lines(),
        [
            "fired 1 10",
            "cancelled 0 30",
            "cancelled 1 20",
            "cancelled"
        ]
    );
    let info = notes.info();
    assert!(
        info.attempts
            .iter()
            .all(|a| a.outcome == Outcome::Cancelled)
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_hedge_is_told() {
    let notes = Notes::default();
    let layer = HedgeLayer::fixed(ms(10))
        .clone_requests()
        .budget(Budget::percent(0.0).depth(0))
        .recorder(notes.clone());
    call(layer.layer(Backend::taking(&[50])))
        .await
        .0
        .expect("an answer");
    assert_eq!(notes.lines(), ["denied 1", "won 0"]);
}
