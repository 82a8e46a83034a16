//! Promises of the mock of a Batch API.

mod client;
mod faults;
mod files;
mod lifecycle;
mod refusals;
mod sockets;
