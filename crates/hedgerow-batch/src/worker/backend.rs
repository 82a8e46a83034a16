//! The user's service, in the hands of the task.

use std::task::{Context, Poll};

use hedgerow_core::{caught, drop_quietly};
use tower_service::Service;

/// The user's service, and how ready it is.
pub(super) struct Backend<S> {
    /// Never polled: what a new instance is cloned from.
    spare: S,
    pub(super) inner: S,
    /// It was polled and not called since, so it may hold a reservation, or a place in a queue for one.
    touched: bool,
    ready: bool,
}

impl<S: Clone> Backend<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            spare: inner.clone(),
            inner,
            touched: false,
            ready: false,
        }
    }

    pub(super) fn poll<R>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<S::Error>>>
    where
        S: Service<R>,
    {
        if self.ready {
            return Poll::Ready(Ok(()));
        }
        self.touched = true;
        let poll = match caught(|| self.inner.poll_ready(cx)) {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(Ok(()))) => {
                self.ready = true;
                return Poll::Ready(Ok(()));
            }
            Some(Poll::Ready(Err(error))) => Err(Some(error)),
            None => Err(None),
        };
        self.renew();
        Poll::Ready(poll)
    }

    /// Gives back what was reserved and is not needed.
    pub(super) fn relax(&mut self) {
        if self.touched {
            self.renew();
        }
    }

    /// The instance that was ready has been called.
    pub(super) const fn called(&mut self) {
        self.touched = false;
        self.ready = false;
    }

    pub(super) fn renew(&mut self) {
        self.touched = false;
        self.ready = false;
        if let Some(fresh) = caught(|| self.spare.clone()) {
            drop_quietly(std::mem::replace(&mut self.inner, fresh));
        }
    }
}
