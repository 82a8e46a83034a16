//! Peers that reset, refuse, break off, go away, stall and do not read: nothing hangs past its deadline,
//! and afterwards everything is as it was.
//!
//! A program of its own, because it counts the descriptors of its process.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::{
    AdmissionLayer, BoxError, Budget, DeadlineExceeded, DeadlineLayer, Gate, HedgeLayer, Kind,
    RetryExhausted, RetryLayer, StopReason, cause_ref,
};
use hedgerow_tests::PATIENCE;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt};

/// Every call's.
const DEADLINE: Duration = Duration::from_millis(150);
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(60);
const HEDGE_AFTER: Duration = Duration::from_millis(15);
/// Only what hangs takes as long.
const LATE: Duration = Duration::from_secs(5);
/// 10,000 of the four peers together.
const FAULTS_OF_EACH: usize = 2_500;
/// Callers at a time, of whom some wait at the gate.
const CALLERS: usize = 64;
const AT_ONCE: usize = 48;
/// More than a server takes without reading it.
const UPLOAD: usize = 512 << 10;

/// What a server does about a request, named by its path; every second request it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The connection is reset.
    Reset,
    /// Nobody listens.
    Refused,
    /// The stream is broken off: over HTTP/1 the connection is closed.
    BreaksOff,
    /// Half a body, then the same.
    HalfABody,
    /// The server says that it goes away, and does not answer.
    GoesAway,
    /// No answer, for ever.
    Silence,
    /// Half a body, and no more for ever.
    Stalls,
    /// An upload that is not read.
    DoesNotRead,
}

const FAULTS: [Fault; 8] = [
    Fault::Reset,
    Fault::Refused,
    Fault::BreaksOff,
    Fault::HalfABody,
    Fault::GoesAway,
    Fault::Silence,
    Fault::Stalls,
    Fault::DoesNotRead,
];

/// A server on a free loopback port, gone when it is dropped.
struct Server {
    addr: SocketAddr,
    /// A port that was just free.
    nobody: SocketAddr,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Log {
    requests: AtomicUsize,
    open: AtomicUsize,
    faults: [AtomicUsize; FAULTS.len()],
}

/// Counts a connection as open until it is over.
struct Open(Arc<Log>);

impl Open {
    fn new(log: Arc<Log>) -> Self {
        log.open.fetch_add(1, Ordering::Relaxed);
        Self(log)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How the handlers of a connection end it.
#[derive(Default)]
struct Lever {
    reset: Notify,
    go_away: Notify,
}

impl Server {
    async fn start() -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (listener, gone) = (bind().await.expect("a port"), bind().await.expect("a port"));
        let addr = listener.local_addr().expect("it is bound");
        let nobody = gone.local_addr().expect("it is bound");
        let log = Arc::new(Log::default());
        let mut tasks = JoinSet::new();
        let served = log.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Open::new(served.clone())));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            addr,
            nobody,
            log,
            _tasks: tasks,
        }
    }

    fn url(&self, fault: Fault) -> String {
        let addr = if fault == Fault::Refused {
            self.nobody
        } else {
            self.addr
        };
        format!("http://{addr}/{}", fault as usize)
    }

    fn faults(&self) -> [usize; FAULTS.len()] {
        std::array::from_fn(|at| self.log.faults[at].load(Ordering::Relaxed))
    }
}

async fn serve(stream: TcpStream, open: Open) {
    // Closed at once, and whatever was not sent is not: a reset.
    let _ = stream.set_nodelay(true);
    let _ = stream.set_zero_linger();
    let lever = Arc::new(Lever::default());
    let held = lever.clone();
    let service = service_fn(move |request| answer(request, open.0.clone(), held.clone()));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = lever.reset.notified() => return,
            () = lever.go_away.notified() => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    log: Arc<Log>,
    lever: Arc<Lever>,
) -> Result<Response<Half>, BoxError> {
    let whole = Ok(Response::new(Half(Some("whole"), After::Ends)));
    let number = log.requests.fetch_add(1, Ordering::Relaxed);
    let at: usize = request.uri().path()[1..].parse()?;
    if number % 2 == 1 {
        request.into_body().collect().await?;
        return whole;
    }
    log.faults[at].fetch_add(1, Ordering::Relaxed);
    match FAULTS[at] {
        Fault::Reset => lever.reset.notify_one(),
        Fault::GoesAway => lever.go_away.notify_one(),
        Fault::BreaksOff => return Err("broken off on purpose".into()),
        Fault::HalfABody => return Ok(Response::new(Half(Some("ha"), After::BreaksOff))),
        Fault::Stalls => return Ok(Response::new(Half(Some("ha"), After::Stalls))),
        Fault::Silence | Fault::Refused | Fault::DoesNotRead => {}
    }
    // The request stays unread for as long as the connection lives.
    let _unread = request;
    pending().await
}

