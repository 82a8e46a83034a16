//! The API as a service, with or without a socket in front of it.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use thiserror::Error;
use tower_service::Service;

use super::body::ApiBody;
use super::route::{self, Route};
use super::shared::Shared;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The connection broke before there was an answer, as a [`Fault`](super::Fault) wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the mock hung up, as its script says")]
pub struct Disconnected;

/// Answers requests to a [`MockBatchApi`](super::MockBatchApi) without a socket.
///
/// # Readiness, clones and drop
///
/// Always ready. Clones lead to the same API, which lives as long as one of them.
#[derive(Clone)]
pub struct ApiService {
    shared: Arc<Shared>,
}

/// The answer of an [`ApiService`].
#[must_use = "futures do nothing unless they are polled"]
pub struct ApiFuture(Pin<Box<dyn Future<Output = Answered> + Send>>);

pub(super) type Answered = Result<Response<ApiBody>, Disconnected>;

impl ApiService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn answer<B>(&self, request: Request<B>) -> ApiFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let shared = Arc::clone(&self.shared);
        ApiFuture(Box::pin(async move {
            let route = Route::of(request.method(), request.uri());
            let answer = route::answer(&shared, route, request).await;
            answer.map(|answer| shared.sign(answer))
        }))
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ApiBody>;
    type Error = Disconnected;
    type Future = ApiFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ApiFuture {
        self.answer(request)
    }
}

impl Future for ApiFuture {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ApiService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiService").finish_non_exhaustive()
    }
}

impl fmt::Debug for ApiFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiFuture").finish_non_exhaustive()
    }
}
