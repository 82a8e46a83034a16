//! The contract kit, on every way to build the layer.

use std::sync::Arc;

use hedgerow_core::Budget;
use hedgerow_core::testing::contract;
use hedgerow_hedge::policy::{BackoffConfig, Workload};
use hedgerow_hedge::{HedgeLayer, HedgeReady};
use tower::Layer;

use crate::support::ms;

#[tokio::test(start_paused = true)]
async fn every_strategy_keeps_the_contract() {
    contract(|inner| HedgeLayer::percentile(95).layer(inner)).await;
    contract(|inner| HedgeLayer::percentile(50).initial(ms(1)).layer(inner)).await;
    contract(|inner| HedgeLayer::fixed(ms(10)).layer(inner)).await;
    contract(|inner| HedgeLayer::schedule([ms(0), ms(5), ms(500)]).layer(inner)).await;
    contract(|inner| HedgeLayer::off().layer(inner)).await;
    contract(|inner| HedgeLayer::adaptive([ms(5), ms(50)]).layer(inner)).await;
    contract(|inner| HedgeLayer::backoff(BackoffConfig::default()).layer(inner)).await;
    contract(|inner| {
        // Of any request: the kit's is its own.
        HedgeLayer::new(Arc::new(Workload::new(|_: &_| ms(10)))).layer(inner)
    })
    .await;
    contract(|inner| {
        HedgeLayer::parallel(4)
            .budget(Budget::unlimited())
            .layer(inner)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn idle_capacity_only_keeps_the_contract() {
    contract(|inner| {
        HedgeLayer::parallel(3)
            .budget(Budget::unlimited())
            .ready(HedgeReady::NowOnly)
            .layer(inner)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nested_in_itself_it_keeps_the_contract() {
    contract(|inner| {
        let nested = HedgeLayer::fixed(ms(7))
            .budget(Budget::unlimited())
            .layer(inner);
        HedgeLayer::fixed(ms(10))
            .budget(Budget::unlimited())
            .layer(nested)
    })
    .await;
}
