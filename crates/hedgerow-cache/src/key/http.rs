//! Keys of HTTP requests.

use std::fmt;
use std::sync::Arc;

use hedgerow_core::BodyBytes;
use http::{Extensions, HeaderMap, HeaderName, Method, Request, header};

use super::KeyPolicy;
use super::canonical::{IgnoredFields, canonical_json};
use super::digest::{Digest, DigestBuilder};

/// The headers that an answer may depend on, whatever the service.
const ALWAYS: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
];

/// A key by what an HTTP request asks, of whom, and for whom.
///
/// In the key: the tenant; the method; scheme, authority, path and query of the URI, and an
/// [`upstream`](Self::upstream) that one names; `Accept`, `Accept-Encoding`, `Accept-Language`,
/// `Content-Type` and the headers that one [adds](Self::header); the body: if it is JSON, by what it says
/// ([`canonical_json`]), without the members that are [ignored](Self::ignore), else byte by byte. All parts go
/// into blake3 behind their lengths, so that no tenant can write another's key.
///
/// # Which requests
///
/// `GET` and `HEAD`, and the [`methods`](Self::methods) that one adds. No key has, and so passes: a request
/// whose tenant is not known, one with `Range`, `Upgrade`, or `Cache-Control: no-store` or `no-cache`, and one
/// whose body is not there yet. Beneath a `ReplayBodyLayer` that is also a body which that layer did not keep:
/// of a request that may be sent only once, or above its cap.
///
/// # Examples
///
/// A chat completion: a `POST` whose answer is worth keeping, each API key a tenant of its own.
///
/// ```
/// use hedgerow_cache::{HttpKey, KeyPolicy, Tenant};
/// use http::{Method, Request};
///
/// let key = HttpKey::new(Tenant::header("authorization"))
///     .methods([Method::POST])
///     .ignore(["user", "metadata"]);
///
/// let ask = |who: &str, body: &'static str| {
///     let request = Request::post("https://llm.test/v1/chat/completions").header("authorization", who);
///     key.key(&request.body(body).unwrap())
/// };
/// assert_eq!(ask("a", r#"{"n":1,"user":"x"}"#), ask("a", r#"{ "n" : 1.0 }"#));
/// assert_ne!(ask("a", r#"{"n":1}"#), ask("b", r#"{"n":1}"#));
/// assert_eq!(key.key(&Request::post("https://llm.test/").body("{}").unwrap()), None); // nobody
/// ```
#[derive(Clone, Debug)]
pub struct HttpKey {
    tenant: Tenant,
    methods: Vec<Method>,
    upstream: Arc<str>,
    headers: Vec<HeaderName>,
    ignored: IgnoredFields,
}

/// Whose answers those are: nobody else ever sees them.
#[derive(Clone)]
pub struct Tenant(Kind);

type Reads = dyn Fn(&HeaderMap, &Extensions) -> Option<Vec<u8>> + Send + Sync;

#[derive(Clone)]
enum Kind {
    Everybody(Arc<str>),
    Header(HeaderName),
    By(Arc<Reads>),
}

impl Tenant {
    /// All callers share answers, under this name: it must not matter who asks.
    #[must_use]
    pub fn everybody(name: impl Into<Arc<str>>) -> Self {
        Self(Kind::Everybody(name.into()))
    }

    /// All values of this header: an `authorization`, or an API key's. A request without it passes.
    ///
    /// # Panics
    ///
    /// If that is no name of a header.
    #[must_use]
    #[track_caller]
    pub fn header(name: &str) -> Self {
        match HeaderName::try_from(name) {
            Ok(name) => Self(Kind::Header(name)),
            Err(_) => panic!("{name:?} is no name of a header: write one like \"authorization\""),
        }
    }

    /// Asks `f`, which reads headers and extensions. A request for which it has none passes.
    #[must_use]
    pub fn by<F>(f: F) -> Self
    where
        F: Fn(&HeaderMap, &Extensions) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        Self(Kind::By(Arc::new(f)))
    }

    /// Adds the tenant; `None` if it is not known.
    fn write(
        &self,
        hash: &mut DigestBuilder,
        headers: &HeaderMap,
        more: &Extensions,
    ) -> Option<()> {
        match &self.0 {
            Kind::Everybody(name) => {
                hash.part(b"everybody").part(name.as_bytes());
            }
            Kind::Header(name) => {
                if !headers.contains_key(name) {
                    return None;
                }
                hash.part(b"header");
                write_header(hash, headers, name);
            }
            Kind::By(reads) => {
                hash.part(b"by").part(&reads(headers, more)?);
            }
        }
        Some(())
    }
}

