//! The service that is wrapped: it gives a 16-byte request back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hedgerow::Replay;
use tower::Service;

/// Calls that arrived at any [`Echo`]. A static, so that cloning the service stays free.
static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// 16 bytes that may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request(u64, u64);

/// Answers with the request, at once or in the second poll.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    pends: bool,
}

/// What [`Echo`] returns.
#[derive(Debug)]
pub(crate) struct Answer {
    request: Request,
    pends: bool,
}

impl Request {
    pub(crate) const fn new(n: u64) -> Self {
        Self(n, !n)
    }
}

impl Request {
    /// One of 64.
    pub(crate) const fn key(&self) -> u64 {
        self.0 % 64
    }

    /// One of so many.
    pub(crate) const fn one_of(&self, many: u64) -> u64 {
        self.0 % many
    }
}

impl Replay for Request {
    #[inline]
    fn replay(&mut self) -> Option<Self> {
        Some(*self)
    }
}

impl Echo {
    /// A service that is pending once if `pends`, waking its task itself.
    pub(crate) const fn new(pends: bool) -> Self {
        Self { pends }
    }

    /// Calls that arrived so far, extra copies included.
    pub(crate) fn arrived() -> u64 {
        ARRIVED.load(Ordering::Relaxed)
    }
}

impl Service<Request> for Echo {
    type Response = Request;
    type Error = Infallible;
    type Future = Answer;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Answer {
        ARRIVED.fetch_add(1, Ordering::Relaxed);
        Answer {
            request,
            pends: self.pends,
        }
    }
}

impl Future for Answer {
    type Output = Result<Request, Infallible>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.pends {
            self.pends = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.request))
    }
}
