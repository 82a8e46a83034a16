//! The service that asks for each request.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, Deadline};
use tower_service::Service;

use crate::ask::{Ask, Asks};
use crate::error::ShedReason;
use crate::future::{Hold, ResponseFuture};
use crate::layer::{Extras, Parts};
use crate::permit::Permit;
use crate::review::Reviews;
use crate::shared::Shared;

/// The service that [`AdmissionLayer`](crate::AdmissionLayer) makes.
pub struct AdmissionService<S, P, T = ()> {
    inner: S,
    /// Whether `inner` was made ready.
    ready: bool,
    core: Arc<Core<P, T>>,
}

/// What all clones of a service share.
pub(crate) struct Core<P, T> {
    pub(crate) shared: Arc<Shared<T>>,
    pub(crate) parts: Arc<P>,
}

impl<S, P, T> AdmissionService<S, P, T> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<T>>, parts: Arc<P>) -> Self {
        Self {
            inner,
            ready: false,
            core: Arc::new(Core { shared, parts }),
        }
    }

    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<A, V> Parts<A, V> {
    /// What a request costs that asks nothing else.
    #[inline]
    fn plain_cost<Req, T>(&self, request: &Req) -> Option<u64>
    where
        A: Asks<Req, T>,
    {
        let extra = self.extras != Extras::Same && Attempt::current().is_extra();
        if extra || Deadline::current().is_some() {
            return None;
        }
        self.asks.plain_cost(request)
    }

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
        if self.extras != Extras::Same && Attempt::current().is_extra() {
            match self.extras {
                Extras::Same => {}
                Extras::With(priority) => ask.priority = ask.priority.max(priority),
                Extras::NowOnly => ask.patience = Some(Duration::ZERO),
            }
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
        // Neither a key nor a deadline, and nobody waits: nothing else has to be known.
        let cost = self.core.parts.plain_cost(&request);
        let Some(cost) = cost else {
            return self.ask(request);
        };
        if !self.ready || self.core.shared.is_crowded() {
            return self.wait(request, Hold::Plain(cost));
        }
        let Some(pass) = self.core.shared.enter_plainly(cost) else {
            return self.ask(request);
        };
        self.ready = false;
        let mut future = ResponseFuture::admitted(Hold::Place(pass, true), self.core.clone());
        if self.core.parts.asks.assigns() {
            let resource = &self.core.shared.resources[0];
            self.core.parts.asks.assign(&mut request, resource);
        }
        future.run(self.inner.call(request));
        future
    }
}

impl<S, A, V, T> AdmissionService<S, Parts<A, V>, T> {
    /// All that a request may ask: it starts, or joins the queue, which may refuse it.
    #[inline(never)]
    fn ask<Req>(&mut self, mut request: Req) -> ResponseFuture<S, Parts<A, V>, Req, T>
    where
        S: Service<Req> + Clone,
        A: Asks<Req, T>,
    {
        let Some(ask) = self.core.parts.read(&request) else {
            let refused = self.core.shared.refuse(ShedReason::AskPanicked);
            return self.wait(request, Hold::refused(refused));
        };
        let shared = &self.core.shared;
        if !self.ready || shared.is_crowded() {
            return self.wait(request, Hold::asks(ask));
        }
        let Some(admitted) = shared.enter_at_once(&ask) else {
            return self.wait(request, Hold::asks(ask));
        };
        self.ready = false;
        let mut permit = Permit::new(shared.clone(), admitted);
        permit.leaves();
        self.core.parts.asks.assign(&mut request, permit.resource());
        let hold = Hold::permit(permit);
        let mut future = ResponseFuture::admitted(hold, self.core.clone());
        future.run(self.inner.call(request));
        future
    }

    /// It is not sent now. What was reserved below is given back: nothing is held while waiting.
    #[inline(never)]
    fn wait<Req>(&mut self, request: Req, hold: Hold<T>) -> ResponseFuture<S, Parts<A, V>, Req, T>
    where
        S: Service<Req> + Clone,
    {
        if mem::take(&mut self.ready) {
            self.inner = self.inner.clone();
        }
        ResponseFuture::waiting((self.inner.clone(), request), hold, self.core.clone())
    }
}

impl<S: Clone, P, T> Clone for AdmissionService<S, P, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            ready: false,
            core: self.core.clone(),
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