impl HttpKey {
    /// Keys for requests of this tenant.
    #[must_use]
    pub fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            methods: vec![Method::GET, Method::HEAD],
            upstream: "".into(),
            headers: ALWAYS.to_vec(),
            ignored: IgnoredFields::default(),
        }
    }

    /// Adds methods whose answers may be kept and shared. Defaults to `GET` and `HEAD`.
    ///
    /// Only those that change nothing: the service is not asked a second time.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods.extend(methods);
        self
    }

    /// Names the upstream, where the URI does not tell it. Defaults to none.
    #[must_use]
    pub fn upstream(mut self, name: impl Into<Arc<str>>) -> Self {
        self.upstream = name.into();
        self
    }

    /// Adds a header that the answer depends on.
    ///
    /// # Panics
    ///
    /// If that is no name of a header.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str) -> Self {
        match HeaderName::try_from(name) {
            Ok(name) => self.headers.push(name),
            Err(_) => panic!("{name:?} is no name of a header: write one like \"accept-version\""),
        }
        self
    }

    /// Ignores members of a JSON body: paths as of [`IgnoredFields`]. Defaults to none.
    #[must_use]
    pub fn ignore(mut self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.ignored = IgnoredFields::new(paths);
        self
    }
}

impl<B: BodyBytes> KeyPolicy<Request<B>> for HttpKey {
    type Key = Digest;

    fn key(&self, request: &Request<B>) -> Option<Digest> {
        let headers = request.headers();
        if !self.methods.contains(request.method()) || forbids(headers) {
            return None;
        }
        let mut hash = DigestBuilder::new("hedgerow http request 1");
        self.tenant
            .write(&mut hash, headers, request.extensions())?;
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map(http::uri::Authority::as_str);
        hash.part(self.upstream.as_bytes())
            .part(request.method().as_str().as_bytes())
            .part(scheme.as_bytes())
            .part(
                authority
                    .unwrap_or_default()
                    .to_ascii_lowercase()
                    .as_bytes(),
            )
            .part(uri.path().as_bytes());
        match uri.query() {
            Some(query) => hash.part(b"?").part(query.as_bytes()),
            None => hash.part(b""),
        };
        if authority.is_none() {
            write_header(&mut hash, headers, &header::HOST);
        }
        for name in &self.headers {
            write_header(&mut hash, headers, name);
        }
        let body = request.body().body_bytes()?;
        match canonical_json(&body, &self.ignored) {
            Some(says) => hash.part(b"json").part(&says),
            None => hash.part(b"bytes").part(&body),
        };
        Some(hash.finish())
    }
}

/// Whether a request asks not to be answered from a store, or for what is none's business.
fn forbids(headers: &HeaderMap) -> bool {
    let asks = |value: &http::HeaderValue| {
        let text = value.to_str().unwrap_or("no-store").to_ascii_lowercase();
        let mut words = text.split(',').map(str::trim);
        words.any(|word| word == "no-store" || word == "no-cache")
    };
    headers.contains_key(header::RANGE)
        || headers.contains_key(header::UPGRADE)
        || headers.get_all(header::CACHE_CONTROL).iter().any(asks)
}

/// Adds how often a header is there, its name and its values.
fn write_header(hash: &mut DigestBuilder, headers: &HeaderMap, name: &HeaderName) {
    let values = headers.get_all(name);
    hash.part(name.as_str().as_bytes());
    hash.part(&(values.iter().count() as u64).to_le_bytes());
    for value in values {
        hash.part(value.as_bytes());
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Everybody(name) => f.debug_tuple("Everybody").field(name).finish(),
            Kind::Header(name) => f.debug_tuple("Header").field(name).finish(),
            Kind::By(_) => f.write_str("By"),
        }
    }
}
