//! What of an HTTP answer is kept, and for how long.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::{BoxError, Class, Classify, HttpJudge};
use http::{HeaderMap, Response, StatusCode, header};
use http_body::Body;

use super::answer::HttpAnswer;
use super::keeping::KeptBody;
use super::status;
use crate::cache::{CacheStatus, Deposit, Keep, KeepWhole, Lifetime};

const DEFAULT_BODY: usize = 1 << 20;

/// Keeps HTTP answers when their bodies have passed, frame by frame: what
/// [`CacheLayer::http`](crate::CacheLayer::http) sets.
///
/// The caller reads the body as it comes, and its frames are noted; at its end the answer is stored. One that
/// breaks off, that nobody reads to its end, or whose body is larger than [`max_body`](Self::max_body) or comes in more than 65,536 frames, is not.
/// From the store it comes frame by frame again: an event stream replays as one.
///
/// # What is kept
///
/// | answer | for how long |
/// | --- | --- |
/// | 200, 203, 204, 300, 301, 308 | its `s-maxage`, else its `max-age`, else the layer's time to live |
/// | 404, 405, 410, 414 | the layer's time for negative answers, if it has one |
/// | any other; what the judge refuses; one with `Set-Cookie`, `Vary: *`, or `Cache-Control: no-store`, `no-cache` or `private` | not at all |
///
/// One with `must-revalidate`, `proxy-revalidate` or `s-maxage` is never served when that is over, whatever the
/// layer is told about stale ones (RFC 9111 §4.2.4).
///
/// What the service says in `Cache-Control` is passed over with
/// [`ignore_cache_control`](Self::ignore_cache_control). Other headers in `Vary` have to be in the key
/// ([`HttpKey::header`](crate::HttpKey::header)).
///
/// # What an answer says
///
/// `Cache-Status` (RFC 9211), behind what caches further in have said: `hedgerow; hit; ttl=30`, with a negative
/// `ttl` for a stale one, or `hedgerow; fwd=uri-miss; stored`. An answer from the store has its `Age`. A
/// [`CacheStatus`](crate::CacheStatus) is in the extensions.
#[derive(Clone, Copy, Debug)]
pub struct KeptBodies<J = HttpJudge> {
    max_body: usize,
    heeds: bool,
    judge: J,
}

impl KeptBodies {
    /// Bodies up to 1 MiB; the judge of HTTP.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_body: DEFAULT_BODY,
            heeds: true,
            judge: HttpJudge,
        }
    }
}

impl Default for KeptBodies {
    fn default() -> Self {
        Self::new()
    }
}

impl<J> KeptBodies<J> {
    /// Sets how large a body may be that is kept, in bytes. Defaults to 1 MiB.
    #[must_use]
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Passes over what the service says in `Cache-Control`. Defaults to heeding it.
    ///
    /// For services that forbid by habit what you may well keep, such as event streams of models.
    #[must_use]
    pub const fn ignore_cache_control(mut self) -> Self {
        self.heeds = false;
        self
    }

    /// Sets who judges answers by their heads. Defaults to [`HttpJudge`].
    #[must_use]
    pub fn accept<K>(self, judge: K) -> KeptBodies<K> {
        KeptBodies {
            max_body: self.max_body,
            heeds: self.heeds,
            judge,
        }
    }
}

/// What `Cache-Control` says.
#[derive(Clone, Copy, Debug, Default)]
struct Control {
    forbids: bool,
    max_age: Option<u64>,
    /// That of caches that several share, which goes before the other.
    s_maxage: Option<u64>,
    /// What is stale may not be served.
    strict: bool,
}

fn control(headers: &HeaderMap) -> Control {
    let mut control = Control::default();
    for value in headers.get_all(header::CACHE_CONTROL) {
        let Ok(text) = value.to_str() else {
            control.forbids = true;
            continue;
        };
        for word in text.to_ascii_lowercase().split(',').map(str::trim) {
            let (name, argument) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "no-store" | "no-cache" | "private" => control.forbids = true,
                "max-age" => control.max_age = Some(seconds(argument)),
                "s-maxage" => control.s_maxage = Some(seconds(argument)),
                "must-revalidate" | "proxy-revalidate" => control.strict = true,
                _ => {}
            }
        }
    }
    control
}

