//! The service that makes bodies replayable.

use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::may_be_sent_twice;
use http::Request;
use http_body::Body;
use tower_service::Service;

use crate::body::{Fate, ReplayableBody};
use crate::stats::Counts;

/// Which bodies are shared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeps {
    /// Up to so many bytes.
    pub(crate) cap: u64,
    /// Of every request, also of one that may be sent only once.
    pub(crate) every: bool,
}

/// The service that [`ReplayBodyLayer`](crate::ReplayBodyLayer) makes.
///
/// Its future is the inner service's own.
#[derive(Clone, Debug)]
pub struct ReplayBodies<S> {
    inner: S,
    keeps: Keeps,
    counts: Arc<Counts>,
}

impl<S> ReplayBodies<S> {
    pub(crate) const fn new(inner: S, keeps: Keeps, counts: Arc<Counts>) -> Self {
        Self {
            inner,
            keeps,
            counts,
        }
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
        self.inner.call(apply(request, self.keeps, &self.counts))
    }
}

/// Takes what is there of the body of a request that may be sent twice.
pub(crate) fn apply<B>(
    request: Request<B>,
    keeps: Keeps,
    counts: &Counts,
) -> Request<ReplayableBody<B>>
where
    B: Body + Unpin,
{
    let twice = keeps.every || may_be_sent_twice(&request);
    let (head, body) = request.into_parts();
    let (body, fate) = if twice {
        ReplayableBody::take_ready(body, keeps.cap)
    } else {
        (ReplayableBody::untouched(body), Fate::NotReplayable)
    };
    counts.add(fate);
    Request::from_parts(head, body)
}
