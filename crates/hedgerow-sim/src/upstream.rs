//! A server on a real socket whose slowness is known.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use thiserror::Error;
use tokio::time;

use crate::law::Law;
use crate::listen::Listener;

/// An HTTP/1.1 server that answers every request with 200 after a delay drawn from a [`Law`].
///
/// The delay is drawn when the request arrives, from one seeded sequence a server. What it counts
/// is the truth about extra load: [`Counts::requests`] are requests that crossed the wire, however
/// the client keeps its books.
///
/// # Examples
///
/// ```
/// use hedgerow_sim::{Law, Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hedgerow_sim::BindError> {
/// let upstream = Upstream::bind(([127, 0, 0, 1], 0).into(), Law::w4(), 7).await?;
/// let url = format!("http://{}/", upstream.address());
/// // ... send requests to `url` ...
/// # assert!(url.starts_with("http://127.0.0.1:"));
/// let counts = upstream.close().await;
/// assert_eq!(counts.requests, 0);
/// # Ok(())
/// # }
/// ```
///
/// # Readiness, clones and drop
///
/// Dropping it closes the port and cuts every connection at once. [`close`](Self::close) lets
/// running answers end.
///
/// # Units
///
/// tokio's timer makes each delay about 1 ms longer than drawn. Nagle's algorithm is off.
#[derive(Debug)]
pub struct Upstream {
    state: Arc<State>,
    listener: Listener,
}

/// What reached an [`Upstream`] and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that arrived.
    pub requests: u64,
    /// Requests whose answer was given to the connection.
    pub answered: u64,
    /// Requests given up before their answer: the client hung up, or the server was dropped.
    pub abandoned: u64,
}

/// Why an [`Upstream`] could not listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else listens there.
    #[error("cannot listen on {address}: the port is in use; write another, or 0 for a free one")]
    InUse {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The system forbids it.
    #[error(
        "cannot listen on {address}: not allowed; write a port above 1023, or 0 for a free one"
    )]
    Forbidden {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// Anything else, such as an address that is not this machine's.
    #[error("cannot listen on {address}; write an address of this machine, such as 127.0.0.1:0")]
    Io {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Debug)]
struct State {
    law: Law,
    rng: Mutex<StdRng>,
    requests: AtomicU64,
    answered: AtomicU64,
    abandoned: AtomicU64,
}

impl Upstream {
    /// Listens on `address` (port 0: any free port) and serves `law`, drawn from `seed`.
    ///
    /// Give each server its own seed: two with the same one have the same delays in the same
    /// order.
    ///
    /// # Errors
    ///
    /// [`BindError`] if it cannot listen there.
    pub async fn bind(address: SocketAddr, law: Law, seed: u64) -> Result<Self, BindError> {
        let state = Arc::new(State {
            law,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            requests: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
        });
        let served = Arc::clone(&state);
        let listener = Listener::bind(address, move |_request| answer(Arc::clone(&served))).await?;
        Ok(Self { state, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// What has reached it so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Stops accepting, lets running answers end, and gives the final counts.
    ///
    /// Takes as long as the slowest answer that a client still waits for.
    pub async fn close(self) -> Counts {
        self.listener.close().await;
        self.state.counts()
    }
}

async fn answer(state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (delay, pending) = Pending::arrive(&state);
    time::sleep(delay).await;
    pending.answered();
    Ok(Response::new(Full::from("ok\n")))
}

/// A request without its answer yet; dropped as such, it is counted as abandoned.
struct Pending<'a> {
    state: &'a State,
    answered: bool,
}

impl<'a> Pending<'a> {
    fn arrive(state: &'a State) -> (Duration, Self) {
        state.requests.fetch_add(1, Ordering::Relaxed);
        let delay = state.law.sample_duration(&mut *state.rng.lock());
        (
            delay,
            Self {
                state,
                answered: false,
            },
        )
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let end = if self.answered {
            &self.state.answered
        } else {
            &self.state.abandoned
        };
        end.fetch_add(1, Ordering::Relaxed);
    }
}

impl State {
    fn counts(&self) -> Counts {
        Counts {
            requests: self.requests.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
        }
    }
}

impl BindError {
    pub(crate) fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Forbidden { address },
            _ => Self::Io { address, source },
        }
    }
}