/// A body of one frame, and what comes after it.
struct Half(Option<&'static str>, After);

#[derive(Clone, Copy)]
enum After {
    Ends,
    BreaksOff,
    Stalls,
}

impl Body for Half {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(text) = self.0.take() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))));
        }
        match self.1 {
            After::Ends => Poll::Ready(None),
            After::BreaksOff => Poll::Ready(Some(Err("broken off on purpose".into()))),
            After::Stalls => Poll::Pending,
        }
    }
}

// === The client and its layers ===

struct Ask {
    url: String,
    upload: bool,
}

type Boxed = BoxCloneService<Ask, Response<Bytes>, BoxError>;

#[derive(Clone, Copy, Debug)]
enum Peer {
    Hyper1,
    Hyper2,
    Reqwest1,
    Reqwest2,
}

/// What the layers hold, to be counted.
struct Held {
    gate: Gate,
    budget: Budget,
    fired: Box<dyn Fn() -> (u64, u64) + Send>,
}

/// The whole stack around a client, which reads its answers to the end.
macro_rules! stacked {
    ($client:expr) => {{
        let gate = Gate::builder().concurrency(AT_ONCE).build();
        let budget = Budget::percent(50.0);
        let hedge = HedgeLayer::fixed(HEDGE_AFTER).share_budget(budget.clone());
        let retry = RetryLayer::fixed(Duration::from_millis(5))
            .attempts(3)
            .attempt_timeout(ATTEMPT_TIMEOUT)
            .http()
            .budget(budget.clone());
        let (hedges, retries) = (hedge.handle(), retry.handle());
        let held = Held {
            gate: gate.clone(),
            budget,
            fired: Box::new(move || (hedges.stats().fired, retries.stats().retries)),
        };
        let service = DeadlineLayer::new(DEADLINE)
            .layer(retry.layer(hedge.http().layer(AdmissionLayer::new(gate).layer($client))));
        (service, held)
    }};
}

impl Ask {
    fn method(&self) -> Method {
        if self.upload {
            Method::PUT
        } else {
            Method::GET
        }
    }

    fn payload(&self) -> Bytes {
        Bytes::from(vec![7; if self.upload { UPLOAD } else { 0 }])
    }

    fn http(self) -> Request<Full<Bytes>> {
        let request = Request::builder().method(self.method()).uri(&self.url);
        let request = request.body(Full::new(self.payload()));
        request.expect("a valid request")
    }

    fn reqwest(self) -> reqwest::Request {
        let url = self.url.parse().expect("a valid url");
        let mut request = reqwest::Request::new(self.method(), url);
        *request.body_mut() = Some(self.payload().into());
        request
    }
}

/// An answer with its whole body.
async fn whole<B>(response: Response<B>) -> Result<Response<Bytes>, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    Ok(Response::from_parts(head, body))
}

impl Peer {
    fn service(self) -> (Boxed, Held) {
        match self {
            Self::Hyper1 | Self::Hyper2 => {
                let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
                    .http2_only(matches!(self, Self::Hyper2))
                    .build(HttpConnector::new());
                let read = tower::service_fn(move |request| {
                    let client = client.clone();
                    async move { whole(client.oneshot(request).await?).await }
                });
                let (service, held) = stacked!(read);
                (service.map_request(Ask::http).boxed_clone(), held)
            }
            Self::Reqwest1 | Self::Reqwest2 => {
                let mut client = reqwest::Client::builder()
                    .retry(reqwest::retry::never())
                    .no_proxy();
                if matches!(self, Self::Reqwest2) {
                    client = client.http2_prior_knowledge();
                }
                let client = client.build().expect("a client without TLS");
                let read = tower::service_fn(move |request: reqwest::Request| {
                    let client = client.clone();
                    async move {
                        let response = client.execute(request).await?;
                        whole(Response::<reqwest::Body>::from(response)).await
                    }
                });
                let (service, held) = stacked!(read);
                (service.map_request(Ask::reqwest).boxed_clone(), held)
            }
        }
    }
}

