//! `Replay` for HTTP requests.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{Empty, Full};

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
/// cannot promise it.
#[diagnostic::on_unimplemented(
    message = "a body of type `{Self}` cannot be sent twice: it does not implement `ReplayBody`",
    label = "a second attempt needs a second copy of this body",
    note = "use `http_body_util::Full<Bytes>`, `Empty<Bytes>`, `Bytes`, `String` or `()` as the body",
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
        let body = self.body_mut().replay_body()?;
        let mut copy = Self::new(body);
        copy.method_mut().clone_from(self.method());
        copy.uri_mut().clone_from(self.uri());
        *copy.version_mut() = self.version();
        copy.headers_mut().clone_from(self.headers());
        copy.extensions_mut().clone_from(self.extensions());
        Some(copy)
    }
}

fn may_be_sent_twice<B>(request: &Request<B>) -> bool {
    if request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE) {
        return false;
    }
    request.method().is_idempotent()
        || request.headers().contains_key("idempotency-key")
        || request.extensions().get::<Idempotent>().is_some()
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
}
