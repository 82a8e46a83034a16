//! The service: each call through the layers of its method.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::{BoxError, Deadline, OkWins, ReplayBody};
use hedgerow_hedge::{Hedge, Http, Parts as HedgeParts};
use hedgerow_http::{DeadlineHeader, SendDeadline, SendDeadlineLayer, UnsentOnly};
use hedgerow_retry::{DeadlineFuture, Parts as RetryParts, Retry};
use http::{Request, Response};
use pin_project::pin_project;
use tokio::time::Instant;
use tower::util::MapErr;
use tower::{Layer, Service};

use super::attempts::{Counted, TimedOutAttempts};
use super::copies::{Attempted, Resent};
use super::judge::{CodeJudge, as_status};
use super::layer::{Methods, Repeats};
use super::policy::{Intervals, Reconnect, Waits};

/// The service that [`ServiceConfigLayer`](super::ServiceConfigLayer) makes.
#[derive(Clone)]
pub struct Configured<S> {
    pub(super) inner: S,
    pub(super) methods: Arc<Methods>,
}

/// The channel with its error boxed.
type Boxed<S, E> = MapErr<S, fn(E) -> BoxError>;
/// One attempt, sent again if it was never seen.
type Sending<S, E> =
    Retry<SendDeadline<Boxed<S, E>>, RetryParts<Reconnect, Resent, UnsentOnly<OkWins>, ()>>;
type Attempts<S, E> = Counted<Sending<S, E>>;
type Retried<S, E> =
    Retry<Attempts<S, E>, RetryParts<Waits, Attempted, CodeJudge, TimedOutAttempts>>;
type Hedged<S, E> = Hedge<Attempts<S, E>, HedgeParts<Intervals, Http<Attempted>, CodeJudge, ()>>;
type FutureOf<S, B> = <S as Service<Request<B>>>::Future;
type ErrorOf<S, B> = <S as Service<Request<B>>>::Error;
type Running<S, B> = OneFuture<
    FutureOf<Attempts<S, ErrorOf<S, B>>, B>,
    FutureOf<Retried<S, ErrorOf<S, B>>, B>,
    FutureOf<Hedged<S, ErrorOf<S, B>>, B>,
>;

/// What a method's calls go through.
enum OneOf<A, R, H> {
    Once(A),
    Retry(R),
    Hedge(H),
}

#[doc(hidden)]
#[pin_project(project = OneProj)]
#[derive(Debug)]
pub enum OneFuture<A, R, H> {
    Once(#[pin] A),
    Retry(#[pin] R),
    Hedge(#[pin] H),
}

/// The response future of [`Configured`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ConfiguredFuture<F> {
    #[pin]
    inner: DeadlineFuture<F>,
}

impl<S, B, R> Service<Request<B>> for Configured<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: ReplayBody,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ConfiguredFuture<Running<S, B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let method = self.methods.of(request.uri().path());
        asked(&mut request);
        let unready = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, unready);
        let boxed: Boxed<S, S::Error> = MapErr::new(ready, Into::into);
        let attempts = Counted {
            inner: method.sends.layer(SendDeadlineLayer::grpc().layer(boxed)),
            judge: method.judge,
            throttle: self.methods.throttle.clone(),
        };
        let repeating = match &method.repeats {
            Repeats::Once => OneOf::Once(attempts),
            Repeats::Retry(layer) => OneOf::Retry(layer.layer(attempts)),
            Repeats::Hedge(layer) => OneOf::Hedge(layer.layer(attempts)),
        };
        ConfiguredFuture {
            inner: method.deadline.layer(repeating).call(request),
        }
    }
}

/// The deadline that the caller has set, put where the deadline layer looks for it.
fn asked<B>(request: &mut Request<B>) {
    let left = DeadlineHeader::grpc().read(request.headers());
    let told = left.and_then(|left| Deadline::within(Instant::now().into_std(), left));
    let carried = request.extensions().get::<Deadline>().copied();
    if let Some(deadline) = told.into_iter().chain(carried).min() {
        request.extensions_mut().insert(deadline);
    }
}

impl<A, R, H, Req> Service<Req> for OneOf<A, R, H>
where
    A: Service<Req, Error = BoxError>,
    R: Service<Req, Response = A::Response, Error = BoxError>,
    H: Service<Req, Response = A::Response, Error = BoxError>,
{
    type Response = A::Response;
    type Error = BoxError;
    type Future = OneFuture<A::Future, R::Future, H::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Once(inner) => inner.poll_ready(cx),
            Self::Retry(inner) => inner.poll_ready(cx),
            Self::Hedge(inner) => inner.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self {
            Self::Once(inner) => OneFuture::Once(inner.call(request)),
            Self::Retry(inner) => OneFuture::Retry(inner.call(request)),
            Self::Hedge(inner) => OneFuture::Hedge(inner.call(request)),
        }
    }
}

impl<A, R, H> Future for OneFuture<A, R, H>
where
    A: Future,
    R: Future<Output = A::Output>,
    H: Future<Output = A::Output>,
{
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        match self.project() {
            OneProj::Once(inner) => inner.poll(cx),
            OneProj::Retry(inner) => inner.poll(cx),
            OneProj::Hedge(inner) => inner.poll(cx),
        }
    }
}

impl<F, Res> Future for ConfiguredFuture<F>
where
    F: Future<Output = Result<Res, BoxError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().inner.poll(cx).map_err(as_status)
    }
}

impl<S: fmt::Debug> fmt::Debug for Configured<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured")
            .field("inner", &self.inner)
            .field("methods", &self.methods)
            .finish()
    }
}

impl<F> fmt::Debug for ConfiguredFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfiguredFuture").finish_non_exhaustive()
    }
}
