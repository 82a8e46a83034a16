//! A reqwest client with a deadline, retries and hedges: a server that fails, hangs and is slow.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::{Router, http::StatusCode, routing::get};
use hedgerow::{
    BoxError, Budget, DeadlineExceeded, DeadlineLayer, HedgeLayer, RetryLayer, cause_ref,
};
use reqwest::{Client, Method, Request, Url};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tower::{Service, ServiceBuilder, ServiceExt};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Of 20 requests two fail, so a hedge does too; one hangs; the others take 2 ms.
async fn answer() -> (StatusCode, &'static str) {
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed) % 20;
    sleep(if number == 13 { ms(60_000) } else { ms(2) }).await;
    if matches!(number, 7 | 8) {
        return (StatusCode::SERVICE_UNAVAILABLE, "busy");
    }
    (StatusCode::OK, "hello")
}

async fn hang() {
    std::future::pending::<()>().await;
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url: Url = format!("http://{}/", listener.local_addr()?).parse()?;
    let server = Router::new().route("/", get(answer));
    let server = server.route("/hang", get(hang));
    tokio::spawn(async move { axum::serve(listener, server).await });

    // One layer that repeats is enough: reqwest's own retries would be unpaid.
    let client = Client::builder().retry(reqwest::retry::never());
    let client = client.no_proxy().build()?;
    // Retries and hedges together: at most 20 extras per 100 calls, 50 at once.
    let budget = Budget::percent(20.0);
    let retry = RetryLayer::fixed(ms(10))
        .attempts(3)
        .attempt_timeout(ms(400))
        .http()
        .budget(budget.clone());
    let hedge = HedgeLayer::fixed(ms(100)).http().share_budget(budget);
    let mut client = ServiceBuilder::new()
        .layer(DeadlineLayer::new(ms(1_000)))
        .layer(retry.clone())
        .layer(hedge.clone())
        .service(client);

    for _ in 0..200 {
        let request = Request::new(Method::GET, url.clone());
        let response = client.ready().await?.call(request).await?;
        assert_eq!(response.text().await?, "hello");
    }
    let (retries, hedges) = (retry.handle().stats(), hedge.handle().stats());
    assert!(retries.recovered > 0 && hedges.hedge_wins > 0);
    println!("{} retries, {} hedges", retries.retries, hedges.fired);

    let request = Request::new(Method::GET, url.join("hang")?);
    let error = client
        .ready()
        .await?
        .call(request)
        .await
        .expect_err("it hangs");
    assert!(cause_ref::<DeadlineExceeded>(&*error).is_some());
    Ok(())
}
