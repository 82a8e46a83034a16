//! Which request asks for what.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body::Body;
use serde_json::json;

use super::body::ApiBody;
use super::fault::{About, Deed, On};
use super::refuse::Refusal;
use super::service::{Answered, BoxError, Disconnected};
use super::shared::Shared;
use super::{answer, batches, echo, files, upload};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Upload,
    Files,
    File(String),
    Delete(String),
    Content(String),
    Create,
    Batches,
    Batch(String),
    Cancel(String),
    Models,
    Model(String),
    Direct(String),
    Nothing,
}

impl Route {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let path = uri.path();
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        if !path.starts_with("/v1/") {
            return Self::Nothing;
        }
        let id = |id: &str| id.to_owned();
        match (method.as_str(), &parts[..]) {
            ("POST", ["files"]) => Self::Upload,
            ("GET", ["files"]) => Self::Files,
            ("GET", ["files", file]) => Self::File(id(file)),
            ("DELETE", ["files", file]) => Self::Delete(id(file)),
            ("GET", ["files", file, "content"]) => Self::Content(id(file)),
            ("POST", ["batches"]) => Self::Create,
            ("GET", ["batches"]) => Self::Batches,
            ("GET", ["batches", batch]) => Self::Batch(id(batch)),
            ("POST", ["batches", batch, "cancel"]) => Self::Cancel(id(batch)),
            ("GET", ["models"]) => Self::Models,
            ("GET", ["models", model]) => Self::Model(id(model)),
            (_, ["files" | "batches" | "models", ..]) => Self::Nothing,
            ("POST", _) => Self::Direct(path.to_owned()),
            _ => Self::Nothing,
        }
    }
}

pub(super) async fn answer<B>(shared: &Arc<Shared>, route: Route, request: Request<B>) -> Answered
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    if let Err(refusal) = shared.let_in(&head.headers) {
        return Ok(refusal.answer());
    }
    let query = head.uri.query().unwrap_or("").to_owned();
    match route {
        Route::Upload => upload::upload(shared, &head.headers, body).await,
        Route::Files => files::list(shared, &query).await,
        Route::File(id) => files::retrieve(shared, &id).await,
        Route::Delete(id) => files::delete(shared, &id).await,
        Route::Content(id) => files::content(shared, &id, &query).await,
        Route::Create => batches::create(shared, &head.headers, body).await,
        Route::Batches => batches::list(shared, &query).await,
        Route::Batch(id) => batches::retrieve(shared, &id).await,
        Route::Cancel(id) => batches::cancel(shared, &id).await,
        Route::Models => models(shared).await,
        Route::Model(id) => model(shared, &id).await,
        Route::Direct(path) => direct(shared, &path, body).await,
        Route::Nothing => Ok(Refusal::unknown_url(&head.method, &head.uri).answer()),
    }
}

/// Carries out what a fault has for a request: `effect` is what the request does without one.
pub(super) async fn with_faults<F>(
    shared: &Shared,
    on: On,
    id: &str,
    about: About<'_>,
    effect: F,
) -> Answered
where
    F: Future<Output = Result<Response<ApiBody>, Refusal>>,
{
    let deed = shared.due(on, about);
    match &deed {
        Some(Deed::Refuse {
            status,
            retry_after,
            message,
        }) => {
            shared.saw(on, id, *status);
            let refusal = Refusal::scripted(*status, message.as_deref(), *retry_after);
            return Ok(refusal.answer());
        }
        Some(Deed::HangUpBefore) => {
            shared.saw(on, id, 0);
            return Err(Disconnected);
        }
        Some(Deed::Stall(Some(time))) => tokio::time::sleep(*time).await,
        Some(Deed::Stall(None)) => {
            shared.saw(on, id, 0);
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    let answer = effect.await.unwrap_or_else(|refusal| refusal.answer());
    shared.saw(on, id, answer.status().as_u16());
    match deed {
        Some(Deed::HangUpAfter) => Err(Disconnected),
        Some(Deed::Body(bytes)) => Ok(answer.map(|_| ApiBody::whole(bytes))),
        Some(Deed::Cut(bytes)) => Ok(answer.map(|body| body.cut_after(bytes))),
        _ => Ok(answer),
    }
}

/// The models that have been asked for; a client that looks for one finds it.
async fn models(shared: &Shared) -> Answered {
    with_faults(shared, On::Models, "", About::default(), async {
        let object = model_object("mock");
        Ok(ApiBody::json(&json!({"object": "list", "data": [object]})))
    })
    .await
}

async fn model(shared: &Shared, id: &str) -> Answered {
    let about = About {
        model: Some(id),
        endpoint: None,
    };
    with_faults(shared, On::Models, id, about, async {
        Ok(ApiBody::json(&model_object(id)))
    })
    .await
}

fn model_object(id: &str) -> serde_json::Value {
    json!({"id": id, "object": "model", "created": super::shared::DAY_ZERO, "owned_by": "mock"})
}

/// A synchronous endpoint: the same answers as for rows.
async fn direct<B>(shared: &Arc<Shared>, path: &str, body: B) -> Answered
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let bytes = match ApiBody::collect(body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return Ok(refusal.answer()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let asked = echo::Asked::read(&text);
    let about = About {
        model: asked.model.as_deref(),
        endpoint: Some(path),
    };
    with_faults(shared, On::Direct, path, about, async {
        let row = answer::Row {
            custom_id: "",
            url: path,
            body: &text,
            batch: None,
        };
        let answer = shared.answer_of(&row);
        answer.direct()
    })
    .await
}
