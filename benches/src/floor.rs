//! Floors: the least that a layer pays for measuring a call, and for being able to wait.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;

/// Reads the clock before and after the call, and adds to one counter.
#[derive(Debug)]
pub(crate) struct Clocked<S> {
    inner: S,
    taken_ns: Arc<AtomicU64>,
}

/// The response future of [`Clocked`].
#[pin_project]
#[derive(Debug)]
pub(crate) struct ClockedFuture<F> {
    #[pin]
    inner: F,
    started: Instant,
    taken_ns: Arc<AtomicU64>,
}

/// Arms a timer when the call is pending for the first time.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    inner: S,
    delay: Duration,
}

/// The response future of [`Timed`].
#[pin_project]
#[derive(Debug)]
pub(crate) struct TimedFuture<F> {
    #[pin]
    inner: F,
    delay: Duration,
    #[pin]
    timer: Option<Sleep>,
}

impl<S> Clocked<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            taken_ns: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl<S> Timed<S> {
    pub(crate) const fn new(inner: S, delay: Duration) -> Self {
        Self { inner, delay }
    }
}

// === impl Clocked ===

impl<S: Service<Req>, Req> Service<Req> for Clocked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = ClockedFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        ClockedFuture {
            started: Instant::now(),
            inner: self.inner.call(request),
            taken_ns: self.taken_ns.clone(),
        }
    }
}

impl<F: Future> Future for ClockedFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Poll::Ready(output) = this.inner.poll(cx) else {
            return Poll::Pending;
        };
        let taken = Instant::now().saturating_duration_since(*this.started);
        this.taken_ns
            .fetch_add(u64::from(taken.subsec_nanos()), Ordering::Relaxed);
        Poll::Ready(output)
    }
}

// === impl Timed ===

impl<S: Service<Req>, Req> Service<Req> for Timed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = TimedFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        TimedFuture {
            inner: self.inner.call(request),
            delay: self.delay,
            timer: None,
        }
    }
}

impl<F: Future> Future for TimedFuture<F> {
    type Output = F::Output;

    /// Pending until `inner` is ready, however long: the timer's end is of no interest here.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.inner.poll(cx) {
            return Poll::Ready(output);
        }
        if this.timer.is_none() {
            this.timer.set(Some(sleep(*this.delay)));
        }
        if let Some(timer) = this.timer.as_mut().as_pin_mut() {
            let _ = timer.poll(cx);
        }
        Poll::Pending
    }
}
