//! Typed configuration as data: a file, or a struct, into layers.
//!
//! [`StackConfig`] is a whole stack, a list of [`LayerConfig`]s from the outside in; each layer's
//! configuration can also be built alone ([`HedgeConfig::build`]). [`CascadeConfig`] is a cascade, a list
//! of [`TierConfig`]s, as a file of its own; so is [`BatchConfig`], a batching layer. All of them are plain serde structs:
//! TOML is the format of files, JSON has the same shape. The guide's page
//! [`configuration`](crate::guide::configuration) has the format with every key.
//!
//! Reading tells **every mistake at once** ([`ConfigErrors`]), each with its line, the path of its key,
//! what was written and what to write. A key that is not known is one. [`Describe`] gives the JSON
//! schema and a list of keys from the structs themselves, with the defaults that the layers have.

mod stack;
mod ready_made;
mod hedge;
mod retry;
mod admission;
mod budget;
mod key;
mod drain;
mod latency;
mod receive_deadline;
mod deadline;
mod timeout;
mod bodies;
mod first;
mod send_deadline;
mod cache;
mod coalesce;
mod http_key;
mod store;
mod answer;
mod cascade;
mod batch;
mod time;
mod default;
mod member;
mod assemble;
mod wrap;
mod order;
mod explain;
mod describe;
mod read;
mod tree;
mod once;
mod check;
mod error;

/// How other files of this workspace are read. It is for them alone, and may change with every release.
#[doc(hidden)]
pub mod reading {
    pub use super::assemble::{Files, stack};
    pub use super::check::guess;
    pub use super::error::Mistakes;
    pub use super::read::{contents, table, text};
}

/// The reading of JSON that has no layers.
#[cfg(feature = "grpc")]
pub(crate) mod reading_json {
    pub(crate) use super::read::{Readable, json, text};
}

pub use self::admission::{
    AdmissionConfig, CostConfig, DropName, ExtrasConfig, LimitConfig, LimitName, OrderName,
    QueueConfig, RateConfig, WaitsIn,
};
pub use self::answer::StackBody;
pub use self::assemble::Stack;
pub use self::batch::{BatchConfig, BatchStrategy};
pub use self::bodies::{IdempotentPathsConfig, ReplayBodyConfig};
pub use self::budget::{BudgetConfig, BudgetName, BudgetShare};
pub use self::cache::{CacheConfig, ConfiguredCache};
pub use self::cascade::{CascadeConfig, CascadePlan, SpendCapConfig, TierConfig};
pub use self::coalesce::{CoalesceConfig, ConfiguredCoalescer, OnFailureName};
pub use self::deadline::DeadlineConfig;
pub use self::describe::{Describe, Description, KeyDescription, VERSION};
pub use self::drain::DrainConfig;
pub use self::error::{ConfigErrors, Mistake};
pub use self::explain::{Explained, Explanation, Setting};
pub use self::first::{AwaitFirstConfig, AwaitedName};
pub use self::hedge::{
    ConfiguredPolicy, DEFAULT_PERCENTILE, HedgeConfig, LatencySource, Protocol, Ready, Strategy,
};
pub use self::http_key::{HttpKeyConfig, KeyName};
pub use self::latency::{ConfiguredLatency, LatencyConfig};
pub use self::order::Warning;
pub use self::receive_deadline::ReceiveDeadlineConfig;
pub use self::retry::{ConfiguredWaits, GateSource, JitterConfig, RetryConfig};
pub use self::send_deadline::SendDeadlineConfig;
pub use self::stack::{DEFAULT_TOTAL_TIMEOUT, LayerConfig, NoTimeout, StackConfig, TotalTimeout};
pub use self::store::{ConfiguredStore, StoreConfig};
pub use self::time::{ConfigDuration, ParseDurationError};
pub use self::timeout::TimeoutConfig;
pub use self::wrap::{CloneStack, HttpStack};

/// A table in one line, as it would be written.
fn told(table: &impl serde::Serialize) -> String {
    let table = toml::Value::try_from(table);
    table.map_or_else(|_| "?".to_owned(), |table| table.to_string())
}
