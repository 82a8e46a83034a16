//! The events of a streamed message.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::ErrorEnvelope;
use super::message::{Block, Message, MessageUsage};
use crate::json::Raw;
use crate::wire::wire;

wire! {
    /// A message begins; it has no content yet.
    pub struct MessageStart {
        /// `message_start`.
        "type" => kind: String,
        /// The message, and what it has used of input.
        "message" => message: Message,
    }

    /// A part of the message begins.
    pub struct ContentBlockStart {
        /// `content_block_start`.
        "type" => kind: String,
        /// Which part.
        "index" => index: u64,
        /// The part, as far as it is there.
        "content_block" => content_block: Block,
    }

    /// More of a part.
    pub struct ContentBlockDelta {
        /// `content_block_delta`.
        "type" => kind: String,
        /// Of which part.
        "index" => index: u64,
        /// What is new.
        "delta" => delta: BlockDelta,
    }

    /// What is new of a part.
    pub struct BlockDelta {
        /// `text_delta`, `input_json_delta`, `thinking_delta`, `signature_delta`, `citations_delta` ..
        "type" => kind: String,
        /// More text.
        "text" => text: Option<String>,
        /// More of a tool's input.
        "partial_json" => partial_json: Option<String>,
        /// More of what is thought.
        "thinking" => thinking: Option<String>,
        /// More of the signature of what was thought.
        "signature" => signature: Option<String>,
    }

    /// A part has ended.
    pub struct ContentBlockStop {
        /// `content_block_stop`.
        "type" => kind: String,
        /// Which part.
        "index" => index: u64,
    }

    /// The message has changed as a whole.
    pub struct MessageDelta {
        /// `message_delta`.
        "type" => kind: String,
        /// What is new of it.
        "delta" => delta: MessageChange,
        /// What the message has used so far, in all.
        "usage" => usage: Option<MessageUsage>,
    }

    /// What is new of a message as a whole.
    pub struct MessageChange {
        /// Why it ends.
        "stop_reason" => stop_reason: Option<String>,
        /// At which of the sequences that were asked for it ends.
        "stop_sequence" => stop_sequence: Option<String>,
    }

    /// An event of which nothing is read but its type.
    pub struct Other {
        /// Its type.
        "type" => kind: String,
    }
}

/// An event of a streamed message, by its type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MessageEvent {
    /// A message begins.
    MessageStart(MessageStart),
    /// A part of it begins.
    ContentBlockStart(ContentBlockStart),
    /// More of a part.
    ContentBlockDelta(ContentBlockDelta),
    /// A part has ended.
    ContentBlockStop(ContentBlockStop),
    /// The message has changed as a whole.
    MessageDelta(MessageDelta),
    /// The message has ended.
    MessageStop(Other),
    /// The server is still there.
    Ping(Other),
    /// The message cannot be ended.
    Error(ErrorEnvelope),
    /// A type that was not known when this was written.
    Other(Other),
}

impl MessageEvent {
    /// `message` begins: its content and its ending are to follow.
    #[must_use]
    pub fn start(message: Message) -> Self {
        Self::MessageStart(MessageStart {
            kind: "message_start".to_owned(),
            message,
            ..MessageStart::default()
        })
    }

    /// Part `index` begins.
    #[must_use]
    pub fn block_start(index: u64, content_block: Block) -> Self {
        Self::ContentBlockStart(ContentBlockStart {
            kind: "content_block_start".to_owned(),
            index,
            content_block,
            ..ContentBlockStart::default()
        })
    }

    /// More of part `index`.
    #[must_use]
    pub fn delta(index: u64, delta: BlockDelta) -> Self {
        Self::ContentBlockDelta(ContentBlockDelta {
            kind: "content_block_delta".to_owned(),
            index,
            delta,
            ..ContentBlockDelta::default()
        })
    }

    /// Part `index` has ended.
    #[must_use]
    pub fn block_stop(index: u64) -> Self {
        Self::ContentBlockStop(ContentBlockStop {
            kind: "content_block_stop".to_owned(),
            index,
            ..ContentBlockStop::default()
        })
    }

    /// The message has changed, and used so much.
    #[must_use]
    pub fn change(delta: MessageChange, usage: MessageUsage) -> Self {
        Self::MessageDelta(MessageDelta {
            kind: "message_delta".to_owned(),
            delta,
            usage: Some(usage),
            ..MessageDelta::default()
        })
    }

    /// The message has ended.
    #[must_use]
    pub fn stop() -> Self {
        Self::MessageStop(Other::of("message_stop"))
    }

    /// The server is still there.
    #[must_use]
    pub fn ping() -> Self {
        Self::Ping(Other::of("ping"))
    }

    /// Its type: `message_start` and so on.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::MessageStart(event) => &event.kind,
            Self::ContentBlockStart(event) => &event.kind,
            Self::ContentBlockDelta(event) => &event.kind,
            Self::ContentBlockStop(event) => &event.kind,
            Self::MessageDelta(event) => &event.kind,
            Self::MessageStop(event) | Self::Ping(event) | Self::Other(event) => &event.kind,
            Self::Error(_) => "error",
        }
    }

    /// More of the text, if that is what it brings.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::ContentBlockDelta(event) if event.delta.kind == "text_delta" => {
                event.delta.text.as_deref()
            }
            _ => None,
        }
    }

    /// Whether a model has begun to answer.
    pub(crate) const fn has_content(&self) -> bool {
        matches!(
            self,
            Self::ContentBlockDelta(_) | Self::MessageDelta(_) | Self::MessageStop(_)
        )
    }
}

impl Other {
    fn of(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            ..Self::default()
        }
    }
}

impl BlockDelta {
    /// More text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            kind: "text_delta".to_owned(),
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// More of a tool's input.
    #[must_use]
    pub fn input_json(partial_json: impl Into<String>) -> Self {
        Self {
            kind: "input_json_delta".to_owned(),
            partial_json: Some(partial_json.into()),
            ..Self::default()
        }
    }
}

// === impl Deserialize, Serialize ===

impl<'de> Deserialize<'de> for MessageEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        /// Nothing else is looked at.
        #[derive(Deserialize)]
        struct Told<'a> {
            #[serde(rename = "type", borrow)]
            kind: std::borrow::Cow<'a, str>,
        }

        let raw = Raw::deserialize(deserializer)?;
        let told: Told<'_> = raw.read().map_err(D::Error::custom)?;
        match &*told.kind {
            "message_start" => raw.read().map(Self::MessageStart),
            "content_block_start" => raw.read().map(Self::ContentBlockStart),
            "content_block_delta" => raw.read().map(Self::ContentBlockDelta),
            "content_block_stop" => raw.read().map(Self::ContentBlockStop),
            "message_delta" => raw.read().map(Self::MessageDelta),
            "message_stop" => raw.read().map(Self::MessageStop),
            "ping" => raw.read().map(Self::Ping),
            "error" => raw.read().map(Self::Error),
            _ => raw.read().map(Self::Other),
        }
        .map_err(D::Error::custom)
    }
}

impl Serialize for MessageEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::MessageStart(event) => event.serialize(serializer),
            Self::ContentBlockStart(event) => event.serialize(serializer),
            Self::ContentBlockDelta(event) => event.serialize(serializer),
            Self::ContentBlockStop(event) => event.serialize(serializer),
            Self::MessageDelta(event) => event.serialize(serializer),
            Self::MessageStop(event) | Self::Ping(event) | Self::Other(event) => {
                event.serialize(serializer)
            }
            Self::Error(event) => event.serialize(serializer),
        }
    }
}
