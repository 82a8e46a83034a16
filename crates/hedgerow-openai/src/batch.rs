//! The Batch API as a backend: calls are collected, sent as batches, and each answered by itself.
//!
//! Half the price, and an answer within hours. A call looks as if it were sent by itself: it gets the answer of
//! its own row, with its own status, byte for byte, whatever becomes of the other rows.
//!
//! # Examples
//!
//! ```
//! use hedgerow_openai::batch::{BatchClient, RequestBody};
//! use hedgerow_openai::openai::ChatRequest;
//!
//! # async fn run<S, F>(service: S) -> Result<(), Box<dyn std::error::Error>>
//! # where
//! #     F: Future<Output = Result<http::Response<String>, std::io::Error>> + Send + 'static,
//! #     S: tower::Service<http::Request<RequestBody>, Response = http::Response<String>,
//! #         Error = std::io::Error, Future = F> + Clone + Send + Sync + 'static,
//! # {
//! // `service`: hyper-util's client, or any other that sends HTTP requests.
//! let client = BatchClient::builder() // OPENAI_API_KEY, OPENAI_BASE_URL
//!     .completion_window("24h")
//!     .build(service);
//! let question = ChatRequest::new("gpt-5-mini").user("What is the capital of Italy?");
//! println!("{}", client.chat(&question).await?.text());
//! client.close().await;
//! # Ok(()) }
//! ```
//!
//! # The life of a row
//!
//! 1. It is collected, by endpoint and model, until there are 1,000 of them or 10 s are over: a batch takes one
//!    of each. A call that is dropped until then takes its row back.
//! 2. It stands in the journal, if there is one; its file is uploaded, and its batch made. A 429 or a slow
//!    upload here delays rows of the same endpoint and model alone.
//! 3. The batch is asked for, less often the older it gets. Where the API shows parts of the answers, they
//!    are given out at once.
//! 4. Its line is read, and its call answered.
//!
//! | what happens | what the call gets |
//! | --- | --- |
//! | an answer, good or bad | the answer, with its own status |
//! | an error instead of an answer | [`RowError::Row`] |
//! | no line, or junk | [`RowError::Missing`] |
//! | the window ends first | by [`OnExpired`]: another batch, sent by itself, or [`RowError::Expired`] |
//! | the file is refused | [`RowError::Refused`] for the lines that are named, and the others go again; else [`RowError::Failed`] |
//! | the upload, or the making, is refused | [`RowError::Submission`]; what may succeed later is tried until the deadline |
//! | a download breaks off, or a 503 | it is tried again, from there on where the API can |
//! | the batch is not known any more | [`RowError::Gone`], when that was said twice |
//! | no end within window and grace | [`RowError::Overdue`], and the batch is cancelled |
//!
//! # Drop
//!
//! A call that is dropped once its row is sent leaves the row there: its answer goes to the next one who asks
//! the same while the row is open, and later too with a journal. When the last client and the last call are
//! gone, the task ends at once: batches go on at the API, and a journal finds them again.
#![cfg_attr(
    feature = "journal",
    doc = "\n# Restarts\n\n[`JournalBuilder`] says what is promised."
)]

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
mod backend;
pub mod telemetry;

pub use self::answer::RowAnswer;
pub use self::api::{BatchApi, NewBatch, Silence};
pub use self::backend::BatchBackend;
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
