//! The response future: one try, until it has failed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::{BoxError, Class, Deadline};
use pin_project::{pin_project, pinned_drop};
use tokio::time::{Instant, Sleep};
use tower_service::Service;

use crate::rules::Rules;
use crate::service::Core;
use crate::timer::{earlier, instant, poll_until};
use crate::turn::Later;

/// What the caller gets.
pub(crate) type Output<Res> = Result<Res, BoxError>;

/// The response future of [`Retry`](crate::Retry).
///
/// Holds the try that runs, or the wait for the next one: dropping it ends either, at once.
///
/// # Panics
///
/// When polled again after it was ready, and when it has to wait outside of a tokio runtime with the
/// time driver enabled.
#[pin_project(project = Proj, PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    pub(crate) core: Arc<Core<S, K>>,
    /// What later tries are copied from, `None` if there can be none.
    pub(crate) copy: Option<Req>,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Deadline>,
    /// The try that runs. `None` in a wait, and once the call has ended.
    #[pin]
    pub(crate) current: Option<S::Future>,
    /// Set to the end of what is waited for: the try's time, the wait, the patience for readiness.
    #[pin]
    pub(crate) timer: Option<Sleep>,
    /// Whether the call is in the books.
    pub(crate) ended: bool,
    /// Present once a try has failed.
    pub(crate) later: Slot<Later<S, Req, S::Response>>,
}

/// A box that may be there. On the quiet path it never is, and dropping it is one comparison.
pub(crate) struct Slot<T>(Option<Box<T>>);

impl<T> Slot<T> {
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    pub(crate) fn get_or_insert_with(&mut self, make: impl FnOnce() -> T) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(make()))
    }
}

impl<T> Drop for Slot<T> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn discard<T>(full: Box<T>) {
            drop(full);
        }
        if let Some(full) = self.0.take() {
            discard(full);
        }
    }
}

impl<S, K, Req> ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    #[inline]
    pub(crate) fn new(
        core: Arc<Core<S, K>>,
        copy: Option<Req>,
        started: Instant,
        deadline: Option<Deadline>,
        first: Option<S::Future>,
    ) -> Self {
        Self {
            core,
            copy,
            started,
            deadline,
            current: first,
            timer: None,
            ended: false,
            later: Slot(None),
        }
    }
}

impl<S, K, Req> Future for ResponseFuture<S, K, Req>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    K: Rules<Req, S::Response, S::Error>,
{
    type Output = Output<S::Response>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if this.later.get().is_some() {
            return this.poll_later(cx);
        }
        let Some(first) = this.current.as_mut().as_pin_mut() else {
            return this.refuse();
        };
        match Deadline::in_scope(*this.deadline, || first.poll(cx)) {
            Poll::Ready(result) => {
                let class = this.core.parts.judge(&result);
                if class == Class::Success {
                    return Poll::Ready(this.succeed(result.map_err(Into::into)));
                }
                this.first_failed(cx, result, class)
            }
            Poll::Pending => {
                let mut limit = None;
                if this.timer.is_none() {
                    limit = this.limit(*this.started);
                }
                match poll_until(this.timer.as_mut(), limit, cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => this.first_timed_out(cx),
                }
            }
        }
    }
}

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    /// When a try's time is over that was sent at `sent`.
    #[inline]
    pub(crate) fn limit(&self, sent: Instant) -> Option<Instant> {
        let settings = self.core.parts.settings();
        let own = settings
            .attempt_timeout
            .and_then(|after| instant(sent, after));
        earlier(own, self.end())
    }

    /// The deadline, as timers want it.
    #[inline]
    pub(crate) fn end(&self) -> Option<Instant> {
        self.deadline
            .map(|deadline| Instant::from_std(deadline.instant()))
    }
}

#[pinned_drop]
impl<S, K, Req> PinnedDrop for ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        if !self.ended {
            self.project().cancel();
        }
    }
}

impl<S, K, Req> fmt::Debug for ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("started", &self.started)
            .field("deadline", &self.deadline)
            .field("retrying", &self.later.get().is_some())
            .finish_non_exhaustive()
    }
}
