//! A layer that never fails.

use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow_core::BoxError;
use http::{HeaderMap, Request, Response, header};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::RespondBody;
use super::future::RespondFuture;
use super::refusal::{Refusal, RefusalKind};

/// Says what an error means to the caller of a server. Implemented for functions.
///
/// The facade `hedgerow` has one that knows errors of hedgerow's own: `hedgerow::refusal`, with a table of them.
pub trait Explain: Clone {
    /// What is said to the caller.
    fn explain(&self, error: &BoxError) -> Refusal;
}

impl<F> Explain for F
where
    F: Fn(&BoxError) -> Refusal + Clone,
{
    fn explain(&self, error: &BoxError) -> Refusal {
        self(error)
    }
}

/// Turns every error into an answer, so that the service never fails: `Error = Infallible`, as axum
/// wants it.
///
/// A request whose `Content-Type` is gRPC's gets a gRPC status, with pushback in its headers ("trailers
/// only"); any other one an HTTP answer, with `Retry-After` ([`Refusal`]). Answers pass through as they
/// are.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use hedgerow_core::BoxError;
/// use hedgerow_http::{Refusal, RefusalKind, RespondLayer};
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// fn explain(error: &BoxError) -> Refusal {
///     Refusal::new(RefusalKind::Upstream, error.to_string())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::convert::Infallible> {
/// let server = ServiceBuilder::new()
///     .layer(RespondLayer::new(explain))
///     .service_fn(async |_: Request<()>| {
///         Err::<Response<Full<Bytes>>, BoxError>("nobody is there".into())
///     });
/// let answer = server.oneshot(Request::new(())).await?;
/// assert_eq!(answer.status(), 502);
/// # Ok(()) }
/// ```
///
/// # Order
///
/// Outermost: what is outside sees no errors any more. Whatever retries or hedges belongs inside.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on. If the inner service fails to get ready, the next call answers with that error
/// and is not sent.
///
/// # Panics
///
/// A function that panics has said [`RefusalKind::Internal`].
///
/// # Cost
///
/// None for answers but a look at the request's `Content-Type`.
#[derive(Clone, Copy)]
pub struct RespondLayer<F> {
    explain: F,
}

/// The service that [`RespondLayer`] makes.
pub struct Respond<S, F> {
    inner: S,
    explain: F,
    /// Why the inner service did not get ready.
    failed: Option<BoxError>,
}

impl<F: Explain> RespondLayer<F> {
    /// Answers errors by what `explain` says of them.
    #[must_use]
    pub const fn new(explain: F) -> Self {
        Self { explain }
    }
}

impl<S, F: Clone> Layer<S> for RespondLayer<F> {
    type Service = Respond<S, F>;

    fn layer(&self, inner: S) -> Respond<S, F> {
        Respond {
            inner,
            explain: self.explain.clone(),
            failed: None,
        }
    }
}

impl<S, F> Respond<S, F> {
    /// The service beneath.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, F, A, B> Service<Request<A>> for Respond<S, F>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    F: Explain,
{
    type Response = Response<RespondBody<B>>;
    type Error = Infallible;
    type Future = RespondFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.failed.is_none() {
            match self.inner.poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.failed = Some(error.into()),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let form = Form::of(request.headers());
        let explain = self.explain.clone();
        match self.failed.take() {
            Some(error) => RespondFuture::failed(error, form, explain),
            None => RespondFuture::sent(self.inner.call(request), form, explain),
        }
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Http,
    Grpc,
}

impl Form {
    /// As the request is written.
    fn of(headers: &HeaderMap) -> Self {
        const GRPC: &[u8] = b"application/grpc";
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map(|kind| kind.as_bytes());
        match kind.and_then(|kind| kind.strip_prefix(GRPC)) {
            Some([] | [b'+' | b';', ..]) => Self::Grpc,
            _ => Self::Http,
        }
    }

    #[cold]
    pub(super) fn answer<B, F: Explain>(
        self,
        error: &BoxError,
        explain: &F,
    ) -> Response<RespondBody<B>> {
        // The panic hook has reported it.
        let refusal = catch_unwind(AssertUnwindSafe(|| explain.explain(error)))
            .unwrap_or_else(|_| Refusal::new(RefusalKind::Internal, "internal error"));
        match self {
            Self::Http => refusal.to_http(),
            Self::Grpc => refusal.to_grpc(),
        }
    }
}

/// A clone has not failed to get ready.
impl<S: Clone, F: Clone> Clone for Respond<S, F> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            explain: self.explain.clone(),
            failed: None,
        }
    }
}

impl<F> fmt::Debug for RespondLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondLayer").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Respond<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond")
            .field("inner", &self.inner)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
