//! The deadline on its way in.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Deadline, HttpRequest};
use pin_project::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::header::DeadlineHeader;
use crate::error::HttpBuildError;

/// Reads how long the caller waits, and makes it the [`Deadline`] of everything beneath.
///
/// It holds while the handler is called and polled ([`Deadline::current`]), and travels in the request's
/// extensions: a client inside of the handler whose stack has a
/// [`SendDeadlineLayer`](crate::SendDeadlineLayer) tells the next server what is left. It does not end
/// anything by itself: a `DeadlineLayer::inherited().http()` of hedgerow-retry beneath does, and refuses a
/// request whose caller waits no longer.
///
/// A caller can only ever shorten what holds already. What it sends is not believed blindly: a value that
/// cannot be read (anything but digits, and for gRPC a unit; too many digits; the header twice) is as
/// if it were not there, a long one is cut at [`at_most`](Self::at_most), and zero has passed already.
///
/// # Examples
///
/// ```
/// use hedgerow_core::Deadline;
/// use hedgerow_http::ReceiveDeadlineLayer;
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Infallible> {
/// let server = ServiceBuilder::new()
///     .layer(ReceiveDeadlineLayer::http().at_most(Duration::from_secs(30)))
///     .service_fn(async |_: http::Request<()>| {
///         let now = tokio::time::Instant::now().into_std();
///         Ok::<_, Infallible>(Deadline::current().map(|deadline| deadline.left(now)))
///     });
/// let request = http::Request::builder().header("hedgerow-timeout-ms", "250").body(()).unwrap();
/// assert_eq!(server.oneshot(request).await?, Some(Duration::from_millis(250)));
/// # Ok(()) }
/// ```
///
/// Under axum it is a line of `Router::layer`, under tonic of `Server::builder().layer(..)`.
///
/// # Order
///
/// Outermost on a server, so that what is spent in a queue counts.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on. It does not cross a task that the handler spawns.
///
/// # Cost
///
/// For requests with the header: a clock read, the extensions' allocation, and the exchange of a
/// thread-local around each poll.
#[derive(Clone, Debug)]
pub struct ReceiveDeadlineLayer {
    header: DeadlineHeader,
    at_most: Option<Duration>,
    reserve: Duration,
}

/// The service that [`ReceiveDeadlineLayer`] makes.
#[derive(Clone, Debug)]
pub struct ReceiveDeadline<S> {
    inner: S,
    layer: ReceiveDeadlineLayer,
}

/// The response future of [`ReceiveDeadline`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct ReceivedFuture<F> {
    #[pin]
    inner: F,
    deadline: Option<Deadline>,
}

impl ReceiveDeadlineLayer {
    /// Reads `grpc-timeout`, which every gRPC client with a timeout sends.
    #[must_use]
    pub const fn grpc() -> Self {
        Self::with(DeadlineHeader::grpc())
    }

    /// Reads `hedgerow-timeout-ms`.
    #[must_use]
    pub const fn http() -> Self {
        Self::with(DeadlineHeader::http())
    }

    /// Reads this header.
    #[must_use]
    pub const fn with(header: DeadlineHeader) -> Self {
        Self {
            header,
            at_most: None,
            reserve: Duration::ZERO,
        }
    }

    /// Lets no request take longer than `longest`, whatever its caller says, or if it says nothing.
    /// Defaults to no limit; above zero.
    ///
    /// # Panics
    ///
    /// If it is zero: [`try_at_most`](Self::try_at_most) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn at_most(self, longest: Duration) -> Self {
        match self.try_at_most(longest) {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`at_most`](Self::at_most), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`HttpBuildError::AtMost`] if it is zero.
    pub fn try_at_most(mut self, longest: Duration) -> Result<Self, HttpBuildError> {
        if longest.is_zero() {
            return Err(HttpBuildError::AtMost);
        }
        self.at_most = Some(longest);
        Ok(self)
    }

    /// Takes `way` off what the caller waits, for the answer's way back. Defaults to nothing.
    #[must_use]
    pub const fn reserve(mut self, way: Duration) -> Self {
        self.reserve = way;
        self
    }

    /// The deadline of a request that comes in now.
    fn of(&self, request: &mut impl HttpRequest) -> Option<Deadline> {
        let told = self.header.read(request.headers_mut());
        let told = told.map(|waits| waits.saturating_sub(self.reserve));
        let patience = [told, self.at_most].into_iter().flatten().min()?;
        let own = Deadline::within(Instant::now().into_std(), patience);
        let extensions = request.extensions_mut();
        let carried = extensions.and_then(|extensions| extensions.get::<Deadline>().copied());
        let all = [own, carried, Deadline::current()];
        let deadline = all.into_iter().flatten().min()?;
        if let Some(extensions) = request.extensions_mut() {
            extensions.insert(deadline);
        }
        Some(deadline)
    }
}

impl<S> Layer<S> for ReceiveDeadlineLayer {
    type Service = ReceiveDeadline<S>;

    fn layer(&self, inner: S) -> ReceiveDeadline<S> {
        ReceiveDeadline {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S> ReceiveDeadline<S> {
    /// The service beneath.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, Req> Service<Req> for ReceiveDeadline<S>
where
    S: Service<Req>,
    Req: HttpRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReceivedFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let deadline = self.layer.of(&mut request);
        let inner = Deadline::in_scope(deadline, || self.inner.call(request));
        ReceivedFuture { inner, deadline }
    }
}

impl<F: Future> Future for ReceivedFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        Deadline::in_scope(*this.deadline, || this.inner.poll(cx))
    }
}
