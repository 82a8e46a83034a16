//! What HTTP means to a race.

use hedgerow_core::{Attempt, Class, Classify};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::exchange::Exchange;
use crate::info::WinnerInfo;
use crate::layer::HedgeLayer;

/// The header that [`Http::attempt_header`] sends.
const ATTEMPT_HEADER: HeaderName = HeaderName::from_static("hedge-attempt");

/// A 5xx or a 429 loses, as does an error; every other answer wins.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpJudge;

/// How a hedged call shows in HTTP messages.
///
/// Every extra copy carries its [`Attempt`] in the request's extensions. The answer of a call in
/// which an extra copy was sent carries a [`WinnerInfo`] in its extensions.
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
    /// Makes the layer speak HTTP: a 5xx or a 429 loses ([`HttpJudge`]), extra copies and hedged
    /// answers are marked ([`Http`]).
    ///
    /// A later `.accept(judge)` replaces the judge and keeps the marks.
    #[must_use]
    pub fn http(self) -> HedgeLayer<P, Http<R>, HttpJudge, Rec> {
        self.http_with(Http::new())
    }

    /// Like [`http`](Self::http), with options.
    #[must_use]
    pub fn http_with(self, http: Http) -> HedgeLayer<P, Http<R>, HttpJudge, Rec> {
        self.accept(HttpJudge).exchange(|exchange| Http {
            exchange: exchange.clone(),
            header: http.header,
            always: http.always,
        })
    }
}

// === impl Classify ===

impl<B, E> Classify<Response<B>, E> for HttpJudge {
    #[inline]
    fn classify(&self, result: &Result<Response<B>, E>) -> Class {
        match result {
            Ok(response)
                if response.status().is_server_error()
                    || response.status() == StatusCode::TOO_MANY_REQUESTS =>
            {
                Class::RETRYABLE
            }
            Ok(_) => Class::Success,
            Err(_) => Class::RETRYABLE,
        }
    }
}

// === impl Exchange ===

impl<B, C, X> Exchange<Request<B>, Response<C>> for Http<X>
where
    X: Exchange<Request<B>, Response<C>>,
{
    #[inline]
    fn copy(&self, request: &mut Request<B>) -> Option<Request<B>> {
        self.exchange.copy(request)
    }

    fn edit(&self, request: &mut Request<B>, attempt: Attempt) -> bool {
        request.extensions_mut().insert(attempt);
        if self.header {
            request
                .headers_mut()
                .insert(ATTEMPT_HEADER, HeaderValue::from(attempt.index()));
        }
        self.exchange.edit(request, attempt)
    }

    #[inline]
    fn informs(&self, hedged: bool) -> bool {
        hedged || self.always
    }

    fn inform(&self, response: &mut Response<C>, info: WinnerInfo) {
        response.extensions_mut().insert(info.clone());
        self.exchange.inform(response, info);
    }
}
