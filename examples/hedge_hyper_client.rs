//! A hyper client whose slow requests are sent again: one in fifty takes a second instead of 2 ms.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hedgerow::{HedgeLayer, WinnerInfo};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let slow = REQUESTS.fetch_add(1, Ordering::Relaxed) % 50 == 25;
    tokio::time::sleep(Duration::from_millis(if slow { 1_000 } else { 2 })).await;
    Ok(Response::new(Full::from("hello")))
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(async move { connection.await.ok() });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(serve(listener));

    // Without it a small request may wait for the answer to the one before.
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);

    // The one line that matters: a GET that takes longer than 95 % of all is sent again.
    let hedge = HedgeLayer::percentile(95)
        .initial(Duration::from_millis(20))
        .http();
    let mut client = ServiceBuilder::new().layer(hedge.clone()).service(client);

    let mut slowest = Duration::ZERO;
    for _ in 0..300 {
        let start = Instant::now();
        let request = Request::get(&url).body(Empty::<Bytes>::new())?;
        let response = client.ready().await?.call(request).await?;
        if let Some(info) = response
            .extensions()
            .get::<WinnerInfo>()
            .filter(|info| info.hedge_won)
        {
            println!("copy {} won after {:?}", info.index, info.elapsed);
        }
        response.into_body().collect().await?;
        slowest = slowest.max(start.elapsed());
    }

    let stats = hedge.handle().stats();
    println!(
        "the slowest took {slowest:?}; {} of {} copies won",
        stats.hedge_wins, stats.fired
    );
    assert!(stats.hedge_wins > 0, "the slow ones were hedged");
    Ok(())
}
