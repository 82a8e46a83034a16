//! One queue in front of any service: it decides when a request may start.
//!
//! How many run at once, how many start in a second, how many tokens in a minute, under which key, in
//! which order, and who is refused: a [`Gate`] decides all of it under one lock, so that the limits never
//! contradict each other and nobody who may start is left waiting. [`AdmissionLayer`] puts a gate in front
//! of a service; [`Gate::permit`] does without tower.
//!
//! ```
//! use hedgerow_admission::{AdmissionLayer, Gate, Queue, Rate};
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let gate = Gate::builder()
//!     .concurrency(32)
//!     .rate(Rate::per_second(200))
//!     .queue(Queue::adaptive_lifo().codel(Duration::from_millis(5), Duration::from_millis(100)))
//!     .build();
//! let mut client = ServiceBuilder::new()
//!     .layer(AdmissionLayer::new(gate))
//!     .service_fn(async |n: u32| Ok::<_, std::convert::Infallible>(n));
//! assert_eq!(client.ready().await?.call(1).await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Which limit
//!
//! A service of your own, with one caller: [`Elasticity`] finds the limit at which more at once brings no
//! more throughput. A service that others call too: [`Vegas`] or [`Aimd`]. One whose capacity is known, or
//! of a handful of workers: a number. One that tells you: [`Dynamic`], or [`Gate::set_limit`].
//!
//! # Which queue
//!
//! Work that can wait: [`Queue::fifo`]. Requests that people wait for: [`Queue::adaptive_lifo`] with
//! [`codel`](Queue::codel), which spends nearly all of the capacity on answers that come in time, at any
//! overload. Requests with deadlines of their own: [`Queue::earliest_deadline_first`].
//!
//! # Two ways in
//!
//! [`AdmissionLayer`] reads what each request asks and waits in the response future.
//! [`ReadyAdmissionLayer`] waits in `poll_ready`, so that what stands above sees the back-pressure; all
//! requests are the same to it.

mod layer;
mod service;
mod future;
mod ready;
mod review;
mod gate;
mod build;
mod ask;
mod permit;
mod waiting;
mod shared;
mod plain;
mod story;
mod queue;
mod limit;
mod rate;
mod ledger;
mod pool;
mod key;
mod event;
mod error;
mod sync;
pub mod telemetry;

pub use crate::ask::{Ask, Asks, Priority, Same, With, what};
pub use crate::build::GateBuilder;
pub use crate::error::{BuildError, Overloaded, ShedReason};
pub use crate::event::{AdmissionEvent, Happened};
pub use crate::future::ResponseFuture;
pub use crate::gate::{AdmissionStats, Gate, KeyState};
pub use crate::key::Key;
pub use crate::layer::{AdmissionLayer, Extras, Parts};
pub use crate::ledger::{
    Answer, BookId, Claim, Correction, Decision, Later, Leased, Ledger, LocalLedger, MAX_RATES,
    Receipt,
};
pub use crate::limit::{
    Aimd, AimdConfig, Dynamic, Elasticity, ElasticityConfig, Fixed, Gradient, GradientConfig,
    LimitError, LimitPolicy, Outcome, Sample, Vegas, VegasConfig,
};
pub use crate::permit::Permit;
pub use crate::pool::{Pool, ResourceState, Verdict};
pub use crate::queue::{DropRule, Order, Queue};
pub use crate::rate::{Rate, Unit};
pub use crate::ready::{ReadyAdmission, ReadyAdmissionLayer, Running};
pub use crate::review::{Judged, Review, Reviews, Settled, Watched};
pub use crate::service::AdmissionService;
pub use crate::waiting::Admission;
