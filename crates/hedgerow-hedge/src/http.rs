//! What HTTP means to a race.

use hedgerow_core::{Attempt, Copies, GrpcJudge, HttpRequest, HttpResponse};
use http::{HeaderName, HeaderValue};

pub(crate) use hedgerow_core::HttpJudge;

use crate::exchange::Exchange;
use crate::info::WinnerInfo;
use crate::layer::HedgeLayer;

/// The header that [`Http::attempt_header`] sends.
const ATTEMPT_HEADER: HeaderName = HeaderName::from_static("hedge-attempt");

/// How a hedged call shows in HTTP messages.
///
/// Every extra copy carries its [`Attempt`] in the request's extensions, if they can be reached
/// (those of a `reqwest::Request` cannot). The answer of a call in which an extra copy was sent
/// carries a [`WinnerInfo`] in its extensions.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::{HedgeLayer, Http};
///
/// let layer = HedgeLayer::percentile(95).http_with(Http::new().attempt_header().always_inform());
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Http<X = ()> {
    exchange: X,
    header: bool,
    always: bool,
}

impl Http {
    /// The attempt in the extensions of extra copies, the winner in those of hedged answers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            exchange: (),
            header: false,
            always: false,
        }
    }

    /// Also sends the attempt's index in a header `hedge-attempt` of every extra copy. Defaults to
    /// not.
    #[must_use]
    pub const fn attempt_header(mut self) -> Self {
        self.header = true;
        self
    }

    /// Puts a [`WinnerInfo`] into every answer, also of calls that were not hedged, which costs
    /// them an allocation or two. Defaults to hedged calls only.
    #[must_use]
    pub const fn always_inform(mut self) -> Self {
        self.always = true;
        self
    }
}

impl<P, R: Clone, J, Rec> HedgeLayer<P, R, J, Rec> {
    /// Makes the layer speak HTTP: a 5xx, a 429 or a 408 loses ([`HttpJudge`]), extra copies and
    /// hedged answers are marked ([`Http`]).
    ///
    /// For `http::Request` and `http::Response` with any bodies, and for reqwest's with the feature
    /// `reqwest` of hedgerow-core. For gRPC see [`grpc`](Self::grpc).
    ///
    /// A later `.accept(judge)` replaces the judge and keeps the marks.
    #[must_use]
    pub fn http(self) -> HedgeLayer<P, Http<R>, HttpJudge, Rec> {
        self.http_with(Http::new())
    }

    /// Like [`http`](Self::http), with options.
    #[must_use]
    pub fn http_with(self, http: Http) -> HedgeLayer<P, Http<R>, HttpJudge, Rec> {
        self.accept(HttpJudge).marked(http)
    }

    /// Makes the layer speak gRPC: the status of an answer without a message decides
    /// ([`GrpcJudge`]), extra copies and hedged answers are marked as by [`http`](Self::http).
    ///
    /// **It does not allow any call to be sent twice.** Every gRPC call is a `POST`: only an
    /// `Idempotency-Key`, the [`Idempotent`](hedgerow_core::Idempotent) mark or a path that
    /// hedgerow-http's `GrpcLayer` or `IdempotentPathsLayer` was given does that.
    ///
    /// A later `.accept(judge)` replaces the judge and keeps the marks.
    #[must_use]
    pub fn grpc(self) -> HedgeLayer<P, Http<R>, GrpcJudge, Rec> {
        self.grpc_with(Http::new())
    }

    /// Like [`grpc`](Self::grpc), with options.
    #[must_use]
    pub fn grpc_with(self, http: Http) -> HedgeLayer<P, Http<R>, GrpcJudge, Rec> {
        self.accept(GrpcJudge).marked(http)
    }

    fn marked(self, http: Http) -> HedgeLayer<P, Http<R>, J, Rec> {
        self.exchange(|exchange| Http {
            exchange: exchange.clone(),
            header: http.header,
            always: http.always,
        })
    }
}

// === impl Exchange ===

impl<Req, X> Copies<Req> for Http<X>
where
    Req: HttpRequest,
    X: Copies<Req>,
{
    #[inline]
    fn copy(&self, request: &mut Req) -> Option<Req> {
        self.exchange.copy(request)
    }

    fn edit(&self, request: &mut Req, attempt: Attempt) -> bool {
        if let Some(extensions) = request.extensions_mut() {
            extensions.insert(attempt);
        }
        if self.header {
            request
                .headers_mut()
                .insert(ATTEMPT_HEADER, HeaderValue::from(attempt.index()));
        }
        self.exchange.edit(request, attempt)
    }
}

impl<Req, Res, X> Exchange<Req, Res> for Http<X>
where
    Req: HttpRequest,
    Res: HttpResponse,
    X: Exchange<Req, Res>,
{
    #[inline]
    fn informs(&self, hedged: bool) -> bool {
        hedged || self.always
    }

    fn inform(&self, response: &mut Res, info: WinnerInfo) {
        response.extensions_mut().insert(info.clone());
        self.exchange.inform(response, info);
    }
}
