//! The formats of model providers.

mod choices;
mod failure;

use std::borrow::Cow;

use hedgerow_core::Class;
use http::Uri;
use serde::Deserialize;

use self::choices::Choices;
pub use self::failure::Blame;
use self::failure::{Failure, class_of};
use super::seen::{Seen, StreamFormat, Wanted};
use crate::sse::Event;

/// A format of events that is known.
///
/// | format | content | failure | nothing yet |
/// | --- | --- | --- | --- |
/// | `OpenAiChat` | a choice whose delta has anything but a role, or that has a `finish_reason`; `[DONE]` | `error` | the first chunk with the role, chunks without choices |
/// | `OpenAiCompletions` | a choice with text or a `finish_reason`; `[DONE]` | `error` | empty text |
/// | `OpenAiResponses` | a delta that is not empty, `….done`, `response.completed`, `response.incomplete` | `error`, `response.failed` | `response.created`, `….in_progress`, `….added` |
/// | `AnthropicMessages` | `content_block_delta`, `message_delta`, `message_stop` | `error` | `message_start`, `content_block_start`, `ping` |
///
/// An event that is no JSON object counts as content: what is not understood is never withheld.
///
/// What a failure is worth is told by its type or code: what names the request, the key, the account or
/// the model is final, anything else (OpenAI's `server_error` and `rate_limit_exceeded`, Anthropic's
/// `overloaded_error` and `api_error`) may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KnownFormat {
    /// `POST /v1/chat/completions`.
    OpenAiChat,
    /// `POST /v1/completions`.
    OpenAiCompletions,
    /// `POST /v1/responses`.
    OpenAiResponses,
    /// `POST /v1/messages`.
    AnthropicMessages,
}

/// The known format that the path of a request asks for, by how it ends ([`KnownFormat::of_path`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct ByPath {
    /// Known once there is a request.
    format: Option<KnownFormat>,
}

impl KnownFormat {
    /// The format of the answers to requests for this path, if it is a known one: whatever stands before
    /// `/chat/completions`, `/completions`, `/responses` or `/messages`.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let ends = |end: &str| path.ends_with(end);
        if ends("/chat/completions") {
            Some(Self::OpenAiChat)
        } else if ends("/completions") {
            Some(Self::OpenAiCompletions)
        } else if ends("/responses") {
            Some(Self::OpenAiResponses)
        } else if ends("/messages") {
            Some(Self::AnthropicMessages)
        } else {
            None
        }
    }
}

impl StreamFormat for KnownFormat {
    fn see(&self, event: &Event) -> Seen {
        let data = event.data().trim_ascii();
        if data == b"[DONE]" {
            return Seen::Content;
        }
        let Ok(told) = serde_json::from_slice::<Told<'_>>(data) else {
            return Seen::Content;
        };
        match self {
            Self::OpenAiChat | Self::OpenAiCompletions => told.see_choices(),
            Self::OpenAiResponses => told.see_response(event),
            Self::AnthropicMessages => told.see_message(event),
        }
    }
}

impl StreamFormat for ByPath {
    fn wanted(&self, uri: &Uri) -> Wanted<Self> {
        let format = KnownFormat::of_path(uri.path());
        match format {
            Some(_) => Wanted::Content(Self { format }),
            None => Wanted::Frame,
        }
    }

    fn see(&self, event: &Event) -> Seen {
        match self.format {
            Some(format) => format.see(event),
            None => Seen::Content,
        }
    }
}

/// What is read of an event, of whichever format. The rest is skipped, not kept.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    object: Option<Cow<'a, str>>,
    #[serde(default)]
    choices: Option<Choices>,
    #[serde(borrow, default)]
    error: Option<Failure<'a>>,
    #[serde(borrow, default)]
    code: Option<failure::Code<'a>>,
    #[serde(borrow, default)]
    response: Option<Response<'a>>,
    #[serde(default)]
    delta: Option<choices::Filled>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    error: Option<Failure<'a>>,
}

impl Told<'_> {
    fn kind<'a>(&'a self, event: &'a Event) -> Cow<'a, str> {
        match &self.kind {
            Some(kind) => Cow::Borrowed(kind),
            None => event.name(),
        }
    }

    fn see_choices(&self) -> Seen {
        if let Some(error) = &self.error {
            return Seen::Failed(error.class());
        }
        // As vLLM tells it.
        if self.object.as_deref() == Some("error") {
            return Seen::Failed(class_of(self.kind.as_deref(), self.code.as_ref()));
        }
        match self.choices {
            Some(Choices(true)) => Seen::Content,
            Some(Choices(false)) | None => Seen::Preamble,
        }
    }

    fn see_response(&self, event: &Event) -> Seen {
        let kind = self.kind(event);
        match &*kind {
            "error" | "response.failed" => Seen::Failed(self.failed()),
            "response.created" | "response.queued" => Seen::Preamble,
            kind if kind.ends_with(".delta") => match &self.delta {
                Some(delta) if !delta.0 => Seen::Preamble,
                _ => Seen::Content,
            },
            kind if !kind.starts_with("response.") => self.other(),
            kind => match kind.rsplit('.').next() {
                Some("added" | "in_progress" | "searching" | "generating" | "interpreting") => {
                    Seen::Preamble
                }
                _ => Seen::Content,
            },
        }
    }

    fn see_message(&self, event: &Event) -> Seen {
        match &*self.kind(event) {
            "error" => Seen::Failed(self.failed()),
            "content_block_delta" | "message_delta" | "message_stop" => Seen::Content,
            _ => self.other(),
        }
    }

    /// An event that the format does not have: proxies in between put their errors like this.
    fn other(&self) -> Seen {
        match &self.error {
            Some(error) => Seen::Failed(error.class()),
            None => Seen::Preamble,
        }
    }

    /// What the failure that this event tells of is worth.
    fn failed(&self) -> Class {
        let nested = self.response.as_ref().and_then(|told| told.error.as_ref());
        match self.error.as_ref().or(nested) {
            Some(error) => error.class(),
            None => class_of(None, self.code.as_ref()),
        }
    }
}
