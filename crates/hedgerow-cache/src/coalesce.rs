//! Identical calls in flight share one.

mod layer;
mod service;
mod share;
mod rules;
mod table;
mod mission;
mod future;
mod prefetch;
mod event;
mod error;
mod handle;

pub use self::error::{BehindDeadline, FlightCrashed, SharedFailure};
pub use self::event::{CoalesceEvent, PassReason};
pub use self::future::CoalesceFuture;
pub(crate) use self::handle::bump;
pub use self::handle::{CoalesceHandle, CoalesceStats};
#[doc(hidden)]
pub use self::layer::CoalesceSettings;
pub use self::layer::{CoalesceLayer, CoalesceParts, OnFailure};
pub(crate) use self::mission::Failure;
pub(crate) use self::rules::is_answer;
#[doc(hidden)]
pub use self::rules::{CoalesceRules, CoalesceSealed};
pub use self::service::Coalesce;
pub use self::share::{ByClone, Share};
