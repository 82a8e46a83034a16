//! A gRPC service config, carried out: retries, hedges, deadlines and a throttle by method.
//!
//! [`ServiceConfig`] reads the JSON that gRPC's own clients take; [`ServiceConfigLayer`] does to a tonic
//! channel what it says. What is read, and how, is on [`ServiceConfig`]; what an attempt's end means is on
//! [`ServiceConfigLayer`].

mod config;
mod read;
mod value;
mod judge;
mod policy;
mod copies;
mod attempts;
mod layer;
mod service;

pub use self::attempts::{Counted, CountedFuture, TimedOutAttempts};
pub use self::config::{HedgingPolicy, MethodConfig, Policy, RetryPolicy, ServiceConfig};
pub use self::copies::{Attempted, Resent};
pub use self::judge::CodeJudge;
pub use self::layer::{MethodHandle, ServiceConfigLayer};
pub use self::policy::{Intervals, Reconnect, Waits};
pub use self::service::{Configured, ConfiguredFuture};
