//! `POST /v1/chat/completions`.

use hedgerow::Usage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::{Number, Raw};
use crate::wire::wire;

wire! {
    /// Asks for the next message of a conversation.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_openai::openai::ChatRequest;
    ///
    /// let request = ChatRequest::new("gpt-5-mini")
    ///     .system("Answer in one word.")
    ///     .user("What is the capital of Italy?")
    ///     .set("temperature", 0.2); // whatever the API knows
    /// assert_eq!(
    ///     serde_json::to_string(&request)?,
    ///     r#"{"model":"gpt-5-mini","messages":[{"role":"system","content":"Answer in one word."},{"role":"user","content":"What is the capital of Italy?"}],"temperature":0.2}"#,
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub struct ChatRequest {
        /// Which model is asked.
        "model" => model: String,
        /// The conversation so far.
        "messages" => messages: Vec<ChatMessage>,
        /// Whether the answer comes in pieces. The client sets it.
        "stream" => stream: Option<bool>,
        /// How the pieces come.
        "stream_options" => stream_options: Option<StreamOptions>,
        /// How many tokens the answer may have.
        "max_completion_tokens" => max_completion_tokens: Option<u64>,
        /// The older name of it, which many providers still read.
        "max_tokens" => max_tokens: Option<u64>,
        /// How many answers are wanted.
        "n" => n: Option<u64>,
    }

    /// What a streamed answer is to contain.
    pub struct StreamOptions {
        /// Whether a last chunk tells the usage.
        "include_usage" => include_usage: Option<bool>,
    }

    /// One message of a conversation.
    pub struct ChatMessage {
        /// Whose it is: `system`, `developer`, `user`, `assistant` or `tool`.
        "role" => role: String,
        /// What it says.
        "content" => content: Option<Content>,
        /// Why the model did not answer.
        "refusal" => refusal: Option<String>,
        /// The tools that the model wants called.
        "tool_calls" => tool_calls: Option<Vec<ToolCall>>,
        /// Which call of a tool this is the result of.
        "tool_call_id" => tool_call_id: Option<String>,
    }

    /// A part of a message that is not text alone.
    pub struct ContentPart {
        /// `text`, `image_url`, `input_audio`, `file`, `refusal` ..
        "type" => kind: String,
        /// The text of a part of type `text`.
        "text" => text: Option<String>,
    }

    /// A tool that the model wants called.
    pub struct ToolCall {
        /// By which its result is known.
        "id" => id: Option<String>,
        /// `function`, or `custom`.
        "type" => kind: Option<String>,
        /// What to call, if it is a function.
        "function" => function: Option<FunctionCall>,
    }

    /// Which function is called, and with what.
    pub struct FunctionCall {
        /// Its name.
        "name" => name: String,
        /// A JSON object, as the model wrote it: it may be none. See
        /// [`parse_object`](crate::parse_object).
        "arguments" => arguments: String,
    }

    /// A whole answer.
    pub struct ChatCompletion {
        /// By which the provider knows it.
        "id" => id: Option<String>,
        /// `chat.completion`.
        "object" => object: Option<String>,
        /// When it was made, in seconds of the Unix epoch.
        "created" => created: Option<Number>,
        /// Which model answered.
        "model" => model: Option<String>,
        /// The answers: one, if no more were asked for.
        "choices" => choices: Vec<ChatChoice>,
        /// What it used.
        "usage" => usage: Option<ChatUsage>,
    }

    /// One answer.
    pub struct ChatChoice {
        /// Which one it is.
        "index" => index: Option<u64>,
        /// What the model says.
        "message" => message: ChatMessage,
        /// Why it ends: `stop`, `length`, `tool_calls`, `content_filter` ..
        "finish_reason" => finish_reason: Option<String>,
    }

    /// What a call used, in tokens.
    pub struct ChatUsage {
        /// Of the conversation that was sent.
        "prompt_tokens" => prompt_tokens: Option<u64>,
        /// Of the answer.
        "completion_tokens" => completion_tokens: Option<u64>,
        /// Both.
        "total_tokens" => total_tokens: Option<u64>,
    }
}

/// What a message says: a text, or parts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// A text.
    Text(String),
    /// Texts, images and the like.
    Parts(Vec<ContentPart>),
}

