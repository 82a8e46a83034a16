//! The deadline on its way out.

use std::task::{Context, Poll};

use hedgerow_core::{Deadline, HttpRequest};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::header::DeadlineHeader;

/// Tells the server how long the caller still waits: `grpc-timeout`, or a header of your choice.
///
/// The deadline is the one that holds where the request is sent ([`Deadline::current`]), or the one in
/// its extensions if that is earlier. What is written is what is left of it then: what was spent in a
/// queue, or on tries before, is gone. A request that says already that it waits less keeps its word; a
/// request without a deadline is sent as it is.
///
/// # Examples
///
/// ```
/// use hedgerow_core::Deadline;
/// use hedgerow_http::SendDeadlineLayer;
/// use std::time::Duration;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), std::convert::Infallible> {
/// let mut client = ServiceBuilder::new()
///     .layer(SendDeadlineLayer::grpc())
///     .service_fn(async |request: http::Request<()>| {
///         Ok::<_, std::convert::Infallible>(request.headers()["grpc-timeout"].clone())
///     });
/// let now = tokio::time::Instant::now().into_std();
/// let deadline = Deadline::at(now + Duration::from_millis(250));
/// let sent = deadline.scope(|| client.call(http::Request::new(())));
/// assert_eq!(sent.await?, "250000u");
/// # Ok(()) }
/// ```
///
/// # Order
///
/// Around the client, inside of retry and hedge, so that each attempt tells what is left for it. Beneath a
/// `Buffer` the extensions carry the deadline, if a deadline layer with `.http()` stands outside.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on, the future is the inner service's own.
///
/// # Cost
///
/// A clock read, and one or two allocations, for requests that have a deadline.
#[derive(Clone, Debug)]
pub struct SendDeadlineLayer {
    header: DeadlineHeader,
}

/// The service that [`SendDeadlineLayer`] makes.
#[derive(Clone, Debug)]
pub struct SendDeadline<S> {
    inner: S,
    header: DeadlineHeader,
}

impl SendDeadlineLayer {
    /// Writes `grpc-timeout`, which every gRPC server understands.
    #[must_use]
    pub const fn grpc() -> Self {
        Self::with(DeadlineHeader::grpc())
    }

    /// Writes `hedgerow-timeout-ms`.
    #[must_use]
    pub const fn http() -> Self {
        Self::with(DeadlineHeader::http())
    }

    /// Writes this header.
    #[must_use]
    pub const fn with(header: DeadlineHeader) -> Self {
        Self { header }
    }
}

impl<S> Layer<S> for SendDeadlineLayer {
    type Service = SendDeadline<S>;

    fn layer(&self, inner: S) -> SendDeadline<S> {
        SendDeadline {
            inner,
            header: self.header.clone(),
        }
    }
}

impl<S> SendDeadline<S> {
    /// The service beneath.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, Req> Service<Req> for SendDeadline<S>
where
    S: Service<Req>,
    Req: HttpRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Req) -> S::Future {
        let carried = request
            .extensions_mut()
            .and_then(|extensions| extensions.get::<Deadline>().copied());
        let deadline = [carried, Deadline::current()].into_iter().flatten().min();
        if let Some(deadline) = deadline {
            let left = deadline.left(Instant::now().into_std());
            let headers = request.headers_mut();
            if self.header.read(headers).is_none_or(|told| left < told) {
                self.header.write(headers, left);
            }
        }
        self.inner.call(request)
    }
}
