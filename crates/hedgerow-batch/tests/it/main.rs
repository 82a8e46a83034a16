//! What the crate promises, one file a subject.

mod support;

mod adaptive;
mod bisect;
mod conservation;
mod contract;
mod drops;
mod ends;
mod events;
mod faults;
mod forming;
mod items;
mod latency;
mod queue;
mod telemetry;
mod twins;
mod validation;
mod vecs;
