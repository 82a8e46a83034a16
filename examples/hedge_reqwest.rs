//! A reqwest client whose slow requests are sent again, and a POST that may be.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::{Router, routing::get};
use hedgerow::{HedgeLayer, WinnerInfo};
use reqwest::{Client, Method, Request, Response, Url};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// One in fifty takes a second instead of 2 ms.
async fn answer() -> &'static str {
    let slow = REQUESTS.fetch_add(1, Ordering::Relaxed) % 50 == 25;
    tokio::time::sleep(Duration::from_millis(if slow { 1_000 } else { 2 })).await;
    "hello"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url: Url = format!("http://{}/", listener.local_addr()?).parse()?;
    let server = Router::new().route("/", get(answer).post(answer));
    tokio::spawn(async move { axum::serve(listener, server).await });

    // reqwest sends some requests again by itself, each attempt and unpaid by the hedge's budget:
    // one layer that repeats is enough.
    let client = Client::builder()
        .retry(reqwest::retry::never())
        .no_proxy()
        .build()?;

    // The one line that matters: a GET that takes longer than 95 % of all is sent again.
    let hedge = HedgeLayer::percentile(95)
        .initial(Duration::from_millis(20))
        .http();
    let mut client = ServiceBuilder::new().layer(hedge.clone()).service(client);

    for n in 0..300 {
        let method = if n % 2 == 0 {
            Method::GET
        } else {
            Method::POST
        };
        let mut request = Request::new(method, url.clone());
        if n % 2 == 1 {
            // Says that the server knows a repetition: without it a POST is sent once.
            let key = format!("order-{n}").parse()?;
            request.headers_mut().insert("idempotency-key", key);
        }
        let response: Response = client.ready().await?.call(request).await?;
        if let Some(info) = response
            .extensions()
            .get::<WinnerInfo>()
            .filter(|info| info.hedge_won)
        {
            println!("copy {} won after {:?}", info.index, info.elapsed);
        }
        assert_eq!(response.text().await?, "hello");
    }

    let stats = hedge.handle().stats();
    println!("{} of {} copies won", stats.hedge_wins, stats.fired);
    assert!(stats.hedge_wins > 0, "the slow ones were hedged");
    assert_eq!(stats.unreplayable, 0, "every request could be");
    Ok(())
}
