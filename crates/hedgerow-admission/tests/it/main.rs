//! What the crate promises, one file a subject.

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
