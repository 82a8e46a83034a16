//! What the crate promises, one file a subject.

#![expect(
    clippy::disallowed_methods,
    reason = "tests spawn the callers of a gate, and time 20,000 cancels for the log"
)]

mod support;

mod bounds;
mod cancel;
mod contract;
mod drops;
mod events;
mod ledger;
mod limits_live;
mod mended;
mod model;
mod order;
mod overload;
mod pool;
mod rates;
mod service;
mod stress;
#[cfg(feature = "metrics")]
mod telemetry;
