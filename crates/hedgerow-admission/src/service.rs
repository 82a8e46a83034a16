//! The service that asks for each request.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, Deadline};
use tower_service::Service;

use crate::ask::{Ask, Asks};
use crate::error::ShedReason;
use crate::future::ResponseFuture;
use crate::layer::{Extras, Parts};
use crate::permit::{Arrival, Permit};
use crate::queue::Kind;
use crate::review::Reviews;
use crate::shared::Shared;

/// The service that [`AdmissionLayer`](crate::AdmissionLayer) makes.
pub struct AdmissionService<S, P, T = ()> {
    inner: S,
    /// Whether `inner` was made ready.
    ready: bool,
    shared: Arc<Shared<T>>,
    parts: Arc<P>,
}

impl<S, P, T> AdmissionService<S, P, T> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared<T>>, parts: Arc<P>) -> Self {
        Self {
            inner,
            ready: false,
            shared,
            parts,
        }
    }

    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<A, V> Parts<A, V> {
    /// What a request asks, with what is known from above.
    #[inline]
    fn read<Req, T>(&self, request: &Req) -> Option<Ask>
    where
        A: Asks<Req, T>,
    {
        let mut ask = catch_unwind(AssertUnwindSafe(|| self.asks.ask(request))).ok()?;
        if let Some(outer) = Deadline::current() {
            ask.deadline = Some(ask.deadline.map_or(outer, |own| own.min(outer)));
        }
        match self.extras {
            Extras::With(priority) if Attempt::current().is_extra() => {
                ask.priority = ask.priority.max(priority);
            }
            Extras::NowOnly if Attempt::current().is_extra() => {
                ask.patience = Some(Duration::ZERO);
            }
            Extras::Same | Extras::With(_) | Extras::NowOnly => {}
        }
        Some(ask)
    }
}

impl<S, Req, A, V, T> Service<Req> for AdmissionService<S, Parts<A, V>, T>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    A: Asks<Req, T>,
    V: Reviews<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Parts<A, V>, Req, T>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // One that is not ready is made ready after its request was admitted.
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let Some(ask) = self.parts.read(&request) else {
            let refused = self.shared.refuse(ShedReason::AskPanicked);
            return ResponseFuture::refused(refused, self.parts.clone());
        };
        if let Some(admitted) = self.shared.enter_quietly(&ask) {
            let permit = Permit::new(self.shared.clone(), admitted).in_flight();
            if !self.ready {
                let next = (self.inner.clone(), request);
                return ResponseFuture::readying(permit, next, self.parts.clone());
            }
            self.ready = false;
            self.parts.asks.assign(&mut request, permit.resource());
            let running = self.inner.call(request);
            return ResponseFuture::running(running, permit, self.parts.clone());
        }
        self.queue(ask, request)
    }
}

impl<S, P, T> AdmissionService<S, P, T> {
    /// The request joins the queue.
    #[cold]
    fn queue<Req>(&mut self, ask: Ask, request: Req) -> ResponseFuture<S, P, Req, T>
    where
        S: Service<Req> + Clone,
    {
        // What was reserved below is given back: nothing is held while waiting.
        let fresh = self.inner.clone();
        let next = (self.inner.clone(), request);
        self.inner = fresh;
        self.ready = false;
        let parts = self.parts.clone();
        match Arrival::new(&self.shared, ask, Kind::Request) {
            Arrival::Permit(permit) => ResponseFuture::readying(permit.in_flight(), next, parts),
            Arrival::Waiting(waiting) => ResponseFuture::waiting(waiting, next, parts),
            Arrival::Refused(refused) => ResponseFuture::refused(refused, parts),
        }
    }
}

impl<S: Clone, P, T> Clone for AdmissionService<S, P, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            ready: false,
            shared: self.shared.clone(),
            parts: self.parts.clone(),
        }
    }
}

impl<S: fmt::Debug, P, T> fmt::Debug for AdmissionService<S, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmissionService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
