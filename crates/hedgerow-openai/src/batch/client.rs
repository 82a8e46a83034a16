//! The client: calls that look as if they were sent by themselves.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hedgerow::BoxError;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, PollSemaphore};
use tower_service::Service;

use super::api::BatchApi;
use super::backend::BatchBackend;
use super::build::BatchClientBuilder;
use super::call::BatchCall;
use super::engine::Engine;
use super::error::RowError;
use super::options::OnClose;
use crate::client::{ConfigError, OpenAi};
use crate::error::CallError;
use crate::openai::{
    self, ChatCompletion, ChatRequest, Completion, CompletionRequest, Embeddings,
    EmbeddingsRequest, ResponseRequest,
};

/// Collects calls into batches, and gives each its own answer.
///
/// A call waits until its batch is done: minutes, or a day. What it gets is what the API would have answered
/// it by itself, with its own status, byte for byte ([`RowAnswer`](super::RowAnswer) in its extensions says in
/// which batch). A row's body is one line: line breaks between its parts become spaces.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hedgerow_openai::batch::{BatchClient, JsonLines, OnClose, OnExpired};
///
/// let builder = BatchClient::builder()
///     .batch_size(5_000)
///     .batch_window(Duration::from_secs(60))
///     .completion_window("24h")
///     .metadata("team", "search")
///     .on_expired(OnExpired::SendNow)
///     .spend_cap(500)
///     .on_close(OnClose::Drain, Duration::from_secs(3_600))
///     .recorder(JsonLines::new(std::io::stdout()));
/// # let _ = builder;
/// ```
///
/// # Readiness, clones and drop
///
/// Ready while there is a place among the rows that may be open
/// ([`max_pending`](BatchClientBuilder::max_pending)). Clones share everything. One task does the work, on the
/// runtime in which the client was built; it ends when the last client and the last call are gone, and batches
/// then go on at the API. [`close`](Self::close) is the other way.
///
/// # Events
///
/// [`LifecycleEvent`](super::LifecycleEvent)s to the recorders.
///
/// # Errors
///
/// Of the service, a [`RowError`] in a box; answers with a bad status are answers. They have the header
/// `x-should-retry: false`: another try would be another row.
///
/// # Cost
///
/// In memory are a row's body until it is uploaded (without a journal until its batch has ended, unless
/// [`OnExpired::Fail`](super::OnExpired::Fail)), and some 300 bytes for each that is open; of a file 64 KiB at a
/// time.
pub struct BatchClient {
    rows: Rows,
    typed: OpenAi<Rows>,
}

/// The client without its types.
pub(super) struct Rows {
    pub(super) handle: Arc<Handle>,
    places: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
}

/// What clients and calls hold. When it is dropped, the task ends.
pub(super) struct Handle {
    pub(super) engine: Arc<Engine>,
    abandoned: CancellationToken,
}

impl BatchClient {
    /// A client to be set up.
    pub fn builder() -> BatchClientBuilder {
        BatchClientBuilder::default()
    }

    pub(super) fn new(
        engine: Arc<Engine>,
        abandoned: CancellationToken,
        typed: impl FnOnce(Rows) -> Result<OpenAi<Rows>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let rows = Rows {
            places: PollSemaphore::new(engine.places.clone()),
            permit: None,
            handle: Arc::new(Handle { engine, abandoned }),
        };
        Ok(Self {
            typed: typed(rows.clone())?,
            rows,
        })
    }

    /// Asks a model to answer a conversation.
    ///
    /// # Errors
    ///
    /// [`CallError::Api`] with the row's own status if it was refused; else [`CallError::Transport`] with a
    /// [`RowError`] in it.
    pub async fn chat(&self, request: &ChatRequest) -> Result<ChatCompletion, CallError> {
        self.typed.chat(request).await
    }

