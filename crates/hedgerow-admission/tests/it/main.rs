//! What the crate promises, one file a subject.

#![expect(
    clippy::disallowed_methods,
    reason = "callers are tasks of their own; how long cancelling takes is told by the real clock"
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
mod limits;
mod stress;
#[cfg(feature = "metrics")]
mod telemetry;
