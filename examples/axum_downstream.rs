//! An axum service that asks another service, and does not wait for its slow moments.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with servers"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hedgerow::{BoxError, HedgeLayer, ReplayBodyLayer};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};

type Downstream = BoxCloneSyncService<Request, Response, BoxError>;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// The other service: one in twenty takes a second instead of 2 ms.
async fn slow(body: String) -> String {
    let slow = REQUESTS.fetch_add(1, Ordering::Relaxed) % 20 == 10;
    tokio::time::sleep(Duration::from_millis(if slow { 1_000 } else { 2 })).await;
    body
}

/// This service: passes the request on, its body as it comes.
async fn pass(State((to, client)): State<(Uri, Downstream)>, mut request: Request) -> Response {
    *request.uri_mut() = to;
    let answer = client.oneshot(request).await;
    answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

async fn serve(app: Router) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);

    // axum's body can be read once. Outside of the hedge, this layer keeps what is there of it.
    let bodies = ReplayBodyLayer::new();
    let hedge = HedgeLayer::fixed(Duration::from_millis(30)).http();
    let downstream = ServiceBuilder::new()
        .layer(bodies.clone())
        .layer(hedge.clone())
        .service(Client::builder(TokioExecutor::new()).build(connector))
        .map_response(IntoResponse::into_response)
        .map_err(BoxError::from);

    let other = serve(Router::new().fallback(slow)).await?;
    let state = (other.parse::<Uri>()?, BoxCloneSyncService::new(downstream));
    let url = serve(Router::new().fallback(pass).with_state(state)).await?;

    let user = reqwest::Client::builder().no_proxy().build()?;
    for n in 0..100 {
        let text = format!("body {n}");
        let answer = user.put(&url).body(text.clone()).send().await?;
        assert_eq!(answer.text().await?, text);
    }
    let stats = hedge.handle().stats();
    println!("{} of {} copies won", stats.hedge_wins, stats.fired);
    println!("{:?}", bodies.stats());
    assert!(stats.hedge_wins > 0, "the slow ones were hedged");
    Ok(())
}
