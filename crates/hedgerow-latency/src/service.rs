//! The service that measures, and its future.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hedgerow_core::{Attempt, Class, Classify};
use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;
use tower_service::Service;

use crate::handle::Latency;

/// The service that [`LatencyLayer`](crate::LatencyLayer) makes.
pub struct MeasureLatency<S, C> {
    inner: S,
    latency: Latency,
    classify: Arc<C>,
}

/// The response future of [`MeasureLatency`].
///
/// Dropped before its end it records the attempt as cut off at its age.
#[pin_project(PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, C> {
    #[pin]
    inner: F,
    started: Instant,
    attempt: Attempt,
    /// Present until the attempt is recorded.
    open: Option<(Latency, Arc<C>)>,
}

impl<S, C> MeasureLatency<S, C> {
    pub(crate) fn new(inner: S, latency: Latency, classify: Arc<C>) -> Self {
        Self {
            inner,
            latency,
            classify,
        }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, Req> Service<Req> for MeasureLatency<S, C>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // Before the inner call, which may work before it returns its future.
        let started = Instant::now();
        ResponseFuture {
            inner: self.inner.call(request),
            started,
            attempt: Attempt::current(),
            open: Some((self.latency.clone(), self.classify.clone())),
        }
    }
}

impl<F, C, Res, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Res, E>>,
    C: Classify<Res, E>,
{
    type Output = Result<Res, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        if let Some((latency, classify)) = this.open.take() {
            let answered = match classify.classify(&result) {
                Class::Success => Some(true),
                Class::TimedOut => Some(false),
                Class::Retryable { .. } | Class::Fatal => None,
            };
            if let Some(answered) = answered {
                let now = Instant::now();
                let elapsed = now.saturating_duration_since(*this.started);
                latency.record_attempt(now.into_std(), *this.attempt, elapsed, answered);
            }
        }
        Poll::Ready(result)
    }
}

#[pinned_drop]
impl<F, C> PinnedDrop for ResponseFuture<F, C> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some((latency, _)) = this.open.take() {
            let now = Instant::now();
            let age = now.saturating_duration_since(*this.started);
            latency.record_attempt(now.into_std(), *this.attempt, age, false);
        }
    }
}

// Not derived: the classifier need not be `Clone`.
impl<S: Clone, C> Clone for MeasureLatency<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            latency: self.latency.clone(),
            classify: self.classify.clone(),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for MeasureLatency<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeasureLatency")
            .field("inner", &self.inner)
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("started", &self.started)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