/// What cannot be read is stale (RFC 9111 §4.2.1).
fn seconds(argument: &str) -> u64 {
    argument.trim_matches('"').parse().unwrap_or(0)
}

impl<B, J> Keep<Response<B>> for KeptBodies<J>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    J: Send + Sync + 'static,
{
    type Value = Arc<HttpAnswer>;
    type Kept = Response<KeptBody<B>>;

    fn lifetime(&self, response: &Response<B>) -> Lifetime {
        self.head_lifetime(response.status(), response.headers())
    }

    fn may_be_stale(&self, response: &Response<B>) -> bool {
        self.head_may_be_stale(response.headers())
    }

    fn replay(&self, answer: Arc<HttpAnswer>, from: CacheStatus) -> Self::Kept {
        let mut headers = answer.headers.clone();
        status::write(&mut headers, from, false);
        let mut response = Response::new(KeptBody::replay(answer.clone()));
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        response.extensions_mut().insert(from);
        response
    }

    fn pass(&self, response: Response<B>, from: CacheStatus) -> Self::Kept {
        let mut response = response.map(KeptBody::pass);
        status::write(response.headers_mut(), from, false);
        response.extensions_mut().insert(from);
        response
    }

    fn store(
        &self,
        response: Response<B>,
        from: CacheStatus,
        deposit: Deposit<Arc<HttpAnswer>>,
    ) -> Self::Kept {
        let known = response.body().size_hint().lower();
        if known > self.max_body as u64 {
            return self.pass(response, from);
        }
        let head = HttpAnswer::head(response.status(), response.headers());
        let mut response = response.map(|body| KeptBody::keep(body, head, self.max_body, deposit));
        status::write(response.headers_mut(), from, true);
        response.extensions_mut().insert(from);
        response
    }

    async fn drain(&self, kept: Self::Kept) {
        let mut body = pin!(kept.into_body());
        while let Some(Ok(_)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
    }
}

impl<J> KeptBodies<J> {
    /// How long an answer with this head may be kept.
    fn head_lifetime(&self, status: StatusCode, headers: &HeaderMap) -> Lifetime {
        let varies = |value: &http::HeaderValue| value.as_bytes().contains(&b'*');
        if headers.contains_key(header::SET_COOKIE)
            || headers.get_all(header::VARY).iter().any(varies)
        {
            return Lifetime::Never;
        }
        let control = if self.heeds {
            control(headers)
        } else {
            Control::default()
        };
        if control.forbids {
            return Lifetime::Never;
        }
        match (status.as_u16(), control.s_maxage.or(control.max_age)) {
            (200 | 203 | 204 | 300 | 301 | 308, Some(0)) => Lifetime::Never,
            (200 | 203 | 204 | 300 | 301 | 308, Some(age)) => {
                Lifetime::For(Duration::from_secs(age))
            }
            (200 | 203 | 204 | 300 | 301 | 308, None) => Lifetime::Usual,
            (404 | 405 | 410 | 414, _) => Lifetime::Negative,
            _ => Lifetime::Never,
        }
    }
}

impl<J> KeptBodies<J> {
    fn head_may_be_stale(&self, headers: &HeaderMap) -> bool {
        let control = control(headers);
        !self.heeds || !(control.strict || control.s_maxage.is_some())
    }
}

impl<J: Send + Sync + 'static> KeepWhole<Arc<HttpAnswer>> for KeptBodies<J> {
    fn whole_lifetime(&self, answer: &Arc<HttpAnswer>) -> Lifetime {
        let bytes: usize = answer.frames.iter().map(Bytes::len).sum();
        if bytes > self.max_body {
            return Lifetime::Never;
        }
        self.head_lifetime(answer.status, &answer.headers)
    }

    fn whole_may_be_stale(&self, answer: &Arc<HttpAnswer>) -> bool {
        self.head_may_be_stale(&answer.headers)
    }
}

impl<Res, E, J: Classify<Res, E>> Classify<Res, E> for KeptBodies<J> {
    fn classify(&self, result: &Result<Res, E>) -> Class {
        self.judge.classify(result)
    }
}
