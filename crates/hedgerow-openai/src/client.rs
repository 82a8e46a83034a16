//! Clients over any service that sends HTTP requests.

mod settings;
mod base;
mod send;
mod answer;
mod protocol;
mod stream;
mod question;
mod openai;
mod anthropic;

#[cfg(feature = "batch")]
pub(crate) use self::answer::{Head, read};
#[cfg(feature = "batch")]
pub(crate) use self::base::escaped;
#[cfg(feature = "batch")]
pub(crate) use self::settings::{Said, Settings, environment, setters};

pub use self::answer::Answer;
pub use self::anthropic::{Anthropic, AnthropicBuilder};
pub use self::openai::{OpenAi, OpenAiBuilder};
pub use self::protocol::{ChatEvents, CompletionEvents, MessageEvents, Protocol, ResponseEvents};
pub use self::question::{Question, StreamedQuestion};
pub use self::settings::{ApiKey, ConfigError};
pub use self::stream::{
    ChatStream, CompletionStream, EventStream, MessageStream, Opening, ResponseStream,
};
