//! A server on a real socket, and the tasks behind it.

use std::error::Error as StdError;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time;

use crate::upstream::BindError;

/// How long a server that cannot accept (out of file descriptors) waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Answers HTTP/1.1 requests by a function. Dropped, it closes the port and cuts every connection.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    /// Holds the accepting task, which holds the connections: dropped together.
    tasks: JoinSet<()>,
}

/// What a [`Listener`] answers by: an error closes the connection without an answer.
pub(crate) trait Answering:
    Fn(Request<Incoming>) -> Self::Answer + Clone + Send + 'static
{
    type Answer: Future<Output = Result<Response<Self::Body>, Self::Error>> + Send;
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
    type Error: Into<BoxError>;
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl<F, A, B, E> Answering for F
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Response<B>, E>> + Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    E: Into<BoxError>,
{
    type Answer = A;
    type Body = B;
    type Error = E;
}

impl Listener {
    pub(crate) async fn bind<F: Answering>(
        address: SocketAddr,
        answer: F,
    ) -> Result<Self, BindError> {
        let refused = |source| BindError::new(address, source);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, answer, stopped));
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and lets running answers end.
    pub(crate) async fn close(self) {
        let Self {
            stop, mut tasks, ..
        } = self;
        // An error says that the accepting task is gone already.
        let _ = stop.send(());
        while tasks.join_next().await.is_some() {}
    }
}

/// Accepts until told to stop, then waits for the connections' running answers.
async fn accept<F: Answering>(
    listener: TcpListener,
    answer: F,
    mut stopped: oneshot::Receiver<()>,
) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _peer)) => serve(stream, &answer, &graceful, &mut connections),
            Err(_) => time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

fn serve<F: Answering>(
    stream: TcpStream,
    answer: &F,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    if stream.set_nodelay(true).is_err() {
        return; // The peer has hung up already.
    }
    let service = service_fn(answer.clone());
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    connections.spawn(async move {
        // A connection ends with an error when its client hangs up, or is to be hung up on.
        let _ = connection.await;
    });
}
