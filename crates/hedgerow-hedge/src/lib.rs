//! Hedged requests for any tower service: when an attempt takes longer than it should, send
//! another and take whichever answers first.
//!
//! [`HedgeLayer`] carries it out; a [`HedgePolicy`] decides when; a
//! [`Budget`](hedgerow_core::Budget) bounds what it may cost; a
//! [`Classify`](hedgerow_core::Classify) judges answers; a [`Recorder`](hedgerow_core::Recorder) is
//! told.

mod layer;
mod build;
mod service;
pub mod policy;
mod exchange;
mod judge;
mod rules;
mod future;
mod race;
mod extra;
mod ending;
mod drain;
mod books;
mod handle;
mod info;
mod event;
mod error;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod grpc;

pub use crate::drain::{Drain, DrainLayer, DrainStats, Drained};
pub use crate::error::BuildError;
pub use crate::event::HedgeEvent;
pub use crate::exchange::{ByClone, ByReplay, Edited, Exchange, ReplayWith};
pub use crate::future::ResponseFuture;
#[cfg(feature = "http")]
pub use crate::grpc::GrpcJudge;
pub use crate::handle::{HedgeHandle, HedgeStats};
#[cfg(feature = "http")]
pub use crate::http::{Http, HttpJudge};
pub use crate::info::{AttemptInfo, Outcome, WinnerInfo};
pub use crate::judge::ShowLosses;
#[doc(hidden)]
pub use crate::layer::Settings;
pub use crate::layer::{HedgeLayer, HedgeReady, Parts};
pub use crate::policy::{Delay, HedgePolicy, Sample};
#[doc(hidden)]
pub use crate::rules::{Rules, Sealed};
pub use crate::service::Hedge;
