//! What a call took, counted right around the client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::outcome::Took;

/// What a call took so far.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    attempts: AtomicU32,
    running_ns: AtomicU64,
}

/// Counts what is sent to a client, and how long it runs.
#[derive(Clone, Debug)]
pub(super) struct Counted<S> {
    inner: S,
    tally: Arc<Tally>,
}

/// The response future of [`Counted`].
#[pin_project]
pub(super) struct Running<F> {
    #[pin]
    inner: F,
    run: Option<Run>,
}

/// One that runs; it has run when it is dropped.
struct Run {
    started: Instant,
    tally: Arc<Tally>,
}

impl Tally {
    pub(super) fn start() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            attempts: AtomicU32::new(0),
            running_ns: AtomicU64::new(0),
        })
    }

    pub(super) fn took(&self) -> Took {
        let elapsed = self.started.elapsed();
        let running = Duration::from_nanos(self.running_ns.load(Ordering::Relaxed));
        Took {
            attempts: self.attempts.load(Ordering::Relaxed),
            waited: elapsed.saturating_sub(running),
            elapsed,
        }
    }
}

impl<S> Counted<S> {
    pub(super) const fn new(inner: S, tally: Arc<Tally>) -> Self {
        Self { inner, tally }
    }
}

impl<S: Service<Req>, Req> Service<Req> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Running<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.tally.attempts.fetch_add(1, Ordering::Relaxed);
        let run = Run {
            started: Instant::now(),
            tally: self.tally.clone(),
        };
        Running {
            inner: self.inner.call(request),
            run: Some(run),
        }
    }
}

impl<F: Future> Future for Running<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        *this.run = None;
        Poll::Ready(output)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let ran = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.tally.running_ns.fetch_add(ran, Ordering::Relaxed);
    }
}
