//! Retries behind a timeout gate for any tower service: a try that failed is sent again, within the
//! attempts, the time and the budget that there are.
//!
//! [`RetryLayer`] carries it out; a [`RetryPolicy`] says how long to wait; a
//! [`Budget`](hedgerow_core::Budget) bounds what retries may cost; a
//! [`Classify`](hedgerow_core::Classify) judges answers; a [`Recorder`](hedgerow_core::Recorder) is
//! told. [`TimeoutLayer`] bounds one try, [`DeadlineLayer`] the whole call and everything beneath it.
//!
//! # Features
//!
//! * `http`: `.http()` and `.grpc()`, what an answer is worth and how long it asks to wait;
//!   `DeadlineLayer::http`, a deadline that travels in a request's extensions.
//! * `metrics`: [`telemetry`]`::Metrics`, counts and times through the crate `metrics`.

mod layer;
mod build;
mod service;
mod policy;
mod rules;
mod future;
mod turn;
mod ending;
mod books;
mod handle;
mod info;
mod event;
mod error;
mod timer;
mod timeout;
mod deadline;
pub mod telemetry;
#[cfg(feature = "http")]
mod http;

pub use crate::deadline::{
    DeadlineFuture, DeadlineLayer, DeadlineOf, DeadlineSource, WithDeadline,
};
pub use crate::error::{DeadlineExceeded, RetryBuildError, RetryExhausted, StopReason, TimedOut};
pub use crate::event::{RetryEvent, TimeoutEvent};
pub use crate::future::ResponseFuture;
pub use crate::handle::{RetryHandle, RetryStats};
#[cfg(feature = "http")]
pub use crate::http::HttpDeadline;
pub use crate::info::{RetryInfo, Tries, TryInfo, TryOutcome};
#[doc(hidden)]
pub use crate::layer::Settings;
pub use crate::layer::{Parts, RetryLayer};
pub use crate::policy::{Exponential, Failure, Fixed, Jitter, RetryPolicy, Wait};
#[doc(hidden)]
pub use crate::rules::{Rules, Sealed};
pub use crate::service::Retry;
pub use crate::timeout::{Timeout, TimeoutFuture, TimeoutLayer, TimeoutsAreCutOff};
