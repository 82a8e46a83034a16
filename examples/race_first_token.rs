//! Two models of two providers in a race that is won by the first token, not by the first header.
//!
//! One of them is quick to say that it will answer, and slow to answer. The loser's stream is dropped, which
//! cancels its request. Both stand on this machine.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with servers"
)]

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::{Router, response::Response, routing::post};
use bytes::Bytes;
use futures::StreamExt;
use hedgerow::{BoxError, race_candidates};
use hedgerow_openai::anthropic::{Block, Message, MessageEvent, MessagesRequest};
use hedgerow_openai::openai::{ChatChunk, ChatCompletion, ChatMessage, ChatRequest};
use hedgerow_openai::{Anthropic, OpenAi, server};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Which of the two is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    Gpt,
    Claude,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = start_providers().await?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let openai: OpenAi<_> = OpenAi::builder()
        .base_url(&url)
        .api_key("a-key")
        .build(http.clone());
    let anthropic: Anthropic<_> = Anthropic::builder()
        .base_url(&url)
        .api_key("a-key")
        .build(http);

    let ask = async |model: Model| {
        let text = "What is the capital of Italy?";
        match model {
            Model::Gpt => {
                let question = ChatRequest::new("gpt-5-mini").user(text);
                let stream = openai.chat_stream(&question).await?.first_content().await?;
                let texts = stream.map(|chunk| Ok(chunk?.text().to_owned()));
                Ok::<_, BoxError>((model, texts.boxed()))
            }
            Model::Claude => {
                let question = MessagesRequest::new("claude-haiku-4-5", 100).user(text);
                let stream = anthropic.message_stream(&question).await?;
                let stream = stream.first_content().await?;
                let texts = stream.map(|event| Ok(event?.text().unwrap_or_default().to_owned()));
                Ok((model, texts.boxed()))
            }
        }
    };
    let won = race_candidates([Model::Gpt, Model::Claude], ask).await;
    let won = won.map_err(|lost| lost.boxed())?;
    let (model, mut texts) = won.value;
    let mut text = String::new();
    while let Some(piece) = texts.next().await {
        let piece: Result<String, BoxError> = piece;
        text.push_str(&piece?);
    }
    println!("{model:?}: {text}");
    assert_eq!((model, text.as_str()), (Model::Claude, "Rome"));
    Ok(())
}

/// A head at once, and after it the events, each when it is time.
fn slowly(events: Vec<Bytes>, wait: Duration) -> Response {
    let events = futures::stream::iter(events)
        .enumerate()
        .then(move |(at, event)| async move {
            if at == 1 {
                sleep(wait).await;
            }
            Ok::<_, Infallible>(event)
        });
    server::events(Body::from_stream(events))
}

async fn gpt() -> Response {
    let answer = ChatCompletion::new("chatcmpl-1", "gpt-5-mini", 1_700_000_000)
        .choice(ChatMessage::new("assistant", "Rome, of course"), "stop");
    let chunks = answer.to_chunks(false);
    let events = chunks
        .iter()
        .map(ChatChunk::to_sse)
        .chain([ChatChunk::done()]);
    slowly(events.collect(), Duration::from_secs(5))
}

async fn claude() -> Response {
    // Its head comes later, its first token earlier.
    sleep(Duration::from_millis(50)).await;
    let answer = Message::new("msg_1", "claude-haiku-4-5").block(Block::text("Rome"));
    let events = answer.to_events();
    slowly(
        events.iter().map(MessageEvent::to_sse).collect(),
        Duration::ZERO,
    )
}

async fn start_providers() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/v1/chat/completions", post(gpt))
        .route("/v1/messages", post(claude));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}
