//! Readiness: the contract kit, and tiers that are not ready when their turn comes.

use hedgerow_core::BoxError;
use hedgerow_core::testing::{Inner, Ping, Pong, contract};
use hedgerow_hedge::{Cascade, HedgeLayer, SpendCap, Tier};
use tower::limit::ConcurrencyLimit;
use tower::load_shed::LoadShed;
use tower::{Layer, Service, ServiceExt};

use crate::cascade_support::{World, race_error};
use crate::cascade_tiers::Build;
use crate::support::{call, ms};

#[tokio::test(start_paused = true)]
async fn a_cascade_of_one_tier_keeps_the_contract() {
    contract(|inner| {
        let only = Tier::new("only", inner);
        Cascade::builder().tier(only).build().unwrap()
    })
    .await;
}

fn three(inner: Inner, delays: [u64; 3]) -> Cascade<Ping, Pong> {
    Cascade::builder()
        .tier(Tier::new("a", inner.clone()))
        .tier(Tier::new("b", inner.clone()).after(ms(delays[1])))
        .tier(Tier::new("c", inner).after(ms(delays[2])).cost(20.0))
        .spend_cap(SpendCap::new(100.0, 100.0))
        .build()
        .expect("a cascade")
}

#[tokio::test(start_paused = true)]
async fn a_cascade_of_three_tiers_keeps_the_contract() {
    contract(|inner| three(inner, [0, 10, 30])).await;
    contract(|inner| three(inner, [0, 0, 0])).await;
    contract(|inner| {
        three(inner, [0, 10, 30])
            .informed()
            .map_response(|it| it.value)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_a_hedged_tier_and_within_a_hedge_it_keeps_the_contract() {
    contract(|inner| {
        let hedged = Tier::new("a", inner.clone()).hedged(HedgeLayer::fixed(ms(5)));
        let cascade = Cascade::builder()
            .tier(hedged)
            .tier(Tier::new("b", inner).after(ms(10)))
            .build()
            .unwrap();
        HedgeLayer::fixed(ms(7)).layer(cascade)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_later_tier_waits_for_its_own_readiness_and_counts_as_running() {
    let world = World::new();
    let limited = ConcurrencyLimit::new(world.stub("busy", 10, Ok(1.0)), 1);
    let mut holder = limited.clone();
    let held = holder.ready().await.unwrap().call(1);
    let cascade = Cascade::builder()
        .tier(world.tier("fails", 20, Err("down")))
        .tier(Tier::new("busy", limited).after(ms(5)))
        .tier(world.tier("last", 10, Ok(1.0)).after(ms(300)))
        .build_cloning();
    let release = async {
        tokio::time::sleep(ms(100)).await;
        drop(held);
    };
    // The first failed at 20 ms; the second waits, so the third does not come early.
    let ((result, took), ()) = tokio::join!(call(cascade), release);
    assert_eq!((result.unwrap().from, took), ("busy", ms(110)));
    assert_eq!(world.started(), [("busy", 0), ("fails", 0), ("busy", 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_fails_before_it_is_ready_costs_nothing_and_the_next_one_starts() {
    #[derive(Clone)]
    struct Broken;
    impl Service<u64> for Broken {
        type Response = crate::cascade_support::Answer;
        type Error = BoxError;
        type Future = std::future::Pending<Result<Self::Response, BoxError>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Err("broken".into()))
        }

        fn call(&mut self, _: u64) -> Self::Future {
            panic!("it is never ready")
        }
    }
    let world = World::new();
    let cap = SpendCap::new(0.0, 50.0);
    let cascade = |last| {
        Cascade::builder()
            .tier(world.tier("a", 10, Err("down")))
            .tier(Tier::new("broken", Broken).cost(50.0).after(ms(900)))
            .tier(world.tier("last", 10, last).cost(0.0).after(ms(900)))
            .spend_cap(cap.clone())
            .build_cloning()
    };
    let (result, took) = call(cascade(Ok(1.0))).await;
    assert_eq!((result.unwrap().from, took), ("last", ms(20)));
    assert_eq!((cap.available(), cap.spent()), (50.0, 0.0));

    let failing = cascade(Err("last"));
    let handle = failing.handle();
    let error = failing.oneshot(1).await.unwrap_err();
    let errors = race_error(&error).losses().iter();
    let errors: Vec<_> = errors.map(|l| l.error().unwrap().to_string()).collect();
    assert_eq!(errors, ["down", "broken", "last"]);
    assert_eq!(race_error(&error).not_started(), 0);
    let stats = handle.stats();
    assert_eq!((stats.cost, stats.tiers[1].skipped), (1.0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_busy_first_tier_behind_load_shed_passes_the_call_on() {
    let world = World::new();
    let limited = ConcurrencyLimit::new(world.stub("small", 100, Ok(1.0)), 1);
    let cascade = Cascade::builder()
        .tier(Tier::new("small", LoadShed::new(limited)))
        .tier(world.tier("large", 10, Ok(1.0)).after(ms(500)))
        .build_cloning();
    let (first, second) = tokio::join!(call(cascade.clone()), call(cascade));
    assert_eq!((first.0.unwrap().from, first.1), ("small", ms(100)));
    assert_eq!((second.0.unwrap().from, second.1), ("large", ms(10)));
}
