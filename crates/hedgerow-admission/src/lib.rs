//! One queue in front of any service: it decides when a request may start.

mod limit;

pub use crate::limit::{Fixed, LimitPolicy, Outcome, Sample};
