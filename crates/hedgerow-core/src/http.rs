//! `Replay` for HTTP requests, and what layers read and write of HTTP messages.

mod look;
mod judge;
mod grpc;
mod pushback;
mod times;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{Empty, Full};

pub use self::grpc::{GrpcCodes, GrpcJudge};
pub use self::judge::HttpJudge;
pub use self::look::BodyBytes;
pub use self::pushback::{Pushback, Quota, retry_after};
use crate::class::Class;
use crate::replay::Replay;

/// Marks a request as safe to send twice, whatever its method: put it into the extensions.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{Idempotent, Replay};
///
/// let mut search = http::Request::post("http://search.test/query").body("{}").unwrap();
/// assert!(search.replay().is_none());
/// search.extensions_mut().insert(Idempotent);
/// assert!(search.replay().is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotent;

/// A body of which a second copy can be made at once.
///
/// For bytes that are there already. A body that is still arriving (`hyper::body::Incoming`)
/// cannot promise it: `ReplayBodyLayer` of hedgerow-http makes it one that can.
#[diagnostic::on_unimplemented(
    message = "a body of type `{Self}` cannot be sent twice: it does not implement `ReplayBody`",
    label = "a second attempt needs a second copy of this body",
    note = "use `http_body_util::Full<Bytes>`, `Empty<Bytes>`, `Bytes`, `String` or `()` as the body",
    note = "for a body that arrives, such as `hyper::body::Incoming`, put a `ReplayBodyLayer` outside of the layer that sends copies",
    note = "for your own body: `impl ReplayBody for {Self} {{ fn replay_body(&mut self) -> Option<Self> {{ ... }} }}`"
)]
pub trait ReplayBody: Sized {
    /// A copy of this body, or `None` if this one cannot be copied.
    fn replay_body(&mut self) -> Option<Self>;
}

