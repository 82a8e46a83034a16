//! One latency histogram for every layer: lock-free, with cut-off samples counted for what they
//! say.
//!
//! [`Latency`] is the histogram, shared by cloning; [`LatencyLayer`] records a service into it; a
//! [`Snapshot`] is a copy to read, merge and hand on.
//!
//! # Features
//!
//! * `hlog`: snapshots as the interval log of HdrHistogram's tools, in and out ([`hlog`]).
//! * `serde`: [`Snapshot`] by serde, to save what was learnt and restore it after a restart.

mod layer;
mod service;
mod handle;
mod snapshot;
#[cfg(feature = "hlog")]
pub mod hlog;
#[cfg(feature = "serde")]
mod saved;
mod published;
mod estimate;
mod cell;
mod bucket;
mod error;
mod sync;

pub use crate::error::WindowError;
pub use crate::handle::Latency;
pub use crate::layer::LatencyLayer;
pub use crate::service::{MeasureLatency, ResponseFuture};
pub use crate::snapshot::Snapshot;
