//! Batches: made, looked at, listed and cancelled.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use parking_lot::Mutex;
use serde::Deserialize;

use super::batch::Batch;
use super::body::ApiBody;
use super::check::{self, Checked};
use super::fault::{About, On};
use super::files::{Page, Stored, Subject};
use super::refuse::Refusal;
use super::route::with_faults;
use super::rows::Rows;
use super::script::{End, NewBatch, Status};
use super::service::{Answered, BoxError};
use super::shared::Shared;

/// Those that OpenAI takes in batches.
const ENDPOINTS: [&str; 8] = [
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
];

/// The batches of an API, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Batches(Mutex<Vec<Arc<Batch>>>);

impl Batches {
    pub(super) fn all(&self) -> Vec<Arc<Batch>> {
        self.0.lock().clone()
    }

    /// The one that was made with this key, if that means anything.
    fn made_with(&self, shared: &Shared, key: Option<&str>) -> Option<Arc<Batch>> {
        let key = key.filter(|_| shared.limits.idempotent)?;
        let mut all = self.all().into_iter();
        all.find(|batch| batch.key.as_deref() == Some(key))
    }

    fn get(&self, id: &str) -> Option<Arc<Batch>> {
        self.0.lock().iter().find(|batch| batch.id == id).cloned()
    }
}

/// What a client asks for.
#[derive(Debug, Deserialize)]
pub(super) struct NewRequest {
    pub(super) input_file_id: String,
    pub(super) endpoint: String,
    pub(super) completion_window: String,
    #[serde(default)]
    pub(super) metadata: Option<BTreeMap<String, String>>,
    #[serde(skip)]
    pub(super) key: Option<String>,
}

pub(super) async fn create<B>(shared: &Arc<Shared>, headers: &HeaderMap, body: B) -> Answered
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut asked = match ApiBody::collect(body).await {
        Ok(bytes) => read(&bytes),
        Err(refusal) => Err(refusal),
    };
    if let Ok(asked) = &mut asked {
        let key = headers.get("idempotency-key");
        asked.key = key.and_then(|key| key.to_str().ok()).map(Into::into);
    }
    let (id, subject) = match &asked {
        Ok(asked) => {
            let stored = shared.files.get(&asked.input_file_id);
            let subject = stored.map(|stored| stored.about).unwrap_or_default();
            (asked.input_file_id.clone(), subject)
        }
        Err(_) => (String::new(), Arc::default()),
    };
    with_faults(shared, On::Create, &id, subject.about(), async {
        let asked = asked?;
        let batch = match shared.batches.made_with(shared, asked.key.as_deref()) {
            Some(batch) => batch,
            None => make(shared, asked).await?,
        };
        let object = batch.as_made(shared).await;
        Ok(ApiBody::json(&object))
    })
    .await
}

fn read(bytes: &[u8]) -> Result<NewRequest, Refusal> {
    let asked: NewRequest = serde_json::from_slice(bytes)
        .map_err(|error| Refusal::new(400, format!("Invalid body: {error}")))?;
    for (key, value) in asked.metadata.iter().flatten() {
        if key.chars().count() > 64 || value.chars().count() > 512 {
            let text = "keys have at most 64 characters, values at most 512";
            return Err(Refusal::invalid("metadata", text));
        }
    }
    if asked.metadata.iter().flatten().count() > 16 {
        return Err(Refusal::invalid("metadata", "there are at most 16 pairs"));
    }
    Ok(asked)
}

