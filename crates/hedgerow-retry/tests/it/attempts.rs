//! E1: bounded attempts, the waits between them, and what the caller gets.

use std::sync::Arc;

use hedgerow_core::{Attempt, Budget, Class, cause_ref};
use hedgerow_retry::{Exponential, Failure, Jitter, RetryExhausted, RetryLayer, Wait};
use parking_lot::Mutex;
use tower::Layer;

use crate::support::{Backend, Down, about, call, down, is_down, ms, ok, secs};

#[tokio::test(start_paused = true)]
async fn four_tries_and_waits_of_1_2_and_4_seconds_are_the_default_shape() {
    let backend = Backend::of(&[down(0)]);
    let policy = Exponential::default().jitter(Jitter::None);
    let layer = RetryLayer::new(policy).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert!(is_down(&result.unwrap_err()));
    about(took, 7_000, 3);
    let times = backend.times();
    assert_eq!(times.len(), 4);
    for (at, wanted) in times.iter().zip([0, 1_000, 3_000, 7_000]) {
        about(ms(*at), wanted, 3);
    }
    assert_eq!(layer.handle().attempts(), 4);
}

#[tokio::test(start_paused = true)]
async fn with_full_jitter_no_wait_is_longer_than_1_2_and_4_seconds() {
    let layer = RetryLayer::exponential()
        .clone_requests()
        .budget(Budget::unlimited());
    let mut shorter = [0; 3];
    for _ in 0..200 {
        let backend = Backend::of(&[down(0)]);
        let _ = call(layer.layer(backend.clone())).await;
        let times = backend.times();
        assert_eq!(times.len(), 4);
        for (at, most) in [1_000, 2_000, 4_000].into_iter().enumerate() {
            let wait = times[at + 1] - times[at];
            assert!(wait <= most + 1, "{wait} after try {at}");
            shorter[at] += usize::from(wait < most / 2);
        }
    }
    // Half of 200 draws lie in the lower half: 60 is five deviations and more below.
    assert!(
        shorter.iter().all(|n| (60..=140).contains(n)),
        "{shorter:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_answered_ends_the_call() {
    let backend = Backend::of(&[down(5), down(5), ok(5), down(5)]);
    let layer = RetryLayer::fixed(ms(10)).clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert_eq!(result.unwrap(), "answer");
    assert_eq!(backend.sent(), 3);
    about(took, 35, 5);
}

#[tokio::test(start_paused = true)]
async fn n_attempts_send_n_tries_and_no_more() {
    for n in [1, 2, 5, 64] {
        let backend = Backend::of(&[down(0)]);
        let layer = RetryLayer::fixed(ms(0))
            .attempts(n)
            .budget(Budget::unlimited())
            .clone_requests();
        let (result, _) = call(layer.layer(backend.clone())).await;
        assert!(is_down(&result.unwrap_err()));
        assert_eq!(backend.sent(), n);
    }
}

#[tokio::test(start_paused = true)]
async fn the_caller_gets_the_last_error_as_it_is() {
    let backend = Backend::new(|n| (Some(0), Err(Down(n as u32))));
    let layer = RetryLayer::fixed(ms(0)).clone_requests();
    let (result, _) = call(layer.layer(backend)).await;
    let error = result.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Down(3)));
    assert!(cause_ref::<RetryExhausted>(&*error).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_refused_stays_an_answer() {
    let backend = Backend::new(|n| (Some(0), Ok(["a", "b", "c", "d"][n])));
    let layer = RetryLayer::fixed(ms(0))
        .clone_requests()
        .accept(|_: &Result<&'static str, Down>| Class::RETRYABLE);
    let (result, _) = call(layer.layer(backend)).await;
    assert_eq!(result.unwrap(), "d");
}

#[tokio::test(start_paused = true)]
async fn a_fatal_result_is_not_tried_again() {
    let backend = Backend::of(&[down(0)]);
    let layer = RetryLayer::fixed(ms(0))
        .clone_requests()
        .accept(|_: &Result<&'static str, Down>| Class::Fatal);
    let (result, _) = call(layer.layer(backend.clone())).await;
    assert!(is_down(&result.unwrap_err()));
    assert_eq!(backend.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_be_sent_only_once_is_sent_once() {
    for panics in [false, true] {
        let backend = Backend::of(&[down(0)]);
        let layer = RetryLayer::fixed(ms(0)).replay_with(move |_: &mut u64| {
            assert!(!panics, "on purpose");
            None
        });
        let (result, _) = call(layer.layer(backend.clone())).await;
        assert!(is_down(&result.unwrap_err()));
        assert_eq!(backend.sent(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_edited_and_one_whose_edit_panics_is_neither_sent_nor_paid() {
    let backend = Backend::of(&[down(0)]);
    let layer =
        RetryLayer::fixed(ms(0))
            .clone_requests()
            .edit(|request: &mut u64, attempt: Attempt| {
                assert!(attempt.index() < 3, "on purpose");
                *request += 10 * u64::from(attempt.index());
            });
    let (result, _) = call(layer.layer(backend.clone())).await;
    assert!(is_down(&result.unwrap_err()));
    assert_eq!(backend.requests(), [1, 11, 21]);
    assert_eq!(layer.handle().budget().available(), 48);
}

#[tokio::test(start_paused = true)]
async fn attempts_can_be_changed_while_calls_run() {
    let backend = Backend::of(&[down(0)]);
    let layer = RetryLayer::fixed(secs(1)).clone_requests();
    let handle = layer.handle();
    let change = async {
        tokio::time::sleep(ms(1_500)).await;
        handle.set_attempts(2).unwrap();
    };
    let ((result, took), ()) = tokio::join!(call(layer.layer(backend.clone())), change);
    assert!(is_down(&result.unwrap_err()));
    // The third was planned before the change.
    assert_eq!(backend.sent(), 3);
    about(took, 2_000, 2);
    assert!(handle.set_attempts(0).is_err() && handle.set_attempts(65).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_stops() {
    fn panics(_: &Failure) -> Wait {
        panic!("on purpose")
    }
    let backend = Backend::of(&[down(0)]);
    let layer = RetryLayer::new(panics).clone_requests();
    let (result, _) = call(layer.layer(backend.clone())).await;
    assert!(is_down(&result.unwrap_err()));
    assert_eq!(backend.sent(), 1);
}

/// A policy can begin again from its first wait after a try for which the server named the time.
#[tokio::test(start_paused = true)]
async fn a_policy_is_told_how_long_ago_the_server_named_the_wait() {
    // Its tries fail as 0, 1, 2, …
    let backend = Backend::new(|n| (Some(0), Err(Down(n as u32))));
    let told = Arc::new(Mutex::new(Vec::new()));
    let asked = told.clone();
    let layer = RetryLayer::new(move |failure: &Failure| {
        asked.lock().push((failure.retry, failure.since_pushback));
        Wait::After(ms(1))
    })
    .attempts(6)
    .budget(Budget::unlimited())
    .accept(|result: &Result<&'static str, Down>| match result {
        Err(Down(2)) => Class::Retryable { after: Some(ms(9)) },
        _ => Class::RETRYABLE,
    })
    .clone_requests();
    let _ = call(layer.layer(backend.clone())).await;
    assert_eq!(*told.lock(), [(1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_no_further_attempt_gets_none() {
    let backend = Backend::of(&[down(0)]);
    let layer = RetryLayer::fixed(ms(1))
        .accept(|_: &Result<&'static str, Down>| Class::NoMore)
        .clone_requests();
    let (result, _) = call(layer.layer(backend.clone())).await;
    assert!(cause_ref::<Down>(&*result.expect_err("its own")).is_some());
    assert_eq!(backend.sent(), 1);
}
