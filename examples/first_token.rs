//! A race for the first token: the first model sends its head at once and then thinks for long, the copy's
//! model speaks. Then a stream that breaks before its first token, which nobody notices.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, header::CONTENT_TYPE};
use futures::stream;
use hedgerow::{
    AwaitFirstContentLayer, BoxError, HedgeLayer, Idempotent, OpenAiJudge, RetryLayer, sse::Events,
};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{net::TcpListener, time::sleep};
use tower::{ServiceBuilder, ServiceExt};

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"forty-two\"}}]}\n\n";

/// The first call thinks for a minute, the third one breaks off, the others answer.
async fn model() -> ([(axum::http::HeaderName, &'static str); 1], Body) {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let pieces = stream::unfold(0, move |piece| async move {
        let text = match (call, piece) {
            (_, 0) => Ok(ROLE),
            (0, 1) => {
                sleep(Duration::from_secs(60)).await;
                Ok(TOKEN)
            }
            (2, 1) => Err(std::io::Error::other("broken")),
            (_, 1) => Ok(TOKEN),
            _ => return None,
        };
        Some((text, piece + 1))
    });
    (
        [(CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(pieces),
    )
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/chat/completions", listener.local_addr()?);
    let app = Router::new().fallback(model);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = ServiceBuilder::new()
        .layer(RetryLayer::exponential().accept(OpenAiJudge))
        .layer(HedgeLayer::fixed(Duration::from_millis(50)).http())
        .layer(AwaitFirstContentLayer::llm())
        .service(Client::builder(TokioExecutor::new()).build_http());
    for what in ["the copy's first token wins", "a broken stream is repeated"] {
        let question = Request::post(&url)
            .extension(Idempotent)
            .body(Full::<Bytes>::from("{\"stream\":true}"))?;
        let answer = client.clone().oneshot(question).await?;
        let mut events = Events::new(answer.into_body());
        let mut last = None;
        while let Some(event) = events.next().await {
            last = Some(event?);
        }
        let last = last.ok_or("an answer without an event")?;
        assert!(last.text().contains("forty-two"));
        println!("{what}: {}", last.text());
    }
    Ok(())
}
