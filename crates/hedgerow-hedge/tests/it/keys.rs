//! B4 and B10: state by key.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Attempt, LatencyView};
use hedgerow_hedge::{BuildError, HedgeLayer};
use hedgerow_latency::Latency;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use crate::support::ms;

/// A request that says its class; the attempts of each class that were sent.
type Sent = Arc<Mutex<Vec<[u64; 2]>>>;

/// Each class is four times as slow as the one before.
fn classes(seed: u64) -> (impl Service<u64, Response = (), Error = ()> + Clone, Sent) {
    let sent: Sent = Arc::new(Mutex::new(vec![[0; 2]; 3]));
    let log = sent.clone();
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let law = LogNormal::new(2_000f64.ln(), 0.8).expect("a valid law");
    let service = tower::service_fn(move |class: u64| {
        log.lock()[class as usize][usize::from(Attempt::current().is_extra())] += 1;
        let took = law.sample(&mut *rng.lock()) * 4f64.powi(class as i32);
        async move {
            sleep(Duration::from_secs_f64(took / 1_000.0)).await;
            Ok(())
        }
    });
    (service, sent)
}

/// B4: the same percentage of each class, although one is sixteen times as slow as another.
#[tokio::test(start_paused = true)]
async fn classes_with_different_laws_are_each_hedged_at_their_own_quantile() {
    let (service, sent) = classes(3);
    let layer = HedgeLayer::percentile(95)
        .initial(Duration::from_secs(3_600))
        .clone_requests()
        .key(|class: &u64| *class);
    let hedged = layer.layer(service);
    let mut rng = StdRng::seed_from_u64(4);
    for n in 0..60_000u64 {
        if n == 10_000 {
            sent.lock().fill([0; 2]);
        }
        let class = rng.random_range(0..3);
        hedged.clone().oneshot(class).await.expect("an answer");
    }
    let sent = sent.lock().clone();
    for (class, [calls, extras]) in sent.into_iter().enumerate() {
        let percent = extras as f64 * 100.0 / calls as f64;
        eprintln!("class {class}: {percent:.2} % of {calls}");
        assert!(
            (4.5..=5.5).contains(&percent),
            "class {class}: {percent:.2}"
        );
        let p95 = layer.keys().latency(&(class as u64)).expect("known");
        let p95 = p95.quantile(0.95).expect("samples").as_secs_f64();
        let law = 2.0 * 4f64.powi(class as i32) * (0.8f64 * 1.644_854).exp();
        assert!(
            (p95 / law - 1.0).abs() < 0.15,
            "class {class}: {p95} for {law}"
        );
    }
    // The layer's own statistics are of all keys together.
    assert_eq!(layer.handle().stats().requests, 60_000);
    assert_eq!(layer.handle().stats().latency.count(), 60_000);
}