impl ChatRequest {
    /// Asks `model`. Add messages.
    #[must_use]
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            ..Self::default()
        }
    }

    /// Adds what the model is to keep to.
    #[must_use]
    pub fn system(self, text: impl Into<String>) -> Self {
        self.message(ChatMessage::new("system", text))
    }

    /// Adds what the user says.
    #[must_use]
    pub fn user(self, text: impl Into<String>) -> Self {
        self.message(ChatMessage::new("user", text))
    }

    /// Adds a message: an answer of the model's, the result of a tool.
    #[must_use]
    pub fn message(mut self, message: ChatMessage) -> Self {
        self.messages.push(message);
        self
    }

    /// Whether whoever sent this wants the usage in a last chunk.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.and_then(|options| options.include_usage) == Some(true)
    }
}

impl ChatMessage {
    /// A text by `role`.
    #[must_use]
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Some(Content::Text(text.into())),
            ..Self::default()
        }
    }

    /// What a tool answered to the call `id`.
    #[must_use]
    pub fn tool(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            tool_call_id: Some(id.into()),
            ..Self::new("tool", text)
        }
    }

    /// What it says: its text, or those of its parts, one after the other.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts
                .iter()
                .filter_map(|part| part.text.as_deref())
                .collect(),
        }
    }
}

impl ChatCompletion {
    /// An answer of `model` without choices, as a server writes it.
    #[must_use]
    pub fn new(id: impl Into<String>, model: impl Into<String>, created: u64) -> Self {
        Self {
            id: Some(id.into()),
            object: Some("chat.completion".to_owned()),
            created: Some(created.into()),
            model: Some(model.into()),
            ..Self::default()
        }
    }

    /// Adds a choice.
    #[must_use]
    pub fn choice(mut self, message: ChatMessage, finish_reason: impl Into<String>) -> Self {
        self.choices.push(ChatChoice {
            index: u64::try_from(self.choices.len()).ok(),
            message,
            finish_reason: Some(finish_reason.into()),
            ..ChatChoice::default()
        });
        self
    }

    /// What the first choice says; empty if it says nothing, as one that calls tools.
    #[must_use]
    pub fn text(&self) -> String {
        let first = self.choices.first();
        first.map_or_else(String::new, |choice| choice.message.text())
    }

    /// The tools that the first choice wants called.
    #[must_use]
    pub fn tool_calls(&self) -> &[ToolCall] {
        let first = self.choices.first();
        let calls = first.and_then(|choice| choice.message.tool_calls.as_deref());
        calls.unwrap_or_default()
    }

    /// What it used, if it says so.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        self.usage.as_ref().map(ChatUsage::used)
    }
}

impl ToolCall {
    /// The function `name` is to be called with `arguments`, which are JSON.
    #[must_use]
    pub fn function(
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self {
            id: Some(id.into()),
            kind: Some("function".to_owned()),
            function: Some(FunctionCall {
                name: name.into(),
                arguments: arguments.into(),
                ..FunctionCall::default()
            }),
            ..Self::default()
        }
    }
}

impl ChatUsage {
    /// So many tokens in, so many out.
    #[must_use]
    pub fn new(input: u64, output: u64) -> Self {
        Self {
            prompt_tokens: Some(input),
            completion_tokens: Some(output),
            total_tokens: Some(input.saturating_add(output)),
            ..Self::default()
        }
    }

    /// As tokens in and out.
    #[must_use]
    pub fn used(&self) -> Usage {
        let input = self.prompt_tokens.unwrap_or_default();
        let output = match (self.completion_tokens, self.total_tokens) {
            (Some(output), _) => output,
            // Embeddings have no output, and tell none.
            (None, Some(total)) => total.saturating_sub(input),
            (None, None) => 0,
        };
        Usage::new(input, output)
    }
}

// === impl Content ===

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let raw = Raw::deserialize(deserializer)?;
        if raw.as_str().starts_with('[') {
            raw.read().map(Self::Parts).map_err(D::Error::custom)
        } else {
            raw.read().map(Self::Text).map_err(D::Error::custom)
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Parts(parts) => parts.serialize(serializer),
        }
    }
}
