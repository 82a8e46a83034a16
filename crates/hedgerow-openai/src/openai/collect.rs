//! A streamed chat answer, put together.

use std::collections::BTreeMap;

use super::chat::{ChatChoice, ChatCompletion, ChatMessage, Content, FunctionCall, ToolCall};
use super::chunk::{ChatChunk, ChunkChoice, ToolCallDelta};
use crate::json::Object;

/// Puts a streamed answer together: what the same call would have answered without a stream.
///
/// Texts and arguments are joined. Of other fields of a chunk, a choice, a message or a call the last value
/// is kept, except that texts in a message (reasoning, as several providers have it) are joined as well.
///
/// # Examples
///
/// ```
/// use hedgerow_openai::openai::{ChatChunk, ChatCollector, ChatDelta};
///
/// let mut collector = ChatCollector::new();
/// let chunk = || ChatChunk::new("chatcmpl-1", "m", 1_700_000_000);
/// collector.add(chunk().delta(0, ChatDelta::text("Ro")));
/// collector.add(chunk().delta(0, ChatDelta::text("me")));
/// collector.add(chunk().finish(0, "stop"));
/// assert!(collector.is_finished());
/// assert_eq!(collector.finish().text(), "Rome");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChatCollector {
    whole: ChatCompletion,
    choices: BTreeMap<u64, Choice>,
}

#[derive(Clone, Debug, Default)]
struct Choice {
    role: Option<String>,
    content: Option<String>,
    refusal: Option<String>,
    calls: BTreeMap<u64, ToolCall>,
    finish_reason: Option<String>,
    message_rest: Object,
    rest: Object,
}

impl ChatCollector {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a chunk.
    pub fn add(&mut self, chunk: ChatChunk) {
        let whole = &mut self.whole;
        replace(&mut whole.id, chunk.id);
        replace(&mut whole.created, chunk.created);
        replace(&mut whole.model, chunk.model);
        replace(&mut whole.usage, chunk.usage);
        keep_last(&mut whole.rest, &chunk.rest);
        for choice in chunk.choices.unwrap_or_default() {
            let index = choice.index.unwrap_or_default();
            self.choices.entry(index).or_default().add(choice);
        }
    }

    /// Whether each choice that has begun has ended, and one has.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let mut choices = self.choices.values();
        !self.choices.is_empty() && choices.all(|choice| choice.finish_reason.is_some())
    }

    /// The answer, as far as it has come.
    #[must_use]
    pub fn finish(mut self) -> ChatCompletion {
        self.whole.object = Some("chat.completion".to_owned());
        let choices = self.choices.into_iter();
        self.whole.choices = choices
            .map(|(index, choice)| choice.finish(index))
            .collect();
        self.whole
    }
}

impl Choice {
    fn add(&mut self, choice: ChunkChoice) {
        replace(&mut self.finish_reason, choice.finish_reason);
        keep_last(&mut self.rest, &choice.rest);
        let Some(delta) = choice.delta else { return };
        replace(&mut self.role, delta.role.filter(|role| !role.is_empty()));
        join(&mut self.content, delta.content);
        join(&mut self.refusal, delta.refusal);
        join_texts(&mut self.message_rest, &delta.rest);
        for call in delta.tool_calls.unwrap_or_default() {
            self.add_call(call);
        }
    }

    fn add_call(&mut self, delta: ToolCallDelta) {
        let last = self.calls.last_key_value();
        // Providers that send whole calls leave the index out: each id is then a call of its own.
        let index = delta.index.unwrap_or_else(|| match last {
            None => 0,
            Some((&last, call)) if delta.id.is_none() || call.id == delta.id => last,
            Some((&last, _)) => last.saturating_add(1),
        });
        let call = self.calls.entry(index).or_default();
        replace(&mut call.id, delta.id);
        replace(&mut call.kind, delta.kind);
        keep_last(&mut call.rest, &delta.rest);
        if let Some(more) = delta.function {
            let function = call.function.get_or_insert_with(FunctionCall::default);
            function
                .name
                .push_str(more.name.as_deref().unwrap_or_default());
            function
                .arguments
                .push_str(more.arguments.as_deref().unwrap_or_default());
            keep_last(&mut function.rest, &more.rest);
        }
    }

    fn finish(self, index: u64) -> ChatChoice {
        let calls: Vec<ToolCall> = self.calls.into_values().collect();
        ChatChoice {
            index: Some(index),
            message: ChatMessage {
                role: self.role.unwrap_or_else(|| "assistant".to_owned()),
                content: self.content.map(Content::Text),
                refusal: self.refusal,
                tool_calls: (!calls.is_empty()).then_some(calls),
                rest: self.message_rest,
                ..ChatMessage::default()
            },
            finish_reason: self.finish_reason,
            rest: self.rest,
        }
    }
}

fn replace<T>(kept: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *kept = new;
    }
}

fn join(kept: &mut Option<String>, more: Option<String>) {
    match (kept, more) {
        (Some(kept), Some(more)) => kept.push_str(&more),
        (kept @ None, more) => *kept = more,
        (Some(_), None) => {}
    }
}

/// Nulls stand for fields that the whole answer has by itself.
fn keep_last(kept: &mut Object, new: &Object) {
    for (name, raw) in new {
        if !raw.is_null() {
            kept.put(name, raw.clone());
        }
    }
}

fn join_texts(kept: &mut Object, new: &Object) {
    for (name, raw) in new {
        if raw.is_null() {
            continue;
        }
        let texts = kept
            .get(name)
            .map(|kept| (kept.read::<String>(), raw.read::<String>()));
        let joined = match texts {
            Some((Ok(kept), Ok(more))) => crate::json::Raw::of(&(kept + &more)).ok(),
            _ => None,
        };
        kept.put(name, joined.unwrap_or_else(|| raw.clone()));
    }
}
