//! Every way to build the layers keeps tower's contract.

use hedgerow_admission::{
    AdmissionLayer, Extras, Gate, Pool, Priority, Queue, Rate, ReadyAdmissionLayer,
};
use hedgerow_core::testing::{Ping, contract};
use tower::Layer;

use crate::support::ms;

#[tokio::test(start_paused = true)]
async fn the_layer_keeps_the_contract_with_and_without_a_limit() {
    contract(|inner| AdmissionLayer::new(Gate::builder().build()).layer(inner)).await;
    contract(|inner| AdmissionLayer::concurrency(1).layer(inner)).await;
}

#[tokio::test(start_paused = true)]
async fn the_layer_keeps_the_contract_with_all_that_a_gate_can_have() {
    contract(|inner| {
        let gate = Gate::builder()
            .concurrency(8)
            .rate(Rate::per_second(10_000))
            .rate(Rate::tokens_per_minute(1_000_000).per_key())
            .queue(Queue::earliest_deadline_first())
            .pool(Pool::least_used(["a", "b"]))
            .build();
        AdmissionLayer::new(gate)
            .cost(|_: &Ping| 3)
            .key(|_: &Ping| "tenant")
            .priority(|_: &Ping| Priority::High)
            .extras(Extras::NowOnly)
            .layer(inner)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn readiness_keeps_the_contract() {
    contract(|inner| ReadyAdmissionLayer::new(Gate::builder().build()).layer(inner)).await;
    contract(|inner| {
        let gate = Gate::builder()
            .concurrency(3)
            .rate(Rate::spacing(ms(1)))
            .build();
        ReadyAdmissionLayer::new(gate).layer(inner)
    })
    .await;
}
