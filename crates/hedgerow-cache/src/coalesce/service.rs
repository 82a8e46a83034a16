//! The service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::{BoxError, Deadline};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_service::Service;

use super::future::CoalesceFuture;
use super::rules::CoalesceRules;
use super::share::Share;
use crate::background::Owner;
use crate::tables::Tables;

/// The service that [`CoalesceLayer`](crate::CoalesceLayer) makes.
pub struct Coalesce<S, X> {
    pub(super) core: Arc<Core<S, X>>,
    owner: Owner,
}

/// What a service, its clones and its response futures share.
pub(super) struct Core<S, X> {
    /// What those are cloned from that are called. Never polled.
    spare: Mutex<S>,
    pub(super) parts: X,
    pub(super) tables: Tables,
}

impl<S, X> Coalesce<S, X> {
    pub(super) fn new(inner: S, parts: X, owner: Owner) -> Self {
        Self {
            owner,
            core: Arc::new(Core {
                spare: Mutex::new(inner),
                parts,
                tables: Tables::default(),
            }),
        }
    }
}

impl<S: Clone, X> Core<S, X> {
    pub(super) fn spare(&self) -> S {
        self.spare.lock().clone()
    }
}

impl<S, X, Req> Service<Req> for Coalesce<S, X>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    Req: Send + 'static,
    X: CoalesceRules<Req, S::Response, S::Error> + Send + Sync,
{
    type Response = <X::Share as Share<S::Response>>::Shared;
    type Error = BoxError;
    type Future = CoalesceFuture<S, X, Req>;

    /// Always ready.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let settings = self.core.parts.settings();
        if settings.feeds {
            settings.budget.deposit();
        }
        let key = self.core.parts.key(&request);
        CoalesceFuture::new(
            self.core.clone(),
            key,
            request,
            Instant::now(),
            Deadline::current(),
        )
    }
}

impl<S, X> Clone for Coalesce<S, X> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            core: self.core.clone(),
        }
    }
}

impl<S, X: fmt::Debug> fmt::Debug for Coalesce<S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalesce")
            .field("parts", &self.core.parts)
            .finish_non_exhaustive()
    }
}
