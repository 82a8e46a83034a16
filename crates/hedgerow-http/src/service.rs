//! The service that makes bodies replayable.

use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::may_be_sent_twice;
use http::Request;
use http_body::Body;
use tower_service::Service;

use crate::body::{Fate, ReplayableBody};
use crate::stats::Counts;

/// The service that [`ReplayBodyLayer`](crate::ReplayBodyLayer) makes.
///
/// Its future is the inner service's own.
#[derive(Clone, Debug)]
pub struct ReplayBodies<S> {
    inner: S,
    cap: u64,
    counts: Arc<Counts>,
}

impl<S> ReplayBodies<S> {
    pub(crate) const fn new(inner: S, cap: u64, counts: Arc<Counts>) -> Self {
        Self { inner, cap, counts }
    }

    /// The service beneath.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, B> Service<Request<B>> for ReplayBodies<S>
where
    S: Service<Request<ReplayableBody<B>>>,
    B: Body + Unpin,
    B::Data: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.inner.call(apply(request, self.cap, &self.counts))
    }
}

/// Takes what is there of the body of a request that may be sent twice.
pub(crate) fn apply<B>(request: Request<B>, cap: u64, counts: &Counts) -> Request<ReplayableBody<B>>
where
    B: Body + Unpin,
{
    let twice = may_be_sent_twice(&request);
    let (head, body) = request.into_parts();
    let (body, fate) = if twice {
        ReplayableBody::take_ready(body, cap)
    } else {
        (ReplayableBody::untouched(body), Fate::NotReplayable)
    };
    counts.add(fate);
    Request::from_parts(head, body)
}
