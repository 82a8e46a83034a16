//! The service that measures, and its future.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hedgerow_core::{Attempt, Class, Classify};
use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;
use tower_service::Service;

use crate::layer::Books;

/// The service that [`LatencyLayer`](crate::LatencyLayer) makes.
pub struct MeasureLatency<S, C> {
    inner: S,
    books: Arc<Books<C>>,
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
    books: Arc<Books<C>>,
    /// Whether the attempt is in the books.
    recorded: bool,
}

impl<S, C> MeasureLatency<S, C> {
    pub(crate) fn new(inner: S, books: Arc<Books<C>>) -> Self {
        Self { inner, books }
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

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        // Before the inner call, which may work before it returns its future.
        let started = Instant::now();
        ResponseFuture {
            inner: self.inner.call(request),
            started,
            attempt: Attempt::current(),
            books: self.books.clone(),
            recorded: false,
        }
    }
}

impl<F, C, Res, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Res, E>>,
    C: Classify<Res, E>,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        *this.recorded = true;
        let answered = match this.books.classify.classify(&result) {
            Class::Success => true,
            Class::TimedOut => false,
            Class::Retryable { .. } | Class::NoMore | Class::Fatal => {
                return Poll::Ready(result);
            }
        };
        this.books.record(*this.started, *this.attempt, answered);
        Poll::Ready(result)
    }
}

#[pinned_drop]
impl<F, C> PinnedDrop for ResponseFuture<F, C> {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        if !self.recorded {
            self.books.cut_off(self.started, self.attempt);
        }
    }
}

impl<C> Books<C> {
    #[cold]
    #[inline(never)]
    fn cut_off(&self, started: Instant, attempt: Attempt) {
        self.record(started, attempt, false);
    }

    #[inline]
    fn record(&self, started: Instant, attempt: Attempt, answered: bool) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(started);
        self.latency
            .record_attempt(now.into_std(), attempt, elapsed, answered);
    }
}

// Not derived: the classifier need not be `Clone`.
impl<S: Clone, C> Clone for MeasureLatency<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            books: self.books.clone(),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for MeasureLatency<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeasureLatency")
            .field("inner", &self.inner)
            .field("latency", &self.books.latency)
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
