//! Anthropic's wire: `/v1/messages`, whole and as typed events.
//!
//! As in [`openai`](crate::openai), each type names the fields that are read and keeps all others in `rest`.

mod message;
mod event;
mod collect;
mod split;
mod error;

pub use self::collect::MessageCollector;
pub use self::error::{ErrorBody, ErrorEnvelope};
pub use self::event::{
    BlockDelta, ContentBlockDelta, ContentBlockStart, ContentBlockStop, MessageChange,
    MessageDelta, MessageEvent, MessageStart, Other,
};
pub use self::message::{
    Block, InputContent, InputMessage, Message, MessageUsage, MessagesRequest, TokenCount,
};

/// The version of the API that this crate speaks, as the header `anthropic-version` has it.
pub const VERSION: &str = "2023-06-01";