async fn make(shared: &Shared, asked: NewRequest) -> Result<Arc<Batch>, Refusal> {
    let endpoint = &asked.endpoint;
    let (strict, window) = (shared.limits.strict, &asked.completion_window);
    if window.is_empty() || (strict && window != "24h") {
        let text = format!("Invalid value: '{window}'. Supported values are: '24h'.");
        return Err(Refusal::invalid("completion_window", text).code("invalid_value"));
    }
    if !endpoint.starts_with("/v1/") || (strict && !ENDPOINTS.contains(&&**endpoint)) {
        let text = format!("Invalid value: '{endpoint}'. Supported values are: {ENDPOINTS:?}.");
        return Err(Refusal::invalid("endpoint", text).code("invalid_value"));
    }
    let file = &asked.input_file_id;
    let input = shared.files.get(file).ok_or_else(|| {
        let text = format!("No such File object: {file}");
        Refusal::invalid("input_file_id", text)
    })?;
    if input.purpose != "batch" {
        let text = format!("The file's purpose is '{}', not 'batch'.", input.purpose);
        return Err(Refusal::invalid("input_file_id", text));
    }
    let checked = File::open(shared.files.path(file));
    let checked = match checked {
        Ok(file) => check::check(file, endpoint, &shared.limits).await,
        Err(error) => Err(error),
    };
    let checked = checked.map_err(|error| Refusal::broken(&error))?;
    let about = Arc::new(Subject {
        model: checked.model.clone(),
        endpoint: Some(endpoint.clone()),
    });
    accept(shared, asked, &input, about, checked)
}

fn accept(
    shared: &Shared,
    asked: NewRequest,
    input: &Stored,
    about: Arc<Subject>,
    checked: Checked,
) -> Result<Arc<Batch>, Refusal> {
    let number = shared.number();
    let new = NewBatch {
        number: shared.batches.0.lock().len() as u64,
        endpoint: asked.endpoint.clone(),
        model: checked.model,
        rows: checked.rows.len(),
        completion_window: asked.completion_window.clone(),
        metadata: asked.metadata.clone().unwrap_or_default(),
    };
    let script = shared.script.lock().clone();
    let mut script = script(&new);
    if let Some(stage) = script.stages.iter().find(|stage| stage.status.is_final()) {
        let text = format!("{} makes no stage of a script", stage.status);
        return Err(Refusal::broken(&text));
    }
    let places = if checked.mistakes.is_empty() {
        shared.books.lock().batch(&checked.ids);
        checked.rows
    } else {
        let validating = |stage: &super::script::Stage| stage.status == Status::Validating;
        script.stages.retain(validating);
        script.end = End::Failed(checked.mistakes);
        Vec::new()
    };
    let id = format!("batch_mock{number:012}");
    let rows = Rows::new(&id, input, Arc::clone(&about), places, script.shuffle);
    let batch = Arc::new(Batch::new(id, about, asked, shared.now(), script, rows));
    shared.batches.0.lock().push(Arc::clone(&batch));
    Ok(batch)
}

pub(super) async fn retrieve(shared: &Shared, id: &str) -> Answered {
    let batch = shared.batches.get(id);
    let about = about(batch.as_deref());
    with_faults(shared, On::Poll, id, about, async {
        let batch = batch.as_ref().ok_or_else(|| Refusal::no_batch(id))?;
        Ok(ApiBody::json(&batch.seen(shared, true).await?))
    })
    .await
}

pub(super) async fn cancel(shared: &Shared, id: &str) -> Answered {
    let batch = shared.batches.get(id);
    let about = about(batch.as_deref());
    with_faults(shared, On::Cancel, id, about, async {
        let batch = batch.as_ref().ok_or_else(|| Refusal::no_batch(id))?;
        Ok(ApiBody::json(&batch.cancel(shared).await?))
    })
    .await
}

fn about(batch: Option<&Batch>) -> About<'_> {
    batch.map(|batch| batch.about.about()).unwrap_or_default()
}

/// The newest first.
pub(super) async fn list(shared: &Shared, query: &str) -> Answered {
    with_faults(shared, On::List, "", About::default(), async {
        let page = Page::read(query, 20, 100)?;
        let mut all = Vec::new();
        for batch in shared.batches.all().iter().rev() {
            if batch.made.elapsed() < shared.limits.listed_after {
                continue;
            }
            all.push((batch.id.clone(), batch.seen(shared, false).await?));
        }
        Ok(ApiBody::json(&page.list(all.into_iter())))
    })
    .await
}
