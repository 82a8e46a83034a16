//! A loopback HTTP server that the tests script and count, and a client for it.

mod body;
mod server;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub use crate::body::{Gate, Gated};
pub use crate::server::{Answer, Server, grpc_message};

/// The client of a user: hyper-util's, with requests that have no body.
pub type HyperClient = Client<HttpConnector, Empty<Bytes>>;

/// A client with `TCP_NODELAY` set.
#[must_use]
pub fn client() -> HyperClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// A GET of `url`.
///
/// # Panics
///
/// If `url` is none.
#[must_use]
pub fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).expect("a valid url")
}

/// Long enough for anything on loopback; only a hang takes as long.
pub const PATIENCE: Duration = Duration::from_secs(30);
