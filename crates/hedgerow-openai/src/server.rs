//! What a server answers with: the types of this crate as HTTP answers and as events of a stream.
//!
//! Nothing of a web framework is in it: an `http::Response<Bytes>` is an answer of axum's, and of hyper's
//! after a `.map(Full::new)`.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::anthropic::{self, MessageEvent};
use crate::openai::{self, ChatChunk, Completion, DONE, ResponseEvent};

/// The type of a body that is made of events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// A whole answer, as JSON.
///
/// # Examples
///
/// ```
/// use hedgerow_openai::openai::{ChatCompletion, ChatMessage};
/// use hedgerow_openai::server;
///
/// let answer = ChatCompletion::new("chatcmpl-1", "a-model", 1_700_000_000)
///     .choice(ChatMessage::new("assistant", "Rome"), "stop");
/// let answer = server::json(&answer);
/// assert_eq!(answer.headers()["content-type"], "application/json");
/// ```
///
/// # Panics
///
/// If `answer` cannot be written as JSON: each type of this crate can.
#[must_use]
pub fn json<T: Serialize>(answer: &T) -> Response<Bytes> {
    let body = serde_json::to_vec(answer).expect("wire types are JSON");
    let mut response = Response::new(Bytes::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The head of an answer that is a stream of events, around its body.
///
/// Nothing between server and client is to keep events back.
#[must_use]
pub fn events<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The key that a request brings: `Authorization: Bearer`, as OpenAI's SDKs and Anthropic's newer ones send
/// it, or `x-api-key`, as Anthropic's API has it.
#[must_use]
pub fn api_key(headers: &HeaderMap) -> Option<&str> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let bearer = text("authorization").and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| text("x-api-key"))
}

/// When whoever asked may come back: `Retry-After`, in seconds, and `retry-after-ms`, which the SDKs of both
/// providers read first.
pub fn come_back_after<B>(response: &mut Response<B>, after: Duration) {
    // Who comes back too early is refused again.
    let secs = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let ms = after.as_nanos().div_ceil(1_000_000);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, secs.into());
    headers.insert(
        "retry-after-ms",
        HeaderValue::from(u64::try_from(ms).unwrap_or(u64::MAX)),
    );
}

impl openai::ErrorEnvelope {
    /// As an answer with this status.
    #[must_use]
    pub fn respond(&self, status: StatusCode) -> Response<Bytes> {
        let mut response = json(self);
        *response.status_mut() = status;
        response
    }
}

impl anthropic::ErrorEnvelope {
    /// As an answer with this status.
    #[must_use]
    pub fn respond(&self, status: StatusCode) -> Response<Bytes> {
        let mut response = json(self);
        *response.status_mut() = status;
        response
    }
}

impl ChatChunk {
    /// As an event of a stream.
    #[must_use]
    pub fn to_sse(&self) -> Bytes {
        event(None, self)
    }

    /// The event that ends a stream of chunks.
    #[must_use]
    pub fn done() -> Bytes {
        done()
    }
}

impl Completion {
    /// As an event of a stream.
    #[must_use]
    pub fn to_sse(&self) -> Bytes {
        event(None, self)
    }

    /// The event that ends a stream of pieces.
    #[must_use]
    pub fn done() -> Bytes {
        done()
    }
}

impl ResponseEvent {
    /// As an event of a stream.
    #[must_use]
    pub fn to_sse(&self) -> Bytes {
        event(Some(&self.kind), self)
    }
}

impl MessageEvent {
    /// As an event of a stream.
    #[must_use]
    pub fn to_sse(&self) -> Bytes {
        event(Some(self.kind()), self)
    }
}

fn done() -> Bytes {
    Bytes::from(format!("data: {DONE}\n\n"))
}

/// One event: its name, if it has one, and its data in one line.
fn event<T: Serialize>(name: Option<&str>, data: &T) -> Bytes {
    let mut bytes = BytesMut::with_capacity(256);
    if let Some(name) = name {
        bytes.put_slice(b"event: ");
        // A name ends with its line.
        bytes.extend(name.bytes().map(|byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                byte
            }
        }));
        bytes.put_u8(b'\n');
    }
    bytes.put_slice(b"data: ");
    let at = bytes.len();
    serde_json::to_writer((&mut bytes).writer(), data)
        .expect("wire types are JSON, and memory takes it");
    // A value that was kept as it was written may hold line breaks between its parts; to JSON they are
    // blanks, to a stream the end of the line.
    for byte in &mut bytes[at..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    bytes.put_slice(b"\n\n");
    bytes.freeze()
}
