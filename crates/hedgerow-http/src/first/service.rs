//! The service that waits for the first of an answer.

use std::task::{Context, Poll};

use hedgerow_core::{BoxError, Recorder};
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::event::FirstEvent;
use super::future::AwaitFirstFuture;
use super::held::Caps;
use super::seen::StreamFormat;
use crate::resumed::ResumedBody;

/// The service that [`AwaitFirstFrameLayer`](super::AwaitFirstFrameLayer) and
/// [`AwaitFirstContentLayer`](super::AwaitFirstContentLayer) make.
#[derive(Clone, Debug)]
pub struct AwaitFirst<S, F, Rec = ()> {
    pub(super) inner: S,
    pub(super) format: F,
    pub(super) caps: Caps,
    pub(super) recorder: Rec,
}

impl<S, F, Rec> AwaitFirst<S, F, Rec> {
    /// The service beneath.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service beneath, mutably.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service beneath, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, F, Rec, A, B> Service<Request<A>> for AwaitFirst<S, F, Rec>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body + Unpin,
    B::Data: Clone,
    B::Error: Into<BoxError>,
    F: StreamFormat,
    Rec: Recorder<FirstEvent> + Clone,
{
    type Response = Response<ResumedBody<B>>;
    type Error = BoxError;
    type Future = AwaitFirstFuture<S::Future, B, F, Rec>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let wanted = self.format.wanted(request.uri());
        let inner = self.inner.call(request);
        AwaitFirstFuture::new(inner, wanted, self.caps, self.recorder.clone())
    }
}
