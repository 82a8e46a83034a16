//! One call to a language model, with a queue, timeouts and retries around it, and one that is cancelled.
//!
//! The provider stands on this machine. It has too much to do at first, and then answers.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::{Router, http::StatusCode, routing::post};
use hedgerow::{BoxError, Gate, Rate, Usage, complete};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// Tokens in, tokens out, and the text.
async fn provider(prompt: String) -> (StatusCode, String) {
    match REQUESTS.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => (StatusCode::TOO_MANY_REQUESTS, String::new()),
        _ => (StatusCode::OK, format!("3 5 {prompt} It is 42.")),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/complete", listener.local_addr()?);
    let server = Router::new().route("/v1/complete", post(provider));
    tokio::spawn(async move { axum::serve(listener, server).await });

    let http = reqwest::Client::builder().no_proxy().build()?;
    let ask = async |prompt: String| {
        let answer = http.post(&url).body(prompt).send().await?;
        answer.error_for_status()?.text().await
    };
    let used = |text: &String| {
        let mut tokens = text.split(' ').map_while(|word| word.parse().ok());
        Some(Usage::new(tokens.next()?, tokens.next()?))
    };

    // One gate for all calls of an account.
    let gate = Gate::builder()
        .concurrency(8)
        .rate(Rate::tokens_per_minute(90_000))
        .build();
    let done = complete(&ask, "The answer?".to_owned())
        .gate(&gate)
        .cost(100) // reserved, and settled to what was used
        .attempt_timeout(Duration::from_secs(10))
        .usage(used)
        .await?;
    println!("{:?}: {:?}, {:?}", done.value, done.usage, done.took);
    assert_eq!(done.took.attempts, 3);
    assert_eq!(done.usage, Some(Usage::new(3, 5)));

    // A queue that stands still: whoever asked does not wait with it.
    gate.set_limit(0);
    let token = CancellationToken::new();
    let call = complete(&ask, "Never mind.".to_owned()).gate(&gate);
    let call = call.cancel_on(token.clone()).into_future();
    let (result, ()) = tokio::join!(timeout(Duration::from_secs(5), call), async {
        sleep(Duration::from_millis(50)).await;
        token.cancel();
    });
    let error = result?.expect_err("nobody could answer");
    println!("{error}, cancelled: {}", error.is_cancelled());
    assert!(error.is_cancelled() && gate.stats().queued == 0);
    Ok(())
}
