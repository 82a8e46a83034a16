//! What is told of the life of batches.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_core::{Recorder, caught};
use parking_lot::Mutex;
use serde_json::{Number, Value};

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchEventKind {
    /// The API has accepted a batch.
    Submitted,
    /// It has not, and is asked no more.
    SubmissionFailed,
    /// Counts or status have changed.
    Progress,
    /// A batch has completed, and its answers are given out.
    Completed,
    /// A batch has ended in another way.
    Terminal,
    /// The API is asked to cancel a batch.
    CancelRequested,
    /// It has.
    Cancelled,
    /// It has not.
    CancelFailed,
    /// The client closes.
    Closing,
}

impl BatchEventKind {
    /// Its name in the lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "batch_submitted",
            Self::SubmissionFailed => "batch_submission_failed",
            Self::Progress => "batch_progress",
            Self::Completed => "batch_completed",
            Self::Terminal => "batch_terminal",
            Self::CancelRequested => "batch_cancel_requested",
            Self::Cancelled => "batch_cancelled_upstream",
            Self::CancelFailed => "batch_cancel_failed",
            Self::Closing => "client_closing",
        }
    }
}

/// An event in the life of a batch, or of the client.
///
/// [`to_json`](Self::to_json) writes it as one line with its keys sorted. `null` stands for what a batch has
/// not yet; fields that an event never has are not there.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LifecycleEvent {
    /// What has happened.
    pub kind: BatchEventKind,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Of which batch; `None` when the client closes.
    pub batch: Option<BatchFacts>,
    /// Of progress and ends.
    pub state: Option<BatchState>,
    /// What went wrong.
    pub error: Option<String>,
    /// Of the client that closes.
    pub closing: Option<Closing>,
}

/// What is known of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchFacts {
    /// Its name at the API.
    pub batch_id: Option<String>,
    /// Which endpoint its rows go to.
    pub endpoint: String,
    /// Its rows.
    pub input_file_id: Option<String>,
    /// Good answers.
    pub output_file_id: Option<String>,
    /// All others.
    pub error_file_id: Option<String>,
    /// How many rows it has.
    pub request_count: u64,
    /// Which models they ask, sorted.
    pub models: Vec<String>,
    /// Within what time it is to be done.
    pub completion_window: String,
    /// What it was given.
    pub metadata: BTreeMap<String, String>,
}

/// Where a batch stands.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BatchState {
    /// The API's word.
    pub status: String,
    /// Rows with a good answer.
    pub completed: u64,
    /// Rows with another end.
    pub failed: u64,
    /// All rows.
    pub total: u64,
    /// How long ago it was submitted.
    pub elapsed: Duration,
}

/// What a client leaves behind when it closes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closing {
    /// How many rows have no answer.
    pub pending_request_count: u64,
    /// Which batches run.
    pub active_batch_ids: Vec<String>,
    /// Whether they are cancelled.
    pub cancel_active_batches_on_close: bool,
}

impl LifecycleEvent {
    /// One line of JSON without its end, keys sorted.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut fields: BTreeMap<&str, Value> = BTreeMap::new();
        fields.insert("source", "hedgerow".into());
        fields.insert("event", self.kind.name().into());
        fields.insert("ts", seconds(Duration::from_millis(self.at_ms)));
        if let Some(batch) = &self.batch {
            let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
            fields.insert("batch_id", text(&batch.batch_id));
            fields.insert("endpoint", batch.endpoint.clone().into());
            fields.insert("input_file_id", text(&batch.input_file_id));
            fields.insert("output_file_id", text(&batch.output_file_id));
            fields.insert("error_file_id", text(&batch.error_file_id));
            fields.insert("request_count", batch.request_count.into());
            fields.insert("models", batch.models.clone().into());
            fields.insert("completion_window", batch.completion_window.clone().into());
            // In the order of its keys, as it is held.
            let metadata = batch.metadata.iter();
            let metadata = metadata.map(|(key, value)| (key.clone(), value.clone().into()));
            fields.insert("metadata", Value::Object(metadata.collect()));
        }
        if let Some(state) = &self.state {
            let counts = [
                ("completed", state.completed),
                ("failed", state.failed),
                ("total", state.total),
            ];
            let counts = counts.map(|(key, count)| (key.to_owned(), count.into()));
            fields.insert("counts", Value::Object(counts.into_iter().collect()));
            fields.insert("status", state.status.clone().into());
            fields.insert("elapsed_seconds", seconds(state.elapsed));
        }
        if let Some(error) = &self.error {
            fields.insert("error", error.clone().into());
        }
        if let Some(closing) = &self.closing {
            fields.insert(
                "pending_request_count",
                closing.pending_request_count.into(),
            );
            fields.insert("active_batch_ids", closing.active_batch_ids.clone().into());
            let cancels = closing.cancel_active_batches_on_close;
            fields.insert("cancel_active_batches_on_close", cancels.into());
        }
        // Keys are texts, so it can be written.
        serde_json::to_string(&fields).unwrap_or_default()
    }
}

fn seconds(time: Duration) -> Value {
    let millis = time.as_secs_f64() * 1_000.0;
    Number::from_f64(millis.round() / 1_000.0).map_or(Value::Null, Value::Number)
}

/// Writes events as JSON lines.
///
/// It writes where the events happen, so what it writes to should not block for long. If that fails or
/// panics, the line is lost and counted; batches and callers never notice.
#[derive(Debug)]
pub struct JsonLines<W> {
    to: Mutex<W>,
    lost: Arc<AtomicU64>,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `to`: `std::io::stdout()`, a file.
    pub fn new(to: W) -> Self {
        Self {
            to: Mutex::new(to),
            lost: Arc::default(),
        }
    }

    /// How many lines could not be written.
    #[must_use]
    pub fn lost(&self) -> Arc<AtomicU64> {
        self.lost.clone()
    }
}

impl<W: Write> Recorder<LifecycleEvent> for JsonLines<W> {
    fn record(&self, event: &LifecycleEvent) {
        let mut line = event.to_json();
        line.push('\n');
        let mut to = self.to.lock();
        let written = caught(|| to.write_all(line.as_bytes()).and_then(|()| to.flush()));
        if !matches!(written, Some(Ok(()))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Listener = Arc<dyn Recorder<LifecycleEvent> + Send + Sync>;

/// Those who are told.
#[derive(Clone, Default)]
pub(super) struct Listeners(Vec<Listener>);

impl Listeners {
    pub(super) fn add(&mut self, listener: Listener) {
        self.0.push(listener);
    }

    pub(super) fn tell(&self, event: &LifecycleEvent) {
        for listener in &self.0 {
            caught(|| listener.record(event));
        }
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listeners").field(&self.0.len()).finish()
    }
}