// === What is counted ===

/// Tasks and descriptors that there are.
fn alive() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    (Handle::current().metrics().num_alive_tasks(), descriptors)
}

/// Calls end in an answer, in the client's own error, or in one of ours that says why.
fn assert_ended(result: Result<Response<Bytes>, BoxError>) -> bool {
    match result {
        Ok(response) => {
            assert_eq!(response.body(), "whole");
            true
        }
        Err(error) => {
            let ours = cause_ref::<RetryExhausted>(&*error);
            let in_time = ours.is_none_or(|ours| {
                ours.reason != StopReason::Deadline
                    || cause_ref::<DeadlineExceeded>(&*error).is_some()
            });
            assert!(in_time, "{error:?}");
            false
        }
    }
}

async fn endure(peer: Peer) {
    let server = Server::start().await;
    let before = alive();
    let (service, held) = peer.service();
    let (mut calls, mut answered, mut sent, mut refused) = (JoinSet::new(), 0, 0, 0);
    let faults = |refused: usize| server.faults().iter().sum::<usize>() + refused;
    while faults(refused) < FAULTS_OF_EACH {
        while calls.len() < CALLERS {
            let fault = FAULTS[sent % FAULTS.len()];
            refused += usize::from(fault == Fault::Refused);
            sent += 1;
            let ask = Ask {
                url: server.url(fault),
                upload: fault == Fault::DoesNotRead,
            };
            calls.spawn(timeout(LATE, service.clone().oneshot(ask)));
            // Some callers leave.
            if sent.is_multiple_of(16) {
                let ask = Ask {
                    url: server.url(fault),
                    upload: false,
                };
                let _ = timeout(Duration::from_millis(2), service.clone().oneshot(ask)).await;
            }
        }
        if let Some(ended) = calls.join_next().await {
            let result = ended.expect("nobody panics").expect("nothing hangs");
            answered += usize::from(assert_ended(result));
        }
    }
    while let Some(ended) = calls.join_next().await {
        let result = ended.expect("nobody panics").expect("nothing hangs");
        answered += usize::from(assert_ended(result));
    }
    let met = server
        .faults()
        .iter()
        .zip(FAULTS)
        .all(|(count, fault)| *count > 0 || matches!(fault, Fault::Refused));
    assert!(met && answered > 0, "{:?}", server.faults());
    let stats = held.gate.stats();
    assert_eq!((stats.active, stats.queued), (0, 0), "permits");
    assert_eq!(stats.started, stats.finished, "permits");
    let (fired, retried) = (held.fired)();
    let granted = [Kind::Hedge, Kind::Retry].map(|kind| held.budget.granted(kind));
    assert_eq!(
        granted,
        [fired, retried],
        "every token was spent or is back"
    );
    drop(service);
    // A server that does not read does not notice that its client has left: such connections are its own.
    let left = || {
        let open = server.log.open.load(Ordering::Relaxed);
        let (tasks, descriptors) = alive();
        (tasks - open, descriptors - open)
    };
    let as_before = async {
        while left() != before {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(PATIENCE, as_before).await;
    assert!(
        waited.is_ok(),
        "tasks and descriptors: {before:?}, now {:?}",
        left()
    );
}

/// One after the other: the descriptors of a process are counted.
#[tokio::test]
async fn after_thousands_of_faults_nothing_hangs_and_nothing_is_left() {
    for peer in [Peer::Hyper1, Peer::Hyper2, Peer::Reqwest1, Peer::Reqwest2] {
        let before = alive();
        endure(peer).await;
        let as_before = async {
            while alive() != before {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(PATIENCE, as_before).await;
        assert!(waited.is_ok(), "{before:?}, now {:?}", alive());
    }
}
