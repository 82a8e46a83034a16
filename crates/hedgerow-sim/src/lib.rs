//! Workloads, load and upstreams for measuring what a layer does to tail latency.
//!
//! Pieces that are each usable alone:
//!
//! * [`Law`]: latency laws with heavy tails, to draw from and to compute with. What a measurement
//!   should have shown is known in closed form, and so is the [`Limit`] of what hedging can do.
//! * [`Workload`]: what happens to the law in the course of many calls, as a TOML file.
//! * [`Trial`]: many calls of a workload through the real layers, in virtual time.
//! * [`Replicas`] and [`Congestion`]: servers with queues, where extra work makes others wait.
//! * [`Upstream`]: an HTTP server on a real socket that answers after a delay drawn from a law, and
//!   counts what really reached it.
//! * `batch_api` (feature `batch-api`): OpenAI's files and batches on a real socket, with scripted
//!   faults.
//! * [`Load`]: calls sent at a stated rate whether or not the earlier ones have been answered, each
//!   timed from the moment it was due.
//! * [`Picture`] and [`Tradeoff`]: measured curves, and what they cost, as SVG.
//!
//! # Examples
//!
//! What a server of workload `w4` looks like to 100 callers a second:
//!
//! ```
//! use hedgerow_sim::{Law, Load};
//! use rand::{SeedableRng, rngs::StdRng};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let law = Law::w4();
//! let mut rng = StdRng::seed_from_u64(1);
//! let report = Load::new(100.0, 2_000)
//!     .run(|_number| {
//!         let delay = law.sample_duration(&mut rng);
//!         async move {
//!             tokio::time::sleep(delay).await;
//!             Ok::<_, std::convert::Infallible>(())
//!         }
//!     })
//!     .await;
//! assert_eq!(report.latencies().len(), 2_000);
//! assert!(report.latencies().quantile(0.99) > Some(Duration::from_millis(200)));
//! # }
//! ```
//!
//! # Units
//!
//! A law speaks of milliseconds as `f64`, because that is how its parameters are written down.
//! Everything that was measured is a `Duration`. tokio's timer rounds a sleep up to a whole
//! millisecond, and so does the system's poll: on the real clock each sleep is about 1 ms too long
//! (median 1.1 ms at 1,000 sleeps a second), under a paused clock half of that on average. A call
//! sent by [`Load`] to an [`Upstream`] has two on its way.

mod law;
mod limit;
mod workload;
mod latencies;
mod trial;
mod load;
mod replicas;
mod congestion;
mod scenario;
mod upstream;
mod listen;
#[cfg(feature = "batch-api")]
pub mod batch_api;
mod picture;

pub use crate::congestion::{Congested, Congestion, Phase, Tally};
pub use crate::latencies::Latencies;
pub use crate::law::{Law, LawError, LawPart, UnknownLaw};
pub use crate::limit::{Limit, LimitPart, PartedLimit, Schedule, Spending};
pub use crate::load::{Arrivals, Load, LoadError, Report};
pub use crate::picture::{Curve, Picture, Tradeoff};
pub use crate::replicas::{Job, Replicas, ReplicasFuture};
pub use crate::scenario::Scenario;
pub use crate::trial::{Backend, BackendFuture, Call, MILLISECOND, Measured, Trial};
pub use crate::upstream::{BindError, Counts, Upstream};
pub use crate::workload::{Class, Regime, Wave, Workload, WorkloadError};
