//! The layer that makes bodies replayable.

use std::sync::Arc;

use http::Request;
use http_body::Body;
use tower_layer::Layer;

use crate::body::ReplayableBody;
use crate::error::HttpBuildError;
use crate::service::{Keeps, ReplayBodies, apply};
use crate::stats::{Counts, ReplayBodyStats};

/// Bodies up to this many bytes are shared by default.
const DEFAULT_CAP: u64 = 64 * 1024;

/// Makes the body of a request one that several attempts can read at once.
///
/// A body such as `hyper::body::Incoming` or tonic's can be read only once, so its request cannot be
/// hedged. This layer takes what is there of it, up to a cap, and gives the layers beneath a
/// [`ReplayableBody`](crate::ReplayableBody) whose copies share the frames. **It never waits**: a
/// body that is not there as a whole when the call is made, that is larger than the cap, or that
/// fails, passes through with everything that was taken from it, and its request is sent once. So is
/// the body of a request that may be sent only once
/// ([`may_be_sent_twice`](hedgerow_core::may_be_sent_twice)), which is not looked at.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use hedgerow_core::{Idempotent, Replay};
/// use hedgerow_http::{ReplayBodyLayer, ReplayableBody};
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// // A body that has no copies by itself.
/// type Erased = UnsyncBoxBody<Bytes, Infallible>;
///
/// async fn twice(mut request: Request<ReplayableBody<Erased>>) -> Result<Response<Bytes>, Infallible> {
///     let copy = request.replay().expect("the body was there");
///     let first = request.into_body().collect().await?.to_bytes();
///     assert_eq!(copy.into_body().collect().await?.to_bytes(), first);
///     Ok(Response::new(first))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// let bodies = ReplayBodyLayer::new().cap_bytes(1 << 20);
/// let service = ServiceBuilder::new()
///     .layer(bodies.clone())
///     // here: HedgeLayer::percentile(95).http(), or any other layer that sends copies
///     .service_fn(twice);
/// let request = Request::post("http://search.test/")
///     .extension(Idempotent)
///     .body(Full::from("query").boxed_unsync())
///     .expect("a valid request");
/// assert_eq!(service.oneshot(request).await?.into_body(), "query");
/// assert_eq!(bodies.stats().shared, 1);
/// # Ok(()) }
/// ```
///
/// # Order
///
/// Outside of every layer that sends copies, and inside of those that change the body: retry,
/// hedging and the client beneath all read what this layer keeps.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on. Clones of the layer and of its services share the counts and the cap, and
/// nothing else. Each copy of a body has a place of its own in it: one that is dropped half way, or
/// whose upload breaks off, does not touch the others. The frames are freed with the last copy.
///
/// Taking a body of a server's request (`hyper::body::Incoming`) counts as reading it: it answers an
/// `Expect: 100-continue`.
///
/// # Cost
///
/// Two allocations for a body of a few frames, one list of frames and one count of its readers; none
/// for an empty one. Memory: at most the cap per call, and one frame more for a body that turns out
/// to be larger; 1,024 frames at most. Trailers are not counted. `Bytes` are shared, not copied.
///
/// A body is polled in place, so it has to be `Unpin`, as nearly all are; put any other into
/// `Box::pin`.
#[derive(Clone, Debug)]
pub struct ReplayBodyLayer {
    keeps: Keeps,
    counts: Arc<Counts>,
}

impl ReplayBodyLayer {
    /// Shares bodies of up to 64 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keeps: Keeps {
                cap: DEFAULT_CAP,
                every: false,
            },
            counts: Arc::default(),
        }
    }

    /// Shares bodies whose data frames hold up to `cap` bytes. Defaults to 65,536; at least 1.
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
        if cap == 0 {
            return Err(HttpBuildError::Cap);
        }
        self.keeps.cap = cap;
        Ok(self)
    }

    /// Shares the bodies also of requests whose heads do not let them be sent twice: for a layer inside that
    /// knows by other means, like a gRPC service config. Defaults to those that may be sent twice.
    #[must_use]
    pub const fn every_request(mut self) -> Self {
        self.keeps.every = true;
        self
    }

    /// Bodies of up to so many bytes are shared.
    #[must_use]
    pub const fn cap(&self) -> u64 {
        self.keeps.cap
    }

    /// Does to one request what the layer's service does, without a service.
    pub fn apply<B>(&self, request: Request<B>) -> Request<ReplayableBody<B>>
    where
        B: Body + Unpin,
    {
        apply(request, self.keeps, &self.counts)
    }

    /// How many bodies were shared, and why others were not.
    #[must_use]
    pub fn stats(&self) -> ReplayBodyStats {
        self.counts.read()
    }
}

impl Default for ReplayBodyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ReplayBodyLayer {
    type Service = ReplayBodies<S>;

    fn layer(&self, inner: S) -> ReplayBodies<S> {
        ReplayBodies::new(inner, self.keeps, self.counts.clone())
    }
}
