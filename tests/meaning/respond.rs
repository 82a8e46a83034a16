//! Errors as answers, seen by clients that know nothing of us.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hedgerow::{
    AdmissionLayer, Ask, Deadline, DeadlineLayer, Gate, Overloaded, Rate, ReceiveDeadlineLayer,
    responding,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::{Service, ServiceBuilder};

use crate::{ms, soon};

const MINUTE: Duration = Duration::from_secs(60);

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

/// Lets one request in, and refuses the rest for a minute.
fn one_a_minute() -> Gate {
    Gate::builder()
        .rate(Rate::per_minute(1))
        .max_depth(0)
        .build()
}

#[tokio::test]
async fn an_axum_service_answers_429_503_and_504_to_an_unmodified_client() {
    let slow = Router::new()
        .route("/slow", get(std::future::pending::<&'static str>))
        .layer(
            ServiceBuilder::new()
                .layer(responding())
                .layer(DeadlineLayer::new(ms(20))),
        );
    let rated = Router::new().route("/rated", get(async || "fine")).layer(
        ServiceBuilder::new()
            .layer(responding())
            .layer(AdmissionLayer::new(one_a_minute())),
    );
    let busy = Gate::builder().concurrency(1).max_depth(0).build();
    let _place = busy.permit().await.expect("the only one");
    let busy = Router::new().route("/busy", get(async || "fine")).layer(
        ServiceBuilder::new()
            .layer(responding())
            .layer(AdmissionLayer::new(busy)),
    );
    let (listener, addr) = listener().await;
    let mut tasks = JoinSet::new();
    let app = slow.merge(rated).merge(busy);
    tasks.spawn(async move { axum::serve(listener, app).await.expect("it serves") });

    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let ask = async |path: &str| {
        let answer = client.get(format!("http://{addr}{path}")).send();
        soon(answer).await.expect("an answer")
    };
    assert_eq!(ask("/slow").await.status(), 504);
    assert_eq!(ask("/rated").await.text().await.expect("a text"), "fine");
    let refused = ask("/rated").await;
    assert_eq!(refused.status(), 429);
    let after = refused.headers()["retry-after"]
        .to_str()
        .expect("ASCII")
        .parse::<u64>();
    let after = Duration::from_secs(after.expect("seconds"));
    assert!(!after.is_zero() && after <= MINUTE, "{after:?}");
    let text = refused.text().await.expect("a text");
    assert!(text.starts_with("the admission queue is full"), "{text}");
    assert_eq!(ask("/busy").await.status(), 503);
}

/// What is too large, whom it asked in vain, and who was told to leave: the same over a socket.
#[tokio::test]
async fn an_axum_service_answers_413_502_and_499_to_an_unmodified_client() {
    let small = Gate::builder().rate(Rate::tokens_per_minute(100)).build();
    let admission =
        AdmissionLayer::new(small).ask(|_: &axum::extract::Request| Ask::new().cost(101));
    let large = Router::new()
        .route("/large", get(async || "fine"))
        .layer(ServiceBuilder::new().layer(responding()).layer(admission));
    // A port where nobody listens.
    let (nobody, closed) = listener().await;
    drop(nobody);
    let upstream = ServiceBuilder::new()
        .layer(responding())
        .map_request(move |mut request: axum::extract::Request| {
            *request.uri_mut() = format!("http://{closed}/").parse().expect("a uri");
            request
        })
        .service(HyperClient::builder(TokioExecutor::new()).build_http());
    let busy = Gate::builder().concurrency(1).build();
    let _place = busy.permit().await.expect("the only one");
    let leave = CancellationToken::new();
    let told = leave.clone();
    let waiting =
        ServiceBuilder::new()
            .layer(responding())
            .service_fn(move |_: axum::extract::Request| {
                let waits = busy.permit().cancel_on(told.clone());
                async {
                    let _permit = waits.await?;
                    Ok::<_, Overloaded>(Response::new(axum::body::Body::empty()))
                }
            });
    let app = large
        .route_service("/upstream", upstream)
        .route_service("/waiting", waiting);
    let (listener, addr) = listener().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.expect("it serves") });

    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let ask = async |path: &str| {
        let answer = client.get(format!("http://{addr}{path}")).send();
        soon(answer).await.expect("an answer")
    };
    let too_large = ask("/large").await;
    assert_eq!(too_large.status(), 413);
    assert!(too_large.headers().get("retry-after").is_none());
    let failed = ask("/upstream").await;
    assert_eq!(failed.status(), 502);
    let text = failed.text().await.expect("a text");
    assert_eq!(
        text, "the server that was asked failed",
        "no address is told"
    );
    leave.cancel();
    assert_eq!(ask("/waiting").await.status(), 499);
}

/// A gRPC service without generated code, which is asked for its answer's text.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path().ends_with("Never") {
                std::future::pending::<()>().await;
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
            // Read here, where the layers' scope holds.
            let left = Deadline::current().is_some();
            let echo = tower::service_fn(move |request: tonic::Request<String>| {
                let text = format!("{} {left}", request.into_inner());
                std::future::ready(Ok::<_, Status>(tonic::Response::new(text)))
            });
            Ok(grpc.unary(echo, request).await)
        })
    }
}

async fn ask(addr: SocketAddr, path: &'static str) -> Result<String, Status> {
    let channel = Channel::from_shared(format!("http://{addr}")).expect("a url");
    let mut client = tonic::client::Grpc::new(channel.connect_lazy());
    client.ready().await.expect("lazy");
    let codec = ProstCodec::<String, String>::default();
    let question = tonic::Request::new("question".to_owned());
    let answer = client.unary(question, PathAndQuery::from_static(path), codec);
    soon(answer).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_tonic_service_answers_with_status_and_pushback_to_an_unmodified_client() {
    let (listener, addr) = listener().await;
    let mut tasks = JoinSet::new();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tasks.spawn(async move {
        let layers = ServiceBuilder::new()
            .layer(responding())
            .layer(ReceiveDeadlineLayer::grpc().at_most(ms(200)))
            .layer(DeadlineLayer::inherited().http())
            .layer(AdmissionLayer::new(
                Gate::builder()
                    .rate(Rate::per_minute(2).burst(2))
                    .max_depth(0)
                    .build(),
            ))
            .into_inner();
        let server = Server::builder().layer(layers).add_service(Echo);
        server
            .serve_with_incoming(incoming)
            .await
            .expect("it serves");
    });
    assert_eq!(
        ask(addr, "/test.Echo/Say").await.expect("an answer"),
        "question true"
    );
    let late = ask(addr, "/test.Echo/Never").await.expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(
        late.message().starts_with("the deadline passed after"),
        "{late:?}"
    );
    let refused = ask(addr, "/test.Echo/Say")
        .await
        .expect_err("the rate is used up");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let pushback = refused
        .metadata()
        .get("grpc-retry-pushback-ms")
        .expect("pushback");
    let pushback: u64 = pushback
        .to_str()
        .expect("ASCII")
        .parse()
        .expect("milliseconds");
    assert!((1..=60_000).contains(&pushback), "{pushback}");
}
