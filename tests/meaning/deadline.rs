//! How long a caller waits, told to a server by real clients.

use std::time::Duration;

use axum::Router;
use hedgerow::{
    BoxError, Deadline, DeadlineLayer, GrpcLayer, ReceiveDeadlineLayer, SendDeadlineLayer,
    responding,
};
use hedgerow_tests::client;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::{ms, soon};

const HOUR: Duration = Duration::from_secs(3_600);

/// What is left of the deadline that holds here, in milliseconds.
fn left_ms() -> Option<u128> {
    let deadline = Deadline::current()?;
    Some(deadline.left(Instant::now().into_std()).as_millis())
}

async fn serve(app: Router) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
    (url, tasks)
}

#[tokio::test]
async fn an_axum_service_knows_what_its_callers_stack_has_left() {
    let app = Router::new()
        .fallback(async || format!("{:?}", left_ms()))
        .layer(ReceiveDeadlineLayer::http());
    let (url, _server) = serve(app).await;
    let client = ServiceBuilder::new()
        .layer(DeadlineLayer::new(HOUR))
        .layer(SendDeadlineLayer::http())
        .service(client());
    let request = Request::get(&url).body(Empty::new()).expect("valid");
    let answer: Result<_, BoxError> = soon(client.oneshot(request)).await;
    let body = answer.expect("an answer").into_body().collect().await;
    let body = body.expect("whole").to_bytes();
    let text = std::str::from_utf8(&body).expect("UTF-8");
    let left = text
        .strip_prefix("Some(")
        .and_then(|text| text.strip_suffix(')'));
    let left: u128 = left.expect("a deadline").parse().expect("milliseconds");
    assert!(
        left < HOUR.as_millis() && left > HOUR.as_millis() / 2,
        "{left}"
    );
}

#[tokio::test]
async fn an_unmodified_client_that_waits_shortly_is_refused_with_504_and_the_handler_dropped() {
    struct Dropped(mpsc::UnboundedSender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tell, mut dropped) = mpsc::unbounded_channel();
    let app = Router::new()
        .fallback(async move || {
            let _dropped = Dropped(tell.clone());
            std::future::pending::<()>().await;
        })
        .layer(
            ServiceBuilder::new()
                .layer(responding())
                .layer(ReceiveDeadlineLayer::http())
                .layer(DeadlineLayer::inherited().http()),
        );
    let (url, _server) = serve(app).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let ask = async |left: &str| {
        let answer = client.get(&url).header("hedgerow-timeout-ms", left).send();
        soon(answer).await.expect("an answer").status()
    };
    assert_eq!(ask("30").await, 504);
    soon(dropped.recv()).await.expect("the handler is gone");
    // Nobody waits any more: it is not even begun.
    assert_eq!(ask("0").await, 504);
    assert!(dropped.try_recv().is_err());
}

#[tokio::test]
async fn a_tonic_client_tells_a_server_by_grpc_timeout() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let app = Router::new()
        .fallback(move |request: axum::extract::Request| {
            let tell = tell.clone();
            async move {
                let header = request.headers().get("grpc-timeout").cloned();
                let _ = tell.send((header, left_ms()));
            }
        })
        .layer(ReceiveDeadlineLayer::grpc().at_most(HOUR / 2));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper_util::service::TowerToHyperService::new(app.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            let executor = hyper_util::rt::TokioExecutor::new();
            let connection = hyper::server::conn::http2::Builder::new(executor);
            connections.spawn(async move { connection.serve_connection(io, service).await });
        }
    });
    let channel = || {
        let channel = Channel::from_shared(format!("http://{addr}")).expect("a url");
        channel.connect_lazy()
    };
    // tonic's own timeout, without us.
    let mut client = tonic::client::Grpc::new(channel());
    let mut question = tonic::Request::new("question".to_owned());
    question.set_timeout(HOUR);
    let codec = ProstCodec::<String, String>::default();
    let path = http::uri::PathAndQuery::from_static("/test.Echo/Say");
    client.ready().await.expect("lazy");
    let _ = soon(client.unary(question, path.clone(), codec)).await;
    let (header, left) = soon(told.recv()).await.expect("it was asked");
    assert!(header.is_some());
    assert!(
        left.is_some_and(|left| left <= (HOUR / 2).as_millis()),
        "{left:?}"
    );

    // A deadline of ours, told by the layer.
    let layers = ServiceBuilder::new()
        .layer(DeadlineLayer::new(ms(5_000)))
        .layer(SendDeadlineLayer::grpc())
        .into_inner();
    let mut client = tonic::client::Grpc::new(GrpcLayer::new(layers).layer(channel()));
    client.ready().await.expect("lazy");
    let codec = ProstCodec::<String, String>::default();
    let question = tonic::Request::new("question".to_owned());
    let _ = soon(client.unary(question, path, codec)).await;
    let (header, left) = soon(told.recv()).await.expect("it was asked");
    assert!(header.is_some());
    assert!(left.is_some_and(|left| left < 5_000), "{left:?}");
}
