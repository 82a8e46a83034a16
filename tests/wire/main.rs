//! The usual clients behind the layers, on real sockets. What is counted is counted at the server.
//!
//! This file is about hyper-util's client, and how the layers nest around it; `promises` holds for
//! every client.

mod clients;
mod promises;
mod connections;
mod grpc;
mod proxy;
mod reqwest;
mod retries;

use std::time::Duration;

use bytes::Bytes;
use hedgerow::{Attempt, BoxError, Budget, HedgeLayer, Http, WinnerInfo};
use hedgerow_tests::{Answer, HyperClient, PATIENCE, Server, client, get};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

const SOON: Duration = Duration::from_millis(30);

/// The first request hangs, every other is answered.
fn first_hangs(number: usize) -> Answer {
    if number == 0 {
        Answer::Never
    } else {
        Answer::Now
    }
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

async fn send<S>(service: S, request: Request<Empty<Bytes>>) -> Response<Incoming>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<Incoming>>,
    S::Error: std::fmt::Debug,
{
    timeout(PATIENCE, service.oneshot(request))
        .await
        .expect("it does not hang")
        .expect("an answer")
}

/// Two attempts at the server, one answer at the client, the loser's handler dropped.
async fn hedges<S>(service: S, server: &Server)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<Incoming>>,
    S::Error: std::fmt::Debug,
{
    let response = send(service, get(&server.url())).await;
    assert_eq!(text(response).await, "answer 1");
    assert_eq!(server.requests(), 2);
    timeout(PATIENCE, server.dropped(1))
        .await
        .expect("the loser was cancelled");
}

#[tokio::test]
async fn a_hyper_client_is_hedged() {
    let server = Server::start(first_hangs).await;
    let service = ServiceBuilder::new()
        .layer(HedgeLayer::fixed(SOON).http())
        .service(client());
    hedges(service, &server).await;
}

#[tokio::test]
async fn a_percentile_hedges_a_hyper_client_from_the_first_call_on() {
    let server = Server::start(first_hangs).await;
    let service = ServiceBuilder::new()
        .layer(HedgeLayer::percentile(95))
        .service(client());
    hedges(service, &server).await;
}

#[tokio::test]
async fn a_boxed_hyper_client_is_hedged() {
    let server = Server::start(first_hangs).await;
    let boxed = BoxCloneSyncService::new(client());
    hedges(HedgeLayer::fixed(SOON).http().layer(boxed), &server).await;
}

#[tokio::test]
async fn between_timeout_limit_and_buffer_it_hedges() {
    let server = Server::start(first_hangs).await;
    let service = ServiceBuilder::new()
        .buffer(16)
        .timeout(PATIENCE)
        .concurrency_limit(8)
        .layer(HedgeLayer::fixed(SOON).http())
        .concurrency_limit(8)
        .timeout(PATIENCE)
        .map_err(BoxError::from)
        .service(client());
    hedges(service, &server).await;
}

#[tokio::test]
async fn nested_in_itself_it_hedges() {
    let server = Server::start(first_hangs).await;
    let service = ServiceBuilder::new()
        .layer(HedgeLayer::fixed(PATIENCE).http())
        .layer(HedgeLayer::fixed(SOON).http())
        .service(client());
    hedges(service, &server).await;
}

#[test]
fn around_a_hyper_client_it_is_clone_send_sync_and_static() {
    fn whole<T: Clone + Send + Sync + 'static>(_: &T) {}
    let service: HyperClient = client();
    whole(&HedgeLayer::percentile(95).http().layer(service));
}

#[tokio::test]
async fn a_post_reaches_the_server_once() {
    let server = Server::start(|_| Answer::Never).await;
    let layer = HedgeLayer::fixed(Duration::from_millis(1)).http();
    let request = Request::post(server.url())
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let held = layer.layer(client()).oneshot(request);
    // A GET in the same time is sent twice.
    let get_held = layer.layer(client()).oneshot(get(&server.url()));
    let both = async { tokio::join!(held, get_held) };
    let sent = async {
        while server.requests() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = both => panic!("nobody answers"),
        waited = timeout(PATIENCE, sent) => waited.expect("three requests"),
    }
    let mut heads = server.heads();
    heads.sort_unstable();
    assert_eq!(heads, ["GET / -", "GET / -", "POST / -"]);
}

#[tokio::test]
async fn a_5xx_is_followed_up_at_once() {
    let server = Server::start(|n| Answer::Status(if n == 0 { 503 } else { 200 })).await;
    let layer = HedgeLayer::fixed(PATIENCE).http();
    let response = send(layer.layer(client()), get(&server.url())).await;
    let info = response
        .extensions()
        .get::<WinnerInfo>()
        .expect("it was hedged");
    assert!(info.hedge_won && info.elapsed < PATIENCE);
    assert_eq!(response.status(), 200);
    assert_eq!(server.requests(), 2);
}

/// It cannot do it, whoever asks: no copy is sent, and none is waited for.
#[tokio::test]
async fn a_501_ends_the_race() {
    let server = Server::start(|_| Answer::Status(501)).await;
    let layer = HedgeLayer::fixed(PATIENCE).http().max_hedges(2);
    let response = send(layer.layer(client()), get(&server.url())).await;
    assert_eq!((response.status().as_u16(), server.requests()), (501, 1));
}

#[tokio::test]
async fn when_every_server_fails_the_caller_gets_the_first_answer() {
    let server = Server::start(|n| Answer::Status(502 + n as u16)).await;
    let layer = HedgeLayer::fixed(PATIENCE).http().max_hedges(2);
    let response = send(layer.layer(client()), get(&server.url())).await;
    assert_eq!(response.status(), 502);
    assert_eq!(text(response).await, "answer 0");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn the_attempt_header_is_sent_when_asked() {
    let server = Server::start(first_hangs).await;
    let layer = HedgeLayer::fixed(SOON).http_with(Http::new().attempt_header());
    hedges(layer.layer(client()), &server).await;
    assert_eq!(server.heads(), ["GET / -", "GET / 1"]);
}

#[tokio::test]
async fn a_connection_that_is_refused_gives_the_clients_own_error() {
    let server = Server::start(first_hangs).await;
    let url = server.url();
    drop(server);
    let service = HedgeLayer::fixed(SOON).http().layer(client());
    let error = service
        .oneshot(get(&url))
        .await
        .expect_err("nobody listens");
    assert!(error.is_connect(), "{error:?}");
}

/// Three servers behind one client; each attempt of a call goes to another.
#[tokio::test]
async fn no_two_attempts_of_a_call_go_to_one_endpoint_while_another_is_free() {
    let servers = [
        Server::start(|_| Answer::Never).await,
        Server::start(|_| Answer::Never).await,
        Server::start(|_| Answer::Now).await,
    ];
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let elsewhere = move |request: &mut Request<Empty<Bytes>>, attempt: Attempt| {
        let url = &urls[attempt.index() as usize % urls.len()];
        *request.uri_mut() = url.parse().expect("a valid url");
    };
    let layer = HedgeLayer::schedule([SOON, SOON * 2])
        .http()
        .edit(elsewhere)
        .budget(Budget::unlimited());
    let response = send(layer.layer(client()), get(&servers[0].url())).await;
    let info = response
        .extensions()
        .get::<WinnerInfo>()
        .expect("it was hedged");
    assert_eq!(info.index, 2);
    let counts: Vec<usize> = servers.iter().map(Server::requests).collect();
    assert_eq!(counts, [1, 1, 1]);
}

/// A dropped call cancels both attempts at the server.
#[tokio::test]
async fn dropping_the_call_cancels_every_attempt_on_the_wire() {
    let server = Server::start(|_| Answer::Never).await;
    let service = HedgeLayer::fixed(Duration::from_millis(1))
        .http()
        .layer(client());
    let held = service.oneshot(get(&server.url()));
    let sent = async {
        while server.requests() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = held => panic!("nobody answers"),
        waited = timeout(PATIENCE, sent) => waited.expect("two requests"),
    }
    timeout(PATIENCE, server.dropped(2))
        .await
        .expect("both handlers were dropped");
}
