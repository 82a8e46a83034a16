//! The shortest call to a language model, the same as a stream, and an object out of its prose.
//!
//! The provider stands on this machine, made of the library's own types. In a program leave `base_url` and
//! `api_key` out, set `OPENAI_API_KEY`, and give the client a connector that speaks TLS.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with a server"
)]

use axum::body::Body;
use axum::{Router, response::Response, routing::post};
use bytes::Bytes;
use hedgerow::BoxError;
use hedgerow_openai::openai::{ChatChunk, ChatCompletion, ChatMessage, ChatRequest, ChatUsage};
use hedgerow_openai::{OpenAi, parse_object, server};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = start_provider().await?;

    let http = Client::builder(TokioExecutor::new()).build_http();
    let client: OpenAi<_> = OpenAi::builder().base_url(url).api_key("a-key").build(http);
    let question = ChatRequest::new("gpt-5-mini").user("Where is the Colosseum? Answer in JSON.");

    // Four tries, waits as the provider asks, the usage, what it took.
    let done = client.complete(question.clone()).await?;
    println!("{}: {:?}, {:?}", done.value.text(), done.usage, done.took);

    // Piece by piece.
    let mut stream = client.chat_stream(&question).await?;
    let mut text = String::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        println!("+ {:?}", chunk.text());
        text.push_str(chunk.text());
    }
    assert_eq!(text, done.value.text());
    assert_eq!(stream.usage(), done.usage);

    // What it was asked for, without the talk around it.
    let found = parse_object(&text)?;
    println!(
        "{:?}, beside {:?} and {:?}",
        found.object(),
        found.before(),
        found.after()
    );
    assert_eq!(found.object().read("city")?, Some("Rome"));
    Ok(())
}

async fn answer(body: Bytes) -> Response {
    let request: ChatRequest = serde_json::from_slice(&body).unwrap_or_default();
    let text = "Certainly! {\"city\": \"Rome\"} Anything else?";
    let mut answer = ChatCompletion::new("chatcmpl-1", request.model.as_str(), 1_700_000_000)
        .choice(ChatMessage::new("assistant", text), "stop");
    answer.usage = Some(ChatUsage::new(12, 9));
    if request.stream != Some(true) {
        return server::json(&answer).map(Body::from);
    }
    let chunks = answer.to_chunks(request.wants_usage());
    let events = chunks
        .iter()
        .map(ChatChunk::to_sse)
        .chain([ChatChunk::done()]);
    server::events(Body::from(events.collect::<Vec<_>>().concat()))
}

async fn start_provider() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/v1/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}
