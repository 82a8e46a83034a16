//! Why a call was not answered.

use std::fmt;

use hedgerow::BoxError;
use hedgerow::crates::http::Blame;
use hedgerow::crates::http::sse::SseError;
use hedgerow_core::{Class, Classify, Pushback, cause_ref};
use http::StatusCode;
use thiserror::Error;

/// Why a call was not answered.
///
/// What a provider says against it is [`Api`](Self::Api), whether it came with a status or inside of an
/// answer that had begun well.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request cannot be written down. Nothing was sent.
    #[error("the request cannot be written as JSON")]
    Request(#[source] serde_json::Error),
    /// The path, behind the base URL, is not one. Nothing was sent.
    #[error("the path `{path}` is not one: write one such as `/files?limit=10`")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        source: http::Error,
    },
    /// The service beneath has failed: the connection, or one of its layers.
    #[error("the request was not answered")]
    Transport(#[source] BoxError),
    /// The provider refuses, or has failed.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The answer broke off.
    #[error("the answer broke off after {received} bytes")]
    Body {
        /// How much of it had come.
        received: u64,
        /// Why.
        source: BoxError,
    },
    /// A stream ended without an error before its answer did.
    #[error("the stream ended after {events} events, before its answer did")]
    CutOff {
        /// How many had come.
        events: u64,
    },
    /// The answer is larger than it may be.
    #[error("the answer exceeds {max_bytes} bytes: set `max_body_bytes` if it may")]
    TooLarge {
        /// The most that is read.
        max_bytes: usize,
    },
    /// An event of a stream is larger than it may be.
    #[error("an event of the answer is too large: set `max_event_bytes` if it may be")]
    Event(#[source] SseError),
    /// The answer is not what it should be.
    #[error("the answer is no {expected}; it begins with `{begins}`")]
    Malformed {
        /// What it should be.
        expected: &'static str,
        /// Its first characters.
        begins: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A stream was asked for, and something else came.
    #[error("the answer is no event stream but `{content_type}`")]
    NoStream {
        /// What it says it is.
        content_type: String,
    },
}

/// What a provider says against a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ApiError {
    /// Who says it.
    pub provider: Provider,
    /// The status of the answer; a good one if the error came inside of the answer.
    pub status: StatusCode,
    /// Of which sort it is: `rate_limit_error`, `invalid_request_error`, `overloaded_error` ..
    pub kind: Option<String>,
    /// A word for machines: `context_length_exceeded`, `insufficient_quota` ..
    pub code: Option<String>,
    /// Which field of the request is wrong.
    pub param: Option<String>,
    /// In words.
    pub message: String,
    /// By which the provider knows the request: put it into a letter to the support.
    pub request_id: Option<String>,
    /// Whether and when to come back, and what is left of the rates.
    pub pushback: Pushback,
}

/// Whose wire it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// OpenAI's, and those who speak like it.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl CallError {
    /// What the provider says, if it is that.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// What it is worth to a retry: see [`ProviderJudge`].
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Api(error) => error.class(),
            Self::Transport(_) | Self::Body { .. } | Self::CutOff { .. } => Class::RETRYABLE,
            Self::Request(_)
            | Self::Path { .. }
            | Self::TooLarge { .. }
            | Self::Event(_)
            | Self::Malformed { .. }
            | Self::NoStream { .. } => Class::Fatal,
        }
    }
}

impl ApiError {
    /// Whether it came inside of an answer that had begun well.
    #[must_use]
    pub fn is_in_band(&self) -> bool {
        self.status.is_success()
    }

    /// What it is worth to a retry: see [`ProviderJudge`].
    #[must_use]
    pub fn class(&self) -> Class {
        let retryable = match self.pushback.again {
            Some(wanted) => wanted,
            None => match (self.blame(), self.told_status()) {
                (Blame::Spent, _) | (Blame::Request, None) => false,
                (_, Some(status)) => self.provider.wants_again(status),
                (_, None) => true,
            },
        };
        if retryable {
            Class::Retryable {
                after: self.pushback.wait(),
            }
        } else {
            Class::Fatal
        }
    }

    /// The status; of an error inside of a good answer the one that its code gives, if it gives one.
    fn told_status(&self) -> Option<u16> {
        if !self.is_in_band() {
            return Some(self.status.as_u16());
        }
        let code = self.code.as_deref()?.parse().ok()?;
        (400..600).contains(&code).then_some(code)
    }

    fn blame(&self) -> Blame {
        Blame::of(self.kind.as_deref(), self.code.as_deref())
    }
}

impl Provider {
    /// Whether the same request may be answered later, by the status.
    fn wants_again(self, status: u16) -> bool {
        match status {
            408 | 429 => true,
            // OpenAI's word for a lock that was not free.
            409 => self == Self::OpenAi,
            501 => false,
            status => status >= 500,
        }
    }
}

/// Judges what a client of this crate gives back, whatever layers stand between.
///
/// | error | what it is worth |
/// | --- | --- |
/// | 408, 429, 5xx but 501 (529 too), 409 of OpenAI's wire | [`Retryable`](Class::Retryable), when the provider says so |
/// | `x-should-retry` | what it says, whatever the status |
/// | a quota or money at its end (`insufficient_quota`, `billing_error`) | [`Fatal`](Class::Fatal), though it comes with a 429 |
/// | any other status | `Fatal` |
/// | an error inside of a good answer | by its code if that is a status, else by its sort: `Fatal` if the request is to blame |
/// | no answer, one that broke off, a stream that was cut off | `Retryable` |
/// | an answer that cannot be read, or is too large; a request that cannot be written | `Fatal` |
///
/// Every `Ok` is an answer. An error that is not of this crate is retryable.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProviderJudge;

impl<T> Classify<T, BoxError> for ProviderJudge {
    fn classify(&self, result: &Result<T, BoxError>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(error) => cause_ref(&**error).map_or(Class::RETRYABLE, CallError::class),
        }
    }
}

impl<T> Classify<T, CallError> for ProviderJudge {
    fn classify(&self, result: &Result<T, CallError>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(error) => error.class(),
        }
    }
}

// === impl Display, Error ===

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_in_band() {
            f.write_str("error in the answer")?;
        } else {
            write!(f, "{}", self.status)?;
        }
        if let Some(kind) = &self.kind {
            write!(f, ", {kind}")?;
        }
        if let Some(code) = &self.code {
            write!(f, ", {code}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(param) = &self.param {
            write!(f, " (in `{param}`)")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for CallError {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}
