//! Whether a request was ever sent, by the errors of real clients.

use std::error::Error;

use bytes::Bytes;
use hedgerow::{BoxError, Sent, sent};
use hedgerow_tests::{client, get};
use http_body_util::Empty;
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tower::ServiceExt;

use crate::soon;

/// A port where nobody listens any more.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}/", listener.local_addr().expect("bound"))
}

/// A server that reads something of each request and hangs up.
async fn hangs_up() -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read_u8().await;
        }
    });
    (url, tasks)
}

async fn by_hyper(url: &str) -> BoxError {
    let error = soon(client().oneshot(get(url))).await;
    error.expect_err("nobody answers").into()
}

async fn by_reqwest(url: &str) -> BoxError {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    soon(client.get(url).send())
        .await
        .expect_err("nobody answers")
        .into()
}

async fn by_tonic(url: &str) -> BoxError {
    let channel = Channel::from_shared(url.to_owned())
        .expect("a url")
        .connect_lazy();
    let request = Request::post("http://x.test/a/b").body(tonic::body::Body::empty());
    let error = soon(channel.oneshot(request.expect("valid"))).await;
    error.expect_err("nobody answers").into()
}

fn told(error: &BoxError) -> Sent {
    sent(&**error as &(dyn Error + 'static))
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let url = nobody().await;
    for error in [
        by_hyper(&url).await,
        by_reqwest(&url).await,
        by_tonic(&url).await,
    ] {
        assert_eq!(told(&error), Sent::Never, "{error:?}");
    }
    // A name that does not exist.
    for error in [
        by_hyper("http://no.invalid/").await,
        by_reqwest("http://no.invalid/").await,
    ] {
        assert_eq!(told(&error), Sent::Never, "{error:?}");
    }
}

#[tokio::test]
async fn what_a_server_has_begun_to_read_may_have_been_acted_upon() {
    let (url, _server) = hangs_up().await;
    for error in [
        by_hyper(&url).await,
        by_reqwest(&url).await,
        by_tonic(&url).await,
    ] {
        assert_eq!(told(&error), Sent::Maybe, "{error:?}");
    }
}

#[tokio::test]
async fn a_stream_that_an_http_2_server_refused_was_never_acted_upon() {
    for (reason, wanted) in [
        (h2::Reason::REFUSED_STREAM, Sent::Never),
        (h2::Reason::INTERNAL_ERROR, Sent::Maybe),
        (h2::Reason::CANCEL, Sent::Maybe),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(reason);
                }
            }
        });
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .retry_canceled_requests(false)
            .build_http();
        let error: BoxError = soon(client.oneshot(get(&url)))
            .await
            .expect_err("reset")
            .into();
        assert_eq!(told(&error), wanted, "{error:?}");
    }
}
