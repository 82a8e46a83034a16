//! E2 and E3 on real sockets: what is sent again, and what is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::{
    BoxError, DeadlineLayer, RetryEvent, RetryLayer, TimeoutLayer, TryOutcome, cause_ref,
};
use hedgerow_tests::{Answer, PATIENCE, Server, client, get};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt};

const HOUR: Duration = Duration::from_secs(3_600);

/// What becomes of a connection, counted from 0.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Closed with what it was sent unread, which resets it.
    Reset,
    /// Closed when the request was read.
    Dropped,
    /// Answered, and closed.
    Says(&'static str),
}

const FINE: Fate = Fate::Says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");

/// A server of raw sockets, gone when it is dropped.
struct Raw {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Raw {
    async fn start(fates: &'static [Fate]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let n = count.fetch_add(1, Ordering::SeqCst);
                meet(stream, fates[n.min(fates.len() - 1)]).await;
            }
        });
        Self {
            addr,
            connections,
            _tasks: tasks,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn meet(mut stream: TcpStream, fate: Fate) {
    stream.readable().await.expect("a request");
    if matches!(fate, Fate::Reset) {
        return;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.expect("a whole request");
        head.push(byte);
    }
    if let Fate::Says(text) = fate {
        stream.write_all(text.as_bytes()).await.expect("a reader");
    }
}

async fn soon<S, Res>(service: S, request: Request<Empty<Bytes>>) -> Result<Res, BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Res, Error = BoxError>,
{
    timeout(PATIENCE, service.oneshot(request))
        .await
        .expect("it does not hang")
}

#[tokio::test]
async fn a_reset_and_a_dropped_connection_are_tried_again() {
    let server = Raw::start(&[Fate::Reset, Fate::Dropped, FINE]).await;
    let layer = RetryLayer::fixed(Duration::ZERO).http();
    let response: Response<Incoming> = soon(layer.layer(client()), get(&server.url()))
        .await
        .expect("the third is answered");
    assert_eq!(response.status(), 200);
    assert_eq!(server.connections(), 3);
    assert_eq!(layer.handle().stats().retries, 2);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_its_error_is_the_clients() {
    // A port that was just free, and that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    drop(listener);
    let failed = Arc::new(AtomicUsize::new(0));
    let count = failed.clone();
    let layer = RetryLayer::fixed(Duration::ZERO)
        .http()
        .on_event(move |event: &RetryEvent| {
            if let RetryEvent::TryEnded(ended) = event {
                assert_eq!(ended.outcome, TryOutcome::Failed);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    let result = soon(layer.layer(client()), get(&format!("http://{addr}/"))).await;
    let error = result.map(|_: Response<Incoming>| ()).unwrap_err();
    assert!(error.is::<hyper_util::client::legacy::Error>(), "{error:?}");
    let io = cause_ref::<std::io::Error>(&*error).expect("what happened");
    assert_eq!(io.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(failed.load(Ordering::SeqCst), 4);
}

/// An hour of the policy's against nothing of the server's: only the server's word ends this in time.
#[tokio::test]
async fn retry_after_takes_the_place_of_the_policys_wait() {
    const BUSY: Fate = Fate::Says(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    let server = Raw::start(&[BUSY, FINE]).await;
    let layer = RetryLayer::fixed(HOUR).http();
    let response: Response<Incoming> = soon(layer.layer(client()), get(&server.url()))
        .await
        .expect("an answer");
    assert_eq!((response.status().as_u16(), server.connections()), (200, 2));
}

/// And a date in the past by the server's own clock, whatever ours says.
#[tokio::test]
async fn a_retry_after_date_is_read_by_the_servers_clock() {
    const BUSY: Fate = Fate::Says(
        "HTTP/1.1 503 Service Unavailable\r\ndate: Tue, 31 Dec 2999 23:59:59 GMT\r\n\
         retry-after: Tue, 31 Dec 2999 23:59:59 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    let server = Raw::start(&[BUSY, FINE]).await;
    let layer = RetryLayer::fixed(HOUR).http();
    let response: Response<Incoming> = soon(layer.layer(client()), get(&server.url()))
        .await
        .expect("an answer");
    assert_eq!((response.status().as_u16(), server.connections()), (200, 2));
}

#[tokio::test]
async fn a_503_is_sent_again_for_a_get_and_not_for_a_post() {
    fn once_busy(number: usize) -> Answer {
        if number == 0 {
            Answer::Status(503)
        } else {
            Answer::Now
        }
    }
    for (method, status, requests) in [(Method::GET, 200, 2), (Method::POST, 503, 1)] {
        let server = Server::start(once_busy).await;
        let layer = RetryLayer::fixed(Duration::ZERO).http();
        let mut request = get(&server.url());
        *request.method_mut() = method;
        let response: Response<Incoming> = soon(layer.layer(client()), request)
            .await
            .expect("an answer");
        assert_eq!(response.status(), status);
        assert_eq!(server.requests(), requests);
    }
}

#[tokio::test]
async fn a_reqwest_client_is_retried() {
    let server = Raw::start(&[Fate::Dropped, Fate::Reset, FINE]).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .build()
        .expect("a client");
    let layer = RetryLayer::fixed(Duration::ZERO).http();
    let url = server.url().parse().expect("a url");
    let request = reqwest::Request::new(Method::GET, url);
    let response = timeout(PATIENCE, layer.layer(client).oneshot(request)).await;
    let response = response.expect("it does not hang").expect("an answer");
    assert_eq!((response.status().as_u16(), server.connections()), (200, 3));
}

/// A try that hangs is dropped at the server too, and the next one is answered.
#[tokio::test]
async fn an_attempt_timeout_cancels_the_request_at_the_server() {
    fn first_hangs(number: usize) -> Answer {
        if number == 0 {
            Answer::Never
        } else {
            Answer::Now
        }
    }
    let short = Duration::from_millis(100);
    let retry = RetryLayer::fixed(Duration::ZERO).http();
    for own in [true, false] {
        let server = Server::start(first_hangs).await;
        let answer = if own {
            let service = retry.clone().attempt_timeout(short).layer(client());
            soon(service, get(&server.url())).await
        } else {
            let service = retry.layer(TimeoutLayer::new(short).layer(client()));
            soon(
                DeadlineLayer::new(PATIENCE).http().layer(service),
                get(&server.url()),
            )
            .await
        };
        let response: Response<Incoming> = answer.expect("an answer");
        assert_eq!((response.status().as_u16(), server.requests()), (200, 2));
        timeout(PATIENCE, server.dropped(1))
            .await
            .expect("the try was cancelled");
    }
}
