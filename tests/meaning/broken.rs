//! Streams of raw sockets that break off, read by unmodified clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hedgerow::{AwaitFirstContentLayer, Idempotent, OpenAiJudge, RetryLayer};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};

use crate::ms;
use crate::soon;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";

/// A server whose nth connection gets the nth of these chunks, and is then closed; the last one is
/// ended properly.
async fn server(
    answers: &'static [&'static [&'static str]],
) -> (String, Arc<AtomicUsize>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!(
        "http://{}/v1/chat/completions",
        listener.local_addr().expect("bound")
    );
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let n = counted.fetch_add(1, Ordering::SeqCst);
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                read.push(stream.read_u8().await.expect("a request"));
            }
            stream.write_all(HEAD.as_bytes()).await.expect("it is read");
            for piece in answers[n.min(answers.len() - 1)] {
                // A byte a chunk: nothing is ever whole.
                for byte in piece.bytes() {
                    let chunk = [b"1\r\n", &[byte][..], b"\r\n"].concat();
                    stream.write_all(&chunk).await.expect("it is read");
                }
            }
            if n + 1 >= answers.len() {
                stream.write_all(b"0\r\n\r\n").await.expect("it is read");
            }
        }
    });
    (url, count, tasks)
}

fn post(url: &str) -> Request<Empty<Bytes>> {
    Request::post(url)
        .extension(Idempotent)
        .body(Empty::new())
        .expect("valid")
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_first_token_is_not_noticed_by_the_caller() {
    let (url, count, _server) = server(&[&[], &[ROLE], &[ROLE, TOKEN, "data: [DONE]\n\n"]]).await;
    let retry = RetryLayer::new(hedgerow::Exponential::new(ms(1), ms(2)));
    let client = ServiceBuilder::new()
        .layer(retry.accept(OpenAiJudge))
        .layer(AwaitFirstContentLayer::llm())
        .service(hedgerow_tests::client());
    let answer = soon(client.oneshot(post(&url))).await.expect("the third");
    let body = soon(answer.into_body().collect())
        .await
        .expect("whole")
        .to_bytes();
    assert_eq!(body, [ROLE, TOKEN, "data: [DONE]\n\n"].concat());
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_reqwest_client_is_asked_for_first_tokens_as_well() {
    let (url, count, _server) = server(&[&[ROLE], &[ROLE, TOKEN]]).await;
    let reqwest = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    // reqwest's messages are http's, with another name.
    let reqwest = tower::service_fn(move |request: Request<Empty<Bytes>>| {
        let (head, _) = request.into_parts();
        let request = Request::from_parts(head, reqwest::Body::from(""));
        let request = reqwest::Request::try_from(request).expect("a url");
        let answer = reqwest.execute(request);
        async { answer.await.map(hyper::Response::<reqwest::Body>::from) }
    });
    let client = ServiceBuilder::new()
        .layer(RetryLayer::new(hedgerow::Exponential::new(ms(1), ms(2))).accept(OpenAiJudge))
        .layer(AwaitFirstContentLayer::llm())
        .service(reqwest);
    let answer = soon(client.oneshot(post(&url))).await.expect("the second");
    let body = soon(answer.into_body().collect())
        .await
        .expect("whole")
        .to_bytes();
    assert_eq!(body, [ROLE, TOKEN].concat());
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
