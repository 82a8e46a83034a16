//! A gRPC service config around a real tonic channel, asked of a real tonic server that reads the metadata.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{convert::Infallible, future::Future, pin::Pin};

use hedgerow::grpc::{MethodHandle, ServiceConfig, ServiceConfigLayer};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::{Layer, Service};

use crate::soon;

const CONFIG: &str = r#"{
    "methodConfig": [
        {"name": [{"service": "test.Echo", "method": "Retried"}], "retryPolicy": {
            "maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.002s", "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"]}},
        {"name": [{"service": "test.Echo", "method": "Hedged"}], "hedgingPolicy": {
            "maxAttempts": 3, "hedgingDelay": "0.02s", "nonFatalStatusCodes": ["UNAVAILABLE"]}},
        {"name": [{"service": "test.Echo"}], "timeout": "0.05s"},
        {"name": [{"service": "test.Patient"}], "waitForReady": true, "timeout": "20s"}
    ],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5}
}"#;

/// What the server does with its nth call.
#[derive(Clone, Copy)]
enum Act {
    Answer,
    Unavailable,
    /// `UNAVAILABLE`, and to come back in so many milliseconds.
    Pushes(&'static str),
    NotFound,
    Never,
}

#[derive(Clone)]
struct Echo {
    script: fn(usize) -> Act,
    asked: Arc<Mutex<Vec<(String, MetadataMap)>>>,
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (script, asked) = (self.script, self.asked.clone());
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
            let echo = tower::service_fn(move |request: tonic::Request<String>| {
                let metadata = request.metadata().clone();
                let question = request.into_inner();
                let mut log = asked.lock();
                let act = script(log.len());
                log.push((question.clone(), metadata));
                async move {
                    match act {
                        Act::Answer => Ok(tonic::Response::new(question)),
                        Act::Unavailable => Err(Status::unavailable("busy")),
                        Act::NotFound => Err(Status::not_found("nothing")),
                        Act::Pushes(ms) => {
                            let mut status = Status::unavailable("later");
                            let ms = ms.parse().expect("ASCII");
                            status.metadata_mut().insert("grpc-retry-pushback-ms", ms);
                            Err(status)
                        }
                        Act::Never => std::future::pending().await,
                    }
                }
            });
            Ok(grpc.unary(echo, request).await)
        })
    }
}

struct Served {
    addr: SocketAddr,
    echo: Echo,
    layer: ServiceConfigLayer,
    _tasks: JoinSet<()>,
}

async fn served(script: fn(usize) -> Act) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let echo = Echo {
        script,
        asked: Arc::default(),
    };
    let mut tasks = JoinSet::new();
    let service = echo.clone();
    tasks.spawn(async move {
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = Server::builder().add_service(service);
        server
            .serve_with_incoming(incoming)
            .await
            .expect("it serves");
    });
    Served {
        addr,
        echo,
        layer: ServiceConfigLayer::new(
            &ServiceConfig::from_json(CONFIG).expect("a service config"),
        ),
        _tasks: tasks,
    }
}

impl Served {
    /// What a generated client does.
    async fn ask(&self, path: &'static str) -> Result<tonic::Response<String>, Status> {
        ask(&self.layer, self.addr, path).await
    }

    /// What each attempt said of those before it.
    fn previous(&self) -> Vec<Option<String>> {
        let asked = self.echo.asked.lock();
        assert!(
            asked.iter().all(|(question, _)| question == "question"),
            "{asked:?}"
        );
        let told = |metadata: &MetadataMap| {
            let value = metadata.get("grpc-previous-rpc-attempts")?;
            Some(value.to_str().expect("ASCII").to_owned())
        };
        asked.iter().map(|(_, metadata)| told(metadata)).collect()
    }
}

async fn ask(
    layer: &ServiceConfigLayer,
    addr: SocketAddr,
    path: &'static str,
) -> Result<tonic::Response<String>, Status> {
    let channel = Channel::from_shared(format!("http://{addr}")).expect("a url");
    let layers = layer.clone().grpc();
    let mut client = tonic::client::Grpc::new(layers.layer(channel.connect_lazy()));
    client.ready().await.expect("lazy");
    let question = tonic::Request::new("question".to_owned());
    let codec = ProstCodec::<String, String>::default();
    soon(client.unary(question, PathAndQuery::from_static(path), codec)).await
}

