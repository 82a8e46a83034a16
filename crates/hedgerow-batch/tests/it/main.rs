//! What the crate promises, one file a subject.

mod support;

mod contract;
mod forming;
mod items;
mod faults;
mod drops;
mod queue;
mod ends;
mod bisect;
mod twins;
mod vecs;
mod conservation;
