//! What the crate promises, one file a subject.

mod support;

mod attempts;
mod budget;
mod bugs;
mod contract;
mod deadline;
mod drops;
mod events;
mod gate;
mod hostile;
mod http;
mod model;
mod policies;
mod readiness;
mod stats;
mod telemetry;
mod time;
mod timeout;
mod validation;