/// Without keys the slowest class takes all the hedges.
#[tokio::test(start_paused = true)]
async fn without_keys_the_slow_class_takes_the_hedges() {
    let (service, sent) = classes(3);
    let layer = HedgeLayer::percentile(95)
        .initial(Duration::from_secs(3_600))
        .clone_requests();
    let hedged = layer.layer(service);
    for n in 0..30_000u64 {
        hedged.clone().oneshot(n % 3).await.expect("an answer");
    }
    let sent = sent.lock();
    assert!(sent[2][1] > 50 * sent[0][1].max(1), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_new_keys_evicts_idle_ones_and_never_grows_past_the_bound() {
    let client = tower::service_fn(async |_: u64| {
        sleep(ms(5)).await;
        Ok::<_, ()>(())
    });
    let layer = HedgeLayer::percentile(95)
        .clone_requests()
        .key(|key: &u64| *key)
        .max_keys(100);
    let keys = layer.keys();
    let service = layer.layer(client);
    for n in 0..20_000u64 {
        // Three keys stay in use, the flood passes by.
        for key in [n % 3, 1_000 + n] {
            service.clone().oneshot(key).await.expect("an answer");
        }
        assert!(keys.len() <= 100, "{} after {n}", keys.len());
    }
    assert_eq!(keys.max_keys(), 100);
    for busy in 0..3 {
        let latency = keys.latency(&busy).expect("a key in use is not evicted");
        assert!(latency.total().count() > 6_600, "{latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_keys_as_allowed_are_all_kept() {
    let client = tower::service_fn(async |_: u64| Ok::<_, ()>(()));
    let layer = HedgeLayer::percentile(95)
        .clone_requests()
        .key(|key: &u64| *key)
        .max_keys(10_000);
    let service = layer.layer(client);
    for key in 0..10_000u64 {
        service.clone().oneshot(key).await.expect("an answer");
    }
    assert_eq!(layer.keys().len(), 10_000);
    layer.keys().forget(&17);
    assert!(layer.keys().latency(&17).is_none());
    assert_eq!(layer.keys().len(), 9_999);
}

/// A call under way keeps its key's state, whatever becomes of the key.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_evicted_under_way_ends_its_calls() {
    let client = tower::service_fn(|key: u64| async move {
        sleep(ms(key)).await;
        Ok::<_, ()>(key)
    });
    let layer = HedgeLayer::fixed(ms(50))
        .clone_requests()
        .key(|key: &u64| *key)
        .max_keys(1);
    let service = layer.layer(client);
    let slow = service.clone().oneshot(200);
    let others = async {
        for key in 1..50 {
            service.clone().oneshot(key).await.expect("an answer");
        }
    };
    let (slow, ()) = tokio::join!(slow, others);
    assert_eq!(slow, Ok(200));
    assert_eq!(layer.keys().len(), 1);
    assert_eq!(layer.handle().stats().fired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_key_function_leaves_the_call_to_the_shared_state() {
    let client = tower::service_fn(async |n: u64| Ok::<_, ()>(n));
    let layer = HedgeLayer::percentile(95)
        .clone_requests()
        .key(|n: &u64| -> u64 { panic!("on purpose: {n}") });
    assert_eq!(layer.layer(client).oneshot(7).await, Ok(7));
    assert!(layer.keys().is_empty());
    assert_eq!(layer.handle().latency().total().count(), 1);
}

/// Its hash panics for 13, its comparison for 14.
#[derive(Clone, Copy)]
struct Brittle(u64);

impl Hash for Brittle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert_ne!(self.0, 13, "on purpose");
        0.hash(state);
    }
}

impl PartialEq for Brittle {
    fn eq(&self, other: &Self) -> bool {
        assert_ne!(self.0.max(other.0), 14, "on purpose");
        self.0 == other.0
    }
}

impl Eq for Brittle {}

#[tokio::test(start_paused = true)]
async fn a_panicking_key_leaves_the_call_to_the_shared_state() {
    let client = tower::service_fn(async |n: u64| Ok::<_, ()>(n));
    let layer = HedgeLayer::percentile(95)
        .clone_requests()
        .key(|n: &u64| Brittle(*n));
    let service = layer.layer(client);
    for n in [1, 13, 14, 1, 2] {
        assert_eq!(service.clone().oneshot(n).await, Ok(n));
    }
    assert_eq!(layer.keys().len(), 2);
    let one = layer.keys().latency(&Brittle(1)).expect("known");
    assert_eq!(one.total().count(), 2);
    assert_eq!(layer.handle().stats().requests, 5);
    assert_eq!(layer.handle().latency().total().count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_shared_histogram_is_left_to_its_recorder_while_keys_record_their_own() {
    let client = tower::service_fn(async |n: u64| Ok::<_, ()>(n));
    let shared = Latency::new();
    let layer = HedgeLayer::percentile(95)
        .clone_requests()
        .latency(shared.clone())
        .key(|n: &u64| *n);
    layer.layer(client).oneshot(7).await.expect("an answer");
    assert_eq!(shared.total().count(), 0);
    let key = layer.keys().latency(&7).expect("known");
    assert_eq!(key.total().count(), 1);
}

#[test]
fn room_for_no_or_too_many_keys_is_refused() {
    for n in [0, 1_000_001] {
        let layer = HedgeLayer::percentile(95).key(|n: &u64| *n);
        let refused = layer.try_max_keys(n).err();
        assert_eq!(refused, Some(BuildError::Keys(n)));
    }
    let words = BuildError::Keys(0).to_string();
    assert!(words.contains("write 1 to 1000000"), "{words}");
}
