//! What is asked, and the whole answer.

use hedgerow::Usage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::Raw;
use crate::wire::{required_fields, wire};

wire! {
    /// Asks for the next message of a conversation.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_openai::anthropic::MessagesRequest;
    ///
    /// let request = MessagesRequest::new("claude-haiku-4-5", 100)
    ///     .user("What is the capital of Italy?")
    ///     .set("system", "Answer in one word."); // whatever the API knows
    /// assert_eq!(
    ///     serde_json::to_string(&request)?,
    ///     r#"{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"What is the capital of Italy?"}],"system":"Answer in one word."}"#,
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub struct MessagesRequest {
        /// Which model is asked.
        "model" => model: String,
        /// How many tokens the answer may have: the API demands it. Counting tokens does without.
        "max_tokens" => max_tokens: Option<u64>,
        /// The conversation so far.
        "messages" => messages: Vec<InputMessage>,
        /// Whether the answer comes in events. The client sets it.
        "stream" => stream: Option<bool>,
    }

    /// One message of a conversation.
    pub struct InputMessage {
        /// Whose it is: `user` or `assistant`.
        "role" => role: String,
        /// What it says.
        "content" => content: InputContent,
    }

    /// A part of a message: a text, a call of a tool and so on.
    pub struct Block {
        /// `text`, `tool_use`, `tool_result`, `thinking`, `image` ..
        "type" => kind: String,
        /// The text of a `text`.
        "text" => text: Option<String>,
        /// What is thought in a `thinking`.
        "thinking" => thinking: Option<String>,
        /// By which the result of a `tool_use` is known.
        "id" => id: Option<String>,
        /// Which tool is to be used.
        "name" => name: Option<String>,
        /// With what: an object.
        "input" => input: Option<Raw>,
    }

    /// A whole answer.
    pub struct Message {
        /// By which the provider knows it.
        "id" => id: Option<String>,
        /// `message`.
        "type" => kind: Option<String>,
        /// `assistant`.
        "role" => role: Option<String>,
        /// Which model answered.
        "model" => model: Option<String>,
        /// What it says.
        "content" => content: Vec<Block>,
        /// Why it ends: `end_turn`, `max_tokens`, `stop_sequence`, `tool_use` ..
        "stop_reason" => stop_reason: Option<String>,
        /// At which of the sequences that were asked for it ends.
        "stop_sequence" => stop_sequence: Option<String>,
        /// What it used.
        "usage" => usage: Option<MessageUsage>,
    }

    /// What a message used, in tokens.
    pub struct MessageUsage {
        /// Of the conversation that was sent, beside what came from a cache or went into one.
        "input_tokens" => input_tokens: Option<u64>,
        /// What went into the cache.
        "cache_creation_input_tokens" => cache_creation_input_tokens: Option<u64>,
        /// What came from the cache.
        "cache_read_input_tokens" => cache_read_input_tokens: Option<u64>,
        /// Of the answer.
        "output_tokens" => output_tokens: Option<u64>,
    }

    /// How many tokens a request has: the answer of `/v1/messages/count_tokens`.
    pub struct TokenCount {
        /// So many.
        "input_tokens" => input_tokens: u64,
    }
}

/// What a message of a conversation says: a text, or parts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum InputContent {
    /// A text.
    Text(String),
    /// Texts, images, results of tools.
    Blocks(Vec<Block>),
}

required_fields! {
    InputContent;
}

impl MessagesRequest {
    /// Asks `model` for at most `max_tokens`. Add messages.
    #[must_use]
    pub fn new(model: impl Into<String>, max_tokens: u64) -> Self {
        Self {
            model: model.into(),
            max_tokens: Some(max_tokens),
            ..Self::default()
        }
    }

    /// Adds what the user says.
    #[must_use]
    pub fn user(self, text: impl Into<String>) -> Self {
        self.message(InputMessage::new("user", InputContent::Text(text.into())))
    }

