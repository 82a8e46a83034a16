//! The Batch API as a backend: calls are collected, sent as batches, and each answered by itself.

mod id;
mod answer;
mod objects;
mod error;
mod peek;
mod body;
mod lines;
mod api;
mod download;
mod record;
mod options;
mod pace;
mod lanes;
mod book;
mod event;
mod keeper;
#[cfg(feature = "journal")]
mod journal;
mod engine;
mod build;
mod call;
mod client;

pub use self::answer::RowAnswer;
pub use self::api::{BatchApi, NewBatch, Silence};
pub use self::body::RequestBody;
pub use self::build::BatchClientBuilder;
pub use self::call::BatchCall;
pub use self::client::BatchClient;
pub use self::error::{BatchConfigError, RowError};
pub use self::event::{BatchEventKind, BatchFacts, BatchState, Closing, JsonLines, LifecycleEvent};
pub use self::id::RowId;
#[cfg(feature = "journal")]
pub use self::journal::{JournalBuilder, JournalError};
pub use self::objects::{
    BatchObject, BatchStatus, FileObject, Listed, ListedFiles, Problem, RequestCounts,
};
pub use self::options::{OnClose, OnExpired};
