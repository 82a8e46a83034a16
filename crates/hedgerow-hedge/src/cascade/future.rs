//! The response futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hedgerow_core::BoxError;
use pin_project::pin_project;
use tokio::time::Sleep;

use crate::cascade::ending::Ended;
use crate::cascade::info::Informed;
use crate::cascade::run::Run;

/// What [`Cascade`](crate::Cascade) returns: the call with all its tiers.
///
/// Dropping it drops them all.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct CascadeFuture<Req, Res> {
    /// Drops what it holds, and books it, by itself.
    run: Run<Req, Res>,
    #[pin]
    timer: Option<Sleep>,
}

/// What [`InformedCascade`](crate::InformedCascade) returns: the call with all its tiers.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct InformedFuture<Req, Res> {
    #[pin]
    call: CascadeFuture<Req, Res>,
}

impl<Req, Res> CascadeFuture<Req, Res> {
    pub(super) fn new(run: Run<Req, Res>) -> Self {
        Self { run, timer: None }
    }

    fn poll_ended(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<Res>> {
        let this = self.project();
        let end = ready!(this.run.poll(cx, this.timer));
        Poll::Ready(this.run.end(end))
    }
}

impl<Req, Res> InformedFuture<Req, Res> {
    pub(super) fn new(run: Run<Req, Res>) -> Self {
        Self {
            call: CascadeFuture::new(run),
        }
    }
}

impl<Req, Res> Future for CascadeFuture<Req, Res> {
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_ended(cx).map_ok(|(answer, _)| answer)
    }
}

impl<Req, Res> Future for InformedFuture<Req, Res> {
    type Output = Result<Informed<Res>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(self.project().call.poll_ended(cx));
        Poll::Ready(ended.map(|(value, info)| Informed {
            value,
            info: info.expect("`InformedCascade::call` asked for it"),
        }))
    }
}

impl<Req, Res> fmt::Debug for CascadeFuture<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CascadeFuture")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl<Req, Res> fmt::Debug for InformedFuture<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InformedFuture").field(&self.call).finish()
    }
}
