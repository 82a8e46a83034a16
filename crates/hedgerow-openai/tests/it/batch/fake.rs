//! A Batch API in memory, for a paused clock. What really listens on a socket is met elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hedgerow::BoxError;
use hedgerow_openai::batch::{BatchClient, BatchClientBuilder, RequestBody};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

pub(super) type Service =
    BoxCloneSyncService<Request<RequestBody>, Response<Full<Bytes>>, BoxError>;

/// What is done instead of the usual.
type Interfere = dyn Fn(&Asked, &mut State) -> Option<Reply> + Send + Sync;

pub(super) type Reply = Result<Response<Full<Bytes>>, BoxError>;

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) at: Instant,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Bytes,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) asked: Vec<Asked>,
    pub(super) files: BTreeMap<String, (String, Bytes)>,
    pub(super) batches: Vec<Made>,
}

#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) file: String,
    pub(super) endpoint: String,
    pub(super) window: String,
    pub(super) metadata: Value,
    pub(super) status: String,
    pub(super) polls: usize,
    pub(super) more: Value,
}

/// The fake.
#[derive(Clone)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    interfere: Arc<Interfere>,
    /// After how many polls a batch is completed.
    pub(super) polls: usize,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self::with(|_, _| None)
    }

    pub(super) fn with(
        interfere: impl Fn(&Asked, &mut State) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self {
            state: Arc::default(),
            interfere: Arc::new(interfere),
            polls: 1,
        }
    }

    pub(super) fn client(&self, builder: BatchClientBuilder) -> BatchClient {
        builder
            .no_api_key()
            .base_url("http://fake/v1")
            .build(self.service())
    }

    pub(super) fn service(&self) -> Service {
        let fake = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<RequestBody>| {
            fake.clone().serve(request)
        }))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    pub(super) fn asked(&self, method: &str, path: &str) -> Vec<Asked> {
        let fits = |asked: &&Asked| asked.method == method && asked.path.starts_with(path);
        self.look(|state| state.asked.iter().filter(fits).cloned().collect())
    }

    /// The rows of all batches that were made, by batch.
    pub(super) fn rows(&self) -> Vec<Vec<Value>> {
        self.look(|state| {
            let rows = |made: &Made| lines(&state.files[&made.file].1);
            state.batches.iter().map(rows).collect()
        })
    }

    async fn serve(self, request: Request<RequestBody>) -> Reply {
        let (head, body) = request.into_parts();
        let asked = Asked {
            at: Instant::now(),
            method: head.method.to_string(),
            path: head.uri.path().trim_start_matches("/v1").to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: body.collect().await?.to_bytes(),
        };
        let mut state = self.state.lock();
        state.asked.push(asked.clone());
        if let Some(reply) = (self.interfere)(&asked, &mut state) {
            return reply;
        }
        let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        match (&*asked.method, &*parts) {
            ("POST", ["files"]) => Ok(state.upload(&asked)),
            ("GET", ["files"]) => {
                let files = state.files.iter().filter(|(id, _)| id.starts_with("file-"));
                let files: Vec<Value> = files
                    .map(|(id, (name, bytes))| json!({"id": id, "filename": name, "bytes": bytes.len()}))
                    .collect();
                ok(json!({"data": files, "has_more": false}))
            }
            ("GET", ["files", id, "content"]) => match state.files.get(*id) {
                Some((_, bytes)) => Ok(Response::new(bytes.clone().into())),
                None => error(404, "no such file"),
            },
            ("DELETE", ["files", id]) => {
                state.files.remove(*id);
                ok(json!({"deleted": true}))
            }
            ("POST", ["batches"]) => state.create(&asked),
            ("GET", ["batches"]) => {
                let batches: Vec<Value> = state.batches.iter().rev().map(Made::show).collect();
                ok(json!({"data": batches, "has_more": false}))
            }
            ("GET", ["batches", id]) => state.poll(id, self.polls),
            ("POST", ["batches", id, "cancel"]) => {
                let made = state
                    .batches
                    .iter_mut()
                    .find(|made| made.id == *id)
                    .unwrap();
                made.status = "cancelled".to_owned();
                ok(made.show())
            }
            ("POST", _) => ok(json!({"alone": serde_json::from_slice::<Value>(&asked.body)?})),
            _ => error(404, "no such path"),
        }
    }
}

impl State {
    fn upload(&mut self, asked: &Asked) -> Response<Full<Bytes>> {
        let text = String::from_utf8(asked.body.to_vec()).unwrap();
        let (_, rest) = text.split_once("filename=\"").unwrap();
        let (name, rest) = rest.split_once('"').unwrap();
        let (_, rest) = rest.split_once("\r\n\r\n").unwrap();
        let (content, _) = rest.rsplit_once("\r\n--").unwrap();
        let id = format!("file-{}", self.files.len());
        self.files
            .insert(id.clone(), (name.to_owned(), content.to_owned().into()));
        Response::new(json!({"id": id, "created_at": 1}).to_string().into())
    }

    pub(super) fn create(&mut self, asked: &Asked) -> Reply {
        let new: Value = serde_json::from_slice(&asked.body)?;
        let text = |key: &str| new[key].as_str().unwrap().to_owned();
        let made = Made {
            id: format!("batch-{}", self.batches.len()),
            file: text("input_file_id"),
            endpoint: text("endpoint"),
            window: text("completion_window"),
            metadata: new["metadata"].clone(),
            status: "validating".to_owned(),
            polls: 0,
            more: json!({}),
        };
        let shown = made.show();
        self.batches.push(made);
        ok(shown)
    }

    fn poll(&mut self, id: &str, polls: usize) -> Reply {
        let Some(at) = self.batches.iter().position(|made| made.id == id) else {
            return error(404, "no such batch");
        };
        self.batches[at].polls += 1;
        let made = &self.batches[at];
        if made.polls >= polls && matches!(&*made.status, "validating" | "in_progress") {
            let rows = lines(&self.files[&made.file].1);
            let answers = rows.iter().map(answer).collect::<String>();
            let made = &mut self.batches[at];
            made.status = "completed".to_owned();
            let output = format!("out-{id}");
            made.more = json!({
                "output_file_id": output,
                "request_counts": {"completed": rows.len(), "failed": 0, "total": rows.len()},
            });
            self.files.insert(output, (String::new(), answers.into()));
        }
        ok(self.batches[at].show())
    }
}

impl Made {
    pub(super) fn show(&self) -> Value {
        let mut shown = json!({
            "id": self.id, "status": self.status, "endpoint": self.endpoint,
            "input_file_id": self.file, "completion_window": self.window,
            "metadata": self.metadata, "created_at": 2,
        });
        for (key, value) in self.more.as_object().unwrap() {
            shown[key] = value.clone();
        }
        shown
    }
}

/// A good answer: the row's body, as it was.
pub(super) fn answer(row: &Value) -> String {
    line(row, 200, &json!({"echo": row["body"]}))
}

pub(super) fn line(row: &Value, status: u16, body: &Value) -> String {
    let line = json!({
        "id": "r", "custom_id": row["custom_id"],
        "response": {"status_code": status, "request_id": "q", "body": body}, "error": null,
    });
    format!("{line}\n")
}

pub(super) fn lines(file: &[u8]) -> Vec<Value> {
    let lines = file
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "handed over as `json!` makes it"
)]
pub(super) fn ok(body: Value) -> Reply {
    Ok(Response::new(body.to_string().into()))
}

pub(super) fn error(status: u16, message: &str) -> Reply {
    let body = json!({"error": {"message": message}}).to_string();
    Ok(Response::builder().status(status).body(body.into())?)
}