fn told(n: &str) -> Option<String> {
    Some(n.to_owned())
}

#[tokio::test]
async fn a_retried_method_tells_the_server_and_the_client_how_many_attempts_came_before() {
    let served = served(|n| if n < 2 { Act::Unavailable } else { Act::Answer }).await;
    let answer = served.ask("/test.Echo/Retried").await.expect("an answer");
    assert_eq!(answer.get_ref(), "question");
    assert_eq!(served.previous(), [None, told("1"), told("2")]);
    assert_eq!(
        answer
            .metadata()
            .get("grpc-previous-rpc-attempts")
            .expect("told"),
        "2"
    );
    // Two failures and a success, of 100 tokens.
    assert_eq!(served.layer.throttle().expect("it has one").tokens(), 98.5);
}

#[tokio::test]
async fn a_hedged_method_is_asked_beside_the_one_that_hangs() {
    let served = served(|n| if n == 0 { Act::Never } else { Act::Answer }).await;
    let answer = served.ask("/test.Echo/Hedged").await.expect("an answer");
    assert_eq!(
        answer
            .metadata()
            .get("grpc-previous-rpc-attempts")
            .expect("told"),
        "1"
    );
    let previous = served.previous();
    assert_eq!(previous[..2], [None, told("1")]);
    let Some(MethodHandle::Hedge(handle)) = served.layer.handle("/test.Echo/Hedged") else {
        panic!("it is hedged");
    };
    assert_eq!((handle.stats().requests, handle.stats().hedge_wins), (1, 1));
}

/// The answers of a server over a socket: what it pushes back is in its trailers-only head.
#[tokio::test]
async fn a_server_that_wants_no_more_gets_no_more() {
    let served = served(|_| Act::Pushes("-1")).await;
    for path in ["/test.Echo/Retried", "/test.Echo/Hedged"] {
        let status = served.ask(path).await.expect_err("unavailable");
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "later")
        );
    }
    assert_eq!(served.previous(), [None, None]);
}

#[tokio::test]
async fn a_server_that_names_a_wait_is_asked_after_it() {
    let served = served(|n| {
        if n == 0 {
            Act::Pushes("30")
        } else {
            Act::Answer
        }
    })
    .await;
    served.ask("/test.Echo/Retried").await.expect("an answer");
    assert_eq!(served.previous(), [None, told("1")]);
}

#[tokio::test]
async fn a_code_that_is_not_listed_is_the_callers() {
    let served = served(|_| Act::NotFound).await;
    for path in [
        "/test.Echo/Retried",
        "/test.Echo/Hedged",
        "/test.Echo/Other",
    ] {
        let status = served.ask(path).await.expect_err("not found");
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "nothing")
        );
    }
    assert_eq!(served.previous(), [None, None, None]);
}

#[tokio::test]
async fn a_method_of_the_service_has_the_services_time_and_the_server_is_told() {
    let served = served(|_| Act::Never).await;
    let late = served.ask("/test.Echo/Other").await.expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    let asked = served.echo.asked.lock();
    assert!(asked[0].1.contains_key("grpc-timeout"), "{asked:?}");
}

/// Nobody listens, and a call that waits for a connection says so only when its time is over.
#[tokio::test]
async fn without_a_connection_a_call_fails_at_once_or_waits_if_it_is_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    drop(listener);
    let config = ServiceConfig::from_json(CONFIG).expect("a service config");
    let layer = ServiceConfigLayer::new(&config);
    let status = ask(&layer, addr, "/test.Echo/Other")
        .await
        .expect_err("nobody listens");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let waiting = ask(&layer, addr, "/test.Patient/Get");
    let waited = tokio::time::timeout(Duration::from_millis(100), waiting).await;
    assert!(waited.is_err(), "it gave up: {waited:?}");
}
