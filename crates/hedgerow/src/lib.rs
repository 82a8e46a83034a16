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
//! [`hedge`](fn@hedge) take plain futures. See [`guide`] for the rest.
//!
//! # Features
//!
//! | feature | default | what |
//! | --- | --- | --- |
//! | `latency` | yes | [`Latency`], [`LatencyLayer`] |
//! | `hedge` | yes | [`HedgeLayer`] and its policies; [`race`](fn@race) and [`hedge`](fn@hedge) for plain futures |
//! | `http` | no | `Replay` for `http::Request`, `HedgeLayer::http` and `grpc`, `ReplayBodyLayer`, `IdempotentPathsLayer` |
//! | `reqwest` | no | `http`, and `Replay` for `reqwest::Request` |
//! | `tonic` | no | `http`, and `GrpcLayer`: a tonic channel behind any layer |
//! | `metrics` | no | `telemetry::Metrics`: counts and times through the crate `metrics` |
//! | `serde` | no | what was learnt, saved and restored |
//! | `hlog` | no | snapshots as HdrHistogram's interval log |
//! | `config` | no | `hedge`, `http`, and `config`: a stack as a TOML file, its schema, its explanation |
//! | `testing` | no | the contract kit for tests of your own layers |

#[cfg(feature = "config")]
pub mod config;
pub mod guide;

pub use hedgerow_core::{
    Attempt, BoxError, Budget, BudgetError, Class, Classify, Grant, Kind, LatencyView, OkWins,
    Recorder, Replay, accept_if, cause_ref,
};
#[cfg(feature = "http")]
pub use hedgerow_core::{HttpRequest, HttpResponse, Idempotent, ReplayBody, may_be_sent_twice};
#[cfg(feature = "tonic")]
pub use hedgerow_http::GrpcLayer;
#[cfg(feature = "http")]
pub use hedgerow_http::{
    HttpBuildError, IdempotentPathsLayer, ReplayBodyLayer, ReplayBodyStats, ReplayableBody,
    idempotent_paths,
};

#[cfg(feature = "latency")]
pub use hedgerow_latency::{Latency, LatencyLayer, Snapshot, WindowError};

#[cfg(feature = "hedge")]
pub use hedgerow_hedge::{
    ArgumentError, BoxedRaceError, Candidate, Loss, Race, RaceError, RaceErrorKind, Won,
    buffered_by_completion, hedge, race, race_candidates, try_buffered_by_completion,
};
#[cfg(feature = "hedge")]
pub use hedgerow_hedge::{
    AttemptInfo, BuildError, Delay, DrainLayer, DrainStats, Hedge, HedgeEvent, HedgeHandle,
    HedgeLayer, HedgePolicy, HedgeReady, HedgeState, HedgeStats, Keys, Losers, Outcome, Prediction,
    RestoreError, Sample, Stateful, WinnerInfo, policy, telemetry,
};
#[cfg(all(feature = "hedge", feature = "http"))]
pub use hedgerow_hedge::{GrpcJudge, Http, HttpJudge};

#[cfg(feature = "testing")]
pub use hedgerow_core::testing;

/// The whole crate of the hedge layer, for the types that one rarely names: its
/// [`Parts`](hedgerow_hedge::Parts), how requests are copied, the response future.
///
/// The function [`hedge`](fn@hedge) has the same name in another namespace: `hedge(..)` is the
/// function, `hedge::` the crate.
#[cfg(feature = "hedge")]
pub use hedgerow_hedge as hedge;
/// The whole crate of what HTTP and gRPC need, for the types that one rarely names.
#[cfg(feature = "http")]
pub use hedgerow_http as http;
/// The whole crate of the latency histogram.
#[cfg(feature = "latency")]
pub use hedgerow_latency as latency;
