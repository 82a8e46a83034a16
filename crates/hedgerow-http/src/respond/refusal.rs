//! Why a request is not answered, as HTTP and gRPC say it.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// Why a request is not answered.
///
/// | kind | HTTP | gRPC |
/// | --- | --- | --- |
/// | [`TooMany`](Self::TooMany) | 429, `Retry-After` | `RESOURCE_EXHAUSTED`, pushback |
/// | [`Overloaded`](Self::Overloaded) | 503, `Retry-After` | `UNAVAILABLE`, pushback |
/// | [`TooLarge`](Self::TooLarge) | 413 | `RESOURCE_EXHAUSTED`, pushback −1 |
/// | [`TimedOut`](Self::TimedOut) | 504 | `DEADLINE_EXCEEDED` |
/// | [`Cancelled`](Self::Cancelled) | 499 | `CANCELLED` |
/// | [`Upstream`](Self::Upstream) | 502 | `UNAVAILABLE` |
/// | [`Internal`](Self::Internal) | 500 | `INTERNAL` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The caller asks for more than its rate.
    TooMany,
    /// The server has no room for it now.
    Overloaded,
    /// It is more than the server ever takes at once.
    TooLarge,
    /// There was no answer in time.
    TimedOut,
    /// The caller wants no answer any more.
    Cancelled,
    /// Whoever was to answer failed.
    Upstream,
    /// The server itself failed.
    Internal,
}

/// A request that is not answered: why, when to come back, and a text for people.
///
/// # Examples
///
/// ```
/// use hedgerow_http::{Refusal, RefusalKind};
/// use std::time::Duration;
///
/// let refusal = Refusal::new(RefusalKind::Overloaded, "the queue is full")
///     .retry_after(Duration::from_millis(1_200));
/// let answer: http::Response<String> = refusal.to_http();
/// assert_eq!(answer.status(), 503);
/// // Whole seconds, rounded up: sooner makes no sense.
/// assert_eq!(answer.headers()["retry-after"], "2");
/// assert_eq!(answer.headers()["retry-after-ms"], "1200");
///
/// let answer: http::Response<String> = refusal.to_grpc();
/// assert_eq!(answer.headers()["grpc-status"], "14");
/// assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "1200");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    message: String,
    after: Option<Duration>,
}

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_PUSHBACK: &str = "grpc-retry-pushback-ms";
/// Headers are bounded, by 8 to 16 KiB in most clients: beyond that they see no status at all.
const MOST_MESSAGE: usize = 2_048;

impl RefusalKind {
    /// The status that HTTP has for it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            // nginx's, and no name in any RFC: nobody is there to read it, but logs are.
            Self::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
            Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code that gRPC has for it.
    #[must_use]
    pub const fn grpc_code(self) -> u8 {
        match self {
            Self::Cancelled => 1,
            Self::TimedOut => 4,
            Self::TooMany | Self::TooLarge => 8,
            Self::Internal => 13,
            Self::Overloaded | Self::Upstream => 14,
        }
    }
}

