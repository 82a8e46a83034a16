//! The server: HTTP/1 and HTTP/2 on one port, and just enough gRPC.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::body::{Gate, Gated};

/// How much of a body a server takes without reading it, over HTTP/2.
const STREAM_WINDOW: u32 = 64 << 10;

/// What a server does with its nth request, counted from 0.
///
/// Unless said otherwise it reads the request's body first. A gRPC request gets a message instead of
/// a text.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// Answers 200 at once.
    Now,
    /// Answers this status at once: for a gRPC request, this `grpc-status` in the headers.
    Status(u16),
    /// Answers a gRPC request `UNAVAILABLE`, and asks for no further attempt.
    PushesBack,
    /// Answers 200 and the first of three chunks at once, the others when [`Server::release`] is
    /// called.
    InChunks,
    /// Answers 200 when [`Server::let_one_go`] is called.
    WhenLetGo,
    /// Never answers.
    Never,
    /// Reads one frame of the body, no more, and never answers.
    StopsReading,
    /// Reads one frame of the body and breaks off: the connection, or over HTTP/2 the stream.
    BreaksOff,
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
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
    /// Of each request, once it was read to its end.
    bodies: Mutex<Vec<Option<Bytes>>>,
    dropped: Mutex<usize>,
    changed: Notify,
    let_go: Notify,
    gate: Gate,
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
        tasks.spawn(serve(listener, script, log.clone()));
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

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::Relaxed)
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

    /// The body of each request, where it was read to its end.
    #[must_use]
    pub fn bodies(&self) -> Vec<Option<Bytes>> {
        self.log.bodies.lock().clone()
    }

    /// Waits until so many requests came in.
    pub async fn received(&self, count: usize) {
        self.until(|| self.requests() >= count).await;
    }

    /// Waits until so many handlers were dropped before they answered.
    pub async fn dropped(&self, count: usize) {
        self.until(|| *self.log.dropped.lock() >= count).await;
    }

    /// Lets the later chunks of all answers go.
    pub fn release(&self) {
        self.log.gate.open();
    }

    /// Answers one request that waits for it, or the next that will.
    pub fn let_one_go(&self) {
        self.log.let_go.notify_one();
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.log.changed.notified());
            changed.as_mut().enable();
            if reached() {
                return;
            }
            changed.await;
        }
    }
}

async fn serve(listener: TcpListener, script: fn(usize) -> Answer, log: Arc<Log>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        log.connections.fetch_add(1, Ordering::Relaxed);
        let log = log.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(log.clone(), script, request));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            // Of a connection's window of 1 MiB, so that one stalled upload leaves room for others.
            builder.http2().initial_stream_window_size(STREAM_WINDOW);
            // A client that hangs up is part of the game.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    log: Arc<Log>,
    script: fn(usize) -> Answer,
    request: Request<Incoming>,
) -> Result<Response<Gated>, io::Error> {
    let number = log.note(&request);
    let grpc = request
        .headers()
        .get("content-type")
        .is_some_and(|value| value == "application/grpc");
    let mut unanswered = Unanswered(Some(log.clone()));
    let script = script(number);
    let mut body = request.into_body();
    if let Answer::StopsReading | Answer::BreaksOff = script {
        body.frame().await;
        if let Answer::StopsReading = script {
            pending::<()>().await;
        }
        return Err(io::Error::other("broken off on purpose"));
    }
    // A body that breaks off is not noted, and its client is not answered.
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    log.bodies.lock()[number] = Some(body);
    let mut chunks = 1;
    let mut status = 200;
    match script {
        Answer::Status(other) => status = other,
        Answer::PushesBack => status = 14,
        Answer::InChunks => chunks = 3,
        Answer::WhenLetGo => log.let_go.notified().await,
        Answer::Never => pending().await,
        _ => {}
    }
    unanswered.0 = None;
    let text = format!("answer {number}");
    let gate = if chunks == 1 {
        Gate::opened()
    } else {
        log.gate.clone()
    };
    Ok(if grpc {
        let mut response = grpc_response(gate, &text, chunks, status);
        if let Answer::PushesBack = script {
            let never = HeaderValue::from_static("-1");
            response
                .headers_mut()
                .insert("grpc-retry-pushback-ms", never);
        }
        response
    } else {
        let frames = (0..chunks).map(|_| Frame::data(Bytes::from(text.clone())));
        let mut response = Response::new(Gated::new(gate, frames));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        response
    })
}

impl Log {
    fn note(&self, request: &Request<Incoming>) -> usize {
        let attempt = request.headers().get("hedge-attempt");
        let attempt = attempt.and_then(|value| value.to_str().ok()).unwrap_or("-");
        let head = format!("{} {} {attempt}", request.method(), request.uri().path());
        let mut heads = self.heads.lock();
        heads.push(head);
        self.bodies.lock().push(None);
        self.changed.notify_waiters();
        heads.len() - 1
    }
}

/// Messages and then the trailers, or headers alone for a status that is not `OK`.
fn grpc_response(gate: Gate, text: &str, messages: usize, status: u16) -> Response<Gated> {
    let mut frames = Vec::new();
    let mut head = HeaderMap::new();
    head.insert("content-type", HeaderValue::from_static("application/grpc"));
    if status == 200 {
        frames.resize_with(messages, || Frame::data(grpc_message(text)));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(0));
        frames.push(Frame::trailers(trailers));
    } else {
        head.insert("grpc-status", HeaderValue::from(status));
    }
    let mut response = Response::new(Gated::new(gate, frames));
    *response.headers_mut() = head;
    response
}

/// A message with the one field `string = 1`, in its frame.
///
/// # Panics
///
/// If `text` has more than 127 bytes.
#[must_use]
pub fn grpc_message(text: &str) -> Bytes {
    let length = u8::try_from(text.len()).expect("a short text");
    assert!(length < 128, "its length is one byte");
    let mut bytes = vec![0, 0, 0, 0, length + 2, 0x0A, length];
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}