macro_rules! replay_by_clone {
    ($($(#[$doc:meta])* $body:ty $(where $param:ident)?;)*) => {$(
        impl$(<$param: Clone>)? ReplayBody for $body {
            fn replay_body(&mut self) -> Option<Self> {
                Some(self.clone())
            }
        }
    )*};
}

replay_by_clone! {
    ();
    Bytes;
    String;
    Vec<u8>;
    &'static str;
    &'static [u8];
    Full<D> where D;
}

impl<D> ReplayBody for Empty<D> {
    fn replay_body(&mut self) -> Option<Self> {
        Some(Self::new())
    }
}

impl<B: ReplayBody> ReplayBody for Option<B> {
    fn replay_body(&mut self) -> Option<Self> {
        match self {
            Some(body) => body.replay_body().map(Some),
            None => Some(None),
        }
    }
}

/// Idempotent methods (RFC 9110 §9.2.2), requests with an `Idempotency-Key` header, and requests
/// that carry the [`Idempotent`] mark. Never a `CONNECT` or an `Upgrade`, which would open a
/// second connection rather than ask a second time.
impl<B: ReplayBody> Replay for Request<B> {
    fn replay(&mut self) -> Option<Self> {
        if !may_be_sent_twice(self) {
            return None;
        }
        copy_of(self)
    }
}

/// A second copy of a request whose body can be copied, whatever its method says.
///
/// For layers that know by other means that it may be sent again; [`Replay`] asks first.
#[must_use]
pub fn copy_of<B: ReplayBody>(request: &mut Request<B>) -> Option<Request<B>> {
    let mut copy = Request::new(request.body_mut().replay_body()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    Some(copy)
}

/// Whether a request may be sent twice, as far as its head says: what [`Replay`] for
/// `http::Request` asks before it looks at the body.
///
/// Idempotent methods (RFC 9110 §9.2.2), an `Idempotency-Key` header or the [`Idempotent`] mark
/// allow it; `CONNECT` and `Upgrade` never do.
///
/// # Examples
///
/// ```
/// use hedgerow_core::may_be_sent_twice;
///
/// assert!(may_be_sent_twice(&http::Request::get("http://h.test/").body(()).unwrap()));
/// assert!(!may_be_sent_twice(&http::Request::post("http://h.test/").body(()).unwrap()));
/// ```
#[must_use]
pub fn may_be_sent_twice<B>(request: &Request<B>) -> bool {
    let marked = || request.extensions().get::<Idempotent>().is_some();
    allows(request.method(), request.headers(), marked)
}

fn allows(method: &Method, headers: &HeaderMap, marked: impl FnOnce() -> bool) -> bool {
    if method == Method::CONNECT || headers.contains_key(header::UPGRADE) {
        return false;
    }
    method.is_idempotent() || headers.contains_key("idempotency-key") || marked()
}

/// What a layer may change in the head of a request before it is sent.
///
/// For `http::Request` and, with the feature `reqwest`, `reqwest::Request`. Implement it for a
/// request of your own to use `.http()` with it.
pub trait HttpRequest {
    /// Its headers.
    fn headers_mut(&mut self) -> &mut HeaderMap;

    /// Its extensions, if they can be reached: those of a `reqwest::Request` cannot.
    fn extensions_mut(&mut self) -> Option<&mut Extensions>;
}

/// What a layer reads and writes of the head of a response.
///
/// For `http::Response` and, with the feature `reqwest`, `reqwest::Response`.
pub trait HttpResponse {
    /// Its status.
    fn status(&self) -> StatusCode;

    /// Its headers.
    fn headers(&self) -> &HeaderMap;

    /// Its extensions.
    fn extensions_mut(&mut self) -> &mut Extensions;

    /// What a layer beneath has found out about it: the [`Verdict`] in its extensions. Defaults to
    /// none.
    fn verdict(&self) -> Option<Class> {
        None
    }
}

/// What an answer is worth, in the extensions of its response: the word of a layer that has seen more
/// of it than its head.
///
/// [`HttpJudge`] and [`GrpcJudge`] believe it. `AwaitFirstContentLayer` of hedgerow-http leaves it on
/// answers whose stream begins with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(pub Class);

// === impl HttpRequest and HttpResponse ===

impl<B> HttpRequest for Request<B> {
    #[inline]
    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    #[inline]
    fn extensions_mut(&mut self) -> Option<&mut Extensions> {
        Some(self.extensions_mut())
    }
}

impl<B> HttpResponse for Response<B> {
    #[inline]
    fn verdict(&self) -> Option<Class> {
        self.extensions().get().map(|Verdict(class)| *class)
    }

    #[inline]
    fn status(&self) -> StatusCode {
        self.status()
    }

    #[inline]
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    #[inline]
    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

// === reqwest ===

/// Idempotent methods, and requests with an `Idempotency-Key` header, if the body can be copied: a
/// streaming one cannot. Never a `CONNECT` or an `Upgrade`.
///
/// The extensions of a `reqwest::Request` are private, so the [`Idempotent`] mark is not seen here.
/// A layer allows other requests by `.replay_with(|r: &mut reqwest::Request| r.try_clone())`.
///
/// Switch reqwest's own retries off beneath a layer that sends copies
/// (`ClientBuilder::retry(reqwest::retry::never())`): they send without asking the layer's budget,
/// and each attempt again.
#[cfg(feature = "reqwest")]
impl Replay for reqwest::Request {
    fn replay(&mut self) -> Option<Self> {
        if !allows(self.method(), self.headers(), || false) {
            return None;
        }
        self.try_clone()
    }
}

#[cfg(feature = "reqwest")]
impl HttpRequest for reqwest::Request {
    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    /// None: they are private.
    fn extensions_mut(&mut self) -> Option<&mut Extensions> {
        None
    }
}

#[cfg(feature = "reqwest")]
impl HttpResponse for reqwest::Response {
    fn verdict(&self) -> Option<Class> {
        self.extensions().get().map(|Verdict(class)| *class)
    }

    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replays(method: &str, header: Option<(&'static str, &'static str)>) -> bool {
        let mut request = Request::builder().method(method).uri("http://h.test/");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let mut request = request.body("body").expect("a valid request");
        request.replay().is_some()
    }

    #[test]
    fn only_idempotent_methods_are_sent_twice() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert!(replays(method, None), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "LOCK", "get"] {
            assert!(!replays(method, None), "{method}");
        }
    }

    #[test]
    fn an_idempotency_key_allows_a_post() {
        assert!(replays("POST", Some(("idempotency-key", "7"))));
    }

    #[test]
    fn an_upgrade_is_never_sent_twice() {
        assert!(!replays("GET", Some(("upgrade", "websocket"))));
    }

    #[test]
    fn a_copy_is_the_same_request() {
        let mut request = Request::put("http://h.test/a?b")
            .version(http::Version::HTTP_2)
            .header("x", "1")
            .header("x", "2")
            .extension(Idempotent)
            .body(Full::new(Bytes::from_static(b"body")))
            .expect("a valid request");
        let copy = request.replay().expect("PUT is idempotent");
        assert_eq!(format!("{copy:?}"), format!("{request:?}"));
        assert_eq!(copy.extensions().get(), Some(&Idempotent));
    }

    #[test]
    fn the_mark_is_what_a_head_alone_may_say() {
        let mut post = Request::post("http://h.test/").body(()).expect("valid");
        assert!(!may_be_sent_twice(&post));
        post.extensions_mut().insert(Idempotent);
        assert!(may_be_sent_twice(&post));
        post.headers_mut()
            .insert("upgrade", "h2c".parse().expect("valid"));
        assert!(!may_be_sent_twice(&post));
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn a_reqwest_request_says_the_same() {
        let url: reqwest::Url = "http://h.test/".parse().expect("valid");
        for (method, allowed) in [
            ("GET", true),
            ("PUT", true),
            ("POST", false),
            ("CONNECT", false),
        ] {
            let method = method.parse().expect("a method");
            let mut request = reqwest::Request::new(method, url.clone());
            *request.body_mut() = Some("body".into());
            let copy = request.replay();
            assert_eq!(copy.is_some(), allowed, "{request:?}");
            if let Some(copy) = copy {
                assert_eq!(
                    copy.body().and_then(reqwest::Body::as_bytes),
                    Some(&b"body"[..])
                );
            }
            request
                .headers_mut()
                .insert("idempotency-key", "7".parse().expect("valid"));
            assert_eq!(
                request.replay().is_some(),
                request.method() != Method::CONNECT
            );
            request
                .headers_mut()
                .insert("upgrade", "h2c".parse().expect("valid"));
            assert!(request.replay().is_none());
        }
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn a_streaming_reqwest_body_is_not_sent_twice() {
        let url: reqwest::Url = "http://h.test/".parse().expect("valid");
        let mut request = reqwest::Request::new(Method::PUT, url);
        *request.body_mut() = Some(reqwest::Body::wrap(Full::new(Bytes::from_static(b"x"))));
        assert!(request.replay().is_none());
    }
}
