//! B1, B7 and policies of one's own.

use std::sync::Arc;

use hedgerow_core::{Attempt, LatencyView};
use hedgerow_hedge::policy::{Adaptive, Backoff, Fixed, Off, Parallel, Percentile, Swap, Workload};
use hedgerow_hedge::{Delay, HedgeEvent, HedgeLayer, HedgePolicy, Outcome, Sample};
use parking_lot::Mutex;
use tower::Layer;

use crate::support::{Backend, call, ms};

/// B1: 100 ms unless said otherwise.
#[tokio::test(start_paused = true)]
async fn a_fixed_delay_defaults_to_100_ms() {
    let backend = Backend::taking(&[1_000, 1]);
    let layer = HedgeLayer::new(Fixed::default()).clone_requests();
    call(layer.layer(backend.clone()))
        .await
        .0
        .expect("an answer");
    assert!(backend.times()[1] >= ms(100) && backend.times()[1] <= ms(101));
}

#[tokio::test(start_paused = true)]
async fn off_measures_and_never_hedges() {
    let backend = Backend::new(|_| (ms(1_000), Err("down")));
    let layer = HedgeLayer::off().clone_requests();
    assert_eq!(call(layer.layer(backend.clone())).await.0, Err("down"));
    assert_eq!((backend.sent(), layer.handle().stats().requests), (1, 1));
}

/// B7: a trait object, swapped at run time.
#[tokio::test(start_paused = true)]
async fn a_policy_can_be_swapped_while_running() {
    let swap = Swap::new(Arc::new(Off) as Arc<dyn HedgePolicy<u64>>);
    let layer = HedgeLayer::new(swap.clone()).clone_requests();
    let service = layer.layer(Backend::taking(&[200, 1]));
    assert_eq!(call(service.clone()).await.0, Ok("primary"));
    swap.store(Arc::new(Fixed::new(ms(20))));
    assert_eq!(call(service.clone()).await.0, Ok("hedge"));
    swap.store(Arc::new(Parallel));
    let (result, took) = call(service.clone()).await;
    assert_eq!(result, Ok("hedge"));
    assert!(took <= ms(2), "{took:?}");
    swap.store(Arc::new(Off));
    assert_eq!(call(service).await.0, Ok("primary"));
}

/// Notes what it is asked and told.
#[derive(Default)]
struct Spy {
    asked: Mutex<Vec<u32>>,
    told: Mutex<Vec<Sample>>,
}

impl HedgePolicy<u64> for Spy {
    fn delay(&self, request: &u64, attempt: Attempt, _: &dyn LatencyView) -> Delay {
        assert_eq!(*request, 1);
        self.asked.lock().push(attempt.index());
        match attempt.index() {
            1 => Delay::After(ms(10)),
            2 => Delay::After(ms(25)),
            _ => Delay::Never,
        }
    }

    fn observe(&self, sample: &Sample) {
        self.told.lock().push(*sample);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_asked_when_its_turn_comes_and_told_how_each_attempt_ended() {
    let spy = Arc::new(Spy::default());
    let layer = HedgeLayer::new(spy.clone()).clone_requests().max_hedges(5);
    let service = layer.layer(Backend::taking(&[100, 30, 100]));
    call(service).await.0.expect("an answer");
    assert_eq!(*spy.asked.lock(), [1, 2, 3]);
    let told: Vec<_> = spy
        .told
        .lock()
        .iter()
        .map(|s| {
            (
                s.attempt.index(),
                s.elapsed,
                s.outcome,
                s.censored(),
                s.won(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, ms(30), Outcome::Won, false, true),
            (0, ms(40), Outcome::Lost, true, false),
            (2, ms(15), Outcome::Lost, true, false),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn never_also_forbids_an_immediate_follow_up() {
    struct Never;
    impl HedgePolicy<u64> for Never {
        fn delay(&self, _: &u64, _: Attempt, _: &dyn LatencyView) -> Delay {
            Delay::Never
        }
    }
    for takes in [0, 20] {
        let backend = Backend::new(move |_| (ms(takes), Err("down")));
        let layer = HedgeLayer::new(Never).clone_requests();
        assert_eq!(call(layer.layer(backend.clone())).await.0, Err("down"));
        assert_eq!(backend.sent(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_all_time_never_hedges() {
    let backend = Backend::taking(&[1_000]);
    let layer = HedgeLayer::fixed(std::time::Duration::MAX).clone_requests();
    assert_eq!(call(layer.layer(backend.clone())).await.0, Ok("primary"));
    assert_eq!(backend.sent(), 1);
}

/// B7, B3, B5: any of them, while calls are under way.
#[tokio::test(start_paused = true)]
async fn learning_policies_can_be_swapped_while_calls_run() {
    let swap = Swap::new(Arc::new(Off) as Arc<dyn HedgePolicy<u64>>);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let layer =
        HedgeLayer::new(swap.clone())
            .clone_requests()
            .on_event(move |event: &HedgeEvent| {
                if let HedgeEvent::Won(info) = event {
                    log.lock().push((info.strategy, info.hedged));
                }
            });
    let service = layer.layer(Backend::taking(&[6_000, 1]));
    let adaptive = Arc::new(Adaptive::default());
    let backoff = Arc::new(Backoff::default());
    let policies: [Arc<dyn HedgePolicy<u64>>; 4] = [
        Arc::new(Percentile::try_new(95.0).expect("in range")),
        adaptive,
        backoff.clone(),
        Arc::new(Workload::new(|n: &u64| ms(40 + n))),
    ];
    // One call is under way at every swap: it began with the one before and ends with the next.
    let mut under_way = Box::pin(call(service.clone()));
    assert!(futures::poll!(&mut under_way).is_pending());
    for policy in policies {
        tokio::time::sleep(ms(1)).await;
        let name = policy.name();
        swap.store(policy);
        let mut next = Box::pin(call(service.clone()));
        assert!(futures::poll!(&mut next).is_pending());
        let before = std::mem::replace(&mut under_way, next);
        assert!(before.await.0.is_ok());
        for _ in 0..10 {
            assert_eq!(call(service.clone()).await.0, Ok("hedge"), "{name}");
        }
        let told = seen.lock().split_off(0);
        let by_name = told.iter().filter(|told| **told == (name, true)).count();
        assert!(by_name >= 10, "{name}: {told:?}");
    }
    under_way.await.0.expect("an answer");
    // Eleven or twelve calls were its own, each won by a hedge.
    let delay = backoff.current();
    assert!(delay < ms(32) && delay > ms(25), "{delay:?}");
}

#[test]
fn a_policy_put_into_another_keeps_every_setting() {
    let layer = HedgeLayer::percentile(99)
        .max_hedges(3)
        .map_policy(Swap::new);
    let handle = layer.handle();
    assert_eq!(handle.max_hedges(), 3);
    assert_eq!(handle.budget().per_100_calls(), Some(1.5));
    assert_eq!(handle.latency().window_size(), 2_000);
    assert!(format!("{layer:?}").contains("policy: Swap(Percentile"));
}
