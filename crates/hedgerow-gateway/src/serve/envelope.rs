//! Errors as the provider of a route would write them.

use std::time::Duration;

use bytes::Bytes;
use hedgerow::{Refusal, RefusalKind};
use hedgerow_openai::{anthropic, openai, server};
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::body;
use super::upstream::Answer;

/// What SDKs read before anything else: whether asking again may help.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whose words a route speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    OpenAi,
    Anthropic,
}

/// An error of the gateway's own.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// A word for machines.
    pub(crate) code: &'static str,
    pub(crate) after: Option<Duration>,
    /// Whether the same request may be answered another time.
    pub(crate) again: bool,
}

impl Failure {
    /// Something is wrong with the request: asking again does not help.
    pub(crate) fn of_request(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            code,
            after: None,
            again: false,
        }
    }

    /// There is too much to do.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: message.into(),
            code: "overloaded",
            after: Some(Duration::from_secs(1)),
            again: true,
        }
    }

    /// As an answer with the provider's envelope.
    pub(crate) fn respond(&self, provider: Provider, id: &str) -> Answer {
        let mut answer = match provider {
            Provider::OpenAi => openai::ErrorEnvelope::new(self.status, &*self.message)
                .code(self.code)
                .respond(self.status),
            Provider::Anthropic => {
                // Its SDKs know an overload by a status of its own.
                let status = match self.status {
                    StatusCode::SERVICE_UNAVAILABLE => {
                        StatusCode::from_u16(529).unwrap_or(self.status)
                    }
                    status => status,
                };
                anthropic::ErrorEnvelope::new(status, &*self.message)
                    .request_id(id)
                    .respond(status)
            }
        };
        if let Some(after) = self.after {
            server::come_back_after::<Bytes>(&mut answer, after);
        }
        let again = HeaderValue::from_static(if self.again { "true" } else { "false" });
        answer.headers_mut().insert(SHOULD_RETRY, again);
        answer.map(body::whole)
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        let kind = refusal.kind();
        let code = match kind {
            RefusalKind::TooMany => "rate_limit_exceeded",
            RefusalKind::Overloaded => "overloaded",
            RefusalKind::TooLarge => "request_too_large",
            RefusalKind::TimedOut => "timeout",
            RefusalKind::Cancelled => "cancelled",
            RefusalKind::Upstream => "upstream_failed",
            _ => "internal_error",
        };
        Self {
            status: kind.status(),
            message: refusal.message().to_owned(),
            code,
            after: refusal.after(),
            // Whatever else may be tried again was.
            again: matches!(kind, RefusalKind::TooMany | RefusalKind::Overloaded),
        }
    }
}

/// A text, for probes.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body::whole(text.into()));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    answer
}
