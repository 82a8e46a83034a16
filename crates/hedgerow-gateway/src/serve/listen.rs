//! Sockets: who is let in, what each connection is bounded by, and how it all ends.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hedgerow::config::ConfigErrors;
use hedgerow::config::reading::Files;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time;

use super::config::GatewayConfig;
use super::door::Door;
use super::patience::Patient;
use super::plan::{Bounds, Plan};

/// How long a gateway that cannot accept (out of file descriptors) waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The longest head of a request.
const HEAD_BYTES: usize = 64 << 10;

/// A gateway that listens.
///
/// # Readiness, clones and drop
///
/// Dropping it closes the port and cuts every connection at once; [`close`](Self::close) lets running answers
/// end.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    door: Arc<Door>,
    stop: oneshot::Sender<()>,
    /// The accepting task, which holds the connections: dropped together.
    accepting: Abort,
}

/// Why a gateway could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refused {
    /// What is written has to be changed.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// It cannot listen there.
    #[error(
        "cannot listen on {address}: {source}; write another address, or port 0 for a free one"
    )]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Debug)]
struct Abort(JoinHandle<usize>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Gateway {
    /// Builds what is written, and listens.
    ///
    /// # Errors
    ///
    /// If the configuration has mistakes, all of them; if the address cannot be listened on.
    pub async fn bind(config: &GatewayConfig) -> Result<Self, Refused> {
        let plan = Plan::new(config, None, Files::Opened)?;
        let address = plan.listen;
        let refused = |source| Refused::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let door = Arc::new(Door::new(plan));
        let (stop, stopped) = oneshot::channel();
        let accepting = accept(listener, Arc::clone(&door), stopped);
        Ok(Self {
            address,
            door,
            stop,
            accepting: Abort(spawned(accepting)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes what is written now for every request that comes from here on; those that run go on as they
    /// began. What routes and upstreams that stay the same have learnt stays. Where it listens stays too.
    ///
    /// # Errors
    ///
    /// If there are mistakes, all of them; then everything stays as it was.
    pub fn reload(&self, config: &GatewayConfig) -> Result<(), ConfigErrors> {
        let plan = Plan::new(config, Some(&self.door.plan.load()), Files::Opened)?;
        self.door.plan.store(Arc::new(plan));
        Ok(())
    }

    /// Stops accepting, lets running answers end within the configured time, and cuts off what is left then.
    /// Returns how many connections were cut.
    pub async fn close(self) -> usize {
        let Self {
            door,
            stop,
            mut accepting,
            ..
        } = self;
        door.close();
        // An error says that the accepting task is gone already.
        let _ = stop.send(());
        (&mut accepting.0).await.unwrap_or(0)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one task that accepts; it ends with its gateway"
)]
fn spawned(task: impl Future<Output = usize> + Send + 'static) -> JoinHandle<usize> {
    tokio::spawn(task)
}

/// Accepts until told to stop, then waits for the connections' running answers; how many it had to cut off.
async fn accept(
    listener: TcpListener,
    door: Arc<Door>,
    mut stopped: oneshot::Receiver<()>,
) -> usize {
    let graceful = GracefulShutdown::new();
    let bounds = door.plan.load().bounds;
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("it is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = &mut stopped => break,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _peer)) => {
                let bounds = door.plan.load().bounds;
                let connection = connection(stream, &door, bounds, &graceful);
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(_) => time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    let drain = door.plan.load().bounds.drain;
    let ended = async {
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
    };
    let in_time = time::timeout(drain, ended).await.is_ok();
    while connections.try_join_next().is_some() {}
    let cut = if in_time { 0 } else { connections.len() };
    connections.shutdown().await;
    cut
}

/// One connection, until it ends.
fn connection(
    stream: TcpStream,
    door: &Arc<Door>,
    bounds: Bounds,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    // An error says that the peer has hung up already.
    let _ = stream.set_nodelay(true);
    let door = Arc::clone(door);
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES as u32)
        .max_concurrent_streams(1_000)
        .keep_alive_interval(bounds.header_timeout)
        .keep_alive_timeout(bounds.header_timeout);
    let io = TokioIo::new(Patient::new(stream, bounds.write_timeout));
    let connection = graceful.watch(builder.serve_connection(io, service).into_owned());
    async move {
        // It ends with an error when its client hangs up, or says what is no HTTP.
        let _ = connection.await;
    }
}
