//! A configured stack, and the timeout in it, keep the contract of every layer.

use std::time::Duration;

use hedgerow::config::{CascadeConfig, StackConfig};
use hedgerow::{TimedOut, TimeoutLayer};
use hedgerow_core::testing::{Ping, Probe, contract};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

#[tokio::test(start_paused = true)]
async fn the_timeout_keeps_the_contract() {
    contract(|inner| TimeoutLayer::new(Duration::from_secs(3_600)).layer(inner)).await;
}

#[tokio::test(start_paused = true)]
async fn a_whole_stack_keeps_the_contract() {
    let config = StackConfig::from_toml(
        r#"
        total_timeout = "1h"
        [[layer]]
        kind = "deadline"
        after = "50m"
        [[layer]]
        kind = "retry"
        attempt_timeout = "40m"
        latency = "shared"
        [[layer]]
        kind = "hedge"
        latency = "shared"
        budget = "shared"
        [[layer]]
        kind = "admission"
        concurrency = 1000
        rates = [{ requests = 1000000, per = "1s" }]
        [[layer]]
        kind = "latency"
        [[layer]]
        kind = "timeout"
        after = "30m"
        "#,
    );
    let stack = config.unwrap().build().unwrap();
    contract(|inner| stack.clone_requests().unwrap().layer(inner)).await;
}

#[tokio::test(start_paused = true)]
async fn each_new_kind_of_layer_keeps_the_contract_alone() {
    for layer in [
        "kind = \"deadline\"\nafter = \"30m\"",
        "kind = \"retry\"",
        "kind = \"admission\"\nconcurrency = 1000",
        "kind = \"admission\"\nconcurrency = 1000\nwaits_in = \"ready\"",
        "kind = \"admission\"\nlimit = { policy = \"aimd\", initial = 1000, max = 1000 }",
    ] {
        let toml = format!("total_timeout = \"none\"\n[[layer]]\n{layer}\n");
        let stack = StackConfig::from_toml(&toml).unwrap().build().unwrap();
        contract(|inner| stack.clone_requests().unwrap().layer(inner)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_ready_made_stacks_keep_the_contract() {
    for config in [StackConfig::http_client(), StackConfig::llm_client()] {
        // Without those of HTTP requests.
        let mut config = config;
        config.layers.retain(|layer| {
            !["idempotent_paths", "replay_body", "await_first"].contains(&layer.kind())
        });
        let mut toml = config.to_toml().unwrap();
        // The contract's slow calls take longer.
        for short in ["30s", "10s", "600s", "120s"] {
            toml = toml.replace(&format!("\"{short}\""), "\"3600s\"");
        }
        let stack = StackConfig::from_toml(&toml).unwrap().build().unwrap();
        contract(|inner| stack.clone_requests().unwrap().layer(inner)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_configured_cascade_keeps_the_contract() {
    let config = CascadeConfig::from_toml(
        r#"
        total_timeout = "1h"
        [[tier]]
        name = "a"
        attempt_timeout = "30m"
        latency = {}
        hedge = { latency = "shared" }
        "#,
    );
    let plan = config.unwrap().build().unwrap();
    contract(|inner| {
        plan.clone_requests([("a", inner)])
            .unwrap()
            .build()
            .unwrap()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_drops_the_call_and_arms_no_timer_for_what_is_ready() {
    let probe = Probe::new();
    let mut service = TimeoutLayer::new(Duration::from_millis(250)).layer(probe.clone());
    let start = Instant::now();
    let never = service.ready().await.unwrap().call(Ping::new(1).never());
    let error = never.await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_millis(250));
    assert_eq!(
        error.downcast_ref::<TimedOut>().unwrap().after,
        Duration::from_millis(250)
    );
    assert_eq!(probe.in_flight(), 0);
}
