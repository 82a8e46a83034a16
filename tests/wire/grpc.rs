//! A generated client's view of a hedged channel.

use hedgerow::{Budget, GrpcLayer, HedgeLayer, Idempotent, WinnerInfo};
use hedgerow_tests::{Answer, PATIENCE, Server};
use hyper::http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Layer;

use crate::clients::ALLOWED;
use crate::promises::soon;
use crate::{SOON, first_hangs};

/// What a generated client does for a unary method.
async fn unary(
    server: &Server,
    delay: std::time::Duration,
    path: &'static str,
    request: Request<String>,
) -> Result<Response<String>, Status> {
    let channel = Channel::from_shared(server.url()).expect("a valid url");
    let hedge = HedgeLayer::fixed(delay).grpc().budget(Budget::unlimited());
    let layer = GrpcLayer::new(hedge).idempotent_paths([ALLOWED]);
    let mut client = tonic::client::Grpc::new(layer.layer(channel.connect_lazy()));
    client.ready().await.expect("lazy");
    let codec = ProstCodec::<String, String>::default();
    soon(client.unary(request, PathAndQuery::from_static(path), codec)).await
}

fn question() -> Request<String> {
    Request::new("question".into())
}

#[tokio::test]
async fn an_allowed_method_is_hedged_and_its_winner_is_told() {
    let server = Server::start(first_hangs).await;
    let response = unary(&server, SOON, ALLOWED, question())
        .await
        .expect("an answer");
    assert_eq!(response.get_ref(), "answer 1");
    let info = response
        .extensions()
        .get::<WinnerInfo>()
        .expect("it was hedged");
    assert!(info.hedge_won);
    assert_eq!(server.bodies().len(), 2);
    soon(server.dropped(1)).await;
    let message = hedgerow_tests::grpc_message("question");
    assert!(
        server
            .bodies()
            .iter()
            .all(|body| body.as_ref() == Some(&message))
    );
}

#[tokio::test]
async fn a_mark_on_one_call_allows_it() {
    let server = Server::start(first_hangs).await;
    let mut marked = question();
    marked.extensions_mut().insert(Idempotent);
    let response = unary(&server, SOON, "/test.Echo/Set", marked).await;
    assert_eq!(response.expect("an answer").get_ref(), "answer 1");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn grpc_alone_allows_nothing() {
    let server = Server::start(|_| Answer::Status(14)).await;
    let response = unary(&server, SOON, "/test.Echo/Set", question()).await;
    assert_eq!(response.expect_err("unavailable").code(), Code::Unavailable);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_status_that_may_pass_is_followed_up_at_once() {
    let server = Server::start(|n| {
        if n == 0 {
            Answer::Status(14)
        } else {
            Answer::Now
        }
    })
    .await;
    let response = unary(&server, PATIENCE * 2, ALLOWED, question()).await;
    assert_eq!(response.expect("an answer").get_ref(), "answer 1");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_status_that_would_come_again_ends_the_call() {
    let server = Server::start(|_| Answer::Status(5)).await;
    let response = unary(&server, SOON, ALLOWED, question()).await;
    assert_eq!(response.expect_err("not found").code(), Code::NotFound);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_server_that_wants_no_further_attempt_gets_none() {
    let server = Server::start(|_| Answer::PushesBack).await;
    let response = unary(&server, PATIENCE * 2, ALLOWED, question()).await;
    assert_eq!(response.expect_err("unavailable").code(), Code::Unavailable);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn when_all_fail_the_caller_gets_the_first_status() {
    let server = Server::start(|n| Answer::Status(if n == 0 { 14 } else { 8 })).await;
    let response = unary(&server, PATIENCE * 2, ALLOWED, question()).await;
    assert_eq!(response.expect_err("both fail").code(), Code::Unavailable);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_hedged_channel_can_be_cloned_and_spawned() {
    let server = Server::start(|_| Answer::Now).await;
    let channel = Channel::from_shared(server.url()).expect("a valid url");
    let layer = GrpcLayer::new(HedgeLayer::percentile(95).grpc()).idempotent_paths([ALLOWED]);
    let client = tonic::client::Grpc::new(layer.layer(channel.connect_lazy()));
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let mut client = client.clone();
        calls.spawn(async move {
            client.ready().await.expect("lazy");
            let codec = ProstCodec::<String, String>::default();
            let path = PathAndQuery::from_static(ALLOWED);
            client.unary(question(), path, codec).await.is_ok()
        });
    }
    assert_eq!(soon(calls.join_all()).await, [true; 4]);
    assert_eq!(server.requests(), 4);
}
