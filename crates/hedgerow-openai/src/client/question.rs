//! What OpenAI's client sends, and what answers it.

use std::borrow::Cow;

use hedgerow::Usage;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{Head, read};
use super::protocol::{ChatEvents, CompletionEvents, Protocol, ResponseEvents};
use crate::error::CallError;
use crate::openai::{
    ChatCompletion, ChatRequest, Completion, CompletionRequest, Embeddings, EmbeddingsRequest,
    Response, ResponseRequest, StreamOptions,
};

/// A request that [`OpenAi`](crate::OpenAi) sends, and what answers it. Sealed: each request of [`openai`](crate::openai) has it.
pub trait Question: Serialize + Clone + sealed::Sealed {
    /// What answers it.
    type Answer: DeserializeOwned;

    /// Where it is sent, behind the base URL.
    const PATH: &str;

    /// What an answer says that it used.
    fn used(answer: &Self::Answer) -> Option<Usage>;

    /// Reads an answer.
    #[doc(hidden)]
    fn read(head: &Head, body: &[u8]) -> Result<Self::Answer, CallError> {
        read(head, body)
    }
}

/// A request whose answer can be streamed. Sealed.
pub trait StreamedQuestion: Question {
    /// How the answer is streamed.
    type Events: Protocol;

    /// The request for a stream.
    #[doc(hidden)]
    fn streamed(&self) -> Cow<'_, Self>;
}

mod sealed {
    pub trait Sealed {}
}

// === impl Question ===

macro_rules! questions {
    ($($request:ty => $answer:ty, $path:literal;)*) => {$(
        impl sealed::Sealed for $request {}

        impl Question for $request {
            type Answer = $answer;

            const PATH: &str = $path;

            fn used(answer: &$answer) -> Option<Usage> {
                answer.used()
            }
        }
    )*};
}

questions! {
    ChatRequest => ChatCompletion, "/chat/completions";
    CompletionRequest => Completion, "/completions";
    EmbeddingsRequest => Embeddings, "/embeddings";
}

impl sealed::Sealed for ResponseRequest {}

impl Question for ResponseRequest {
    type Answer = Response;

    const PATH: &str = "/responses";

    fn used(answer: &Response) -> Option<Usage> {
        answer.used()
    }

    fn read(head: &Head, body: &[u8]) -> Result<Response, CallError> {
        let response: Response = read(head, body)?;
        match response.failure() {
            Some(error) => Err(head.openai_error(error)),
            None => Ok(response),
        }
    }
}

impl StreamedQuestion for ChatRequest {
    type Events = ChatEvents;

    fn streamed(&self) -> Cow<'_, Self> {
        let mut request = self.clone();
        request.stream = Some(true);
        request.stream_options.get_or_insert_with(with_usage);
        Cow::Owned(request)
    }
}

impl StreamedQuestion for CompletionRequest {
    type Events = CompletionEvents;

    fn streamed(&self) -> Cow<'_, Self> {
        let mut request = self.clone();
        request.stream = Some(true);
        request.stream_options.get_or_insert_with(with_usage);
        Cow::Owned(request)
    }
}

impl StreamedQuestion for ResponseRequest {
    type Events = ResponseEvents;

    fn streamed(&self) -> Cow<'_, Self> {
        let mut request = self.clone();
        request.stream = Some(true);
        Cow::Owned(request)
    }
}

fn with_usage() -> StreamOptions {
    StreamOptions {
        include_usage: Some(true),
        ..StreamOptions::default()
    }
}
