//! Tower middleware that cuts tail latency without melting the backend.
//!
//! Put [`HedgeLayer`] around a client: when an attempt takes longer than, say, the 95th percentile
//! of all attempts, another copy of the request is sent, and whichever answers first wins. A
//! [`Budget`] bounds what that may cost, whatever the backend does.
//!
//! ```
//! use hedgerow::HedgeLayer;
//! use std::convert::Infallible;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Infallible> {
//! let client = tower::service_fn(async |id: u64| Ok::<_, Infallible>(id * 2));
//! let mut service = ServiceBuilder::new()
//!     .layer(HedgeLayer::percentile(95).clone_requests())
//!     .service(client);
//! assert_eq!(service.ready().await?.call(21).await?, 42);
//! # Ok(()) }
//! ```
//!
//! An `http::Request` says by its method whether it may be sent twice, so with the feature `http`
//! nothing has to be allowed: `HedgeLayer::percentile(95).http()`. Without tower, [`race`](fn@race) and
//! [`hedge`](fn@hedge) take plain futures; [`Cascade`] asks several different services. See [`guide`] for the rest.
//!
//! What is re-exported here shows examples of its own crate: read `hedgerow_hedge::HedgeLayer` as
//! `hedgerow::HedgeLayer`, and so on.
//!
//! # Features
//!
//! | feature | default | what |
//! | --- | --- | --- |
//! | `latency` | yes | [`Latency`], [`LatencyLayer`] |
//! | `hedge` | yes | [`HedgeLayer`] and its policies; [`race`](fn@race) and [`hedge`](fn@hedge) for plain futures; [`Cascade`] |
//! | `admission` | yes | [`AdmissionLayer`], [`ReadyAdmissionLayer`], [`Gate`]: one queue for concurrency, rates, tokens and keys |
//! | `retry` | yes | [`RetryLayer`] and its policies, [`TimeoutLayer`], [`DeadlineLayer`] |
//! | `cache` | no | [`CoalesceLayer`], [`CacheLayer`], [`SampleCacheLayer`], and what they keep answers in |
//! | `disk` | no | `cache`, and `DiskStore`: a file that survives `kill -9` |
//! | `batch` | no | [`BatchLayer`], [`from_vec`] and the module [`batch`]: many calls, one dispatch |
//! | `http` | no | `Replay` for `http::Request`, `.http()` and `.grpc()` on layers, `ReplayBodyLayer`, `IdempotentPathsLayer`, `AwaitFirstContentLayer`, deadlines on the wire, errors as answers, [`sse`] |
//! | `llm` | no | `http`, and the streams of OpenAI's and Anthropic's servers: `AwaitFirstContentLayer::llm()` |
//! | `hyper` | no | `http`, and [`sent`](fn@sent) knows the errors of hyper's clients |
//! | `reqwest` | no | `hyper`, and `Replay` for `reqwest::Request` of reqwest 0.13 |
//! | `tonic` | no | `http`, and `GrpcLayer`: a channel of tonic 0.14 behind any layer |
//! | `grpc` | no | `config`, `hyper`, `tonic`, and `grpc::ServiceConfigLayer`: a gRPC service config carried out |
//! | `stacks` | no | `admission`, `hedge`, `retry`, `llm`: [`HttpClientLayer`], [`LlmClientLayer`], each a whole stack in one line |
//! | `complete` | no | [`complete`](fn@complete): one call with admission, timeouts and retries |
//! | `metrics` | no | `telemetry::Metrics` and its siblings, `admission::telemetry`: counts and times through the crate `metrics` |
//! | `serde` | no | what was learnt, saved and restored |
//! | `hlog` | no | snapshots as HdrHistogram's interval log |
//! | `config` | no | `admission`, `batch`, `hedge`, `retry`, `llm`, and `config`: a stack as a TOML file, its schema, its explanation |
//! | `testing` | no | the contract kit for tests of your own layers |

#[cfg(feature = "complete")]
mod complete;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "grpc")]
pub mod grpc;
pub mod guide;
#[cfg(all(feature = "admission", feature = "retry"))]
mod judge;
#[cfg(any(feature = "config", feature = "stacks"))]
mod numbers;
#[cfg(feature = "http")]
mod respond;
#[cfg(feature = "stacks")]
mod stacks;

