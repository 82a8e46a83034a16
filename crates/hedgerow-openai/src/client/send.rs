//! What both clients are: a service, and how requests to it are written.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use hedgerow::{BoxError, Idempotent};
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::answer::{Answer, Read};
use super::protocol::Protocol;
use super::settings::Settings;
use super::stream::{EventStream, Opening};
use crate::error::CallError;

/// A service that sends HTTP requests, and what is known of the API behind it.
pub(super) struct Sender<S, B> {
    service: S,
    settings: Arc<Settings>,
    body: PhantomData<fn() -> B>,
}

impl<S, B> Sender<S, B> {
    pub(super) fn new(service: S, settings: Settings) -> Self {
        Self {
            service,
            settings: Arc::new(settings),
            body: PhantomData,
        }
    }
}

impl<S, B: From<Bytes>> Sender<S, B> {
    fn request<T: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &str,
        body: Option<&T>,
        accept: &'static str,
    ) -> Result<Request<B>, CallError> {
        let uri = self
            .settings
            .base
            .uri(path)
            .map_err(|source| CallError::Path {
                path: path.to_owned(),
                source,
            })?;
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(CallError::Request)?.into(),
            None => Bytes::new(),
        };
        let mut request = Request::new(B::from(bytes));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        for (name, value) in &self.settings.headers {
            headers.insert(name, value.clone());
        }
        if self.settings.idempotent {
            request.extensions_mut().insert(Idempotent);
        }
        Ok(request)
    }
}

impl<S, B, R> Sender<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
    R: Body,
    R::Error: Into<BoxError>,
{
    /// Whether the service is ready for a request.
    pub(super) fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), CallError>> {
        self.service
            .poll_ready(cx)
            .map_err(|error| CallError::Transport(error.into()))
    }

    /// Sends a request by the service, which is ready, and reads the answer as a `T`.
    pub(super) fn call<T, Q>(
        &mut self,
        path: &str,
        body: &Q,
        read: Read<T>,
    ) -> Answer<S::Future, R, T>
    where
        Q: Serialize + ?Sized,
    {
        match self.request(Method::POST, path, Some(body), "application/json") {
            Ok(request) => Answer::new(self.service.call(request), read, self.settings.clone()),
            Err(error) => Answer::failed(error),
        }
    }

    /// Sends a request by the service, which is ready, and opens the answer as a stream.
    pub(super) fn open<P: Protocol, Q>(&mut self, path: &str, body: &Q) -> Opening<S::Future, R, P>
    where
        Q: Serialize + ?Sized,
    {
        match self.request(Method::POST, path, Some(body), "text/event-stream") {
            Ok(request) => Opening::new(self.service.call(request), self.settings.clone()),
            Err(error) => Opening::failed(error),
        }
    }

    async fn ready(&mut self) -> Result<(), CallError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }
}

impl<S, B, R> Sender<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: From<Bytes>,
    R: Body,
    R::Error: Into<BoxError>,
{
    /// Posts `body` by a clone of the service.
    pub(super) async fn post<T, Q>(
        &self,
        path: &str,
        body: &Q,
        read: Read<T>,
    ) -> Result<T, CallError>
    where
        Q: Serialize + ?Sized,
    {
        let mut sender = self.clone();
        sender.ready().await?;
        sender.call(path, body, read).await
    }

    /// Gets what is at `path`.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        read: Read<T>,
    ) -> Result<T, CallError> {
        let mut sender = self.clone();
        sender.ready().await?;
        let request = sender.request::<()>(Method::GET, path, None, "application/json")?;
        let answer = sender.service.call(request);
        Answer::new(answer, read, self.settings.clone()).await
    }

    /// Posts `body` by a clone of the service, for a streamed answer.
    pub(super) async fn stream<P: Protocol, Q>(
        &self,
        path: &str,
        body: &Q,
    ) -> Result<EventStream<R, P>, CallError>
    where
        Q: Serialize + ?Sized,
    {
        let mut sender = self.clone();
        sender.ready().await?;
        sender.open(path, body).await
    }
}

// === impl Clone, Debug ===

impl<S: Clone, B> Clone for Sender<S, B> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            settings: self.settings.clone(),
            body: PhantomData,
        }
    }
}

impl<S, B> fmt::Debug for Sender<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}
