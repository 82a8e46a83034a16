//! What configuration, ready-made stacks and `complete` promise.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests do not count as test code for the lint"
)]

mod config_mistakes;
mod config_defaults;
mod config_schema;
mod config_round_trip;
mod config_stack;
mod config_http;
#[expect(
    clippy::disallowed_methods,
    reason = "callers that wait side by side, each awaited at the end"
)]
mod config_admission;
mod config_retry;
mod config_contract;
mod config_order;
mod config_guide;
mod config_hostile;
mod config_batch;
mod config_cache;
mod config_cascade;
mod grpc_config;
mod respond;
mod stacks;
mod complete;
