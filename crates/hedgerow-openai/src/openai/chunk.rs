//! What a streamed chat answer comes in.

use hedgerow::Usage;

use super::chat::ChatUsage;
use crate::json::Number;
use crate::wire::wire;

wire! {
    /// A piece of a streamed answer.
    pub struct ChatChunk {
        /// The same in all chunks of an answer.
        "id" => id: Option<String>,
        /// `chat.completion.chunk`.
        "object" => object: Option<String>,
        /// When the answer was begun, in seconds of the Unix epoch.
        "created" => created: Option<Number>,
        /// Which model answers.
        "model" => model: Option<String>,
        /// What is new. None in the chunk that tells the usage.
        "choices" => choices: Option<Vec<ChunkChoice>>,
        /// What the call used: in the last chunk, if it was asked for.
        "usage" => usage: Option<ChatUsage>,
    }

    /// What is new of one choice.
    pub struct ChunkChoice {
        /// Of which choice.
        "index" => index: Option<u64>,
        /// What is new.
        "delta" => delta: Option<ChatDelta>,
        /// Why it ends, when it does.
        "finish_reason" => finish_reason: Option<String>,
    }

    /// What is to be added to a message.
    pub struct ChatDelta {
        /// Whose message it is, at first.
        "role" => role: Option<String>,
        /// More of its text.
        "content" => content: Option<String>,
        /// More of its refusal.
        "refusal" => refusal: Option<String>,
        /// More of its calls of tools.
        "tool_calls" => tool_calls: Option<Vec<ToolCallDelta>>,
    }

    /// What is to be added to a call of a tool.
    pub struct ToolCallDelta {
        /// To which.
        "index" => index: Option<u64>,
        /// By which its result is known, at first.
        "id" => id: Option<String>,
        /// `function`, at first.
        "type" => kind: Option<String>,
        /// More of the function.
        "function" => function: Option<FunctionDelta>,
    }

    /// What is to be added to a function's call.
    pub struct FunctionDelta {
        /// Its name, at first.
        "name" => name: Option<String>,
        /// More of its arguments.
        "arguments" => arguments: Option<String>,
    }
}

impl ChatChunk {
    /// A chunk of `model`'s answer without anything new, as a server writes it.
    #[must_use]
    pub fn new(id: impl Into<String>, model: impl Into<String>, created: u64) -> Self {
        Self {
            id: Some(id.into()),
            object: Some("chat.completion.chunk".to_owned()),
            created: Some(created.into()),
            model: Some(model.into()),
            choices: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Adds what is new of choice `index`.
    #[must_use]
    pub fn delta(mut self, index: u64, delta: ChatDelta) -> Self {
        self.choices.get_or_insert_default().push(ChunkChoice {
            index: Some(index),
            delta: Some(delta),
            ..ChunkChoice::default()
        });
        self
    }

    /// Ends choice `index`.
    #[must_use]
    pub fn finish(mut self, index: u64, reason: impl Into<String>) -> Self {
        self.choices.get_or_insert_default().push(ChunkChoice {
            index: Some(index),
            delta: Some(ChatDelta::default()),
            finish_reason: Some(reason.into()),
            ..ChunkChoice::default()
        });
        self
    }

    /// Its choices.
    #[must_use]
    pub fn choices(&self) -> &[ChunkChoice] {
        self.choices.as_deref().unwrap_or_default()
    }

    /// What is new of the first choice's text; empty if there is nothing.
    #[must_use]
    pub fn text(&self) -> &str {
        let mut deltas = self
            .choices()
            .iter()
            .filter(|choice| choice.index.unwrap_or(0) == 0);
        let delta = deltas.next().and_then(|choice| choice.delta.as_ref());
        delta
            .and_then(|delta| delta.content.as_deref())
            .unwrap_or_default()
    }

    /// What the call used, if this chunk says so.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        self.usage.as_ref().map(ChatUsage::used)
    }

    /// Whether a model has begun to answer: with a text, a refusal, a call of a tool, or with anything
    /// that has no name here, such as reasoning.
    pub(crate) fn has_content(&self) -> bool {
        self.choices().iter().any(|choice| {
            said(&choice.finish_reason) || choice.delta.as_ref().is_some_and(ChatDelta::has_content)
        })
    }
}

impl ChatDelta {
    /// More text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            content: Some(text.into()),
            ..Self::default()
        }
    }

    fn has_content(&self) -> bool {
        said(&self.content)
            || said(&self.refusal)
            || self
                .tool_calls
                .as_ref()
                .is_some_and(|calls| !calls.is_empty())
            || self.rest.iter().any(|(_, raw)| !raw.is_empty())
    }
}

fn said(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}
