//! A batch, and where it is in its script.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::files::Subject;
use super::refuse::Refusal;
use super::rows::Rows;
use super::script::{End, Failure, Script, Share, Stage, Status, Until};
use super::shared::Shared;

/// A batch that a client has made.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: String,
    pub(super) about: std::sync::Arc<Subject>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) window: String,
    pub(super) input_file: String,
    pub(super) created: u64,
    /// The `Idempotency-Key` it was made with.
    pub(super) key: Option<String>,
    pub(super) made: Instant,
    released: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    script: Script,
    /// The stage it is in; past the last one it has ended.
    at: usize,
    /// How often this stage has been seen.
    shown: u32,
    since: Instant,
    status: Status,
    /// When it came to a status.
    times: Vec<(Status, u64)>,
    failures: Vec<Failure>,
    rows: Rows,
}

/// A batch as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchView {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// Its endpoint, such as `/v1/embeddings`.
    pub endpoint: String,
    /// The model of its rows.
    pub model: Option<String>,
    /// Its completion window, as it was sent.
    pub completion_window: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// The file of its rows.
    pub input_file_id: String,
    /// How many rows it has.
    pub rows: usize,
    /// How many of them were answered, or given up.
    pub done: usize,
}

impl Batch {
    pub(super) fn new(
        id: String,
        about: std::sync::Arc<Subject>,
        asked: super::batches::NewRequest,
        created: u64,
        script: Script,
        rows: Rows,
    ) -> Self {
        Self {
            id,
            about,
            metadata: asked.metadata.unwrap_or_default(),
            window: asked.completion_window,
            input_file: asked.input_file_id,
            created,
            key: asked.key,
            made: Instant::now(),
            released: AtomicBool::new(false),
            state: Mutex::new(State {
                script,
                at: 0,
                shown: 0,
                since: Instant::now(),
                status: Status::Validating,
                times: Vec::new(),
                failures: Vec::new(),
                rows,
            }),
        }
    }

    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    /// The batch as it is, having moved on as far as it may. A poll counts for its script.
    pub(super) async fn seen(&self, shared: &Shared, poll: bool) -> Result<Value, Refusal> {
        let mut state = self.state.lock().await;
        state.go_on(self, shared).await?;
        if poll {
            state.shown += 1;
        }
        Ok(self.object(&state, shared))
    }

    /// The batch as it was when it was made: nothing has moved.
    pub(super) async fn as_made(&self, shared: &Shared) -> Value {
        self.object(&*self.state.lock().await, shared)
    }

    /// Asks it to stop.
    pub(super) async fn cancel(&self, shared: &Shared) -> Result<Value, Refusal> {
        let mut state = self.state.lock().await;
        let status = state.status;
        if status.is_final() {
            let text = format!("Cannot cancel a batch with status '{status}'.");
            return Err(Refusal::new(409, text));
        }
        if status != Status::Cancelling {
            let stage = Stage {
                status: Status::Cancelling,
                until: state.script.cancelling,
                done: Share::NONE,
            };
            self.released.store(false, Ordering::Relaxed);
            state.script.stages = vec![stage];
            state.script.end = End::Cancelled(Share::NONE);
            state.begin(0);
            state.become_(Status::Cancelling, shared);
        }
        Ok(self.object(&state, shared))
    }

    pub(super) async fn view(&self) -> BatchView {
        let state = self.state.lock().await;
        BatchView {
            id: self.id.clone(),
            status: state.status,
            endpoint: self.about.endpoint.clone().unwrap_or_default(),
            model: self.about.model.clone(),
            completion_window: self.window.clone(),
            metadata: self.metadata.clone(),
            input_file_id: self.input_file.clone(),
            rows: state.rows.total,
            done: state.rows.done,
        }
    }