    /// Asks a model to go on with a text.
    ///
    /// # Errors
    ///
    /// As [`chat`](Self::chat).
    pub async fn completion(&self, request: &CompletionRequest) -> Result<Completion, CallError> {
        self.typed.completion(request).await
    }

    /// Asks for embeddings.
    ///
    /// # Errors
    ///
    /// As [`chat`](Self::chat).
    pub async fn embeddings(&self, request: &EmbeddingsRequest) -> Result<Embeddings, CallError> {
        self.typed.embeddings(request).await
    }

    /// Asks a model to answer, by the Responses API.
    ///
    /// # Errors
    ///
    /// As [`chat`](Self::chat).
    pub async fn responses(
        &self,
        request: &ResponseRequest,
    ) -> Result<openai::Response, CallError> {
        self.typed.response(request).await
    }

    /// Posts `body` to `path`, such as `/moderations`, and reads the answer as a `T`.
    ///
    /// # Errors
    ///
    /// As [`chat`](Self::chat).
    pub async fn request<T: DeserializeOwned, Q: Serialize + ?Sized>(
        &self,
        path: &str,
        body: &Q,
    ) -> Result<T, CallError> {
        self.typed.post(path, body).await
    }

    /// The client as a backend of [`BatchLayer`](hedgerow::BatchLayer): what the layer has collected goes at
    /// once.
    #[must_use]
    pub fn backend(&self) -> BatchBackend {
        BatchBackend::new(self.rows.clone())
    }

    /// The API of files and batches that it uses.
    #[must_use]
    pub fn api(&self) -> &BatchApi {
        &self.rows.handle.engine.api
    }

    /// How many rows have no answer yet, with those of earlier runs.
    #[must_use]
    pub fn open_rows(&self) -> usize {
        self.rows.handle.engine.book.open()
    }

    /// Takes no more calls, and does with what is open what was set when it was built.
    ///
    /// It returns within the limit that was set, whatever the API does. Calls that have no answer then get
    /// [`RowError::Closed`](super::RowError::Closed). Clones are closed with it; the first close counts.
    pub async fn close(&self) {
        let how = self.rows.handle.engine.options.on_close;
        self.close_by(how).await;
    }

    /// Like [`close`](Self::close), but in this way.
    pub async fn close_by(&self, how: OnClose) {
        let engine = &self.rows.handle.engine;
        engine.close(how);
        engine.ended.cancelled().await;
    }
}

// === impl Service ===

impl<B> Service<Request<B>> for Rows
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = BatchCall<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.permit.is_none() {
            self.permit = ready!(self.places.poll_acquire(cx));
            if self.permit.is_none() {
                return Poll::Ready(Err(RowError::Closed { batch_id: None }.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> BatchCall<B> {
        BatchCall::new(&self.handle, request, self.permit.take())
    }
}

/// Ready while there is a place among the rows that may be open.
impl<B> Service<Request<B>> for BatchClient
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = BatchCall<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<B>>::poll_ready(&mut self.rows, cx)
    }

    fn call(&mut self, request: Request<B>) -> BatchCall<B> {
        self.rows.call(request)
    }
}

impl BatchClient {
    /// Sends a request whose answer is taken as it is.
    ///
    /// # Errors
    ///
    /// A [`RowError`] if there is no answer.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, BoxError>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut rows = self.rows.clone();
        poll_fn(|cx| Service::<Request<B>>::poll_ready(&mut rows, cx)).await?;
        rows.call(request).await
    }
}

// === impl Clone, Drop, Debug ===

/// Without its place.
impl Clone for Rows {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            places: self.places.clone(),
            permit: None,
        }
    }
}

impl Clone for BatchClient {
    fn clone(&self) -> Self {
        Self {
            rows: self.rows.clone(),
            typed: self.typed.clone(),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.abandoned.cancel();
    }
}

impl fmt::Debug for BatchClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchClient")
            .field("api", self.api())
            .field("open_rows", &self.open_rows())
            .finish_non_exhaustive()
    }
}
