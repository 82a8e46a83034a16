//! An answer per key.

mod layer;
mod service;
mod keep;
mod rules;
mod call;
mod event;
mod handle;
mod lead;

pub use self::event::{CacheEvent, CacheStatus, StoreDeed};
pub use self::handle::{CacheHandle, CacheStats};
pub use self::keep::{Deposit, Keep, KeepWhole, Lifetime, Lives};
#[doc(hidden)]
pub use self::layer::CacheSettings;
pub use self::layer::{CacheLayer, CacheParts};
pub use self::lead::StoreLead;
#[doc(hidden)]
pub use self::rules::{CacheRules, CacheSealed};
pub use self::service::{Cache, CacheFuture};
