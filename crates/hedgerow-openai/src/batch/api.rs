//! The API of files and batches, over any service that sends HTTP requests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use hedgerow::BoxError;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::body::{RequestBody, UploadFile};
use super::objects::{BatchObject, FileObject, Listed, ListedFiles};
use crate::client::{Head, Settings, escaped, read};
use crate::error::{CallError, Provider};

pub(super) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;
type Upstream = BoxCloneSyncService<Request<RequestBody>, Response<ResponseBody>, BoxError>;

/// The slowest upload that is waited for, in bytes a second.
const SLOWEST: u64 = 16 << 10;
/// How many batches or files one page has.
const PAGE: usize = 100;
/// How many pages a search looks at.
const PAGES: usize = 50;

/// A client of files and batches, over any `Service<http::Request<RequestBody>>`.
///
/// Each method sends once and retries nothing; [`BatchClient`](super::BatchClient) does.
#[derive(Clone)]
pub struct BatchApi {
    upstream: Upstream,
    settings: Arc<Settings>,
    timeout: Duration,
}

/// Nothing came for as long as was waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nothing came for {} ms", .0.as_millis())]
pub struct Silence(pub Duration);

/// What a batch is to be.
#[derive(Clone, Debug, Serialize)]
pub struct NewBatch<'a> {
    /// The file of its rows.
    pub input_file_id: &'a str,
    /// Which endpoint they go to.
    pub endpoint: &'a str,
    /// Within what time it is to be done.
    pub completion_window: &'a str,
    /// What it is to be known by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl BatchApi {
    pub(super) fn new<S, R>(service: S, settings: Settings, timeout: Duration) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        R: Body + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let service = service
            .map_err(Into::into)
            .map_response(|response: Response<R>| response.map(boxed));
        Self {
            upstream: BoxCloneSyncService::new(service),
            settings: Arc::new(settings),
            timeout,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) const fn silence(&self) -> Duration {
        self.timeout
    }

    /// Uploads a file.
    ///
    /// # Errors
    ///
    /// If the API refuses it, or nothing comes in time.
    pub async fn upload(&self, name: &str, bytes: Bytes) -> Result<FileObject, CallError> {
        self.upload_file(name, UploadFile::Bytes(bytes)).await
    }

    pub(super) async fn upload_file(
        &self,
        name: &str,
        file: UploadFile,
    ) -> Result<FileObject, CallError> {
        let boundary = format!("hedgerow-{:032x}", rand::random::<u128>());
        let patience = self.timeout + Duration::from_secs(file.bytes() / SLOWEST);
        let body = RequestBody::form(file, name, "batch", &boundary);
        let form = format!("multipart/form-data; boundary={boundary}");
        let mut request = self.request(Method::POST, self.uri("/files")?, body);
        let form =
            HeaderValue::from_str(&form).map_err(|error| CallError::Transport(error.into()))?;
        request.headers_mut().insert(header::CONTENT_TYPE, form);
        self.json(request, patience).await
    }

    /// Makes a batch. The same `key` tells an API that knows of it that a request is the same one again.
    ///
    /// # Errors
    ///
    /// If the API refuses it, or nothing comes in time.
    pub async fn create(&self, new: &NewBatch<'_>, key: &str) -> Result<BatchObject, CallError> {
        let body = serde_json::to_vec(new).map_err(CallError::Request)?;
        let mut request = self.post(self.uri("/batches")?, body.into());
        if let Ok(key) = HeaderValue::from_str(key) {
            request.headers_mut().insert("idempotency-key", key);
        }
        self.json(request, self.timeout).await
    }

    /// Asks where a batch stands.
    ///
    /// # Errors
    ///
    /// If the API does not know it, or nothing comes in time.
    pub async fn retrieve(&self, id: &str) -> Result<BatchObject, CallError> {
        let uri = self.uri(&format!("/batches/{}", escaped(id)))?;
        self.get(uri).await
    }

    /// Asks for a batch to be cancelled.
    ///
    /// # Errors
    ///
    /// If the API refuses, or nothing comes in time.
    pub async fn cancel(&self, id: &str) -> Result<BatchObject, CallError> {
        let uri = self.uri(&format!("/batches/{}/cancel", escaped(id)))?;
        let request = self.post(uri, Bytes::new());
        self.json(request, self.timeout).await
    }

    /// The batches with this entry in their metadata, the oldest first. Those that are older than `since`
    /// (seconds since 1970, by the API's clock) are not looked for; at most 5,000 are looked at.
    ///
    /// # Errors
    ///
    /// If the API refuses, or nothing comes in time.
    pub async fn find(
        &self,
        key: &str,
        value: &str,
        since: Option<u64>,
    ) -> Result<Vec<BatchObject>, CallError> {
        let mut found = Vec::new();
        let mut after = String::new();
        for _ in 0..PAGES {
            let uri = self.uri(&format!("/batches?limit={PAGE}{after}"))?;
            let listed: Listed = self.get(uri).await?;
            let Some(last) = listed.data.last() else {
                break;
            };
            after = format!("&after={}", escaped(&last.id));
            let done = last
                .created_at
                .zip(since)
                .is_some_and(|(at, since)| at < since);
            let wanted =
                |batch: &BatchObject| batch.metadata().get(key).is_some_and(|held| held == value);
            found.extend(listed.data.into_iter().filter(wanted));
            if done || listed.has_more != Some(true) {
                break;
            }
        }
        found.sort_by_key(|batch| batch.created_at);
        Ok(found)
    }

    /// The uploaded file with this name, if there is one among the first 5,000.
    ///
    /// # Errors
    ///
    /// If the API refuses, or nothing comes in time.
    pub async fn find_file(&self, name: &str) -> Result<Option<FileObject>, CallError> {
        let mut after = String::new();
        for _ in 0..PAGES {
            let uri = self.uri(&format!("/files?purpose=batch&limit={PAGE}{after}"))?;
            let listed: ListedFiles = self.get(uri).await?;
            let Some(last) = listed.data.last() else {
                break;
            };
            after = format!("&after={}", escaped(&last.id));
            let done = listed.has_more != Some(true);
            let wanted = |file: &FileObject| file.filename.as_deref() == Some(name);
            if let Some(file) = listed.data.into_iter().find(wanted) {
                return Ok(Some(file));
            }
            if done {
                break;
            }
        }
        Ok(None)
    }

    /// Deletes a file.
    ///
    /// # Errors
    ///
    /// If the API refuses, or nothing comes in time.
    pub async fn delete_file(&self, id: &str) -> Result<(), CallError> {
        let uri = self.uri(&format!("/files/{}", escaped(id)))?;
        let request = self.request(Method::DELETE, uri, RequestBody::empty());
        let _: crate::json::Object = self.json(request, self.timeout).await?;
        Ok(())
    }

    /// Opens a file's content, from this line on where the API can.
    pub(super) async fn content(
        &self,
        id: &str,
        offset: u64,
    ) -> Result<Response<ResponseBody>, CallError> {
        let offset = if offset == 0 {
            String::new()
        } else {
            format!("?offset={offset}")
        };
        let uri = self.uri(&format!("/files/{}/content{offset}", escaped(id)))?;
        let request = self.request(Method::GET, uri, RequestBody::empty());
        let response = self.send(request, self.timeout).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let head = Head::of(Provider::OpenAi, &parts);
        let body = self.collect(body).await.unwrap_or_default();
        Err(head.refusal(&body))
    }

    /// Sends a row by itself, for its own answer.
    pub(super) async fn send_row(
        &self,
        endpoint: &str,
        body: Bytes,
    ) -> Result<(http::response::Parts, Bytes), CallError> {
        let uri = self
            .settings
            .base
            .endpoint_uri(endpoint)
            .map_err(|source| CallError::Path {
                path: endpoint.to_owned(),
                source,
            })?;
        let response = self.send(self.post(uri, body), 10 * self.timeout).await?;
        let (parts, body) = response.into_parts();
        let body = self.collect(body).await?;
        Ok((parts, body))
    }

    fn uri(&self, path: &str) -> Result<Uri, CallError> {
        self.settings
            .base
            .uri(path)
            .map_err(|source| CallError::Path {
                path: path.to_owned(),
                source,
            })
    }

    async fn get<T: DeserializeOwned>(&self, uri: Uri) -> Result<T, CallError> {
        let request = self.request(Method::GET, uri, RequestBody::empty());
        self.json(request, self.timeout).await
    }

    fn post(&self, uri: Uri, body: Bytes) -> Request<RequestBody> {
        let mut request = self.request(Method::POST, uri, RequestBody::of(body));
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        request
    }

    fn request(&self, method: Method, uri: Uri, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        for (name, value) in &self.settings.headers {
            request.headers_mut().insert(name, value.clone());
        }
        request
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: Request<RequestBody>,
        patience: Duration,
    ) -> Result<T, CallError> {
        let response = self.send(request, patience).await?;
        let (parts, body) = response.into_parts();
        let head = Head::of(Provider::OpenAi, &parts);
        if parts.status.is_success() {
            let body = self.collect(body).await?;
            return read(&head, &body);
        }
        let body = self.collect(body).await.unwrap_or_default();
        Err(head.refusal(&body))
    }

    async fn send(
        &self,
        request: Request<RequestBody>,
        patience: Duration,
    ) -> Result<Response<ResponseBody>, CallError> {
        let sent = timeout(patience, self.upstream.clone().oneshot(request)).await;
        sent.unwrap_or_else(|_| Err(Silence(patience).into()))
            .map_err(CallError::Transport)
    }

    /// A whole body, up to its bound, as long as it goes on.
    async fn collect(&self, mut body: ResponseBody) -> Result<Bytes, CallError> {
        let max_bytes = self.settings.max_body_bytes;
        let mut taken = Vec::new();
        while let Some(piece) = next_piece(&mut body, self.timeout, taken.len() as u64).await? {
            if taken.len() + piece.len() > max_bytes {
                return Err(CallError::TooLarge { max_bytes });
            }
            taken.extend_from_slice(&piece);
        }
        Ok(taken.into())
    }
}

/// The next piece of a body, if it comes in time.
pub(super) async fn next_piece(
    body: &mut ResponseBody,
    patience: Duration,
    received: u64,
) -> Result<Option<Bytes>, CallError> {
    let broken = |source| CallError::Body { received, source };
    loop {
        let frame = match timeout(patience, body.frame()).await {
            Err(_) => return Err(broken(Silence(patience).into())),
            Ok(None) => return Ok(None),
            Ok(Some(frame)) => frame.map_err(broken)?,
        };
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

fn boxed<R>(body: R) -> ResponseBody
where
    R: Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    body.map_err(Into::into)
        .map_frame(|frame| {
            frame.map_data(|mut data| {
                let left = data.remaining();
                data.copy_to_bytes(left)
            })
        })
        .boxed_unsync()
}

// === impl Debug ===

impl fmt::Debug for BatchApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchApi")
            .field("settings", &self.settings)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
