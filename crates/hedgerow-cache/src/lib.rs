//! Never pay twice, never answer wrongly: calls that are shared, and answers that are kept, for any tower
//! service.
//!
//! [`CoalesceLayer`] lets identical calls that are under way share one; a [`Lead`] says who makes it.
//! [`CacheLayer`] keeps an answer per key, [`SampleCacheLayer`] several. A [`KeyPolicy`] says which requests are
//! the same; a [`Store`] keeps what was answered: [`MemoryStore`], `DiskStore`, [`Tiered`], or one of your own.
//!
//! # Features
//!
//! * `http`: `HttpKey`, and `.http()` on layers: bodies that are shared while they arrive, kept when they have
//!   passed, and `Cache-Status`.
//! * `disk`: `DiskStore`, a file that survives `kill -9`.
//! * `metrics`: [`telemetry`]`::Metrics`, counts and times through the crate `metrics`.
//! * `testing`: the contract that every store passes.

mod clock;
mod key;
mod store;
mod lead;
mod flight;
mod oneshot;
mod tables;
mod coalesce;
mod background;
mod cache;
mod sample;
#[cfg(feature = "http")]
mod http;
mod error;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::background::Prefetch;
pub use crate::cache::*;
pub use crate::clock::{Clock, Stamp};
pub use crate::coalesce::*;
pub use crate::error::CacheBuildError;
#[cfg(feature = "http")]
pub use crate::http::{
    FellBehind, HttpAnswer, HttpCodec, KeptBodies, KeptBody, SharedBodies, SharedBody,
};
pub use crate::key::{
    Digest, DigestBuilder, Digestible, IgnoredFields, KeyPolicy, WholeRequest, canonical_json,
};
#[cfg(feature = "http")]
pub use crate::key::{HttpKey, Tenant};
pub use crate::lead::{Claim, Lead, Local};
pub use crate::sample::*;
pub use crate::store::*;
