//! Never pay twice: coalescing, caching and sample caching for any tower service.

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
