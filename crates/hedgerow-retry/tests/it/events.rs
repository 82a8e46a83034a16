//! What the recorder is told.

use std::sync::Arc;

use hedgerow_core::{Budget, Class};
use hedgerow_retry::{RetryEvent, RetryLayer, StopReason, TryOutcome};
use parking_lot::Mutex;
use tower::Layer;

use crate::support::{Act, Backend, Down, NEVER, call, down, ms, ok, secs};

type Told = Arc<Mutex<Vec<RetryEvent>>>;

async fn story(acts: &[Act], depth: u32) -> Vec<RetryEvent> {
    let told = Told::default();
    let notes = told.clone();
    let service = RetryLayer::fixed(ms(10))
        .attempt_timeout(ms(100))
        .deadline(ms(1_000))
        .budget(Budget::percent(0.0).depth(depth))
        .clone_requests()
        .on_event(move |event: &RetryEvent| notes.lock().push(event.clone()))
        .layer(Backend::of(acts));
    let _ = call(service).await;
    std::mem::take(&mut *told.lock())
}

fn names(events: &[RetryEvent]) -> Vec<&'static str> {
    let name = |event: &RetryEvent| match event {
        RetryEvent::Started => "started",
        RetryEvent::TryEnded(_) => "ended",
        RetryEvent::Planned { .. } => "planned",
        RetryEvent::Sent { .. } => "sent",
        RetryEvent::Denied { .. } => "denied",
        RetryEvent::Succeeded(_) => "succeeded",
        RetryEvent::Failed(_) => "failed",
        RetryEvent::Cancelled(_) => "cancelled",
        _ => "unknown",
    };
    events.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_answered_at_once_tells_three_events() {
    let told = story(&[ok(5)], 9).await;
    assert_eq!(names(&told), ["started", "ended", "succeeded"]);
    let RetryEvent::Succeeded(info) = &told[2] else {
        panic!("{told:?}");
    };
    assert!(!info.retried() && info.tries.len() == 1);
    assert_eq!(info.tries[0].outcome, TryOutcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_recovered_call_is_told_in_order() {
    let told = story(&[down(5), NEVER, ok(7)], 9).await;
    let retry = ["planned", "sent", "ended"];
    let wanted = [&["started", "ended"][..], &retry, &retry, &["succeeded"]].concat();
    assert_eq!(names(&told), wanted);
    let RetryEvent::Succeeded(info) = told.last().expect("one") else {
        panic!("{told:?}");
    };
    let outcomes: Vec<_> = info.tries.iter().map(|t| (t.outcome, t.class)).collect();
    assert_eq!(
        outcomes,
        [
            (TryOutcome::Failed, Some(Class::RETRYABLE)),
            (TryOutcome::TimedOut, Some(Class::TimedOut)),
            (TryOutcome::Answered, Some(Class::Success)),
        ]
    );
    let ended: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            RetryEvent::TryEnded(ended) => Some(*ended),
            _ => None,
        })
        .collect();
    assert_eq!(ended, info.tries.to_vec());
    assert_eq!(
        told[2],
        RetryEvent::Planned {
            retry: 1,
            wait: ms(10),
            pushback: false
        }
    );
}

#[tokio::test(start_paused = true)]
async fn what_forbids_a_retry_is_told_once() {
    let told = story(&[down(5)], 1).await;
    let denied = RetryEvent::Denied {
        retry: 2,
        reason: StopReason::Budget,
    };
    assert_eq!(told[told.len() - 2], denied);
    let told = story(&[down(5)], 9).await;
    let denied = RetryEvent::Denied {
        retry: 4,
        reason: StopReason::Attempts,
    };
    assert_eq!(told[told.len() - 2], denied);
    let told = story(&[down(995)], 9).await;
    let RetryEvent::Failed(exhausted) = told.last().expect("one") else {
        panic!("{told:?}");
    };
    // Ten tries of 100 ms do not fit, four do.
    assert_eq!(exhausted.reason, StopReason::Attempts);
}

#[tokio::test(start_paused = true)]
async fn every_call_ends_in_exactly_one_terminal_event() {
    for acts in [
        &[ok(0)][..],
        &[down(0)],
        &[NEVER],
        &[down(0), ok(0)],
        &[down(999)],
        &[NEVER, down(3), ok(3)],
    ] {
        for depth in 0..4 {
            let told = story(acts, depth).await;
            let ends: Vec<_> = told.iter().filter(|e| e.is_terminal()).collect();
            assert_eq!(ends.len(), 1, "{acts:?} {depth} {told:?}");
            assert!(told.last().is_some_and(RetryEvent::is_terminal));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_result_tells_why() {
    let told = Told::default();
    let notes = told.clone();
    let service = RetryLayer::exponential()
        .clone_requests()
        .accept(|_: &Result<&'static str, Down>| Class::Fatal)
        .on_event(move |event: &RetryEvent| notes.lock().push(event.clone()))
        .layer(Backend::of(&[down(1)]));
    let _ = call(service).await;
    let told = told.lock();
    assert_eq!(names(&told), ["started", "ended", "failed"]);
    let RetryEvent::Failed(exhausted) = &told[2] else {
        panic!("{told:?}");
    };
    assert_eq!(exhausted.reason, StopReason::Final);
    assert_eq!(exhausted.info.tries[0].class, Some(Class::Fatal));
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_loses_its_event_and_nothing_else() {
    let backend = Backend::of(&[down(1), ok(1)]);
    let layer = RetryLayer::fixed(secs(1))
        .clone_requests()
        .on_event(|_: &RetryEvent| panic!("on purpose"));
    let (result, _) = call(layer.layer(backend)).await;
    assert_eq!(result.unwrap(), "answer");
    assert_eq!(layer.handle().stats().recovered, 1);
}