    /// Adds a message: an answer of the model's, the result of a tool.
    #[must_use]
    pub fn message(mut self, message: InputMessage) -> Self {
        self.messages.push(message);
        self
    }
}

impl InputMessage {
    /// A message by `role`.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<InputContent>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
            ..Self::default()
        }
    }
}

impl Message {
    /// An answer of `model` without content, as a server writes it.
    #[must_use]
    pub fn new(id: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            kind: Some("message".to_owned()),
            role: Some("assistant".to_owned()),
            model: Some(model.into()),
            ..Self::default()
        }
    }

    /// Adds a part.
    #[must_use]
    pub fn block(mut self, block: Block) -> Self {
        self.content.push(block);
        self
    }

    /// What it says: the text of all its parts.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter(|block| block.kind == "text");
        texts.filter_map(|block| block.text.as_deref()).collect()
    }

    /// The tools that it wants used.
    pub fn tool_uses(&self) -> impl Iterator<Item = &Block> {
        self.content.iter().filter(|block| block.kind == "tool_use")
    }

    /// What it used, if it says so.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        self.usage.as_ref().map(MessageUsage::used)
    }
}

impl Block {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            kind: "text".to_owned(),
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// The tool `name` is to be used with `input`, an object.
    #[must_use]
    pub fn tool_use(id: impl Into<String>, name: impl Into<String>, input: Raw) -> Self {
        Self {
            kind: "tool_use".to_owned(),
            id: Some(id.into()),
            name: Some(name.into()),
            input: Some(input),
            ..Self::default()
        }
    }

    /// What a tool answered to the use `id`.
    #[must_use]
    pub fn tool_result(id: &str, text: &str) -> Self {
        let mut block = Self {
            kind: "tool_result".to_owned(),
            ..Self::default()
        };
        block.rest.put("tool_use_id", Raw::text(id));
        block.rest.put("content", Raw::text(text));
        block
    }
}

impl MessageUsage {
    /// So many tokens in, so many out.
    #[must_use]
    pub fn new(input: u64, output: u64) -> Self {
        Self {
            input_tokens: Some(input),
            output_tokens: Some(output),
            ..Self::default()
        }
    }

    /// As tokens in and out: in is what was sent, whether it came from a cache, went into one, or neither.
    #[must_use]
    pub fn used(&self) -> Usage {
        let parts = [
            self.input_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        ];
        let input = parts.into_iter().flatten().fold(0, u64::saturating_add);
        Usage::new(input, self.output_tokens.unwrap_or_default())
    }

    /// Takes over what `later` tells: its counts are of the whole message, not of a part.
    pub fn update(&mut self, later: &Self) {
        for (kept, new) in [
            (&mut self.input_tokens, later.input_tokens),
            (
                &mut self.cache_creation_input_tokens,
                later.cache_creation_input_tokens,
            ),
            (
                &mut self.cache_read_input_tokens,
                later.cache_read_input_tokens,
            ),
            (&mut self.output_tokens, later.output_tokens),
        ] {
            if new.is_some() {
                *kept = new;
            }
        }
        for (name, raw) in &later.rest {
            if !raw.is_null() {
                self.rest.put(name, raw.clone());
            }
        }
    }
}

impl TokenCount {
    /// So many, as a server writes it.
    #[must_use]
    pub fn new(input_tokens: u64) -> Self {
        Self {
            input_tokens,
            ..Self::default()
        }
    }
}

// === impl InputContent ===

impl Default for InputContent {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<String> for InputContent {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for InputContent {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<Block>> for InputContent {
    fn from(blocks: Vec<Block>) -> Self {
        Self::Blocks(blocks)
    }
}

impl<'de> Deserialize<'de> for InputContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let raw = Raw::deserialize(deserializer)?;
        if raw.as_str().starts_with('[') {
            raw.read().map(Self::Blocks).map_err(D::Error::custom)
        } else {
            raw.read().map(Self::Text).map_err(D::Error::custom)
        }
    }
}

impl Serialize for InputContent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Blocks(blocks) => blocks.serialize(serializer),
        }
    }
}
