//! What is reqwest's own.

use hedgerow::{Budget, HedgeLayer, Http, WinnerInfo};
use hedgerow_tests::{Answer, PATIENCE, Server};
use reqwest::{Client, Method, Request};
use tokio::task::JoinSet;
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::promises::soon;
use crate::{SOON, first_hangs};

/// Without its own retries: they would send each attempt again, unpaid.
fn client() -> Client {
    let client = Client::builder().retry(reqwest::retry::never()).no_proxy();
    client.build().expect("a client without TLS")
}

fn request(method: Method, server: &Server) -> Request {
    Request::new(method, server.url().parse().expect("a valid url"))
}

#[tokio::test]
async fn the_winner_is_told_in_reqwests_own_response() {
    let server = Server::start(first_hangs).await;
    let service = ServiceBuilder::new()
        .layer(HedgeLayer::fixed(SOON).http_with(Http::new().attempt_header()))
        .service(client());
    let response = soon(service.oneshot(request(Method::GET, &server))).await;
    let response = response.expect("an answer");
    let info = response
        .extensions()
        .get::<WinnerInfo>()
        .expect("it was hedged");
    assert!(info.hedge_won);
    assert_eq!(response.text().await.expect("text"), "answer 1");
    assert_eq!(server.heads(), ["GET / -", "GET / 1"]);
}

#[tokio::test]
async fn a_5xx_of_reqwest_is_followed_up_at_once() {
    let server = Server::start(|n| Answer::Status(if n == 0 { 503 } else { 200 })).await;
    let service = HedgeLayer::fixed(PATIENCE * 2).http().layer(client());
    let response = soon(service.oneshot(request(Method::GET, &server))).await;
    assert_eq!(response.expect("an answer").status(), 200);
    assert_eq!(server.requests(), 2);
}

/// The mark cannot be seen in a `reqwest::Request`: this is the way.
#[tokio::test]
async fn any_request_is_allowed_by_replay_with() {
    let server = Server::start(first_hangs).await;
    let service = HedgeLayer::fixed(SOON)
        .replay_with(|request: &mut Request| request.try_clone())
        .http()
        .budget(Budget::unlimited())
        .layer(client());
    let mut post = request(Method::POST, &server);
    *post.body_mut() = Some("body".into());
    let response = soon(service.oneshot(post)).await.expect("an answer");
    assert_eq!(response.text().await.expect("text"), "answer 1");
    assert_eq!(server.heads(), ["POST / -", "POST / -"]);
    soon(server.dropped(1)).await;
    assert!(
        server
            .bodies()
            .iter()
            .all(|body| body.as_deref() == Some(b"body"))
    );
}

#[tokio::test]
async fn without_a_judge_reqwest_is_hedged_too() {
    let server = Server::start(first_hangs).await;
    let service = HedgeLayer::percentile(95).layer(client());
    let response = soon(service.oneshot(request(Method::GET, &server))).await;
    assert_eq!(
        response.expect("an answer").text().await.expect("text"),
        "answer 1"
    );
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_hedged_reqwest_client_can_be_shared_and_spawned() {
    let server = Server::start(|_| Answer::Now).await;
    let service = HedgeLayer::percentile(95).http().layer(client());
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        calls.spawn(service.clone().oneshot(request(Method::GET, &server)));
    }
    let results = soon(calls.join_all()).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(server.requests(), 4);
}
