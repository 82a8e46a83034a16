//! An answer per key.

mod layer;
mod parts;
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
pub use self::layer::CacheLayer;
pub use self::lead::StoreLead;
pub use self::parts::CacheParts;
#[doc(hidden)]
pub use self::parts::CacheSettings;
#[doc(hidden)]
pub use self::rules::{CacheRules, CacheSealed};
pub use self::service::{Cache, CacheFuture};
