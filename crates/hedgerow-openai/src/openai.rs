//! OpenAI's wire: what its API, and the many that speak like it, read and write.
//!
//! Each type names the fields that are read and keeps all others in `rest`, as they were written; what a
//! field holds is what JSON holds, no more: roles and reasons are strings, since providers have their own.

mod chat;
mod chunk;
mod collect;
mod split;
mod completion;
mod embedding;
mod response;
mod model;
mod error;

pub use self::chat::{
    ChatChoice, ChatCompletion, ChatMessage, ChatRequest, ChatUsage, Content, ContentPart,
    FunctionCall, StreamOptions, ToolCall,
};
pub use self::chunk::{ChatChunk, ChatDelta, ChunkChoice, FunctionDelta, ToolCallDelta};
pub use self::collect::ChatCollector;
pub use self::completion::{Completion, CompletionChoice, CompletionRequest};
pub use self::embedding::{Embedding, EmbeddingError, Embeddings, EmbeddingsRequest, Vector};
pub use self::error::{ErrorBody, ErrorEnvelope};
pub use self::model::{Model, Models};
pub use self::response::{
    OutputContent, OutputItem, Response, ResponseError, ResponseEvent, ResponseRequest,
    ResponseUsage,
};

pub(crate) use self::error::{in_band, read_error};

/// The line that ends a stream of chunks.
pub const DONE: &str = "[DONE]";
