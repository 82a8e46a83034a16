//! What HTTP and gRPC mean: requests that can be sent more than once, answers that count.
//!
//! * [`ReplayBodyLayer`] makes a body that several attempts can read at once.
//! * [`IdempotentPathsLayer`] marks requests that may be sent twice by their path. A gRPC call is
//!   always a `POST`, so its method says nothing.
//! * [`AwaitFirstFrameLayer`] and [`AwaitFirstContentLayer`] let an answer count only once something has
//!   come of it.
//! * [`OpenAiJudge`] and [`AnthropicJudge`] say what answers are worth, [`sent`](fn@sent) whether a request
//!   that failed may have been acted upon.
//! * [`SendDeadlineLayer`] and [`ReceiveDeadlineLayer`] take a deadline from one process to another.
//! * [`RespondLayer`] turns errors into answers.
//! * [`sse`] reads server-sent events from chunks and bodies that are cut anywhere.
//! * `GrpcLayer` (feature `tonic`) puts the first two, and a layer of your choice, around a tonic channel.
//!
//! # Features
//!
//! * `llm`: the streams of OpenAI's and Anthropic's servers, `KnownFormat`.
//! * `hyper`: [`sent`](fn@sent) knows the errors of hyper's and reqwest's clients.
//! * `metrics`: [`telemetry`]'s `Metrics`, through the crate `metrics`.
//! * `tonic`: `GrpcLayer`.

mod layer;
mod service;
mod body;
mod resumed;
mod stats;
mod paths;
#[cfg(feature = "tonic")]
mod grpc;
mod error;
mod first;
mod deadline;
mod judge;
mod respond;
mod sent;
pub mod sse;
pub mod telemetry;

pub use crate::body::ReplayableBody;
pub use crate::deadline::{
    DeadlineHeader, ReceiveDeadline, ReceiveDeadlineLayer, ReceivedFuture, SendDeadline,
    SendDeadlineLayer,
};
pub use crate::error::HttpBuildError;
pub use crate::first::{
    AwaitFirst, AwaitFirstContentLayer, AwaitFirstFrameLayer, AwaitFirstFuture, Awaited,
    FirstEvent, FirstFrame, HeldStream, Seen, StreamBroken, StreamFormat, Wanted,
};
#[cfg(feature = "llm")]
pub use crate::first::{Blame, ByPath, KnownFormat};
#[cfg(feature = "tonic")]
pub use crate::grpc::{GrpcLayer, GrpcService, TonicBodies};
pub use crate::judge::{AnthropicJudge, OpenAiJudge};
pub use crate::layer::ReplayBodyLayer;
pub use crate::paths::{IdempotentPaths, IdempotentPathsLayer, idempotent_paths};
pub use crate::respond::{
    Explain, Refusal, RefusalKind, Respond, RespondBody, RespondFuture, RespondLayer,
};
pub use crate::resumed::ResumedBody;
pub use crate::sent::{Sent, UnsentOnly, sent};
pub use crate::service::ReplayBodies;
pub use crate::stats::ReplayBodyStats;
