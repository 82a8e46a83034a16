//! A leader may leave, or not be polled: nobody fails, and nobody pays twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::future::join_all;
use futures::poll;
use hedgerow_cache::CoalesceLayer;
use hedgerow_core::testing::{Ping, Probe};
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::support::{Backend, ms, ok, secs};

/// Wherever the leader stands: before its first poll, in readiness, after any number of polls of the call.
#[tokio::test(start_paused = true)]
async fn a_leader_dropped_at_any_await_costs_at_most_one_more_call() {
    for dropped_after in 0..12 {
        let backend = tower::service_fn({
            let backend = Backend::of(&[ok(3)]);
            move |id: u64| {
                let mut backend = backend.clone();
                async move {
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                    tower::Service::call(&mut backend, id).await
                }
            }
        });
        let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend);
        let mut leader = Box::pin(service.clone().oneshot(7));
        for _ in 0..dropped_after {
            let _ = poll!(&mut leader);
        }
        let followers = (0..15).map(|_| service.clone().oneshot(7));
        let followers = join_all(followers);
        tokio::pin!(followers);
        let _ = poll!(&mut followers);
        drop(leader);
        let answers = timeout(secs(1), followers).await.expect("nobody hangs");
        for answer in answers {
            let (word, _, call) = answer.unwrap();
            assert_eq!(word, "answer");
            assert!(call <= 1, "call {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_followers_takes_over_the_very_same_call() {
    let backend = Backend::of(&[ok(100)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    // Each leads for ten milliseconds and leaves; the last one stays.
    let hurried = (1..=9).map(|n| timeout(ms(10 * n), service.clone().oneshot(7)));
    let (_, last) = tokio::join!(join_all(hurried), service.clone().oneshot(7));
    assert_eq!(last.unwrap(), ("answer", 7, 0));
    assert_eq!(backend.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_before_the_service_is_ready_hands_that_over_as_well() {
    let probe = Probe::new();
    probe.block(true);
    let service = CoalesceLayer::new(|ping: &Ping| Some(ping.id)).layer(probe.clone());
    let mut leader = Box::pin(service.clone().oneshot(Ping::new(1)));
    let mut follower = Box::pin(service.clone().oneshot(Ping::new(1)));
    assert!(poll!(&mut leader).is_pending() && poll!(&mut follower).is_pending());
    drop(leader);
    assert!(poll!(&mut follower).is_pending());
    probe.block(false);
    assert_eq!(follower.await.unwrap().id, 1);
    assert_eq!((probe.calls(), probe.unready_calls()), (1, 0));
}

/// The leader's task does something else: its future is alive, and nobody polls it.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_not_polled_holds_up_nobody() {
    let backend = Backend::of(&[ok(100)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    // One that comes while it flies.
    let follower = timeout(secs(1), service.clone().oneshot(7)).await;
    assert_eq!(follower.expect("in time").unwrap(), ("answer", 7, 0));
    assert_eq!(leader.await.unwrap(), ("answer", 7, 0));

    // One that comes when it could long have landed.
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    sleep(ms(200)).await;
    let follower = timeout(secs(1), service.clone().oneshot(7)).await;
    assert_eq!(follower.expect("in time").unwrap(), ("answer", 7, 1));
    assert_eq!(backend.sent(), 2);
}

/// Followers that are not polled either do no harm.
#[tokio::test(start_paused = true)]
async fn sleeping_followers_hold_up_nobody() {
    let backend = Backend::of(&[ok(100)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    let mut asleep: Vec<_> = (0..3)
        .map(|_| Box::pin(service.clone().oneshot(7)))
        .collect();
    for call in &mut asleep {
        assert!(poll!(call).is_pending());
    }
    drop(leader);
    let awake = timeout(secs(1), service.clone().oneshot(7)).await;
    assert_eq!(awake.expect("in time").unwrap(), ("answer", 7, 0));
    assert_eq!(backend.sent(), 1);
}

/// A call in a task of its own, which is polled when it is woken and not otherwise; it sleeps now.
async fn asleep<F>(call: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "it is woken by itself")]
    let task = tokio::spawn(call);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(!task.is_finished());
    task
}

/// The deputy, which would be woken with the call, is not polled: the leader's departure wakes the others.
#[tokio::test(start_paused = true)]
async fn when_the_leader_leaves_everybody_is_woken_not_the_deputy_alone() {
    let backend = Backend::of(&[ok(100)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    let waits = asleep(service.clone().oneshot(7)).await;
    let mut deputy = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut deputy).is_pending());
    drop(leader);
    let answer = timeout(secs(1), waits).await.expect("it is woken");
    assert_eq!(answer.unwrap().unwrap(), ("answer", 7, 0));
    assert_eq!(deputy.await.unwrap(), ("answer", 7, 0));
    assert_eq!(backend.sent(), 1);
}

/// Neither the leader nor the deputy is polled: the others do not wait for either of them for ever.
#[tokio::test(start_paused = true)]
async fn when_neither_the_leader_nor_the_deputy_is_polled_another_takes_over() {
    let backend = Backend::of(&[ok(100)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let start = Instant::now();
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    let waits = asleep(service.clone().oneshot(7)).await;
    let mut dead: Vec<_> = (0..3)
        .map(|_| Box::pin(service.clone().oneshot(7)))
        .collect();
    for call in &mut dead {
        assert!(poll!(call).is_pending());
    }
    let answer = timeout(secs(10), waits).await.expect("it is woken");
    assert_eq!(answer.unwrap().unwrap(), ("answer", 7, 0));
    // The call's own time and the patience with the two, and a grain of the timer's.
    assert!(start.elapsed() <= ms(112), "{:?}", start.elapsed());
    for call in dead.into_iter().chain([leader]) {
        assert_eq!(call.await.unwrap(), ("answer", 7, 0));
    }
    assert_eq!(backend.sent(), 1);
}

/// The same again and again: each that takes over polls once, and never more.
#[tokio::test(start_paused = true)]
async fn many_leaders_after_one_another_that_are_not_polled_hold_up_nobody() {
    const STEPS: u64 = 5;
    let backend = tower::service_fn(async |id: u64| {
        for _ in 0..STEPS {
            sleep(ms(100)).await;
        }
        Ok::<_, std::convert::Infallible>(id)
    });
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend);
    let start = Instant::now();
    let waits = asleep(service.clone().oneshot(7)).await;
    let mut dead = Vec::new();
    for _ in 0..STEPS {
        for _ in 0..2 {
            let mut call = Box::pin(service.clone().oneshot(7));
            // It came last, so it is the deputy, and it is polled no more.
            assert!(poll!(&mut call).is_pending());
            dead.push(call);
        }
        sleep(ms(100)).await;
    }
    let answer = timeout(secs(10), waits).await.expect("it is woken");
    assert_eq!(answer.unwrap().unwrap(), 7);
    assert!(start.elapsed() <= ms(STEPS * 112), "{:?}", start.elapsed());
}

/// Outside of a runtime there is no clock: everybody is woken at once.
#[test]
fn without_a_clock_everybody_is_woken() {
    let (open, opens) = tokio::sync::oneshot::channel::<()>();
    let opens = Arc::new(parking_lot::Mutex::new(Some(opens)));
    let backend = tower::service_fn(move |id: u64| {
        let opens = opens.lock().take();
        async move {
            opens.expect("one call alone").await.expect("it is opened");
            Ok::<_, std::convert::Infallible>(id)
        }
    });
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend);
    let mut calls: Vec<_> = (0..4).map(|_| task(service.clone().oneshot(7))).collect();
    for (call, woken) in &mut calls {
        assert!(polled(call, woken).is_pending());
    }
    open.send(()).expect("it is waited for");
    // The leader and the deputy are the first and the last; those between them are woken too.
    for (call, woken) in &mut calls[1..3] {
        assert!(woken.load(Ordering::Relaxed));
        assert!(polled(call, woken).is_ready());
    }
}

type Task<F> = (std::pin::Pin<Box<F>>, Arc<AtomicBool>);

fn task<F: Future>(call: F) -> Task<F> {
    (Box::pin(call), Arc::default())
}

fn polled<F: Future>(call: &mut std::pin::Pin<Box<F>>, woken: &Arc<AtomicBool>) -> Poll<F::Output> {
    struct Flag(Arc<AtomicBool>);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let waker = std::task::Waker::from(Arc::new(Flag(woken.clone())));
    call.as_mut()
        .poll(&mut std::task::Context::from_waker(&waker))
}

/// Woken with the call beside a leader that is not polled, it leaves before it was polled.
#[tokio::test(start_paused = true)]
async fn a_deputy_that_leaves_with_the_wake_hands_it_on() {
    let backend = Backend::of(&[ok(100)]);
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend.clone());
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    let waits = asleep(service.clone().oneshot(7)).await;
    let mut deputy = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut deputy).is_pending());
    // The call has woken it, and the patience with it is not over.
    sleep(ms(104)).await;
    assert!(!waits.is_finished());
    drop(deputy);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(waits.is_finished());
    let answer = timeout(secs(1), waits).await.expect("it is woken");
    assert_eq!(answer.unwrap().unwrap(), ("answer", 7, 0));
    assert_eq!(leader.await.unwrap(), ("answer", 7, 0));
}

/// A member takes over from a leader that is not polled, and then it is not polled either.
#[tokio::test(start_paused = true)]
async fn one_leader_after_another_that_is_not_polled_holds_up_nobody() {
    let backend = tower::service_fn(async |id: u64| {
        for _ in 0..4 {
            sleep(ms(100)).await;
        }
        Ok::<_, std::convert::Infallible>(id)
    });
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend);
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    let waits = asleep(service.clone().oneshot(7)).await;
    let mut others: Vec<_> = (0..3)
        .map(|_| Box::pin(service.clone().oneshot(7)))
        .collect();
    for other in &mut others {
        // It leads once, and no more.
        assert!(poll!(&mut *other).is_pending());
        sleep(ms(110)).await;
        assert!(poll!(other).is_pending());
    }
    let answer = timeout(secs(2), waits).await.expect("it is woken");
    assert_eq!(answer.unwrap().unwrap(), 7);
}

/// The call wakes while it is polled, by a leader that is then not polled again.
#[tokio::test(start_paused = true)]
async fn a_call_that_wakes_while_it_is_polled_wakes_another_beside_the_leader() {
    let open = Arc::new(AtomicBool::new(false));
    let backend = tower::service_fn({
        let open = open.clone();
        move |id: u64| {
            let open = open.clone();
            let mut woke = false;
            std::future::poll_fn(move |cx| {
                if woke {
                    return Poll::Ready(Ok::<_, std::convert::Infallible>(id));
                }
                woke = open.load(Ordering::Relaxed);
                if woke {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            })
        }
    });
    let service = CoalesceLayer::new(|id: &u64| Some(*id)).layer(backend);
    let mut leader = Box::pin(service.clone().oneshot(7));
    assert!(poll!(&mut leader).is_pending());
    let waits = asleep(service.clone().oneshot(7)).await;
    open.store(true, Ordering::Relaxed);
    assert!(poll!(&mut leader).is_pending());
    let answer = timeout(secs(1), waits).await.expect("it is woken");
    assert_eq!(answer.unwrap().unwrap(), 7);
}

#[test]
fn on_many_threads_every_caller_is_answered_and_flights_do_not_leak() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let layer = CoalesceLayer::new(|id: &u64| Some(*id));
    let backend = Backend::of(&[ok(1)]);
    let service = layer.layer(backend.clone());
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..2_000_u64 {
            let service = service.clone();
            tasks.spawn(async move {
                let patience = if n % 3 == 0 { ms(0) } else { secs(60) };
                let called = timeout(patience, service.oneshot(n % 5)).await;
                if n % 3 != 0 {
                    assert_eq!(called.expect("in time").unwrap().1, n % 5);
                }
            });
            if n % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
    assert_eq!((backend.alive(), layer.handle().stats().flights), (0, 0));
}

#[derive(Clone, Debug)]
enum Deed {
    Come(u64),
    Poll(usize),
    Leave(usize),
    Pass(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..3_u64).prop_map(Deed::Come),
        (0..8_usize).prop_map(Deed::Poll),
        (0..8_usize).prop_map(Deed::Leave),
        (0..40_u64).prop_map(Deed::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever comes, is polled, leaves, and whatever time passes: of one key at most one call is in flight,
    /// whoever is polled on is answered with the answer to its own question, and nothing is left.
    #[test]
    fn whoever_stays_is_answered(deeds in prop::collection::vec(deed(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let backend = Backend::of(&[ok(20)]);
            let layer = CoalesceLayer::new(|id: &u64| Some(*id));
            let service = layer.layer(backend.clone());
            let mut calls = Vec::new();
            for deed in deeds {
                match deed {
                    Deed::Come(id) => calls.push((id, Box::pin(service.clone().oneshot(id)))),
                    Deed::Poll(at) => if at < calls.len() {
                        let (id, call) = &mut calls[at];
                        if let Poll::Ready(answer) = poll!(call) {
                            prop_assert_eq!(answer.unwrap().1, *id);
                            drop(calls.remove(at));
                        }
                    },
                    Deed::Leave(at) => if at < calls.len() {
                        drop(calls.remove(at));
                    },
                    Deed::Pass(time) => sleep(ms(time)).await,
                }
                prop_assert!(backend.alive() <= 3);
            }
            // Only every other one is polled on; the rest sleep for ever.
            let mut awake = Vec::new();
            let mut asleep = Vec::new();
            for (n, call) in calls.into_iter().enumerate() {
                if n % 2 == 0 { awake.push(call) } else { asleep.push(call) }
            }
            for (id, call) in awake {
                let answer = timeout(secs(10), call).await;
                prop_assert!(answer.is_ok(), "a caller hangs");
                prop_assert_eq!(answer.unwrap().unwrap().1, id);
            }
            drop(asleep);
            prop_assert_eq!((backend.alive(), layer.handle().stats().flights), (0, 0));
            Ok(())
        })?;
    }
}
