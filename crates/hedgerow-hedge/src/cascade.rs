//! A cascade: one service made of tiers, from the one that is tried first to the last resort.
//!
//! A small model that answers most questions, a larger one for what it cannot; a cache, a replica,
//! the primary. [`Cascade`] asks the first tier, starts the next one when its time has come or
//! when nothing else runs, and returns the first answer that is good enough.

mod tier;
mod build;
mod spend;
mod service;
mod future;
mod run;
mod ending;
mod hedges;
mod handle;
mod info;
mod event;
mod error;
#[cfg(feature = "http")]
mod http;

pub use self::build::CascadeBuilder;
pub use self::error::{CascadeBuildError, CascadeMistake};
pub use self::event::{CascadeEvent, SkipReason};
pub use self::future::{CascadeFuture, InformedFuture};
pub use self::handle::{CascadeHandle, CascadeStats, TierStats};
pub use self::info::{CascadeInfo, Informed, TierInfo};
pub use self::service::{Cascade, InformedCascade};
pub use self::spend::SpendCap;
pub use self::tier::Tier;
