//! The words that every hedgerow layer shares: attempts, budgets, classes, replay, recorders.
//!
//! This crate holds no runtime, no clock and no layer. It names things so that layers which never
//! know each other can still agree: what an [`Attempt`] is, who pays for an extra one
//! ([`Budget`]), until when an answer is of use ([`Deadline`]), what an answer is worth
//! ([`Classify`]), whether a request may be sent again ([`Replay`], [`Copies`]), who is told about it ([`Recorder`]) and where a latency quantile comes from
//! ([`LatencyView`]). An [`Answer`] is there, or comes.
//!
//! # Features
//!
//! * `http`: [`Replay`] for `http::Request`, the [`Idempotent`] mark, [`ReplayBody`], what layers read
//!   and write of messages ([`HttpRequest`], [`HttpResponse`]), and what an answer is worth
//!   ([`HttpJudge`], [`GrpcJudge`]).
//! * `reqwest`: the same for `reqwest::Request` and `reqwest::Response`.
//! * `testing`: the contract kit in [`testing`], which checks any tower layer in one line.

mod answer;
mod attempt;
mod budget;
mod class;
mod copies;
mod deadline;
mod error;
mod quiet;
mod latency;
mod recorder;
mod replay;
mod sync;

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::answer::{Answer, Later};
pub use crate::attempt::Attempt;
pub use crate::budget::{Budget, BudgetError, Grant, Kind};
pub use crate::class::{Class, Classify, OkWins, accept_if};
pub use crate::copies::{ByClone, ByReplay, Copies, Edited, ReplayWith};
pub use crate::deadline::Deadline;
pub use crate::error::{BoxError, cause_ref, or_panic};
pub use crate::latency::LatencyView;
pub use crate::quiet::{caught, drop_quietly, quietly};
pub use crate::recorder::{Recorder, is_name_prefix};
pub use crate::replay::Replay;

#[cfg(feature = "http")]
pub use crate::http::{
    BodyBytes, GrpcCodes, GrpcJudge, HttpJudge, HttpRequest, HttpResponse, Idempotent, Pushback,
    Quota, ReplayBody, Verdict, copy_of, may_be_sent_twice, retry_after,
};
