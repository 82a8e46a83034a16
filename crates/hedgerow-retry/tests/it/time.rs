//! E4: a try's time, and the deadline of the whole call.

use hedgerow_core::{Deadline, cause_ref};
use hedgerow_retry::{
    DeadlineExceeded, RetryExhausted, RetryLayer, StopReason, TimedOut, TimeoutLayer, TryOutcome,
};
use tokio::time::Instant;
use tower::Layer;

use crate::support::{Act, Backend, NEVER, about, call, down, is_down, ms, ok, secs};

#[tokio::test(start_paused = true)]
async fn an_attempt_timeout_drops_the_try_and_tries_again() {
    let backend = Backend::of(&[NEVER, ok(5)]);
    let layer = RetryLayer::fixed(ms(10))
        .attempt_timeout(ms(100))
        .clone_requests();
    let watch = backend.clone();
    let look = async move {
        tokio::time::sleep(ms(105)).await;
        assert_eq!(
            (watch.sent(), watch.alive()),
            (1, 0),
            "dropped before the wait"
        );
    };
    let ((result, took), ()) = tokio::join!(call(layer.layer(backend.clone())), look);
    assert_eq!(result.unwrap(), "answer");
    about(took, 115, 3);
    assert_eq!((backend.sent(), layer.handle().stats().timed_out), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn if_every_try_timed_out_the_error_tells_of_all() {
    let backend = Backend::of(&[NEVER]);
    let layer = RetryLayer::fixed(ms(10))
        .attempts(3)
        .attempt_timeout(ms(100))
        .clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    about(took, 320, 5);
    let error = result.unwrap_err();
    let exhausted = cause_ref::<RetryExhausted>(&*error).expect("made by the layer");
    assert_eq!(exhausted.reason, StopReason::Attempts);
    assert_eq!(exhausted.info.tries.len(), 3);
    for try_ in exhausted.info.tries.iter() {
        assert_eq!(try_.outcome, TryOutcome::TimedOut);
        about(try_.elapsed, 100, 1);
    }
    let timed_out = cause_ref::<TimedOut>(&*error).expect("its source");
    assert_eq!(timed_out.after, ms(100));
    let text = error.to_string();
    assert!(text.starts_with("no answer after 3 tries in 3"), "{text}");
}

/// LH's rule.
#[tokio::test(start_paused = true)]
async fn timeouts_are_final_if_asked_for() {
    let backend = Backend::of(&[NEVER]);
    let layer = RetryLayer::fixed(ms(10))
        .attempt_timeout(ms(100))
        .timeouts_are_final()
        .clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    about(took, 100, 1);
    let error = result.unwrap_err();
    let exhausted = cause_ref::<RetryExhausted>(&*error).expect("made by the layer");
    assert_eq!((exhausted.reason, backend.sent()), (StopReason::Final, 1));
    // A failure that is no timeout is retried as before.
    let backend = Backend::of(&[down(5), ok(5)]);
    assert!(call(layer.layer(backend.clone())).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_from_beneath_is_known_as_one() {
    let backend = Backend::of(&[NEVER]);
    let layer = RetryLayer::fixed(ms(10))
        .timeouts_are_final()
        .clone_requests();
    let beneath = TimeoutLayer::new(ms(50)).layer(backend.clone());
    let (result, took) = call(layer.layer(beneath)).await;
    about(took, 50, 1);
    assert_eq!((backend.sent(), layer.handle().stats().timed_out), (1, 1));
    assert!(cause_ref::<TimedOut>(&*result.unwrap_err()).is_some());
}

/// "The deadline is never passed", whatever tries and waits take.
#[tokio::test(start_paused = true)]
async fn no_call_ends_after_its_deadline() {
    for takes in [0, 1, 30, 99, 100, 101, 250, 1_000, 5_000] {
        for wait in [0, 1, 50, 100, 400, 2_000] {
            for attempt in [None, Some(40), Some(100), Some(700)] {
                let backend = Backend::new(move |_| down(takes));
                let mut layer = RetryLayer::fixed(ms(wait)).attempts(30).deadline(ms(1_000));
                if let Some(attempt) = attempt {
                    layer = layer.attempt_timeout(ms(attempt));
                }
                let service = layer.clone_requests().layer(backend.clone());
                let (result, took) = call(service).await;
                assert!(result.is_err());
                assert!(took <= ms(1_001), "{took:?}: {takes} {wait} {attempt:?}");
                assert_eq!(backend.alive(), 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let backend = Backend::of(&[down(100)]);
    let layer = RetryLayer::fixed(ms(900))
        .deadline(ms(1_000))
        .clone_requests();
    let (result, took) = call(layer.layer(backend.clone())).await;
    assert!(is_down(&result.unwrap_err()));
    about(took, 100, 1);
    assert_eq!(layer.handle().stats().failed_by(StopReason::Deadline), 1);
    assert_eq!(layer.handle().budget().available(), 50);
}

#[tokio::test(start_paused = true)]
async fn an_outer_deadline_holds_and_is_never_extended() {
    let backend = Backend::of(&[NEVER]);
    let layer = RetryLayer::fixed(ms(1)).deadline(secs(9)).clone_requests();
    let mut service = layer.layer(backend.clone());
    let now = Instant::now();
    let outer = Deadline::at((now + ms(200)).into_std());
    let future = outer.scope(|| tower::Service::call(&mut service, 1));
    let error = future.await.unwrap_err();
    about(now.elapsed(), 200, 1);
    let exceeded = cause_ref::<DeadlineExceeded>(&*error).expect("its source");
    assert!(exceeded.sent && exceeded.after >= ms(200), "{exceeded:?}");
    assert!(cause_ref::<RetryExhausted>(&*error).is_some());
}

#[tokio::test(start_paused = true)]
async fn layers_beneath_see_the_deadline_in_every_try() {
    let start = Instant::now();
    let service = tower::service_fn(move |_: u64| async move {
        let seen = Deadline::current().expect("set in every poll").instant();
        assert_eq!(seen, (start + secs(5)).into_std());
        Err::<(), _>(crate::support::Down(503))
    });
    let layer = RetryLayer::fixed(ms(300))
        .deadline(secs(5))
        .clone_requests();
    let (result, _) = call(layer.layer(service)).await;
    assert!(is_down(&result.unwrap_err()));
    assert_eq!(layer.handle().stats().retries, 3);
    assert_eq!(Deadline::current(), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_has_passed_is_refused_before_anything_is_sent() {
    let backend = Backend::of(&[ok(0)]);
    let layer = RetryLayer::exponential().clone_requests();
    let mut service = layer.layer(backend.clone());
    let past = Deadline::at(Instant::now().into_std());
    tokio::time::advance(ms(30)).await;
    let error = past
        .scope(|| tower::Service::call(&mut service, 1))
        .await
        .unwrap_err();
    let exceeded = cause_ref::<DeadlineExceeded>(&*error).expect("its source");
    assert_eq!((exceeded.sent, exceeded.overdue), (false, ms(30)));
    assert_eq!(backend.sent(), 0);
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.failed), (1, 1));
}

/// A timeout of the last try has nothing to say that the 503 before it has not.
#[tokio::test(start_paused = true)]
async fn a_timeout_does_not_hide_the_failure_before_it() {
    const ACTS: &[Act] = &[NEVER, down(5), NEVER, NEVER];
    for deadline in [None, Some(ms(250))] {
        let backend = Backend::of(ACTS);
        let mut layer = RetryLayer::fixed(ms(10)).attempt_timeout(ms(100));
        if let Some(deadline) = deadline {
            layer = layer.deadline(deadline);
        }
        let (result, _) = call(layer.clone_requests().layer(backend.clone())).await;
        assert!(is_down(&result.unwrap_err()));
        assert_eq!(backend.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_answer_is_dropped_before_the_wait() {
    use std::sync::{Arc, Weak};
    type Held = Arc<parking_lot::Mutex<Weak<()>>>;
    for forgets in [false, true] {
        let held = Held::default();
        let log = held.clone();
        let mut layer = RetryLayer::fixed(secs(1)).attempts(2);
        if forgets {
            layer = layer.forget_answers();
        }
        let service = layer
            .clone_requests()
            .accept(|_: &Result<Arc<()>, crate::support::Down>| hedgerow_core::Class::RETRYABLE)
            .layer(tower::service_fn(move |_: u64| {
                let answer = Arc::new(());
                *log.lock() = Arc::downgrade(&answer);
                async move { Ok(answer) }
            }));
        let look = async {
            tokio::time::sleep(ms(500)).await;
            assert_eq!(held.lock().strong_count(), usize::from(!forgets));
        };
        let ((result, _), ()) = tokio::join!(call(service), look);
        assert!(result.is_ok(), "the last answer as it is");
    }
}
