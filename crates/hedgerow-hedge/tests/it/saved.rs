//! B9: what was learnt survives a restart.

use hedgerow_core::{BoxError, LatencyView};
use hedgerow_hedge::policy::{Keyed, Percentile};
use hedgerow_hedge::{Delay, HedgeLayer, HedgePolicy, HedgeState, RestoreError, Stateful};
use parking_lot::Mutex;
use tower::{Layer, ServiceExt};

use crate::support::{Backend, call, ms};

async fn learn<R, J>(layer: &HedgeLayer<Percentile, R, J>)
where
    HedgeLayer<Percentile, R, J>: Layer<Backend>,
    <HedgeLayer<Percentile, R, J> as Layer<Backend>>::Service: tower::Service<u64>,
{
    for n in 0..600u64 {
        let backend = Backend::new(move |attempt| crate::support::answers(attempt, 1 + n % 100));
        let _ = call(layer.layer(backend)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_p95_after_a_restart_and_a_hedge_at_it() {
    let before = HedgeLayer::percentile(95)
        .initial(ms(60_000))
        .clone_requests();
    learn(&before).await;
    before.handle().latency().refresh();
    let file = serde_json::to_string(&before.save()).expect("plain data");

    let after = HedgeLayer::percentile(95)
        .initial(ms(60_000))
        .clone_requests();
    let state: HedgeState = serde_json::from_str(&file).expect("our own data");
    after.restore(&state).expect("our own state");
    let p95 = |layer: &HedgeLayer<Percentile, _>| layer.handle().latency().quantile(0.95);
    assert!(p95(&before).is_some());
    assert_eq!(p95(&after), p95(&before));
    // It is used from the first call on, and the counts begin anew.
    assert_eq!(after.handle().stats().requests, 0);
    assert_eq!(after.handle().stats().latency.count(), 0);
    let backend = Backend::taking(&[5_000, 20]);
    assert_eq!(call(after.layer(backend)).await.0, Ok("hedge"));
    assert_eq!(after.handle().stats().fired, 1);
}

type ByClass = Keyed<Percentile, fn(&u64) -> String, String>;

fn keyed() -> HedgeLayer<ByClass, hedgerow_hedge::ByClone> {
    fn class(n: &u64) -> String {
        format!("class {}", n % 2)
    }
    HedgeLayer::percentile(90)
        .clone_requests()
        .key(class as fn(&u64) -> String)
}

#[tokio::test(start_paused = true)]
async fn every_key_is_restored() {
    let before = keyed();
    for n in 0..500u64 {
        let backend = Backend::new(move |attempt| {
            crate::support::answers(attempt, 10 + n % 50 + 500 * (n % 2))
        });
        before.layer(backend).oneshot(n).await.expect("an answer");
    }
    let file = serde_json::to_string(&before.save()).expect("plain data");
    let after = keyed();
    after
        .restore(&serde_json::from_str(&file).expect("our own data"))
        .expect("our own state");
    assert_eq!(after.keys().len(), 2);
    for class in ["class 0", "class 1"].map(String::from) {
        let [had, has] =
            [&before, &after].map(|layer| layer.keys().latency(&class).expect("known"));
        had.refresh();
        assert!(had.quantile(0.9).is_some());
        assert_eq!(has.quantile(0.9), had.quantile(0.9), "{class}");
        assert_eq!(has.window(), had.window());
    }
}

#[tokio::test(start_paused = true)]
async fn a_policys_own_state_is_saved_with_the_layer() {
    #[derive(Default)]
    struct Counts(Mutex<u64>);
    impl HedgePolicy<u64> for Counts {
        fn delay(&self, _: &u64, _: hedgerow_core::Attempt, _: &dyn LatencyView) -> Delay {
            *self.0.lock() += 1;
            Delay::Never
        }
    }
    impl Stateful for Counts {
        fn save(&self) -> Option<String> {
            Some(self.0.lock().to_string())
        }
        fn restore(&self, state: &str) -> Result<(), BoxError> {
            *self.0.lock() = state.parse()?;
            Ok(())
        }
    }
    let policy = std::sync::Arc::new(Counts::default());
    let before = HedgeLayer::new(policy.clone()).clone_requests();
    for _ in 0..3 {
        call(before.layer(Backend::taking(&[10])))
            .await
            .0
            .expect("an answer");
    }
    let restored = std::sync::Arc::new(Counts::default());
    HedgeLayer::new(restored.clone())
        .restore(&before.save())
        .expect("the same policy");
    assert_eq!(*restored.0.lock(), 3);
}

#[test]
fn a_state_that_is_not_ours_is_refused_and_changes_nothing() {
    let other = r#"{"version":7,"latency":null,"policy":null}"#;
    let layer = HedgeLayer::percentile(95);
    let state: HedgeState = serde_json::from_str(other).expect("the shape is right");
    let refused = layer.restore(&state).expect_err("another version");
    assert!(matches!(refused, RestoreError::Version(7)), "{refused}");
    assert!(refused.to_string().contains("version 7"), "{refused}");

    let state = keyed().save();
    let refused = layer.restore(&state).expect_err("a keyed layer's state");
    assert!(matches!(refused, RestoreError::Policy(_)), "{refused}");

    let damaged = serde_json::to_string(&state)
        .expect("plain data")
        .replace(r#""[]""#, r#""[1]""#);
    let state: HedgeState = serde_json::from_str(&damaged).expect("the shape is right");
    assert!(matches!(
        keyed().restore(&state),
        Err(RestoreError::Policy(_))
    ));
    assert!(layer.handle().latency().total().count() == 0);
}
