//! One latency histogram for every layer: lock-free, with cut-off samples counted for what they
//! say.
//!
//! [`Latency`] is the histogram, shared by cloning; [`LatencyLayer`] records a service into it; a
//! [`Snapshot`] is a copy to read, merge and hand on.

mod layer;
mod service;
mod handle;
mod snapshot;
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
