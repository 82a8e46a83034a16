//! The contract kit, its pings dressed up as requests.

use std::convert::Infallible;

use bytes::Bytes;
use hedgerow_core::testing::{Inner, Ping, Pong, contract};
use hedgerow_http::{IdempotentPathsLayer, ReplayBodyLayer, ReplayableBody};
use http::Request;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::{Service, ServiceBuilder};

type Erased = UnsyncBoxBody<Bytes, Infallible>;

fn dress(ping: Ping) -> Request<Erased> {
    Request::post("http://h.test/package.Service/Method")
        .extension(ping)
        .body(Full::from("body").boxed_unsync())
        .expect("valid")
}

/// The layers read the mark that the paths set, so the order is tested too.
fn undress(request: Request<ReplayableBody<Erased>>) -> Ping {
    let (mut head, body) = request.into_parts();
    assert!(body.is_shared());
    head.extensions.remove().expect("dressed above")
}

fn layered(
    inner: Inner,
) -> impl Service<Ping, Response = Pong, Error = hedgerow_core::BoxError> + Clone {
    ServiceBuilder::new()
        .map_request(dress)
        .layer(IdempotentPathsLayer::new(["/package.Service/*"]))
        .layer(ReplayBodyLayer::new())
        .map_request(undress)
        .service(inner)
}

#[tokio::test(start_paused = true)]
async fn the_layers_keep_the_contract() {
    contract(layered).await;
}
