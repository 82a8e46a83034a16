//! Bodies of a server's own requests, which it passes on: what of them is there when the call is
//! made.

use std::convert::Infallible;

use bytes::Bytes;
use hedgerow::{ReplayBodyLayer, ReplayableBody};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};

use crate::promises::soon;

/// Answers with the length of the body, and whether it could be shared.
async fn proxy(request: Request<Incoming>, bodies: ReplayBodyLayer) -> Response<Full<Bytes>> {
    let beneath = bodies.layer(tower::service_fn(
        async |request: Request<ReplayableBody<Incoming>>| {
            let shared = request.body().is_shared();
            let body = request.into_body().collect().await;
            let length = body.expect("a whole body").to_bytes().len();
            Ok::<_, Infallible>(format!("{length} {shared}"))
        },
    ));
    let Ok(text) = beneath.oneshot(request).await;
    Response::new(text.into())
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let service = service_fn(async |request| {
                Ok::<_, Infallible>(proxy(request, ReplayBodyLayer::new().cap_bytes(1 << 24)).await)
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Over HTTP/1, what stands in the first read of the server beside the head. How much more it may
/// be depends on the connection's past, and over HTTP/2 on its timing: that it is whole does not.
#[tokio::test]
async fn a_small_body_that_came_with_the_head_can_be_sent_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener));
    for http2 in [false, true] {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        let client = builder.http2_only(http2).build(connector);
        for length in [0, 1, 1_000, 4_000, 64_000, 1 << 20] {
            let body = Full::new(Bytes::from(vec![b'x'; length]));
            let request = Request::put(&url).body(body).expect("valid");
            let answer = soon(client.request(request)).await.expect("an answer");
            let text = soon(answer.into_body().collect()).await.expect("text");
            let text = String::from_utf8(text.to_bytes().to_vec()).expect("text");
            let (whole, shared) = text.split_once(' ').expect("two words");
            assert_eq!(whole, length.to_string(), "http2: {http2}");
            if !http2 && length <= 4_000 {
                assert_eq!(shared, "true", "{length}");
            }
        }
    }
}
