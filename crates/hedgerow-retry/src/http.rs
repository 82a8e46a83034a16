//! What HTTP means to a retry, and a deadline in a request's extensions.

use hedgerow_core::{Deadline, GrpcJudge, HttpJudge, HttpRequest};

use crate::deadline::{DeadlineLayer, DeadlineSource};
use crate::layer::RetryLayer;
use crate::timer::earlier;

impl<P, R, J, Rec> RetryLayer<P, R, J, Rec> {
    /// Makes the layer speak HTTP: 408, 429 and 5xx but 501 are retried, and `Retry-After` is kept
    /// exactly ([`HttpJudge`]).
    ///
    /// For `http::Response` with any body, and for reqwest's with the feature `reqwest` of
    /// hedgerow-core. A later `.accept(judge)` replaces the judge.
    #[must_use]
    pub fn http(self) -> RetryLayer<P, R, HttpJudge, Rec> {
        self.accept(HttpJudge)
    }

    /// Makes the layer speak gRPC: the status of an answer without a message decides, and
    /// `grpc-retry-pushback-ms` is kept exactly ([`GrpcJudge`]).
    ///
    /// **It does not allow any call to be sent twice.** Every gRPC call is a `POST`: only an
    /// `Idempotency-Key`, the [`Idempotent`](hedgerow_core::Idempotent) mark or a path that
    /// hedgerow-http's `GrpcLayer` or `IdempotentPathsLayer` was given does that.
    #[must_use]
    pub fn grpc(self) -> RetryLayer<P, R, GrpcJudge, Rec> {
        self.accept(GrpcJudge)
    }
}

/// Reads and writes a [`Deadline`] in a request's extensions: what `.http()` sets on a
/// [`DeadlineLayer`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpDeadline<D = ()>(D);

impl<D, Rec> DeadlineLayer<D, Rec> {
    /// Also reads a [`Deadline`] from a request's extensions, and writes the one that holds into them,
    /// so that it crosses tasks.
    ///
    /// The extensions of a `reqwest::Request` cannot be reached.
    #[must_use]
    pub fn http(self) -> DeadlineLayer<HttpDeadline<D>, Rec> {
        self.source(HttpDeadline)
    }
}

impl<Req, D> DeadlineSource<Req> for HttpDeadline<D>
where
    Req: HttpRequest,
    D: DeadlineSource<Req>,
{
    fn read(&self, request: &mut Req) -> Option<Deadline> {
        let carried = request
            .extensions_mut()
            .and_then(|extensions| extensions.get::<Deadline>().copied());
        earlier(carried, self.0.read(request))
    }

    fn write(&self, request: &mut Req, deadline: Deadline) {
        if let Some(extensions) = request.extensions_mut() {
            extensions.insert(deadline);
        }
        self.0.write(request, deadline);
    }
}
