//! An axum service that reads from a header how long its caller waits, and asks another service no longer
//! than that: what nobody waits for is cancelled, at the other service too.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with servers"
)]

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Request, StatusCode, Uri};
use hedgerow::{
    BoxError, DeadlineHeader, DeadlineLayer, ReceiveDeadlineLayer, RetryLayer, responding,
};
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{net::TcpListener, sync::mpsc};
use tower::{Layer, ServiceBuilder, ServiceExt};

/// Tells that a request was dropped unanswered.
struct Unanswered(mpsc::UnboundedSender<()>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

async fn serve(app: Router) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (tell, mut cancelled) = mpsc::unbounded_channel();
    // The other service never answers.
    let other = Router::new().fallback(async move || {
        let _unanswered = Unanswered(tell.clone());
        std::future::pending::<()>().await;
    });
    let other = serve(other).await?.parse::<Uri>()?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = RetryLayer::exponential().http().layer(client);
    // This service. Its deadline holds for what it asks the other one, without a word about it.
    let ask = move || {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = other.clone();
        let answer = client.clone().oneshot(request);
        async {
            answer
                .await
                .map_or(StatusCode::GATEWAY_TIMEOUT, |answer| answer.status())
        }
    };
    // `x-wait-ms: 250`: the caller waits so long, and nobody longer than ten seconds. What comes of an error is
    // an answer: here 504.
    let told = ReceiveDeadlineLayer::with(DeadlineHeader::named("x-wait-ms"));
    let app = Router::new().fallback(ask).layer(
        ServiceBuilder::new()
            .layer(responding())
            .layer(told.at_most(Duration::from_secs(10)))
            .layer(DeadlineLayer::inherited().http()),
    );
    let url = serve(app).await?;

    let user = reqwest::Client::builder().no_proxy().build()?;
    let answer = user.get(&url).header("x-wait-ms", "250").send().await?;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    cancelled.recv().await;
    let leaves = user.get(&url).timeout(Duration::from_millis(250));
    assert!(leaves.send().await.is_err());
    cancelled.recv().await;
    println!("both were cancelled at the other service");
    Ok(())
}
