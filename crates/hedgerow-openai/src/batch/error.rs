//! Why a row has no answer.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::id::RowId;
use super::objects::Problem;
use crate::error::CallError;

/// Why a row has no answer of its own.
///
/// An answer with a bad status is an answer ([`RowAnswer`](super::RowAnswer)) and none of these.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RowError {
    /// A batch takes JSON objects alone. Nothing was sent.
    #[error("the body is no JSON object, so it cannot be a row of a batch")]
    Body(#[source] Arc<serde_json::Error>),
    /// The request is not one that a batch takes. Nothing was sent.
    #[error(
        "{method} {path} cannot be a row of a batch: only POST with a path such as `/v1/chat/completions` can"
    )]
    NotBatchable {
        /// Its method.
        method: http::Method,
        /// Its path.
        path: String,
    },
    /// The row alone is more than a file may hold. Nothing was sent.
    #[error("the row has {bytes} bytes, and a file may have {max}")]
    TooLarge {
        /// How many it has.
        bytes: u64,
        /// How many a file may have.
        max: u64,
    },
    /// More bytes wait than may. Nothing was sent.
    #[error(
        "{bytes} bytes of rows are open, and no more may be: wait for some, or set `max_pending_bytes`"
    )]
    Full {
        /// How many are open.
        bytes: u64,
    },
    /// The client was closed, or its runtime has ended.
    #[error("the client was closed{}", .batch_id.as_ref().map(|id| format!("; batch {id} goes on without it")).unwrap_or_default())]
    Closed {
        /// The batch that goes on at the API; with a journal the answer is there for who asks again.
        batch_id: Option<Arc<str>>,
    },
    /// The service beneath panicked, which ended this row's batch here.
    #[error("the service that sends requests panicked")]
    Panicked,
    /// The batch was not accepted.
    #[error("the batch was not accepted ({step})")]
    Submission {
        /// `upload` or `create`.
        step: &'static str,
        /// Why.
        source: Arc<CallError>,
    },
    /// The file was refused when it was looked at.
    #[error("batch {batch_id} failed: {}", told(problems))]
    Failed {
        /// Which batch.
        batch_id: Arc<str>,
        /// What is wrong with its file.
        problems: Arc<[Problem]>,
    },
    /// The file was refused because of this row.
    #[error(
        "batch {batch_id} refused this row: {}",
        told(std::slice::from_ref(problem))
    )]
    Refused {
        /// Which batch.
        batch_id: Arc<str>,
        /// What is wrong with the row.
        problem: Arc<Problem>,
    },
    /// The row has an error instead of an answer.
    #[error("the row was not answered in batch {batch_id}: {message}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Row {
        /// Which batch.
        batch_id: Arc<str>,
        /// A word for machines.
        code: Option<Arc<str>>,
        /// In words.
        message: Arc<str>,
    },
    /// The batch has completed, and no line of its files is this row's.
    #[error("batch {batch_id} has completed without a line for this row ({custom_id})")]
    Missing {
        /// Which batch.
        batch_id: Arc<str>,
        /// The row's name.
        custom_id: RowId,
    },
    /// The window ended first.
    #[error("batch {batch_id} expired before this row was answered")]
    Expired {
        /// Which batch.
        batch_id: Arc<str>,
    },
    /// The batch was cancelled before the row was answered.
    #[error("batch {batch_id} was cancelled before this row was answered")]
    Cancelled {
        /// Which batch.
        batch_id: Arc<str>,
    },
    /// The API does not know the batch any more.
    #[error("the API does not know batch {batch_id} any more")]
    Gone {
        /// Which batch.
        batch_id: Arc<str>,
    },
    /// The batch had no end when its window and the grace were over.
    #[error("batch {batch_id} had no end after {} s: its window and the grace are over", after.as_secs())]
    Overdue {
        /// Which batch.
        batch_id: Arc<str>,
        /// How long it was waited for.
        after: Duration,
    },
    /// The file of answers could not be read.
    #[error("the answers of batch {batch_id} could not be downloaded")]
    Unreadable {
        /// Which batch.
        batch_id: Arc<str>,
        /// Why, the last time.
        source: Arc<CallError>,
    },
    /// The journal could not be written. Nothing was sent that is not in it.
    #[error("the journal failed: {0}")]
    Journal(Arc<str>),
}

fn told(problems: &[Problem]) -> String {
    let Some(first) = problems.first() else {
        return "no reason was given".to_owned();
    };
    let mut told = first.message.clone();
    if let Some(line) = first.line {
        told.push_str(&format!(" (line {line})"));
    }
    if problems.len() > 1 {
        told.push_str(&format!(", and {} more", problems.len() - 1));
    }
    told
}

/// A batch client cannot be built from what it was given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BatchConfigError {
    /// Key, address or headers are of no use.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// A number is out of its range.
    #[error("`{name}` is {value}: write {range}")]
    Range {
        /// Of which setting.
        name: &'static str,
        /// What was said.
        value: String,
        /// What may be said.
        range: &'static str,
    },
    /// There is no runtime.
    #[error("a batch client needs a tokio runtime: build it inside of one")]
    NoRuntime,
    /// The journal cannot be opened.
    #[cfg(feature = "journal")]
    #[error(transparent)]
    Journal(#[from] super::journal::JournalError),
}
