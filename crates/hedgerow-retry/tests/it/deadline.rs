//! `DeadlineLayer`: the whole call's time.

use hedgerow_core::{Deadline, cause_ref};
use hedgerow_retry::{DeadlineExceeded, DeadlineLayer, RetryLayer};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, Down, NEVER, about, call, down, is_down, ms, ok};

#[tokio::test(start_paused = true)]
async fn what_takes_longer_is_dropped_with_the_numbers() {
    let backend = Backend::of(&[NEVER]);
    let (result, took) = call(DeadlineLayer::new(ms(70)).layer(backend.clone())).await;
    about(took, 70, 1);
    let error = result.unwrap_err();
    let exceeded = cause_ref::<DeadlineExceeded>(&*error).expect("ours");
    assert!(exceeded.sent && exceeded.after >= ms(70) && exceeded.overdue <= ms(1));
    assert_eq!(backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_time_passes_as_it_is() {
    let layer = DeadlineLayer::new(ms(70));
    let (result, _) = call(layer.layer(Backend::of(&[ok(60)]))).await;
    assert_eq!(result.unwrap(), "answer");
    let (result, _) = call(layer.layer(Backend::of(&[down(60)]))).await;
    assert!(is_down(&result.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn an_inner_one_never_extends_an_outer_one() {
    for (outer, inner, wanted) in [(50, 90, 50), (90, 50, 50)] {
        let backend = Backend::of(&[NEVER]);
        let service = DeadlineLayer::new(ms(inner)).layer(backend);
        let (result, took) = call(DeadlineLayer::new(ms(outer)).layer(service)).await;
        assert!(result.is_err());
        about(took, wanted, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_can_carry_its_own() {
    fn of(request: &Option<Deadline>) -> Option<Deadline> {
        *request
    }
    let start = Instant::now();
    let at = |after: u64| Some(Deadline::at((start + ms(after)).into_std()));
    for (patience, carried, wanted) in [
        (Some(500), at(200), at(200)),
        (Some(500), at(900), at(500)),
        (Some(500), None, at(500)),
        (None, at(200), at(200)),
        (None, None, None),
    ] {
        let layer = patience.map_or(DeadlineLayer::inherited(), |p| DeadlineLayer::new(ms(p)));
        let inner = tower::service_fn(move |_: Option<Deadline>| async move {
            assert_eq!(Deadline::current(), wanted);
            Ok::<_, Down>(())
        });
        let service = layer.deadline_of(of).layer(inner);
        service.oneshot(carried).await.expect("in time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_has_passed_is_refused_before_anything_is_sent() {
    let backend = Backend::of(&[ok(0)]);
    let past = Deadline::at(Instant::now().into_std());
    tokio::time::advance(ms(40)).await;
    let layer = DeadlineLayer::new(ms(500)).deadline_of(move |_: &u64| Some(past));
    let (result, took) = call(layer.layer(backend.clone())).await;
    let error = result.unwrap_err();
    let exceeded = cause_ref::<DeadlineExceeded>(&*error).expect("ours");
    assert_eq!((exceeded.sent, exceeded.overdue), (false, ms(40)));
    assert_eq!(
        error.to_string(),
        "the deadline had passed by 40ms: not sent"
    );
    assert_eq!((backend.sent(), took), (0, ms(0)));
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_tells_no_deadline() {
    let layer = DeadlineLayer::new(ms(70))
        .deadline_of(|_: &u64| -> Option<Deadline> { panic!("on purpose") });
    let (result, took) = call(layer.layer(Backend::of(&[NEVER]))).await;
    assert!(result.is_err());
    about(took, 70, 1);
}

/// A retry beneath plans within it: the real error now, not "too late" afterwards.
#[tokio::test(start_paused = true)]
async fn a_retry_beneath_gives_back_the_real_error_in_time() {
    let backend = Backend::of(&[down(10)]);
    let retry = RetryLayer::fixed(ms(300)).clone_requests();
    let service = DeadlineLayer::new(ms(1_000)).layer(retry.layer(backend.clone()));
    let (result, took) = call(service).await;
    assert!(is_down(&result.unwrap_err()));
    // Tries at 0, 310, 620 and 930: the fourth fails at 940.
    assert_eq!(backend.sent(), 4);
    about(took, 940, 8);
}

/// And one that runs at the deadline does not hide the failure before it.
#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_failure_before_is_given_back() {
    let backend = Backend::of(&[down(10), NEVER]);
    let retry = RetryLayer::fixed(ms(300)).clone_requests();
    let service = DeadlineLayer::new(ms(1_000)).layer(retry.layer(backend.clone()));
    let (result, took) = call(service).await;
    assert!(is_down(&result.unwrap_err()));
    about(took, 1_000, 2);
    assert_eq!(backend.alive(), 0);
}

/// The same deadline would refuse it again: trying it four times is of no use.
#[tokio::test(start_paused = true)]
async fn a_refusal_from_beneath_is_not_tried_again() {
    let past = Deadline::at(Instant::now().into_std());
    let backend = Backend::of(&[ok(0)]);
    let beneath = DeadlineLayer::inherited()
        .deadline_of(move |_: &u64| Some(past))
        .layer(backend.clone());
    let layer = RetryLayer::fixed(ms(100)).clone_requests();
    let (result, took) = call(layer.layer(beneath)).await;
    assert!(cause_ref::<DeadlineExceeded>(&*result.unwrap_err()).is_some());
    assert_eq!((took, layer.handle().stats().retries), (ms(0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_leaves_the_service_ready_for_the_next_one() {
    let probe = hedgerow_core::testing::Probe::new();
    let mut service = DeadlineLayer::new(ms(500)).layer(probe.clone());
    let ready = service.ready().await.expect("ready");
    let past = Deadline::at(Instant::now().into_std());
    let refused = past.scope(|| ready.call(hedgerow_core::testing::Ping::new(1)));
    assert!(refused.await.is_err());
    let answered = service.call(hedgerow_core::testing::Ping::new(2)).await;
    assert!(answered.is_ok());
    assert_eq!((probe.calls(), probe.unready_calls()), (1, 0));
}
