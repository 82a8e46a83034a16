//! An axum service behind a rate and a deadline, in one line each: `responding()` makes an answer of what they
//! refuse, so that no handler of errors is written, and clients that know nothing of it wait and come back.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hedgerow::{
    AdmissionLayer, BoxError, DeadlineLayer, Gate, Rate, ReceiveDeadlineLayer, responding,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

fn app() -> Router {
    // Two at once, then one every minute; nobody waits for it.
    let gate = Gate::builder()
        .rate(Rate::per_minute(1).burst(2))
        .max_depth(0)
        .build();
    let rated = Router::new().route("/", get(async || "fine")).layer(
        ServiceBuilder::new()
            .layer(responding())
            .layer(AdmissionLayer::new(gate)),
    );
    let slow = get(std::future::pending::<&'static str>);
    let timely = Router::new().route("/slow", slow).layer(
        ServiceBuilder::new()
            .layer(responding())
            .layer(ReceiveDeadlineLayer::http().at_most(Duration::from_secs(10)))
            .layer(DeadlineLayer::inherited().http()),
    );
    rated.merge(timely)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app()).await });

    let client = reqwest::Client::builder().no_proxy().build()?;
    for _ in 0..2 {
        assert_eq!(client.get(&url).send().await?.status(), 200);
    }
    let refused = client.get(&url).send().await?;
    assert_eq!(refused.status(), 429);
    let after = refused.headers()["retry-after"].to_str()?.to_owned();
    println!("429, come back in {after} s: {}", refused.text().await?);

    let slow = client.get(format!("{url}/slow"));
    let late = slow.header("hedgerow-timeout-ms", "50").send().await?;
    assert_eq!(late.status(), 504);
    println!("504: {}", late.text().await?);
    Ok(())
}