pub use hedgerow_core::{
    Attempt, BoxError, Budget, BudgetError, Class, Classify, Copies, Deadline, Grant, Kind,
    LatencyView, OkWins, Recorder, Replay, accept_if, cause_ref,
};
#[cfg(feature = "http")]
pub use hedgerow_core::{
    BodyBytes, GrpcCodes, GrpcJudge, HttpJudge, HttpRequest, HttpResponse, Idempotent, Pushback,
    Quota, ReplayBody, Verdict, copy_of, may_be_sent_twice, retry_after,
};
#[cfg(feature = "tonic")]
pub use hedgerow_http::GrpcLayer;
#[cfg(feature = "http")]
pub use hedgerow_http::{
    AnthropicJudge, AwaitFirst, AwaitFirstContentLayer, AwaitFirstFrameLayer, Awaited,
    DeadlineHeader, Explain, FirstEvent, FirstFrame, HeldStream, HttpBuildError,
    IdempotentPathsLayer, OpenAiJudge, ReceiveDeadlineLayer, Refusal, RefusalKind, ReplayBodyLayer,
    ReplayBodyStats, ReplayableBody, RespondBody, RespondLayer, ResumedBody, Seen,
    SendDeadlineLayer, Sent, StreamBroken, StreamFormat, UnsentOnly, Wanted, idempotent_paths,
    sent, sse,
};
#[cfg(feature = "llm")]
pub use hedgerow_http::{Blame, ByPath, KnownFormat};

#[cfg(feature = "latency")]
pub use hedgerow_latency::{Latency, LatencyLayer, Snapshot, WindowError};

#[cfg(all(feature = "hedge", feature = "http"))]
pub use hedgerow_hedge::Http;
#[cfg(feature = "hedge")]
pub use hedgerow_hedge::{
    ArgumentError, BoxedRaceError, Candidate, Loss, Race, RaceError, RaceErrorKind, Won,
    buffered_by_completion, hedge, race, race_candidates, try_buffered_by_completion,
};
#[cfg(feature = "hedge")]
pub use hedgerow_hedge::{
    AttemptInfo, BuildError, CallEnd, Delay, DrainLayer, DrainStats, Follow, Hedge, HedgeEvent,
    HedgeHandle, HedgeLayer, HedgePolicy, HedgeReady, HedgeState, HedgeStats, Keys, Losers,
    Outcome, Prediction, RestoreError, Sample, Stateful, WinnerInfo, policy,
};
#[cfg(feature = "hedge")]
pub use hedgerow_hedge::{
    Cascade, CascadeBuildError, CascadeBuilder, CascadeEvent, CascadeHandle, CascadeInfo,
    CascadeMistake, CascadeStats, Informed, SkipReason, SpendCap, Tier, TierInfo, TierStats,
};

#[cfg(feature = "retry")]
pub use hedgerow_retry::{
    DeadlineExceeded, DeadlineLayer, Exponential, Failure, Jitter, Retry, RetryBuildError,
    RetryEvent, RetryExhausted, RetryHandle, RetryInfo, RetryLayer, RetryPolicy, RetryStats,
    StopReason, TimedOut, TimeoutEvent, TimeoutLayer, TimeoutsAreCutOff, TryInfo, TryOutcome, Wait,
};

#[cfg(feature = "batch")]
pub use hedgerow_batch::{
    Batch, BatchBuildError, BatchError, BatchEvent, BatchHandle, BatchLayer, BatchPolicy,
    BatchStats, Batching, from_vec,
};
#[cfg(feature = "cache")]
pub use hedgerow_cache::{
    CacheLayer, CacheStatus, CoalesceLayer, KeyPolicy, MemoryStore, SampleCacheLayer,
    SampleRequest, Samples, Store,
};
#[cfg(feature = "disk")]
pub use hedgerow_cache::{DiskError, DiskStore};
#[cfg(all(feature = "cache", feature = "http"))]
pub use hedgerow_cache::{HttpKey, Tenant};

