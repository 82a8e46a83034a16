//! The response future: waiting, getting ready, running.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hedgerow_core::BoxError;
use pin_project::{pin_project, pinned_drop};
use tower_service::Service;

use crate::ask::Asks;
use crate::error::Overloaded;
use crate::layer::Parts;
use crate::limit::Outcome;
use crate::permit::{Permit, Waiting};
use crate::plain::Pass;
use crate::review::{Review, Reviews};
use crate::service::Core;
use crate::shared::Shared;

/// The response future of [`AdmissionService`](crate::AdmissionService).
///
/// Dropping it leaves the queue, or gives back the place and what was reserved.
#[pin_project(PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: Service<Req>, P, Req, T = ()> {
    /// The call, once it was sent.
    #[pin]
    running: Option<S::Future>,
    /// What it came in with, if it came the plain way and has not ended.
    pass: Option<Pass>,
    /// All others. Boxed: most requests come the plain way.
    long: Option<Pin<Box<Long<S, Req, T>>>>,
    core: Arc<Core<P, T>>,
}

/// A request that waits, or has more than a place and something of one rate.
#[pin_project]
pub(crate) struct Long<S, Req, T> {
    #[pin]
    waiting: Option<Waiting<T>>,
    /// Once it was admitted.
    permit: Option<Permit<T>>,
    /// The clone that will send it, until it is sent.
    next: Option<(S, Req)>,
    refused: Option<Overloaded>,
}

impl<S: Service<Req>, P, Req, T> ResponseFuture<S, P, Req, T> {
    /// It came the plain way; dropped before it runs, it gives its place back.
    #[inline]
    pub(crate) const fn plain(pass: Pass, core: Arc<Core<P, T>>) -> Self {
        Self {
            running: None,
            pass: Some(pass),
            long: None,
            core,
        }
    }

    /// It runs.
    #[inline]
    pub(crate) fn run(&mut self, running: S::Future) {
        self.running = Some(running);
    }

    fn long(running: Option<S::Future>, long: Long<S, Req, T>, core: Arc<Core<P, T>>) -> Self {
        Self {
            running,
            pass: None,
            long: Some(Box::pin(long)),
            core,
        }
    }

    /// It was sent, with this permit.
    pub(crate) fn sent(running: S::Future, permit: Permit<T>, core: Arc<Core<P, T>>) -> Self {
        let long = Long {
            permit: Some(permit),
            ..Long::EMPTY
        };
        Self::long(Some(running), long, core)
    }

    /// It was admitted; the clone that sends it has to get ready.
    pub(crate) fn admitted(permit: Permit<T>, next: (S, Req), core: Arc<Core<P, T>>) -> Self {
        let long = Long {
            permit: Some(permit.unsent()),
            next: Some(next),
            ..Long::EMPTY
        };
        Self::long(None, long, core)
    }

    pub(crate) fn waiting(waiting: Waiting<T>, next: (S, Req), core: Arc<Core<P, T>>) -> Self {
        let long = Long {
            waiting: Some(waiting),
            next: Some(next),
            ..Long::EMPTY
        };
        Self::long(None, long, core)
    }

    pub(crate) fn refused(refused: Overloaded, core: Arc<Core<P, T>>) -> Self {
        let long = Long {
            refused: Some(refused),
            ..Long::EMPTY
        };
        Self::long(None, long, core)
    }
}

impl<S, Req, T> Long<S, Req, T> {
    const EMPTY: Self = Self {
        waiting: None,
        permit: None,
        next: None,
        refused: None,
    };
}

impl<S, A, V, Req, T> Future for ResponseFuture<S, Parts<A, V>, Req, T>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Asks<Req, T>,
    V: Reviews<S::Response, S::Error>,
{
    type Output = Result<S::Response, BoxError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.running.is_none() {
            let long = this.long.as_mut().expect("polled after it was ready");
            match ready!(long.as_mut().poll_sent(&this.core.parts, cx)) {
                Ok(running) => this.running.set(Some(running)),
                Err(error) => {
                    *this.long = None;
                    return Poll::Ready(Err(error));
                }
            }
        }
        let running = this.running.as_mut().as_pin_mut();
        let running = running.expect("it runs, or was just sent");
        let result = ready!(running.poll(cx));
        // Gone before its place goes to the next.
        this.running.set(None);
        let reviews = &this.core.parts.reviews;
        if let Some(pass) = this.pass.take() {
            this.core
                .shared
                .finish_pass(pass, || reviews.review(&result));
        } else if let Some(mut long) = this.long.take()
            && let Some(permit) = long.as_mut().project().permit.take()
        {
            permit.end(reviews.review(&result));
        }
        Poll::Ready(result.map_err(Into::into))
    }
}

#[pinned_drop]
impl<S: Service<Req>, P, Req, T> PinnedDrop for ResponseFuture<S, P, Req, T> {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        if self.pass.is_some() || self.long.is_some() {
            self.leave();
        }
    }
}

impl<S: Service<Req>, P, Req, T> ResponseFuture<S, P, Req, T> {
    /// Its caller has left.
    #[cold]
    fn leave(self: Pin<&mut Self>) {
        let mut this = self.project();
        let _place = this.pass.take().map(|pass| Place {
            pass,
            shared: &this.core.shared,
        });
        this.running.set(None);
    }
}

/// A place that is given back when what runs in it is gone, though its drop may panic.
struct Place<'a, T> {
    pass: Pass,
    shared: &'a Shared<T>,
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        let left = || Review::of(Outcome::Cancelled);
        self.shared.finish_pass(self.pass, left);
    }
}

impl<S, Req, T> Long<S, Req, T> {
    /// Waits for its turn, makes the clone ready, and calls it.
    fn poll_sent<A, V>(
        self: Pin<&mut Self>,
        parts: &Parts<A, V>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Future, BoxError>>
    where
        S: Service<Req>,
        S::Error: Into<BoxError>,
        A: Asks<Req, T>,
        V: Reviews<S::Response, S::Error>,
    {
        let mut this = self.project();
        if let Some(refused) = this.refused.take() {
            return Poll::Ready(Err(refused.into()));
        }
        if let Some(waiting) = this.waiting.as_mut().as_pin_mut() {
            let admitted = ready!(waiting.poll(cx));
            this.waiting.set(None);
            *this.permit = Some(admitted?.unsent());
        }
        let (service, _) = this.next.as_mut().expect("polled after it was ready");
        let ready = ready!(service.poll_ready(cx));
        let (mut service, mut request) = this.next.take().expect("it was just there");
        let permit = this.permit.as_mut().expect("it was admitted");
        if let Err(error) = ready {
            // Nothing was sent: all that was reserved is given back.
            *this.permit = None;
            return Poll::Ready(Err(error.into()));
        }
        permit.set_sent();
        parts.asks.assign(&mut request, permit.resource());
        Poll::Ready(Ok(service.call(request)))
    }
}

impl<S: Service<Req>, P, Req, T> fmt::Debug for ResponseFuture<S, P, Req, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("sent", &self.running.is_some())
            .finish_non_exhaustive()
    }
}
