//! A hyper client with a deadline, retries and hedges: a server that breaks off, hangs and is slow.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::{BoxError, Budget, DeadlineLayer, HedgeLayer, RetryLayer};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Of 20 requests two are broken off, so a hedge is too; one hangs; the others take 2 ms.
async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Error> {
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed) % 20;
    tokio::time::sleep(if number == 13 { ms(60_000) } else { ms(2) }).await;
    if matches!(number, 7 | 8) {
        return Err(ErrorKind::ConnectionAborted.into());
    }
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
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(serve(listener));

    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());

    // Retries and hedges together: at most 20 extras per 100 calls, 50 at once.
    let budget = Budget::percent(20.0);
    let retry = RetryLayer::fixed(ms(10))
        .attempt_timeout(ms(400))
        .http()
        .budget(budget.clone());
    let mut client = ServiceBuilder::new()
        .layer(DeadlineLayer::new(ms(1_000)).http())
        .layer(retry.clone())
        .layer(HedgeLayer::fixed(ms(100)).http().share_budget(budget))
        .service(client);

    for _ in 0..40 {
        let request = Request::get(&url).body(Empty::<Bytes>::new())?;
        let response = client.ready().await?.call(request).await?;
        assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
    }
    let stats = retry.handle().stats();
    println!("{} of {} retries helped", stats.recovered, stats.retries);
    assert!(stats.recovered > 0, "some were tried again");
    Ok(())
}
