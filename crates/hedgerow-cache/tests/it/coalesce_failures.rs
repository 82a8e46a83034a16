//! Whose failure it is, when a flight fails.

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::join_all;
use futures::poll;
use hedgerow_cache::{Claim, CoalesceLayer, FlightCrashed, Lead, OnFailure, SharedFailure};
use hedgerow_core::testing::{Ping, Probe};
use hedgerow_core::{Answer, Budget, Class, cause_ref};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::support::{Backend, Down, NEVER, Reply, down, is_down, ms, ok, secs};

#[tokio::test(start_paused = true)]
async fn followers_try_once_more_together_and_the_leader_gets_the_failure() {
    let backend = Backend::of(&[down(10), ok(10)]);
    let layer = CoalesceLayer::new(|id: &u64| Some(*id));
    let service = layer.layer(backend.clone());
    let mut results = join_all((0..100).map(|_| service.clone().oneshot(7))).await;
    let led = results.remove(0).unwrap_err();
    assert!(is_down(&led), "{led:?}");
    for followed in results {
        assert_eq!(followed.unwrap(), ("answer", 7, 1));
    }
    assert_eq!(backend.sent(), 2);
    // One call more was made, and one token paid for it.
    assert_eq!(
        layer.handle().budget().granted(hedgerow_core::Kind::Retry),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_tries_more_than_once_more() {
    let backend = Backend::of(&[down(10)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let results = join_all((0..10).map(|_| service.clone().oneshot(7))).await;
    assert!(
        results
            .iter()
            .all(|result| is_down(result.as_ref().unwrap_err()))
    );
    assert_eq!(backend.sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_budget_may_deny_it() {
    let backend = Backend::of(&[down(10), ok(10)]);
    let layer = CoalesceLayer::new(|id: &u64| Some(*id)).budget(Budget::percent(0.0).depth(0));
    let service = layer.layer(backend.clone());
    let results = join_all((0..10).map(|_| service.clone().oneshot(7))).await;
    for result in &results {
        let error = result.as_ref().unwrap_err();
        assert!(is_down(error) && cause_ref::<SharedFailure>(&**error).is_some());
    }
    assert_eq!((backend.sent(), layer.handle().stats().denied), (1, 9));
}

#[tokio::test(start_paused = true)]
async fn failures_are_shared_if_one_says_so() {
    let backend = Backend::of(&[down(10), ok(10)]);
    let layer = CoalesceLayer::new(|id: &u64| Some(*id)).on_failure(OnFailure::Share);
    let service = layer.layer(backend.clone());
    let results = join_all((0..10).map(|_| service.clone().oneshot(7))).await;
    assert!(results.iter().all(Result::is_err));
    assert_eq!(backend.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_alone_gets_the_error_as_it_is() {
    let backend = Backend::of(&[down(10)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend);
    let error = service.oneshot(7).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Down>(), Some(&Down(503)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_judge_refuses_is_tried_once_more_and_given_if_it_comes_again() {
    fn judge(result: &Result<Reply, Down>) -> Class {
        match result {
            Ok((_, _, 0)) | Err(_) => Class::RETRYABLE,
            Ok(_) => Class::Success,
        }
    }
    let backend = Backend::of(&[ok(10)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id))
        .accept(judge)
        .layer(backend.clone());
    let results = join_all((0..3).map(|_| service.clone().oneshot(7))).await;
    let calls: Vec<usize> = results
        .into_iter()
        .map(|result| result.unwrap().2)
        .collect();
    assert_eq!(calls, [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_leaders_and_the_others_try_once_more() {
    let probe = Probe::new();
    let service = CoalesceLayer::new(|ping: &Ping| Some(ping.id)).layer(probe.clone());
    let mut leader = Box::pin(
        AssertUnwindSafe(service.clone().oneshot(Ping::new(1).panicking())).catch_unwind(),
    );
    // Each follower brings a request of its own, which does not panic.
    probe.block(true);
    assert!(poll!(&mut leader).is_pending());
    let mut followers = Box::pin(join_all(
        (0..5).map(|_| service.clone().oneshot(Ping::new(1).after(ms(5)))),
    ));
    assert!(poll!(&mut followers).is_pending());
    probe.block(false);
    assert!(leader.await.is_err());
    for answer in followers.await {
        assert_eq!(answer.unwrap().id, 1);
    }
    assert_eq!((probe.calls(), probe.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_without_a_budget_is_a_typed_error_for_the_others() {
    let probe = Probe::new();
    let service = CoalesceLayer::new(|ping: &Ping| Some(ping.id))
        .on_failure(OnFailure::Share)
        .layer(probe.clone());
    let mut leader = Box::pin(
        AssertUnwindSafe(service.clone().oneshot(Ping::new(1).panicking())).catch_unwind(),
    );
    probe.block(true);
    assert!(poll!(&mut leader).is_pending());
    let mut follower = Box::pin(service.clone().oneshot(Ping::new(1)));
    assert!(poll!(&mut follower).is_pending());
    probe.block(false);
    assert!(leader.await.is_err());
    let error = follower.await.unwrap_err();
    assert!(cause_ref::<FlightCrashed>(&*error).is_some(), "{error:?}");
}

/// A lead that panics whatever it is told.
struct Fragile;

impl Lead<u64, Reply> for Fragile {
    fn claim(&self, _: &u64) -> Answer<Claim<Reply>> {
        Answer::Now(Claim::Lead)
    }

    fn publish(&self, _: &u64, _: &Reply) {
        panic!("on purpose");
    }

    fn hand_over(&self, _: &u64) {
        panic!("on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_panics_takes_no_answer_and_no_failure_from_anybody() {
    for (act, fails) in [(down(10), true), (ok(10), false)] {
        let layer = CoalesceLayer::new(|id: &u64| Some(*id)).lead(Fragile);
        let service = layer.layer(Backend::of(&[act]));
        let calls = (0..5).map(|_| AssertUnwindSafe(service.clone().oneshot(7)).catch_unwind());
        let results = timeout(secs(5), join_all(calls))
            .await
            .expect("nobody hangs");
        for result in results {
            let result = result.expect("the lead's panic is its own");
            assert_eq!(result.as_ref().is_err_and(is_down), fails, "{result:?}");
            assert_eq!(result.is_err(), fails);
        }
        assert_eq!(layer.handle().stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_panics_does_not_reach_whoever_drops_a_call() {
    let backend = Backend::of(&[NEVER]);
    let layer = CoalesceLayer::new(|id: &u64| Some(*id)).lead(Fragile);
    let mut call = Box::pin(layer.layer(backend.clone()).oneshot(7));
    assert!(poll!(&mut call).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(call))).is_ok());
    let stats = layer.handle().stats();
    assert_eq!((stats.cancelled, stats.flights, backend.alive()), (1, 0, 0));
}

/// A key that cannot be hashed for a while.
#[derive(Clone)]
struct Brittle(u64, Arc<AtomicBool>);

impl PartialEq for Brittle {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Brittle {}

impl Hash for Brittle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(!self.1.load(Ordering::Relaxed), "on purpose");
        self.0.hash(state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_flight_lands_leaves_nobody_waiting() {
    let breaks = Arc::new(AtomicBool::new(false));
    let flag = breaks.clone();
    let layer = CoalesceLayer::new(move |id: &u64| Some(Brittle(*id, flag.clone())));
    let backend = Backend::of(&[ok(10)]);
    let service = layer.layer(backend.clone());
    let calls = (0..5).map(|_| AssertUnwindSafe(service.clone().oneshot(7)).catch_unwind());
    let (results, ()) = tokio::join!(timeout(secs(5), join_all(calls)), async {
        sleep(ms(5)).await;
        breaks.store(true, Ordering::Relaxed);
        sleep(ms(10)).await;
        breaks.store(false, Ordering::Relaxed);
    });
    let results = results.expect("nobody hangs");
    let panicked = results.iter().filter(|result| result.is_err()).count();
    assert_eq!(panicked, 1, "the panic belongs to whoever drove the flight");
    for result in results.into_iter().flatten() {
        assert_eq!(result.unwrap(), ("answer", 7, 0));
    }
    // What has landed is no flight to the next one.
    assert_eq!(service.oneshot(7).await.unwrap(), ("answer", 7, 1));
    assert_eq!(layer.handle().stats().flights, 0);
}
