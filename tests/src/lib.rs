//! A loopback HTTP server that the tests script and count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The client of a user: hyper-util's, with requests that have no body.
pub type HyperClient = Client<HttpConnector, Empty<Bytes>>;

/// What a server does with its nth request, counted from 0.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// Answers 200 at once.
    Now,
    /// Answers this status at once.
    Status(u16),
    /// Never answers.
    Never,
}

/// A server on a free loopback port, gone when it is dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Log {
    heads: Mutex<Vec<String>>,
    dropped: Mutex<usize>,
    changed: Notify,
}

/// Notes a handler that was dropped before it answered.
struct Unanswered(Option<Arc<Log>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(log) = &self.0 {
            *log.dropped.lock() += 1;
            log.changed.notify_waiters();
        }
    }
}

impl Server {
    /// Starts a server that treats its nth request as `script` says.
    ///
    /// # Panics
    ///
    /// If there is no free loopback port.
    pub async fn start(script: fn(usize) -> Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let addr = listener.local_addr().expect("it is bound");
        let log = Arc::new(Log::default());
        let mut tasks = JoinSet::new();
        let served = log.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let log = served.clone();
                let service = service_fn(move |request| answer(log.clone(), script, request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move {
                    // A client that hangs up is part of the game.
                    let _ = connection.await;
                });
            }
        });
        Self {
            addr,
            log,
            _tasks: tasks,
        }
    }

    /// Its address as `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many requests came in.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.log.heads.lock().len()
    }

    /// The method, path and `hedge-attempt` header of each request.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        self.log.heads.lock().clone()
    }

    /// Waits until so many handlers were dropped before they answered.
    pub async fn dropped(&self, count: usize) {
        loop {
            let changed = self.log.changed.notified();
            if *self.log.dropped.lock() >= count {
                return;
            }
            changed.await;
        }
    }
}

async fn answer(
    log: Arc<Log>,
    script: fn(usize) -> Answer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let attempt = request.headers().get("hedge-attempt");
    let attempt = attempt.and_then(|value| value.to_str().ok()).unwrap_or("-");
    let head = format!("{} {} {attempt}", request.method(), request.uri().path());
    let number = {
        let mut heads = log.heads.lock();
        heads.push(head);
        heads.len() - 1
    };
    let mut unanswered = Unanswered(Some(log));
    let status = match script(number) {
        Answer::Now => 200,
        Answer::Status(status) => status,
        Answer::Never => std::future::pending().await,
    };
    unanswered.0 = None;
    let mut response = Response::new(Full::from(format!("answer {number}")));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

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
