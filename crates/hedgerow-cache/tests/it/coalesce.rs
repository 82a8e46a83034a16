//! Identical calls in flight share one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use futures::poll;
use hedgerow_cache::{BehindDeadline, CoalesceEvent, CoalesceLayer};
use hedgerow_core::testing::{Ping, contract};
use hedgerow_core::{Deadline, cause_ref};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, ServiceExt};

use crate::support::{Backend, NEVER, ms, ok, secs};

#[tokio::test(start_paused = true)]
async fn it_keeps_the_contract() {
    let by_id = |ping: &Ping| Some(ping.id);
    contract(|inner| CoalesceLayer::new(by_id).layer(inner)).await;
    contract(|inner| CoalesceLayer::new(|_: &Ping| None::<u64>).layer(inner)).await;
    contract(|inner| CoalesceLayer::new(by_id).max_flights(1).layer(inner)).await;
    contract(|inner| {
        let once = CoalesceLayer::new(by_id).layer(inner);
        CoalesceLayer::new(by_id).layer(once)
    })
    .await;
}

/// F3.
#[tokio::test(start_paused = true)]
async fn a_hundred_identical_calls_are_one() {
    let backend = Backend::of(&[ok(50)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let answers = join_all((0..100).map(|_| service.clone().oneshot(7))).await;
    assert_eq!(backend.sent(), 1);
    for answer in answers {
        assert_eq!(answer.unwrap(), ("answer", 7, 0));
    }
    // The next one is a new flight: this is no cache.
    assert_eq!(service.oneshot(7).await.unwrap(), ("answer", 7, 1));
}

#[tokio::test(start_paused = true)]
async fn different_keys_fly_by_themselves() {
    let backend = Backend::of(&[ok(50)]);
    let layer = CoalesceLayer::new(|id: &u64| Some(id / 10));
    let service = layer.layer(backend.clone());
    let answers = join_all((0..40).map(|id| service.clone().oneshot(id))).await;
    assert_eq!(backend.requests(), [0, 10, 20, 30]);
    let of_first: Vec<u64> = answers
        .into_iter()
        .map(|answer| answer.unwrap().1)
        .collect();
    assert_eq!(
        of_first,
        (0..40).map(|id| id / 10 * 10).collect::<Vec<u64>>()
    );
    assert_eq!(layer.handle().stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_passes() {
    let backend = Backend::of(&[ok(50)]);
    let layer = CoalesceLayer::new(|_: &u64| None::<()>);
    let service = layer.layer(backend.clone());
    join_all((0..3).map(|_| service.clone().oneshot(7))).await;
    assert_eq!((backend.sent(), layer.handle().stats().passed), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_lets_its_request_pass() {
    let backend = Backend::of(&[ok(5)]);
    let key = |_: &u64| -> Option<u64> { panic!("on purpose") };
    let service = CoalesceLayer::new(key).layer(backend.clone());
    assert_eq!(service.oneshot(1).await.unwrap().1, 1);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_of_flights_calls_pass() {
    let backend = Backend::of(&[ok(50)]);
    let layer = CoalesceLayer::new(|id: &u64| Some(*id)).max_flights(2);
    let service = layer.layer(backend.clone());
    join_all([1, 1, 2, 2, 3, 3].map(|id| service.clone().oneshot(id))).await;
    assert_eq!(backend.requests(), [1, 2, 3, 3]);
    let stats = layer.handle().stats();
    assert_eq!(
        (stats.led, stats.followed, stats.passed, stats.flights),
        (2, 2, 2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_follower_takes_no_permit() {
    let backend = Backend::of(&[ok(50)]);
    let limited = ConcurrencyLimit::new(backend.clone(), 1);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(limited);
    let start = Instant::now();
    join_all((0..20).map(|_| service.clone().oneshot(7))).await;
    assert!(start.elapsed() <= ms(51), "{:?}", start.elapsed());
    assert_eq!(backend.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_followers_own_deadline_ends_its_wait_alone() {
    let backend = Backend::of(&[ok(500)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let start = Instant::now();
    let leader = service.clone().oneshot(7);
    let deadline = Deadline::at((start + ms(100)).into_std());
    let hurried = async {
        let mut service = service.clone();
        let call = deadline.scope(|| tower::Service::call(&mut service, 7));
        let error = call.await.unwrap_err();
        (error, start.elapsed())
    };
    let (led, (error, after)) = tokio::join!(leader, hurried);
    assert_eq!(led.unwrap().0, "answer");
    assert!(cause_ref::<BehindDeadline>(&*error).is_some());
    assert!(after >= ms(100) && after <= ms(101), "{after:?}");
    assert_eq!(backend.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leaders_own_deadline_leaves_the_flight_to_the_others() {
    let backend = Backend::of(&[ok(500)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let start = Instant::now();
    let deadline = Deadline::at((start + ms(100)).into_std());
    let mut first = service.clone();
    let leader = deadline.scope(|| tower::Service::call(&mut first, 7));
    let (led, followed) = tokio::join!(leader, service.clone().oneshot(7));
    assert!(cause_ref::<BehindDeadline>(&*led.unwrap_err()).is_some());
    assert_eq!(followed.unwrap(), ("answer", 7, 0));
}

/// Every wake of the call itself polls it once; a follower is polled when it comes and when it has landed,
/// and beside the leader at most once for each of those wakes, all followers together.
#[tokio::test(start_paused = true)]
async fn nobody_waits_busily() {
    const FOLLOWERS: usize = 50;
    const STEPS: usize = 20;
    let inner_polls = Arc::new(AtomicUsize::new(0));
    let counts = inner_polls.clone();
    let backend = tower::service_fn(move |id: u64| {
        let counts = counts.clone();
        async move {
            let mut steps = Box::pin(async {
                for _ in 0..STEPS {
                    tokio::time::sleep(ms(10)).await;
                }
            });
            std::future::poll_fn(|cx| {
                counts.fetch_add(1, Ordering::Relaxed);
                steps.as_mut().poll(cx)
            })
            .await;
            Ok::<_, std::convert::Infallible>(id)
        }
    });
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend);
    let polls = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..=FOLLOWERS)
        .map(|_| {
            let polls = polls.clone();
            let mut call = Box::pin(service.clone().oneshot(7));
            #[expect(clippy::disallowed_methods, reason = "each caller is woken by itself")]
            tokio::spawn(std::future::poll_fn(move |cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                call.as_mut().poll(cx)
            }))
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 7);
    }
    let (inner, all) = (
        inner_polls.load(Ordering::Relaxed),
        polls.load(Ordering::Relaxed),
    );
    assert!(inner <= STEPS + 1, "{inner} polls of the call");
    let most = 2 * FOLLOWERS + 2 * (STEPS + 1);
    assert!(all <= most, "{all} polls of callers, at most {most}");
}

#[tokio::test(start_paused = true)]
async fn each_call_tells_how_it_came_and_how_it_ended() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let backend = Backend::of(&[ok(50)]);
    let layer = CoalesceLayer::new(|id: &u64| Some(*id))
        .on_event(move |event: &CoalesceEvent| seen.lock().push(*event));
    let service = layer.layer(backend);
    let left = timeout(ms(10), service.clone().oneshot(7));
    let (one, other, left) =
        tokio::join!(service.clone().oneshot(7), service.clone().oneshot(7), left);
    assert!(one.is_ok() && other.is_ok() && left.is_err());
    let events = events.lock();
    let count = |wanted: fn(&CoalesceEvent) -> bool| events.iter().filter(|e| wanted(e)).count();
    assert_eq!(count(|e| *e == CoalesceEvent::Led), 1);
    assert_eq!(count(|e| *e == CoalesceEvent::Followed), 2);
    assert_eq!(
        count(|e| matches!(e, CoalesceEvent::Answered { shared: true, .. })),
        1
    );
    assert_eq!(
        count(|e| matches!(e, CoalesceEvent::Answered { shared: false, .. })),
        1
    );
    assert_eq!(
        count(|e| matches!(e, CoalesceEvent::Cancelled { dropped: false, .. })),
        1
    );
    assert_eq!(count(CoalesceEvent::is_terminal), 3);
}

#[tokio::test(start_paused = true)]
async fn the_last_one_that_leaves_drops_the_call() {
    let backend = Backend::of(&[NEVER]);
    let layer = CoalesceLayer::new(|id: &u64| Some(*id));
    let service = layer.layer(backend.clone());
    let mut calls: Vec<_> = (0..5)
        .map(|_| Box::pin(service.clone().oneshot(7)))
        .collect();
    for call in &mut calls {
        assert!(poll!(call).is_pending());
    }
    while let Some(call) = calls.pop() {
        assert_eq!((backend.alive(), layer.handle().stats().flights), (1, 1));
        drop(call);
    }
    assert_eq!((backend.alive(), layer.handle().stats().flights), (0, 0));
    // And the key is free.
    let again = timeout(secs(1), service.oneshot(7));
    assert!(again.await.is_err());
    assert_eq!((backend.sent(), backend.alive()), (2, 0));
}
