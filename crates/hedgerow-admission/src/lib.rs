//! One queue in front of any service: it decides when a request may start.

mod layer;
mod service;
mod future;
mod ready;
mod review;
mod gate;
mod build;
mod ask;
mod permit;
mod shared;
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
pub use crate::layer::{AdmissionLayer, Extras, Parts, ReadyAdmissionLayer};
pub use crate::ledger::{
    Answer, BookId, Claim, Correction, Decision, Later, Leased, Ledger, LocalLedger, MAX_RATES,
    Receipt,
};
pub use crate::limit::{Fixed, LimitPolicy, Outcome, Sample};
pub use crate::permit::{Admission, Permit};
pub use crate::pool::{Pool, ResourceState, Verdict};
pub use crate::queue::{DropRule, Order, Queue};
pub use crate::rate::{Rate, Unit};
pub use crate::ready::{ReadyAdmission, Running};
pub use crate::review::{Judged, Review, Reviews, Settled, Watched};
pub use crate::service::AdmissionService;
