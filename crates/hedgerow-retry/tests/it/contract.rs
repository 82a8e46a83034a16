//! The contract kit, on every way to build the layers.

use hedgerow_core::Budget;
use hedgerow_core::testing::contract;
use hedgerow_retry::{DeadlineLayer, Exponential, Failure, RetryLayer, TimeoutLayer, Wait};
use tower::Layer;

use crate::support::{ms, secs};

const FAR: u64 = 10_000_000;

#[tokio::test(start_paused = true)]
async fn every_policy_keeps_the_contract() {
    contract(|inner| RetryLayer::exponential().layer(inner)).await;
    contract(|inner| RetryLayer::decorrelated().layer(inner)).await;
    contract(|inner| RetryLayer::fixed(ms(0)).layer(inner)).await;
    contract(|inner| RetryLayer::fixed(ms(7)).attempts(64).layer(inner)).await;
    contract(|inner| RetryLayer::exponential().attempts(1).layer(inner)).await;
    contract(|inner| RetryLayer::new(Exponential::new(ms(1), ms(2)).seed(1)).layer(inner)).await;
    contract(|inner| RetryLayer::new(|_: &Failure| Wait::Stop).layer(inner)).await;
}

#[tokio::test(start_paused = true)]
async fn every_setting_keeps_the_contract() {
    contract(|inner| {
        RetryLayer::exponential()
            .attempt_timeout(secs(FAR))
            .deadline(secs(FAR))
            .timeouts_are_final()
            .forget_answers()
            .pushback_cap(ms(1))
            .latency(hedgerow_latency::Latency::new())
            .gate_percentile(95)
            .budget(Budget::unlimited())
            .on_event(|_: &_| ())
            .layer(inner)
    })
    .await;
    contract(|inner| {
        RetryLayer::fixed(ms(1))
            .share_budget(Budget::percent(0.0).depth(0))
            .clone_requests()
            .edit(|_: &mut _, _| ())
            .layer(inner)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn timeout_and_deadline_keep_the_contract() {
    contract(|inner| TimeoutLayer::new(secs(FAR)).layer(inner)).await;
    contract(|inner| DeadlineLayer::new(secs(FAR)).layer(inner)).await;
    contract(|inner| DeadlineLayer::inherited().layer(inner)).await;
    contract(|inner| {
        DeadlineLayer::inherited()
            .deadline_of(|_: &_| None)
            .layer(inner)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nested_in_one_another_they_keep_the_contract() {
    contract(|inner| {
        let tried = RetryLayer::fixed(ms(3)).layer(TimeoutLayer::new(secs(FAR)).layer(inner));
        DeadlineLayer::new(secs(FAR)).layer(RetryLayer::exponential().layer(tried))
    })
    .await;
}
