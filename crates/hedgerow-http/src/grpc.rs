//! A tonic channel behind any layer.

use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow_core::BoxError;
use http::Request;
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::ReplayableBody;
use crate::error::HttpBuildError;
use crate::layer::ReplayBodyLayer;
use crate::paths::{IdempotentPaths, IdempotentPathsLayer};
use crate::service::ReplayBodies;
use crate::stats::ReplayBodyStats;

/// Puts a layer, or a whole stack, between a generated tonic client and its channel.
///
/// What the layer sees is an `http::Request` whose body can be copied: messages that are there when
/// the call is made (those of unary and server-streaming calls) are shared up to a cap; a client's
/// stream that is still open passes through and is sent once. The channel gets tonic's own body
/// back.
///
/// **Nothing is sent twice until you allow it**, because every gRPC call is a `POST`: name the
/// methods that merely read by [`idempotent_paths`](Self::idempotent_paths), or put the
/// [`Idempotent`](hedgerow_core::Idempotent) mark into the extensions of one `tonic::Request`.
///
/// # Examples
///
/// ```
/// # use hedgerow_http::GrpcLayer;
/// # use tonic::transport::Channel;
/// # use tower::Layer;
/// # #[derive(Clone)] struct HedgeLayer;
/// # impl HedgeLayer { fn percentile(_: u32) -> Self { Self } fn grpc(self) -> Self { self } }
/// # impl<S> Layer<S> for HedgeLayer { type Service = S; fn layer(&self, inner: S) -> S { inner } }
/// # mod shop { pub struct CatalogueClient<T>(T); impl<T> CatalogueClient<T> { pub fn new(t: T) -> Self where T: tonic::client::GrpcService<tonic::body::Body> { Self(t) } } }
/// # use shop::CatalogueClient;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
/// let client = CatalogueClient::new(
///     GrpcLayer::new(HedgeLayer::percentile(95).grpc())
///         .idempotent_paths(["/shop.Catalogue/*"])
///         .layer(channel),
/// );
/// # let _ = client;
/// # }
/// ```
///
/// # Order
///
/// Outside in: the paths' mark, the bodies, the layer, the channel. Interceptors of the generated
/// client stand outside of all of it and see a call once.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on. Clones share the counts, and whatever clones of the layer share.
///
/// # Cost
///
/// That of [`ReplayBodyLayer`], and the box in which tonic keeps a body for each attempt. A body
/// that nothing was taken from is handed on as it is.
#[derive(Clone, Debug)]
pub struct GrpcLayer<L> {
    layer: L,
    paths: IdempotentPathsLayer,
    bodies: ReplayBodyLayer,
}

/// The service that [`GrpcLayer`] makes of `S`, the service that its inner layer makes.
pub type GrpcService<S> = IdempotentPaths<ReplayBodies<S>>;

impl<L> GrpcLayer<L> {
    /// Puts `layer` between a client and its channel: `HedgeLayer::percentile(95).grpc()`, or
    /// several in a `tower::ServiceBuilder`, which is a layer too.
    #[must_use]
    pub fn new(layer: L) -> Self {
        Self {
            layer,
            paths: IdempotentPathsLayer::default(),
            bodies: ReplayBodyLayer::new(),
        }
    }

    /// Lets calls of these methods be sent twice: `/package.Service/Method`, or
    /// `/package.Service/*`. Defaults to none. A second call replaces the first.
    ///
    /// # Panics
    ///
    /// If a path makes no sense: [`try_idempotent_paths`](Self::try_idempotent_paths) returns the
    /// reason.
    #[must_use]
    #[track_caller]
    pub fn idempotent_paths(self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        match self.try_idempotent_paths(paths) {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`idempotent_paths`](Self::idempotent_paths), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`HttpBuildError::Path`] if a path makes no sense.
    pub fn try_idempotent_paths(
        mut self,
        paths: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, HttpBuildError> {
        self.paths = IdempotentPathsLayer::try_new(paths)?;
        Ok(self)
    }

    /// Shares the messages of every call, also of those that nothing lets be sent twice: for a layer that knows by
    /// other means, like a gRPC service config. Defaults to those that may be sent twice.
    #[must_use]
    pub fn share_every_call(mut self) -> Self {
        self.bodies = self.bodies.every_request();
        self
    }

    /// Shares messages of up to `cap` bytes. Defaults to 65,536; at least 1.
    ///
    /// # Panics
    ///
    /// If it is zero: [`try_cap_bytes`](Self::try_cap_bytes) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn cap_bytes(self, cap: u64) -> Self {
        match self.try_cap_bytes(cap) {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`cap_bytes`](Self::cap_bytes), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`HttpBuildError::Cap`] if it is zero.
    pub fn try_cap_bytes(mut self, cap: u64) -> Result<Self, HttpBuildError> {
        self.bodies = self.bodies.try_cap_bytes(cap)?;
        Ok(self)
    }

    /// How many bodies were shared, and why others were not.
    #[must_use]
    pub fn body_stats(&self) -> ReplayBodyStats {
        self.bodies.stats()
    }
}

impl<S, L> Layer<S> for GrpcLayer<L>
where
    L: Layer<TonicBodies<S>>,
{
    type Service = GrpcService<L::Service>;

    fn layer(&self, channel: S) -> Self::Service {
        let layered = self.layer.layer(TonicBodies { inner: channel });
        self.paths.layer(self.bodies.layer(layered))
    }
}

/// Gives a tonic channel the body it takes: the innermost part of a [`GrpcLayer`].
#[derive(Clone, Debug)]
pub struct TonicBodies<S> {
    inner: S,
}

impl<S, B> Service<Request<ReplayableBody<B>>> for TonicBodies<S>
where
    S: Service<Request<tonic::body::Body>>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReplayableBody<B>>) -> S::Future {
        self.inner.call(request.map(|body| match body.into_inner() {
            Ok(untouched) => tonic::body::Body::new(untouched),
            Err(body) => tonic::body::Body::new(body),
        }))
    }
}
