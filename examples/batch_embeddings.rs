//! A micro-batcher for embeddings over HTTP: callers embed one text each, the server gets them together.

#![expect(clippy::print_stdout, reason = "a program that says what it does")]
#![expect(clippy::disallowed_methods, reason = "its server is a task")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::{Router, body::Bytes, routing::post};
use futures::future::try_join_all;
use hedgerow::{BatchLayer, BoxError, from_vec};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// 20 ms, however many texts are in a request. The embedding of a text is its length.
async fn serve(body: Bytes) -> String {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let texts = body["input"].as_array().into_iter().flatten();
    let lengths = texts.map(|text| text.as_str().unwrap_or_default().len());
    let data: Vec<_> = lengths
        .map(|length| json!({"embedding": [length]}))
        .collect();
    json!({"data": data}).to_string()
}

type Vector = Result<Vec<f64>, BoxError>;

/// Texts in, their vectors out, in the same order.
async fn embed(
    client: reqwest::Client,
    url: String,
    texts: Vec<String>,
) -> Result<Vec<Vector>, BoxError> {
    let body = json!({"input": texts}).to_string();
    let answer = client.post(url).body(body).send().await?;
    let bytes = answer.error_for_status()?.bytes().await?;
    let answer: Value = serde_json::from_slice(&bytes)?;
    let vector = |item: &Value| {
        let numbers = item["embedding"].as_array().ok_or("no vector")?;
        Ok(numbers.iter().filter_map(Value::as_f64).collect())
    };
    let data = answer["data"].as_array().ok_or("no data")?;
    Ok(data.iter().map(vector).collect())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/embeddings", listener.local_addr()?);
    let server = Router::new().route("/embeddings", post(serve));
    tokio::spawn(async move { axum::serve(listener, server).await });

    let client = reqwest::Client::builder().no_proxy().build()?;
    let backend = service_fn(move |texts| embed(client.clone(), url.clone(), texts));
    // Sent at once if the server is idle, else within 5 ms; callers of the same text share a place.
    let layer = BatchLayer::linger(Duration::from_millis(5))
        .max_size(64)
        .dedup(String::clone)
        .timeout(Duration::from_secs(10));
    let handle = layer.handle();
    let service = layer.layer(from_vec(backend));

    // Each caller is plain code that embeds one text; two at a time embed the same one.
    let callers = (0..500).map(async |n: u32| {
        let text = format!("document {}", n / 2);
        let length = text.len() as f64;
        assert_eq!(service.clone().oneshot(text).await?, [length]);
        Ok::<_, BoxError>(())
    });
    try_join_all(callers).await?;
    let (requests, twins) = (REQUESTS.load(Ordering::Relaxed), handle.stats().twins);
    println!("500 callers, {requests} requests; {twins} got the vector of another one");
    Ok(())
}
