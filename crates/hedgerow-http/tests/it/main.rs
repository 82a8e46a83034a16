//! What the crate promises. Over real sockets it stands in the top-level tests.

mod bodies;
mod contract;
mod deadline;
mod first;
#[cfg(feature = "tonic")]
mod grpc;
#[cfg(feature = "llm")]
mod known;
mod judges;
mod paths;
mod properties;
mod respond;
mod script;
mod sse;
mod sse_fuzz;
mod sse_model;
