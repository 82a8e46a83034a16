//! OpenAI's and Anthropic's wire: types that lose nothing, clients over any tower service, tolerant JSON.
//!
//! # A first call
//!
//! A client needs a service that sends HTTP requests: hyper-util's, reqwest's, or one with hedgerow's layers
//! around it. Key and address come from `OPENAI_API_KEY` and `OPENAI_BASE_URL` (`ANTHROPIC_API_KEY`,
//! `ANTHROPIC_BASE_URL`) unless they are given.
//!
//! ```
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! use hedgerow_openai::OpenAi;
//! use hedgerow_openai::openai::ChatRequest;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let service = tower::service_fn(async |_: http::Request<Full<Bytes>>| {
//! #     let answer = r#"{"choices":[{"message":{"role":"assistant","content":"Rome"}}],
//! #         "usage":{"prompt_tokens":12,"completion_tokens":1}}"#;
//! #     Ok::<_, std::io::Error>(http::Response::new(Full::<Bytes>::from(answer)))
//! # });
//! let client: OpenAi<_> = OpenAi::builder().api_key("a-key").build(service);
//! let question = ChatRequest::new("gpt-5-mini").user("What is the capital of Italy?");
//!
//! // Four tries, a minute each, waits as the provider asks; the text, the usage, what it took.
//! let done = client.complete(question).await?;
//! assert_eq!(done.value.text(), "Rome");
//! assert_eq!(done.usage.map(|usage| usage.total()), Some(13));
//! # Ok(()) }
//! ```
//!
//! | to | write |
//! | --- | --- |
//! | send it once | `client.chat(&question).await?` |
//! | read it piece by piece | `client.chat_stream(&question).await?`, then `next()` |
//! | stream it, but have the whole | `client.chat_stream(&question).await?.collect().await?` |
//! | try again until the model begins to answer | `client.complete_streamed(question).await?.value` |
//! | count only once the model begins to answer, in a [`race`](fn@hedgerow::race) | `client.chat_stream(&question).await?.first_content().await?` |
//! | stand in a queue, with a rate of tokens | `client.complete(question).gate(&gate).cost(1_000)` |
//! | cancel it from outside | `client.complete(question).cancel_on(token)` |
//! | have layers around typed requests | the client is a `Service<ChatRequest>` |
//! | have layers beneath send twice | `OpenAi::builder().idempotent()`, or `hedgerow::LlmClientLayer` |
//!
//! [`Anthropic`] does the same for `/v1/messages`.
//!
//! # What a model wrote
//!
//! [`parse_object`] takes the JSON object out of a model's answer, with or without the talk around it, and
//! says why there is none: it never takes a piece of an object for the whole, and tells what it left over.
//!
//! # Errors
//!
//! [`CallError`] tells apart what the provider says ([`ApiError`]: status, sort, code, message, request id,
//! and a [`Pushback`](hedgerow_core::Pushback)), an answer that broke off, one that cannot be read, and a
//! service beneath that failed. What a provider says inside of a stream is an error like any other.
//! [`ProviderJudge`] says which of them are worth another try; any retry or hedge of hedgerow's takes it.
//!
//! # In between
//!
//! The types are for both directions. Each names the fields that are read; all others are kept in its `rest`,
//! in their order, byte for byte, numbers with all their digits, and go out as they came in. A proxy that
//! changes a field or two reads an [`Object`](json::Object) instead: the rest of it stays untouched. A server
//! answers with the same types: see [`server`], `to_chunks` and `to_events` of whole answers, and `to_sse` of
//! each event.
//!
//! # Secrets
//!
//! No `Debug` and no error shows a key or what a header holds; both are marked as sensitive in the requests.

pub mod json;
mod wire;
pub mod openai;
pub mod anthropic;
mod error;
mod client;
pub mod server;
#[cfg(feature = "batch")]
pub mod batch;
#[cfg(feature = "journal")]
pub mod guide;

pub use self::client::{
    Answer, Anthropic, AnthropicBuilder, ApiKey, ChatEvents, ChatStream, CompletionEvents,
    CompletionStream, ConfigError, EventStream, MessageEvents, MessageStream, OpenAi,
    OpenAiBuilder, Opening, Protocol, Question, ResponseEvents, ResponseStream, StreamedQuestion,
};
pub use self::error::{ApiError, CallError, Provider, ProviderJudge};
pub use self::json::parse_object;
