//! What HTTP and gRPC need so that a request can be sent more than once.
//!
//! * [`ReplayBodyLayer`] makes a body that several attempts can read at once.
//! * [`IdempotentPathsLayer`] marks requests that may be sent twice by their path. A gRPC call is
//!   always a `POST`, so its method says nothing.
//! * [`sse`] reads server-sent events from chunks and bodies that are cut anywhere.
//! * `GrpcLayer` (feature `tonic`) puts both, and a layer of your choice, around a tonic channel.
//!
//! # Features
//!
//! * `tonic`: `GrpcLayer`.

mod layer;
mod service;
mod body;
mod stats;
mod paths;
#[cfg(feature = "tonic")]
mod grpc;
mod error;
pub mod sse;

pub use crate::body::ReplayableBody;
pub use crate::error::HttpBuildError;
#[cfg(feature = "tonic")]
pub use crate::grpc::{GrpcLayer, GrpcService, TonicBodies};
pub use crate::layer::ReplayBodyLayer;
pub use crate::paths::{IdempotentPaths, IdempotentPathsLayer, idempotent_paths};
pub use crate::service::ReplayBodies;
pub use crate::stats::ReplayBodyStats;
