//! Many calls, one dispatch: callers send requests one by one, the backend gets them together.
//!
//! [`BatchLayer`] carries it out; a [`BatchPolicy`] says how long the first one waits for others; a
//! backend is a `Service` of a [`Batch`], each of whose items carries its own [`Reply`], or one that takes
//! and returns a `Vec` ([`from_vec`]); a [`Recorder`](hedgerow_core::Recorder) is told.
//!
//! # Features
//!
//! * `metrics`: [`telemetry`]`::Metrics`, counts, sizes and times through the crate `metrics`.

mod layer;
mod build;
mod bounds;
mod service;
mod future;
mod batch;
mod from_vec;
mod policy;
mod shared;
mod queue;
mod lane;
mod gaps;
mod partition;
mod worker;
mod riders;
mod same;
mod flying;
mod flight;
mod settle;
mod seat;
mod slot;
mod story;
mod books;
mod sizes;
mod handle;
mod event;
mod error;
mod sync;
pub mod telemetry;

pub use crate::batch::{Batch, Item, Reply};
pub use crate::build::{
    DEFAULT_MAX_IN_FLIGHT, DEFAULT_MAX_QUEUED, DEFAULT_MAX_SIZE, DEFAULT_TIMEOUT,
};
pub use crate::error::{BatchBuildError, BatchError, SharedError};
pub use crate::event::{BatchEvent, BatchOutcome, Reason};
pub use crate::from_vec::{ByKey, FromVec, FromVecFuture, InOrder, InOrderOf, from_vec};
#[doc(hidden)]
pub use crate::from_vec::{HandOut, Matching};
pub use crate::future::ResponseFuture;
pub use crate::handle::{BatchHandle, BatchStats};
pub use crate::layer::BatchLayer;
pub use crate::policy::{Adaptive, BatchPolicy, Decision, Flown, Idle, Linger, Until, Waiting};
pub use crate::service::Batching;
pub use crate::sizes::BatchSizes;