#[cfg(feature = "complete")]
#[doc(hidden)]
pub use crate::complete::how;
#[cfg(feature = "complete")]
pub use crate::complete::{
    Cancelled, Complete, CompleteError, CompleteWith, Completed, Completing, Took, Usage, complete,
};
#[cfg(feature = "tonic")]
pub use crate::respond::respond_grpc;
#[cfg(feature = "http")]
pub use crate::respond::{refusal, respond, responding};
#[cfg(feature = "stacks")]
pub use crate::stacks::{HttpClientLayer, LlmClientLayer, ServiceBuilderExt};

#[cfg(all(feature = "admission", feature = "retry"))]
pub use crate::judge::RefusalsAskToWait;

#[cfg(feature = "admission")]
pub use hedgerow_admission::{
    AdmissionLayer, Ask, Gate, Overloaded, Pool, Priority, Queue, Rate, ReadyAdmissionLayer,
    ShedReason,
};

/// Recorders that hand the layers' events on, to the crate `metrics` and to `tracing`: `Metrics` and
/// `Traces` for hedges and cascades, `RetryMetrics` and `RetryTraces` for retries, timeouts and deadlines,
/// `FirstMetrics` and `FirstTraces` for answers that are held until their first frame or content,
/// `CacheMetrics` and `CacheTraces` for caches and coalescers, `BatchMetrics` and `BatchTraces` for batches.
#[cfg(any(
    feature = "batch",
    feature = "cache",
    feature = "hedge",
    feature = "http",
    feature = "retry"
))]
pub mod telemetry {
    #[cfg(all(feature = "batch", feature = "metrics"))]
    pub use hedgerow_batch::telemetry::Metrics as BatchMetrics;
    #[cfg(feature = "batch")]
    pub use hedgerow_batch::telemetry::Traces as BatchTraces;
    #[cfg(all(feature = "cache", feature = "metrics"))]
    pub use hedgerow_cache::telemetry::Metrics as CacheMetrics;
    #[cfg(feature = "cache")]
    pub use hedgerow_cache::telemetry::Traces as CacheTraces;
    #[cfg(all(feature = "hedge", feature = "metrics"))]
    pub use hedgerow_hedge::telemetry::Metrics;
    #[cfg(feature = "hedge")]
    pub use hedgerow_hedge::telemetry::Traces;
    #[cfg(all(feature = "http", feature = "metrics"))]
    pub use hedgerow_http::telemetry::Metrics as FirstMetrics;
    #[cfg(feature = "http")]
    pub use hedgerow_http::telemetry::Traces as FirstTraces;
    #[cfg(all(feature = "retry", feature = "metrics"))]
    pub use hedgerow_retry::telemetry::Metrics as RetryMetrics;
    #[cfg(feature = "retry")]
    pub use hedgerow_retry::telemetry::Traces as RetryTraces;
}

/// All of the admission queue: its policies, ledgers, events, and how requests are read.
#[cfg(feature = "admission")]
pub mod admission {
    #[doc(inline)]
    pub use hedgerow_admission::*;
}

/// All of coalescing and caching: stores, codecs, keys, events, and the contract of stores.
#[cfg(feature = "cache")]
pub mod cache {
    #[doc(inline)]
    pub use hedgerow_cache::*;
}

/// All of batching: its policies, what a backend gets, what the layer tells.
#[cfg(feature = "batch")]
pub mod batch {
    #[doc(inline)]
    pub use hedgerow_batch::*;
}

#[cfg(feature = "testing")]
pub use hedgerow_core::testing;

#[cfg(feature = "hlog")]
#[doc(inline)]
pub use hedgerow_latency::hlog;

/// The crates beneath, for the types that one rarely names: how requests are copied, response
/// futures, a layer's parts.
pub mod crates {
    #[cfg(feature = "admission")]
    pub use hedgerow_admission as admission;
    #[cfg(feature = "batch")]
    pub use hedgerow_batch as batch;
    #[cfg(feature = "cache")]
    pub use hedgerow_cache as cache;
    #[cfg(feature = "hedge")]
    pub use hedgerow_hedge as hedge;
    #[cfg(feature = "http")]
    pub use hedgerow_http as http;
    #[cfg(feature = "latency")]
    pub use hedgerow_latency as latency;
    #[cfg(feature = "retry")]
    pub use hedgerow_retry as retry;
}
