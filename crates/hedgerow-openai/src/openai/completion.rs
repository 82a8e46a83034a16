//! `POST /v1/completions`: the older API, which continues a text.

use hedgerow::Usage;

use super::chat::{ChatUsage, StreamOptions};
use crate::json::{Number, Raw};
use crate::wire::wire;

wire! {
    /// Asks for a text to be continued.
    pub struct CompletionRequest {
        /// Which model is asked.
        "model" => model: String,
        /// The text; several texts, or tokens, as lists.
        "prompt" => prompt: Option<Raw>,
        /// Whether the answer comes in pieces. The client sets it.
        "stream" => stream: Option<bool>,
        /// How the pieces come.
        "stream_options" => stream_options: Option<StreamOptions>,
        /// How many tokens the answer may have.
        "max_tokens" => max_tokens: Option<u64>,
        /// How many answers are wanted.
        "n" => n: Option<u64>,
    }

    /// A whole answer, or a piece of a streamed one: they have the same form.
    pub struct Completion {
        /// By which the provider knows it.
        "id" => id: Option<String>,
        /// `text_completion`.
        "object" => object: Option<String>,
        /// When it was made, in seconds of the Unix epoch.
        "created" => created: Option<Number>,
        /// Which model answered.
        "model" => model: Option<String>,
        /// The answers.
        "choices" => choices: Option<Vec<CompletionChoice>>,
        /// What it used.
        "usage" => usage: Option<ChatUsage>,
    }

    /// One answer.
    pub struct CompletionChoice {
        /// Which one it is.
        "index" => index: Option<u64>,
        /// How the text goes on.
        "text" => text: Option<String>,
        /// Why it ends: `stop`, `length`, `content_filter`.
        "finish_reason" => finish_reason: Option<String>,
    }
}

impl CompletionRequest {
    /// Asks `model` how `prompt` goes on.
    #[must_use]
    pub fn new(model: impl Into<String>, prompt: &str) -> Self {
        Self {
            model: model.into(),
            prompt: Some(Raw::text(prompt)),
            ..Self::default()
        }
    }

    /// Whether whoever sent this wants the usage in a last chunk.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.and_then(|options| options.include_usage) == Some(true)
    }
}

impl Completion {
    /// An answer of `model` without choices, as a server writes it.
    #[must_use]
    pub fn new(id: impl Into<String>, model: impl Into<String>, created: u64) -> Self {
        Self {
            id: Some(id.into()),
            object: Some("text_completion".to_owned()),
            created: Some(created.into()),
            model: Some(model.into()),
            choices: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Adds a choice, or in a stream a piece of choice `index`.
    #[must_use]
    pub fn choice(
        mut self,
        index: u64,
        text: impl Into<String>,
        finish_reason: Option<&str>,
    ) -> Self {
        self.choices.get_or_insert_default().push(CompletionChoice {
            index: Some(index),
            text: Some(text.into()),
            finish_reason: finish_reason.map(ToOwned::to_owned),
            ..CompletionChoice::default()
        });
        self
    }

    /// Its choices.
    #[must_use]
    pub fn choices(&self) -> &[CompletionChoice] {
        self.choices.as_deref().unwrap_or_default()
    }

    /// The text of the first choice; empty if there is none.
    #[must_use]
    pub fn text(&self) -> &str {
        let mut choices = self.choices().iter();
        let first = choices.find(|choice| choice.index.unwrap_or(0) == 0);
        first
            .and_then(|choice| choice.text.as_deref())
            .unwrap_or_default()
    }

    /// What it used, if it says so.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        self.usage.as_ref().map(ChatUsage::used)
    }

    pub(crate) fn has_content(&self) -> bool {
        self.choices().iter().any(|choice| {
            choice
                .finish_reason
                .as_ref()
                .is_some_and(|reason| !reason.is_empty())
                || choice.text.as_ref().is_some_and(|text| !text.is_empty())
        })
    }
}
