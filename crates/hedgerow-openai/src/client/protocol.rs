//! What the events of each stream mean.

use std::collections::BTreeMap;

use hedgerow::Usage;
use hedgerow::crates::http::sse::Event;

use super::answer::{Head, malformed, read};
use crate::anthropic::{MessageEvent, MessageUsage};
use crate::error::CallError;
use crate::json::Object;
use crate::openai::{ChatChunk, Completion, DONE, ErrorBody, ResponseEvent, read_error};

/// What an event is.
#[derive(Debug)]
pub enum Step<T> {
    /// A piece of the answer.
    Item(T),
    /// The last piece of the answer.
    Last(T),
    /// The end of the answer, and no piece of it.
    End,
    /// Nothing.
    Nothing,
}

/// How the events of a stream are read. Sealed: each wire has its own here.
pub trait Protocol: Default + Unpin + sealed::Sealed {
    /// What a stream is made of.
    type Item;

    /// Reads an event.
    #[doc(hidden)]
    fn read(&mut self, head: &Head, event: &Event) -> Result<Step<Self::Item>, CallError>;

    /// Whether the answer is whole although nothing has said that it ends.
    #[doc(hidden)]
    fn is_whole(&self) -> bool;

    /// Whether a model has begun to answer in this piece.
    #[doc(hidden)]
    fn has_content(piece: &Self::Item) -> bool;

    /// What the call has used, as far as that was told.
    #[doc(hidden)]
    fn usage(&self) -> Option<Usage>;
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::ChatEvents {}
    impl Sealed for super::CompletionEvents {}
    impl Sealed for super::ResponseEvents {}
    impl Sealed for super::MessageEvents {}
}

/// The chunks of a chat.
#[derive(Clone, Debug, Default)]
pub struct ChatEvents {
    choices: Choices,
    usage: Option<Usage>,
}

/// The pieces of a text that is continued.
#[derive(Clone, Debug, Default)]
pub struct CompletionEvents {
    choices: Choices,
    usage: Option<Usage>,
}

/// The events of a response.
#[derive(Clone, Debug, Default)]
pub struct ResponseEvents {
    usage: Option<Usage>,
}

/// The events of a message.
#[derive(Clone, Debug, Default)]
pub struct MessageEvents {
    usage: Option<MessageUsage>,
}

/// Which choices have begun, and whether they have ended.
#[derive(Clone, Debug, Default)]
struct Choices(BTreeMap<u64, bool>);

/// As many choices as one looks after: no API gives more.
const CHOICES: usize = 1_024;

impl Choices {
    fn see(&mut self, index: Option<u64>, finished: bool) {
        let index = index.unwrap_or_default();
        if self.0.len() < CHOICES || self.0.contains_key(&index) {
            *self.0.entry(index).or_default() |= finished;
        }
    }

    fn all_finished(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|finished| *finished)
    }
}

/// The error in a piece that has begun well: in it, or all that it is.
fn in_band(
    head: &Head,
    object: Option<&str>,
    rest: &Object,
    event: &Event,
) -> Result<(), CallError> {
    match rest.get("error") {
        Some(raw) if !raw.is_null() => Err(head.openai_error(read_error(raw))),
        _ if object == Some("error") => Err(head
            .told(event.data())
            .unwrap_or_else(|| head.openai_error(ErrorBody::default()))),
        _ => Ok(()),
    }
}

fn is_done(event: &Event) -> bool {
    event.data().trim_ascii() == DONE.as_bytes()
}

// === impl ChatEvents ===

impl Protocol for ChatEvents {
    type Item = ChatChunk;

    fn read(&mut self, head: &Head, event: &Event) -> Result<Step<ChatChunk>, CallError> {
        if is_done(event) {
            return Ok(Step::End);
        }
        let chunk: ChatChunk = read(head, event.data())?;
        in_band(head, chunk.object.as_deref(), &chunk.rest, event)?;
        for choice in chunk.choices() {
            self.choices
                .see(choice.index, choice.finish_reason.is_some());
        }
        self.usage = chunk.used().or(self.usage);
        Ok(Step::Item(chunk))
    }

    fn is_whole(&self) -> bool {
        self.choices.all_finished()
    }

    fn has_content(chunk: &ChatChunk) -> bool {
        chunk.has_content()
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

// === impl CompletionEvents ===

impl Protocol for CompletionEvents {
    type Item = Completion;

    fn read(&mut self, head: &Head, event: &Event) -> Result<Step<Completion>, CallError> {
        if is_done(event) {
            return Ok(Step::End);
        }
        let piece: Completion = read(head, event.data())?;
        in_band(head, piece.object.as_deref(), &piece.rest, event)?;
        for choice in piece.choices() {
            self.choices
                .see(choice.index, choice.finish_reason.is_some());
        }
        self.usage = piece.used().or(self.usage);
        Ok(Step::Item(piece))
    }

    fn is_whole(&self) -> bool {
        self.choices.all_finished()
    }

    fn has_content(piece: &Completion) -> bool {
        piece.has_content()
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

// === impl ResponseEvents ===

impl Protocol for ResponseEvents {
    type Item = ResponseEvent;

    fn read(&mut self, head: &Head, event: &Event) -> Result<Step<ResponseEvent>, CallError> {
        if is_done(event) {
            return Ok(Step::End);
        }
        let event: ResponseEvent = read(head, event.data())?;
        if let Some(error) = event.failure() {
            return Err(head.openai_error(error));
        }
        self.usage = event.used().or(self.usage);
        Ok(if event.is_last() {
            Step::Last(event)
        } else {
            Step::Item(event)
        })
    }

    /// The last event says so.
    fn is_whole(&self) -> bool {
        false
    }

    fn has_content(event: &ResponseEvent) -> bool {
        event.has_content()
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

// === impl MessageEvents ===

impl Protocol for MessageEvents {
    type Item = MessageEvent;

    fn read(&mut self, head: &Head, event: &Event) -> Result<Step<MessageEvent>, CallError> {
        let event: MessageEvent = match serde_json::from_slice(event.data()) {
            Ok(event) => event,
            // Some say by its name alone what an event is.
            Err(_) if event.is("ping") => return Ok(Step::Nothing),
            Err(source) => return Err(malformed("MessageEvent", event.data(), source)),
        };
        let told = match &event {
            MessageEvent::Error(envelope) => return Err(head.anthropic_error(envelope.clone())),
            MessageEvent::MessageStart(start) => start.message.usage.as_ref(),
            MessageEvent::MessageDelta(delta) => delta.usage.as_ref(),
            _ => None,
        };
        if let Some(told) = told {
            self.usage.get_or_insert_default().update(told);
        }
        Ok(match event {
            event @ MessageEvent::MessageStop(_) => Step::Last(event),
            event => Step::Item(event),
        })
    }

    /// The last event says so.
    fn is_whole(&self) -> bool {
        false
    }

    fn has_content(event: &MessageEvent) -> bool {
        event.has_content()
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.as_ref().map(MessageUsage::used)
    }
}
