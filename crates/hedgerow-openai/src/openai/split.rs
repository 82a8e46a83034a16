//! A whole answer as the stream that it would have been.

use super::chat::{ChatCompletion, ChatMessage, ToolCall};
use super::chunk::{ChatChunk, ChatDelta, ChunkChoice, FunctionDelta, ToolCallDelta};
use super::completion::Completion;
use super::response::{OutputItem, Response, ResponseEvent};
use crate::json::{Object, Raw};

impl ChatCompletion {
    /// The chunks that stream this answer: for each choice its role, what it says, why it ends; and the
    /// usage in a last chunk, if `with_usage`. [`ChatCollector`](super::ChatCollector) makes the answer of
    /// them again.
    #[must_use]
    pub fn to_chunks(&self, with_usage: bool) -> Vec<ChatChunk> {
        let empty = ChatChunk {
            id: self.id.clone(),
            object: Some("chat.completion.chunk".to_owned()),
            created: self.created.clone(),
            model: self.model.clone(),
            choices: Some(Vec::new()),
            usage: None,
            rest: self.rest.clone(),
        };
        // All begin before one ends: a stream that is cut off in between is seen to be.
        let (mut begins, mut says, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (at, choice) in (0..).zip(&self.choices) {
            let piece = |delta, finish_reason, rest| ChunkChoice {
                index: Some(choice.index.unwrap_or(at)),
                delta: Some(delta),
                finish_reason,
                rest,
            };
            begins.push(piece(begin_of(&choice.message), None, Object::new()));
            let said = content_of(&choice.message);
            if said != ChatDelta::default() {
                says.push(piece(said, None, Object::new()));
            }
            let reason = choice.finish_reason.clone();
            ends.push(piece(ChatDelta::default(), reason, choice.rest.clone()));
        }
        let pieces = begins.into_iter().chain(says).chain(ends);
        let mut chunks: Vec<ChatChunk> = pieces
            .map(|piece| ChatChunk {
                choices: Some(vec![piece]),
                ..empty.clone()
            })
            .collect();
        if with_usage && self.usage.is_some() {
            chunks.push(ChatChunk {
                usage: self.usage.clone(),
                ..empty
            });
        }
        chunks
    }
}

fn begin_of(message: &ChatMessage) -> ChatDelta {
    ChatDelta {
        role: Some(message.role.clone()),
        rest: message.rest.clone(),
        ..ChatDelta::default()
    }
}

fn content_of(message: &ChatMessage) -> ChatDelta {
    let calls = message.tool_calls.as_ref();
    ChatDelta {
        content: message.content.as_ref().map(|_| message.text()),
        refusal: message.refusal.clone(),
        tool_calls: calls.map(|calls| (0..).zip(calls).map(delta_of).collect()),
        ..ChatDelta::default()
    }
}

fn delta_of((index, call): (u64, &ToolCall)) -> ToolCallDelta {
    ToolCallDelta {
        index: Some(index),
        id: call.id.clone(),
        kind: call.kind.clone(),
        function: call.function.as_ref().map(|function| FunctionDelta {
            name: Some(function.name.clone()),
            arguments: Some(function.arguments.clone()),
            rest: function.rest.clone(),
        }),
        rest: call.rest.clone(),
    }
}

impl Completion {
    /// The pieces that stream this answer: one for each choice, and the usage in a last one, if
    /// `with_usage`.
    #[must_use]
    pub fn to_chunks(&self, with_usage: bool) -> Vec<Self> {
        let with = |choices, usage| Self {
            choices: Some(choices),
            usage,
            ..self.clone()
        };
        let mut chunks: Vec<Self> = self
            .choices()
            .iter()
            .map(|choice| with(vec![choice.clone()], None))
            .collect();
        if with_usage && self.usage.is_some() {
            chunks.push(with(Vec::new(), self.usage.clone()));
        }
        chunks
    }
}

impl Response {
    /// The events that stream this response, numbered from 0.
    #[must_use]
    pub fn to_events(&self) -> Vec<ResponseEvent> {
        let mut events = Numbered(Vec::new());
        let begun = Self {
            status: Some("in_progress".to_owned()),
            output: Some(Vec::new()),
            usage: None,
            ..self.clone()
        };
        events.state("response.created", &begun);
        events.state("response.in_progress", &begun);
        for (index, item) in (0..).zip(self.output()) {
            item.tell(index, &mut events);
        }
        let last = match self.status.as_deref() {
            Some("failed") => "response.failed",
            Some("incomplete") => "response.incomplete",
            Some("cancelled") => "response.cancelled",
            _ => "response.completed",
        };
        events.state(last, self);
        events.0
    }
}

impl OutputItem {
    fn tell(&self, index: u64, events: &mut Numbered) {
        let id = Raw::text(self.id.as_deref().unwrap_or_default());
        let at = Raw::of(&index).unwrap_or_default();
        let item = |item: &Self| {
            [
                ("output_index", at.clone()),
                ("item", Raw::of(item).unwrap_or_default()),
            ]
        };
        let begun = Self {
            status: Some("in_progress".to_owned()),
            content: self.content.as_ref().map(|_| Vec::new()),
            arguments: self.arguments.as_ref().map(|_| String::new()),
            ..self.clone()
        };
        events.tell("response.output_item.added", None, item(&begun));
        let of = [("item_id", id), ("output_index", at.clone())];
        for (number, part) in (0_u64..).zip(self.content.iter().flatten()) {
            let mut of = of.to_vec();
            of.push(("content_index", Raw::of(&number).unwrap_or_default()));
            let with = |name, raw| of.iter().cloned().chain([(name, raw)]).collect::<Vec<_>>();
            let mut begun = part.clone();
            begun.text = begun.text.map(|_| String::new());
            let begun = Raw::of(&begun).unwrap_or_default();
            events.tell("response.content_part.added", None, with("part", begun));
            if let Some(text) = part.text.as_deref().filter(|_| part.kind == "output_text") {
                let none = Raw::texts::<&str>(&[]);
                events.tell(
                    "response.output_text.delta",
                    Some(text),
                    with("logprobs", none.clone()),
                );
                let mut done = with("logprobs", none);
                done.push(("text", Raw::text(text)));
                events.tell("response.output_text.done", None, done);
            }
            let part = Raw::of(part).unwrap_or_default();
            events.tell("response.content_part.done", None, with("part", part));
        }
        if let Some(arguments) = &self.arguments {
            events.tell(
                "response.function_call_arguments.delta",
                Some(arguments),
                of.clone(),
            );
            let done = of.into_iter().chain([("arguments", Raw::text(arguments))]);
            events.tell("response.function_call_arguments.done", None, done);
        }
        events.tell("response.output_item.done", None, item(self));
    }
}

struct Numbered(Vec<ResponseEvent>);

impl Numbered {
    fn state(&mut self, kind: &str, response: &Response) {
        self.push(ResponseEvent {
            response: Some(response.clone()),
            ..ResponseEvent::new(kind)
        });
    }

    fn tell(
        &mut self,
        kind: &str,
        delta: Option<&str>,
        fields: impl IntoIterator<Item = (&'static str, Raw)>,
    ) {
        let mut event = ResponseEvent::new(kind);
        event.delta = delta.map(Raw::text);
        for (name, raw) in fields {
            event.rest.put(name, raw);
        }
        self.push(event);
    }

    fn push(&mut self, mut event: ResponseEvent) {
        event.sequence_number = u64::try_from(self.0.len()).ok();
        self.0.push(event);
    }
}
