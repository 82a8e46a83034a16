//! Hedged requests for any tower service: when an attempt takes longer than it should, send
//! another and take whichever answers first.
//!
//! [`HedgeLayer`] carries it out; a [`HedgePolicy`] decides when; a
//! [`Budget`](hedgerow_core::Budget) bounds what it may cost; a
//! [`Classify`](hedgerow_core::Classify) judges answers; a [`Recorder`](hedgerow_core::Recorder) is
//! told.
//!
//! Without tower, [`race`](fn@race), [`race_candidates`] and [`hedge`](fn@hedge) do the same for
//! plain futures: see [`plain`].
//!
//! [`Cascade`] is a service made of several different ones, from the cheapest to the last resort.

mod layer;
mod build;
mod keys;
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
pub mod plain;
mod cascade;
mod losers;
mod books;
mod observe;
mod saved;
mod percentiles;
mod handle;
mod info;
mod event;
pub mod telemetry;
mod error;
#[cfg(feature = "http")]
mod http;

pub use crate::cascade::{
    Cascade, CascadeBuildError, CascadeBuilder, CascadeEvent, CascadeFuture, CascadeHandle,
    CascadeInfo, CascadeMistake, CascadeStats, Informed, InformedCascade, InformedFuture,
    SkipReason, SpendCap, Tier, TierInfo, TierStats,
};
pub use crate::drain::{Drain, DrainLayer, DrainStats, Drained};
pub use crate::error::BuildError;
pub use crate::event::HedgeEvent;
pub use crate::exchange::{ByClone, ByReplay, Edited, Exchange, ReplayWith};
pub use crate::future::ResponseFuture;
pub use crate::handle::{HedgeHandle, HedgeStats};
#[cfg(feature = "http")]
pub use crate::http::Http;
pub use crate::info::{AttemptInfo, Attempts, Outcome, WinnerInfo};
pub use crate::judge::ShowLosses;
#[doc(hidden)]
pub use crate::layer::Settings;
pub use crate::layer::{HedgeLayer, HedgeReady, Parts};
pub use crate::losers::{Losers, OnLosers};
pub use crate::observe::Prediction;
pub use crate::plain::{
    ArgumentError, BoxedRaceError, BufferedByCompletion, Candidate, FailFast, IntoCandidate, Loss,
    Race, RaceError, RaceErrorKind, Won, buffered_by_completion, hedge, race, race_candidates,
    try_buffered_by_completion,
};
pub use crate::policy::{CallEnd, Delay, Follow, HedgePolicy, Keyed, Keys, Sample, Stateful};
#[doc(hidden)]
pub use crate::rules::{Rules, Sealed};
pub use crate::saved::{HedgeState, RestoreError};
pub use crate::service::Hedge;
#[cfg(feature = "http")]
pub use hedgerow_core::{GrpcJudge, HttpJudge};
