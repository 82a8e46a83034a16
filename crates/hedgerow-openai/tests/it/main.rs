//! What the crate promises. Unmodified clients of others meet it in the top-level tests.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[cfg(feature = "batch")]
mod batch;
mod clients;
mod completing;
mod script;
mod streams;
mod tolerant;
mod tolerant_fuzz;
mod tolerant_model;
mod wire;