impl Refusal {
    /// A refusal with a text that its caller may read.
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            after: None,
        }
    }

    /// Says when coming back makes sense. Told only where it is of use: for
    /// [`TooMany`](RefusalKind::TooMany), [`Overloaded`](RefusalKind::Overloaded) and
    /// [`Upstream`](RefusalKind::Upstream). Defaults to nothing.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }

    /// Why.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When coming back makes sense, if that is known and makes any.
    #[must_use]
    pub const fn after(&self) -> Option<Duration> {
        match self.kind {
            RefusalKind::TooMany | RefusalKind::Overloaded | RefusalKind::Upstream => self.after,
            _ => None,
        }
    }

    /// As an HTTP answer with the text as its body.
    #[must_use]
    pub fn to_http<B: From<String>>(&self) -> Response<B> {
        let mut answer = Response::new(B::from(self.message.clone()));
        *answer.status_mut() = self.kind.status();
        let headers = answer.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, text);
        if let Some(after) = self.after() {
            let more = u64::from(after.subsec_nanos() > 0);
            let secs = after.as_secs().saturating_add(more);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis(after)));
        }
        answer
    }

    /// As a gRPC answer without a message ("trailers only"). Of a long text its first 2 KiB, as headers write
    /// it.
    #[must_use]
    pub fn to_grpc<B: Default>(&self) -> Response<B> {
        let mut answer = Response::new(B::default());
        let headers = answer.headers_mut();
        let grpc = HeaderValue::from_static("application/grpc");
        headers.insert(header::CONTENT_TYPE, grpc);
        headers.insert(
            GRPC_STATUS,
            HeaderValue::from(u16::from(self.kind.grpc_code())),
        );
        if let Ok(message) = HeaderValue::try_from(percent_encoded(&self.message)) {
            headers.insert(GRPC_MESSAGE, message);
        }
        if let Some(pushback) = self.pushback() {
            headers.insert(GRPC_PUSHBACK, pushback);
        }
        answer
    }

    /// As a status of tonic's, with the pushback in its metadata. tonic writes the whole text into a header.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn to_status(&self) -> tonic::Status {
        let code = tonic::Code::from_i32(i32::from(self.kind.grpc_code()));
        let mut status = tonic::Status::new(code, self.message.clone());
        let pushback = self.pushback();
        if let Some(value) = pushback.and_then(|value| value.to_str().ok()?.parse().ok()) {
            status.metadata_mut().insert(GRPC_PUSHBACK, value);
        }
        status
    }

    /// Milliseconds, or −1 for never.
    fn pushback(&self) -> Option<HeaderValue> {
        if self.kind == RefusalKind::TooLarge {
            return Some(HeaderValue::from_static("-1"));
        }
        self.after().map(|after| HeaderValue::from(millis(after)))
    }
}

/// Rounded up: sooner makes no sense.
fn millis(after: Duration) -> u64 {
    u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// As much of a text as a header carries, as gRPC has it there: printable ASCII but `%`. What is too long ends
/// behind a letter.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for letter in text.chars() {
        let before = encoded.len();
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            if (b' '..=b'~').contains(&byte) && byte != b'%' {
                encoded.push(byte.into());
            } else {
                // A `String` takes whatever is written.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        if encoded.len() > MOST_MESSAGE {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_any_letters_is_carried() {
        assert_eq!(percent_encoded("100 % ü\n"), "100 %25 %C3%BC%0A");
        let answer: Response<()> = Refusal::new(RefusalKind::Internal, "100 % ü\n").to_grpc();
        assert_eq!(answer.headers()["grpc-message"], "100 %25 %C3%BC%0A");
    }

    #[test]
    fn a_text_of_any_length_leaves_room_for_the_status() {
        for text in ["x", "ü", "%", "🦔"] {
            let answer: Response<()> =
                Refusal::new(RefusalKind::Internal, text.repeat(100_000)).to_grpc();
            let message = &answer.headers()[GRPC_MESSAGE];
            let letter = percent_encoded(text).len();
            assert!(message.len() <= 2_048 && message.len() > 2_048 - letter);
            assert_eq!(message.len() % letter, 0, "{text:?} is whole to its end");
            assert_eq!(answer.headers()[GRPC_STATUS], "13");
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        let after = |nanos| {
            let after = Duration::from_nanos(nanos);
            let refusal = Refusal::new(RefusalKind::TooMany, "").retry_after(after);
            let http: Response<String> = refusal.to_http();
            let grpc: Response<()> = refusal.to_grpc();
            let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
            [
                text(&http.headers()["retry-after"]),
                text(&http.headers()["retry-after-ms"]),
                text(&grpc.headers()["grpc-retry-pushback-ms"]),
            ]
        };
        assert_eq!(after(0), ["0", "0", "0"]);
        assert_eq!(after(1), ["1", "1", "1"]);
        assert_eq!(after(2_000_000_000), ["2", "2000", "2000"]);
        assert_eq!(after(2_000_000_001), ["3", "2001", "2001"]);
    }

    #[test]
    fn the_longest_wait_is_as_long_as_numbers_go() {
        let longest = Refusal::new(RefusalKind::TooMany, "").retry_after(Duration::MAX);
        let most = u64::MAX.to_string();
        let answer: Response<()> = longest.to_grpc();
        assert_eq!(answer.headers()[GRPC_PUSHBACK], most);
        let answer: Response<String> = longest.to_http();
        assert_eq!(answer.headers()[header::RETRY_AFTER], most);
        assert_eq!(answer.headers()[RETRY_AFTER_MS], most);
    }
}
