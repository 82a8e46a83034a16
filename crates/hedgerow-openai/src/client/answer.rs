//! A whole answer, and what is wrong with it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use hedgerow::BoxError;
use hedgerow_core::Pushback;
use http::{Response, StatusCode, response};
use http_body::Body;
use pin_project::pin_project;

use super::settings::Settings;
use crate::error::{ApiError, CallError, Provider};
use crate::{anthropic, openai};

/// How much of an error's answer is read.
const ERROR_BYTES: usize = 256 << 10;
/// How much of an answer that cannot be read is shown.
const SHOWN_CHARS: usize = 200;

/// Reads a whole answer: its head and its body.
pub(super) type Read<T> = fn(&Head, &[u8]) -> Result<T, CallError>;

/// What is known of an answer before its body: whose it is, and what its head says.
#[derive(Clone, Debug)]
pub struct Head {
    provider: Provider,
    status: StatusCode,
    request_id: Option<String>,
    pushback: Pushback,
}

impl Head {
    pub(crate) fn of(provider: Provider, parts: &response::Parts) -> Self {
        let text = |name| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            provider,
            status: parts.status,
            request_id: text("x-request-id").or_else(|| text("request-id")),
            pushback: Pushback::of(&parts.headers),
        }
    }

    /// An error as OpenAI's wire tells it.
    pub(super) fn openai_error(&self, body: openai::ErrorBody) -> CallError {
        let code = body.code();
        self.error(body.kind, code, body.param, body.message)
    }

    /// An error as Anthropic's wire tells it.
    pub(super) fn anthropic_error(&self, envelope: anthropic::ErrorEnvelope) -> CallError {
        let body = envelope.error;
        let code = body.details.as_ref().and_then(|details| {
            let details: crate::json::Object = details.read().ok()?;
            details.read("error_code").ok().flatten()
        });
        let mut head = self.clone();
        head.request_id = head.request_id.or(envelope.request_id);
        head.error(body.kind, code, None, body.message)
    }

    fn error(
        &self,
        kind: Option<String>,
        code: Option<String>,
        param: Option<String>,
        message: Option<String>,
    ) -> CallError {
        let error = ApiError {
            provider: self.provider,
            status: self.status,
            kind,
            code,
            param,
            message: message.unwrap_or_else(|| "no message".to_owned()),
            request_id: self.request_id.clone(),
            pushback: self.pushback,
        };
        error.into()
    }

    /// The error that an answer with a bad status is, whatever its body says.
    pub(crate) fn refusal(&self, body: &[u8]) -> CallError {
        match self.told(body) {
            Some(error) => error,
            None => self.error(None, None, None, Some(begins(body))),
        }
    }

    /// The error that a body tells, in the provider's form.
    pub(super) fn told(&self, body: &[u8]) -> Option<CallError> {
        match self.provider {
            Provider::OpenAi => openai::in_band(body).map(|body| self.openai_error(body)),
            Provider::Anthropic => {
                let envelope = serde_json::from_slice(body).ok();
                envelope.map(|envelope| self.anthropic_error(envelope))
            }
        }
    }
}

/// Reads a `T`. What is none may be an error of the provider's in a good answer.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    head: &Head,
    body: &[u8],
) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|source| {
        let expected = std::any::type_name::<T>();
        head.told(body)
            .unwrap_or_else(|| malformed(expected, body, source))
    })
}

pub(super) fn malformed(
    expected: &'static str,
    body: &[u8],
    source: serde_json::Error,
) -> CallError {
    // Of a path the name is enough.
    let expected = expected.rsplit("::").next().unwrap_or(expected);
    CallError::Malformed {
        expected,
        begins: begins(body),
        source,
    }
}

/// The first characters of a body.
fn begins(body: &[u8]) -> String {
    let enough = &body[..body.len().min(SHOWN_CHARS * 4)];
    let text = String::from_utf8_lossy(enough);
    let text = text.trim();
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The future of an answer that is read as a whole.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Answer<F, R, T> {
    #[pin]
    state: State<F, R>,
    read: Option<Read<T>>,
}

#[pin_project(project = StateProj)]
enum State<F, R> {
    /// Nothing was sent.
    Failed(Option<CallError>),
    /// Until the head is there.
    Sending(#[pin] F, Arc<Settings>),
    /// Until the body is there.
    Reading(Box<Head>, #[pin] Collect<R>),
}

impl<F, R, T> Answer<F, R, T> {
    pub(super) const fn new(answer: F, read: Read<T>, settings: Arc<Settings>) -> Self {
        Self {
            state: State::Sending(answer, settings),
            read: Some(read),
        }
    }

    pub(super) const fn failed(error: CallError) -> Self {
        Self {
            state: State::Failed(Some(error)),
            read: None,
        }
    }
}

impl<F, R, E, T> Future for Answer<F, R, T>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<T, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Failed(error) => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error));
                }
                StateProj::Sending(answer, settings) => {
                    let answer = ready!(answer.poll(cx))
                        .map_err(|error| CallError::Transport(error.into()))?;
                    let (parts, body) = answer.into_parts();
                    let head = Head::of(settings.provider, &parts);
                    State::Reading(
                        Box::new(head),
                        Collect::of(&parts, body, settings.max_body_bytes),
                    )
                }
                StateProj::Reading(head, collect) => {
                    let body = ready!(collect.poll(cx))?;
                    return Poll::Ready(match this.read {
                        Some(read) if head.status.is_success() => read(head, &body),
                        _ => Err(head.refusal(&body)),
                    });
                }
            };
            this.state.set(next);
        }
    }
}

/// A body that is taken up to a bound.
#[pin_project]
pub(super) struct Collect<R> {
    #[pin]
    body: R,
    taken: BytesMut,
    max: usize,
    /// Of an error the beginning is enough.
    enough: bool,
}

impl<R: Body> Collect<R> {
    pub(super) fn of(parts: &response::Parts, body: R, max: usize) -> Self {
        let enough = !parts.status.is_success();
        Self {
            body,
            taken: BytesMut::new(),
            max: if enough { max.min(ERROR_BYTES) } else { max },
            enough,
        }
    }
}

impl<R> Collect<R>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BytesMut, CallError>> {
        let mut this = self.project();
        loop {
            let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(std::mem::take(this.taken))),
                // The status has told already that it is an error.
                Some(Err(_)) if *this.enough => return Poll::Ready(Ok(std::mem::take(this.taken))),
                Some(Err(error)) => {
                    return Poll::Ready(Err(CallError::Body {
                        received: this.taken.len() as u64,
                        source: error.into(),
                    }));
                }
                Some(Ok(frame)) => frame,
            };
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            let room = *this.max - this.taken.len();
            if data.remaining() > room {
                if *this.enough {
                    let part = data.copy_to_bytes(room);
                    this.taken.extend_from_slice(&part);
                    return Poll::Ready(Ok(std::mem::take(this.taken)));
                }
                return Poll::Ready(Err(CallError::TooLarge {
                    max_bytes: *this.max,
                }));
            }
            while data.has_remaining() {
                let chunk = data.chunk();
                this.taken.extend_from_slice(chunk);
                let taken = chunk.len();
                data.advance(taken);
            }
        }
    }
}

// === impl Head ===

impl Head {
    pub(super) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    pub(super) const fn pushback(&self) -> &Pushback {
        &self.pushback
    }

    /// The error of an answer with a bad status; `None` of a good one.
    pub(super) fn judge(&self, body: &[u8]) -> Option<CallError> {
        (!self.status.is_success()).then(|| self.refusal(body))
    }
}

// === impl Debug ===

impl<F, R, T> fmt::Debug for Answer<F, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}
