//! The service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::{Classify, Recorder};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_service::Service;

use crate::event::HedgeEvent;
use crate::exchange::Exchange;
use crate::future::{Next, ResponseFuture};
use crate::layer::Parts;
use crate::policy::HedgePolicy;
use crate::rules::Rules;

/// The service that [`HedgeLayer`](crate::HedgeLayer) makes.
///
/// `K` are the layer's [`Parts`].
pub struct Hedge<S, K> {
    inner: S,
    core: Arc<Core<S, K>>,
}

/// What a service, its clones and its response futures share.
pub(crate) struct Core<S, K> {
    /// What extra attempts are cloned from. Never polled, so a call that does not hedge need not
    /// clone the service, which may allocate.
    spare: Mutex<S>,
    pub(crate) parts: K,
}

impl<S: Clone, K> Hedge<S, K> {
    pub(crate) fn new(inner: S, parts: K) -> Self {
        let spare = Mutex::new(inner.clone());
        Self {
            inner,
            core: Arc::new(Core { spare, parts }),
        }
    }
}

impl<S, K> Hedge<S, K> {
    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, mutably. What extra attempts are cloned from is another clone.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, K> Core<S, K> {
    pub(crate) fn spare(&self) -> S {
        self.spare.lock().clone()
    }
}

impl<S, Req, P, R, J, Rec> Service<Req> for Hedge<S, Parts<P, R, J, Rec>>
where
    S: Service<Req> + Clone,
    P: HedgePolicy<Req>,
    R: Exchange<Req, S::Response>,
    J: Classify<S::Response, S::Error>,
    Rec: Recorder<HedgeEvent>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Parts<P, R, J, Rec>, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let parts = &self.core.parts;
        let settings = &parts.settings;
        let plan = settings.books.plan();
        let may_hedge = plan.max_hedges() > 0;
        let key = parts.policy.key_state(&request);
        let copy = if may_hedge {
            parts.exchange.copy(&mut request)
        } else {
            None
        };
        let started = Instant::now();
        let primary = self.inner.call(request);
        // From here on nothing of the user's can panic: what is counted also ends.
        settings.books.begin();
        if settings.feeds {
            settings.budget.deposit();
        }
        if may_hedge && copy.is_none() {
            settings.books.unreplayable();
        }
        tracing::trace!(target: "hedgerow::hedge", "call started");
        if parts.recorder.enabled() {
            Rules::<Req, S::Response, S::Error>::tell(parts, &HedgeEvent::Started);
        }
        let next = if plan.is_watched() {
            Next::Watched
        } else {
            Next::Unasked
        };
        ResponseFuture::new(self.core.clone(), (copy, key), next, started, primary)
    }
}

impl<S: Clone, K> Clone for Hedge<S, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            core: self.core.clone(),
        }
    }
}

impl<S: fmt::Debug, K: fmt::Debug> fmt::Debug for Hedge<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("inner", &self.inner)
            .field("parts", &self.core.parts)
            .finish()
    }
}