    fn object(&self, state: &State, shared: &Shared) -> Value {
        let at = |status: Status| {
            let mut times = state.times.iter();
            times.find(|(is, _)| *is == status).map(|(_, at)| *at)
        };
        // OpenAI shows its files at the end; other servers while they grow.
        let shown = !shared.limits.strict || state.status.is_final();
        let file = |stored: &Option<super::files::Stored>| {
            stored
                .as_ref()
                .filter(|_| shown)
                .map(|stored| stored.id.clone())
        };
        let errors = (!state.failures.is_empty()).then(|| {
            let entry = |failure: &Failure| {
                json!({
                    "code": failure.code, "message": failure.message, "line": failure.line,
                    "param": null,
                })
            };
            let data: Vec<Value> = state.failures.iter().map(entry).collect();
            json!({"object": "list", "data": data})
        });
        let rows = &state.rows;
        let mut object = json!({
            "id": self.id, "object": "batch", "endpoint": self.about.endpoint,
            "model": self.about.model, "errors": errors, "input_file_id": self.input_file,
            "completion_window": self.window, "status": state.status.as_str(),
            "output_file_id": file(&rows.output), "error_file_id": file(&rows.errors),
            "created_at": self.created, "in_progress_at": at(Status::InProgress),
            "expires_at": self.created + seconds(&self.window),
            "finalizing_at": at(Status::Finalizing), "completed_at": at(Status::Completed),
            "failed_at": at(Status::Failed), "expired_at": at(Status::Expired),
            "cancelling_at": at(Status::Cancelling), "cancelled_at": at(Status::Cancelled),
            "request_counts": {
                "total": rows.total, "completed": rows.completed, "failed": rows.failed,
            },
            "metadata": self.metadata,
        });
        if state.script.unknown_fields {
            object["x_unknown"] = json!({"a": [1, null, "b"]});
            object["request_counts"]["x_unknown"] = json!(1.5);
        }
        object
    }
}

impl State {
    fn begin(&mut self, at: usize) {
        self.at = at;
        self.shown = 0;
        self.since = Instant::now();
    }

    fn become_(&mut self, status: Status, shared: &Shared) {
        self.status = status;
        self.times.push((status, shared.now()));
    }

    /// Enters the stages that are due, and does what is to be done in them.
    async fn go_on(&mut self, batch: &Batch, shared: &Shared) -> Result<(), Refusal> {
        while !self.status.is_final() {
            let Some(stage) = self.script.stages.get(self.at).cloned() else {
                return self.end(shared).await;
            };
            if self.status != stage.status {
                self.become_(stage.status, shared);
            }
            let rows = stage.done.rows(self.rows.total);
            self.rows
                .answer(shared, rows)
                .await
                .map_err(|error| Refusal::broken(&error))?;
            let since = self.since;
            let over = match stage.until {
                Until::Polls(polls) => self.shown >= polls,
                Until::After(time) => since.elapsed() >= time,
                Until::Released => batch.released.load(Ordering::Relaxed),
            };
            if !over {
                return Ok(());
            }
            self.begin(self.at + 1);
            if let Until::After(time) = stage.until {
                // However late it is looked at, the next one began when this one was over.
                self.since = since + time;
            }
        }
        Ok(())
    }

    async fn end(&mut self, shared: &Shared) -> Result<(), Refusal> {
        let end = self.script.end.clone();
        let total = self.rows.total;
        let (status, finished, rest) = match end {
            End::Completed => (Status::Completed, Share::ALL, None),
            End::Expired(share) => {
                let text = "This request could not be executed before the completion window \
                            expired.";
                (Status::Expired, share, Some(("batch_expired", text)))
            }
            End::Cancelled(share) => {
                let text = "This request was not executed because the batch was cancelled.";
                (Status::Cancelled, share, Some(("batch_cancelled", text)))
            }
            End::Failed(failures) => {
                self.failures = failures;
                (Status::Failed, Share::NONE, None)
            }
        };
        let broken = |error: std::io::Error| Refusal::broken(&error);
        self.rows
            .answer(shared, finished.rows(total))
            .await
            .map_err(broken)?;
        match rest {
            Some((code, text)) if self.script.rest_listed => {
                self.rows
                    .give_up(shared, code, text)
                    .await
                    .map_err(broken)?;
            }
            Some(_) => self.rows.forget(),
            None => {}
        }
        self.rows.close(shared);
        self.become_(status, shared);
        Ok(())
    }
}

/// The seconds of a window such as `24h`; a day for one that says something else.
fn seconds(window: &str) -> u64 {
    let (unit, number) = match window.as_bytes() {
        [number @ .., b's'] => (1, number),
        [number @ .., b'm'] => (60, number),
        [number @ .., b'h'] => (3_600, number),
        [number @ .., b'd'] => (86_400, number),
        _ => return 86_400,
    };
    let number = str::from_utf8(number)
        .ok()
        .and_then(|number| number.parse::<u64>().ok());
    number
        .and_then(|number| number.checked_mul(unit))
        .unwrap_or(86_400)
}
