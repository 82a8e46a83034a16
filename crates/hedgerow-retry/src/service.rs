//! The service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::{BoxError, Classify, Copies, Deadline, Recorder};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_service::Service;

use crate::event::RetryEvent;
use crate::future::ResponseFuture;
use crate::layer::{Parts, Settings};
use crate::policy::RetryPolicy;
use crate::rules::Rules;
use crate::timer::earlier;

/// The service that [`RetryLayer`](crate::RetryLayer) makes.
///
/// `K` are the layer's [`Parts`].
pub struct Retry<S, K> {
    inner: S,
    core: Arc<Core<S, K>>,
}

/// What a service, its clones and its response futures share.
pub(crate) struct Core<S, K> {
    /// What later tries are cloned from. Never polled, so a call that is not retried need not clone
    /// the service, which may allocate.
    spare: Mutex<S>,
    pub(crate) parts: K,
}

impl<S: Clone, K> Retry<S, K> {
    pub(crate) fn new(inner: S, parts: K) -> Self {
        let spare = Mutex::new(inner.clone());
        Self {
            inner,
            core: Arc::new(Core { spare, parts }),
        }
    }
}

impl<S, K> Retry<S, K> {
    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, mutably. What later tries are cloned from is another clone.
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

impl Settings {
    /// The deadline of a call that starts now: the layer's, or the one that holds if it is earlier.
    #[inline]
    fn deadline(&self, started: Instant) -> Option<Deadline> {
        let own = self
            .deadline
            .and_then(|patience| Deadline::within(started.into_std(), patience));
        earlier(own, Deadline::current())
    }
}

impl<S, Req, P, R, J, Rec> Service<Req> for Retry<S, Parts<P, R, J, Rec>>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    P: RetryPolicy,
    R: Copies<Req>,
    J: Classify<S::Response, S::Error>,
    Rec: Recorder<RetryEvent>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Parts<P, R, J, Rec>, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let parts = &self.core.parts;
        let settings = &parts.settings;
        let started = Instant::now();
        let deadline = settings.deadline(started);
        let refused = deadline.is_some_and(|deadline| deadline.has_passed(started.into_std()));
        let (mut copy, mut first) = (None, None);
        if !refused {
            if settings.books.attempts() > 1 {
                copy = parts.copies.copy(&mut request);
            }
            first = Some(Deadline::in_scope(deadline, || self.inner.call(request)));
        }
        let tells = !refused && parts.recorder.enabled();
        // From here on nothing of the user's can panic: what is counted also ends.
        settings.books.begin();
        if settings.feeds {
            settings.budget.deposit();
        }
        if tells {
            Rules::<Req, S::Response, S::Error>::tell(parts, &RetryEvent::Started);
        }
        ResponseFuture::new(self.core.clone(), copy, started, deadline, first)
    }
}

impl<S: Clone, K> Clone for Retry<S, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            core: self.core.clone(),
        }
    }
}

impl<S: fmt::Debug, K: fmt::Debug> fmt::Debug for Retry<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("parts", &self.core.parts)
            .finish()
    }
}
