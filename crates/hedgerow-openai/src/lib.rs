//! OpenAI's and Anthropic's wire: types that lose nothing, clients over any tower service, tolerant JSON.

pub mod json;
mod wire;
pub mod openai;
pub mod anthropic;
mod error;
mod client;
pub mod server;

pub use self::client::{
    Answer, Anthropic, AnthropicBuilder, ApiKey, ChatEvents, ChatStream, CompletionEvents,
    CompletionStream, ConfigError, EventStream, MessageEvents, MessageStream, OpenAi,
    OpenAiBuilder, Opening, Protocol, Question, ResponseEvents, ResponseStream, StreamedQuestion,
};
pub use self::error::{ApiError, CallError, Provider, ProviderJudge};
pub use self::json::parse_object;
