//! The contract kit, its pings dressed up as requests.

use std::convert::Infallible;

use bytes::Bytes;
use hedgerow_core::testing::{Inner, Ping, Pong, contract};
use hedgerow_http::{
    AwaitFirstContentLayer, AwaitFirstFrameLayer, IdempotentPathsLayer, ReplayBodyLayer,
    ReplayableBody, ResumedBody, Seen, sse::Event,
};
use http::{Request, Response};
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

fn plain(request: Request<Erased>) -> Ping {
    let (mut head, _) = request.into_parts();
    head.extensions.remove().expect("dressed above")
}

/// An answer with an event, and the pong in its extensions.
fn answer(pong: Pong) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("event: token\ndata\n\n"));
    response.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("text/event-stream"),
    );
    response.extensions_mut().insert(pong);
    response
}

fn pong(mut response: Response<ResumedBody<Full<Bytes>>>) -> Pong {
    response.extensions_mut().remove().expect("put there below")
}

fn awaiting_a_frame(
    inner: Inner,
) -> impl Service<Ping, Response = Pong, Error = hedgerow_core::BoxError> + Clone {
    ServiceBuilder::new()
        .map_request(dress)
        .map_response(pong)
        .layer(AwaitFirstFrameLayer::new())
        .map_response(answer)
        .map_request(plain)
        .service(inner)
}

fn awaiting_content(
    inner: Inner,
) -> impl Service<Ping, Response = Pong, Error = hedgerow_core::BoxError> + Clone {
    fn see(_: &Event) -> Seen {
        Seen::Content
    }
    ServiceBuilder::new()
        .map_request(dress)
        .map_response(pong)
        .layer(AwaitFirstContentLayer::new(see))
        .map_response(answer)
        .map_request(plain)
        .service(inner)
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_first_of_an_answer_keeps_the_contract() {
    contract(awaiting_a_frame).await;
    contract(awaiting_content).await;
}
