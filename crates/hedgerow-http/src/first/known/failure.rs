//! What an error that a stream tells of is worth.

use std::borrow::Cow;

use hedgerow_core::Class;
use serde::Deserialize;

/// What a provider's words for an error, its type and its code, say of another attempt.
///
/// # Examples
///
/// ```
/// use hedgerow_http::Blame;
///
/// assert_eq!(Blame::of(Some("rate_limit_error"), None), Blame::Passing);
/// let code = Some("context_length_exceeded");
/// assert_eq!(Blame::of(Some("invalid_request_error"), code), Blame::Request);
/// assert_eq!(Blame::of(Some("requests"), Some("insufficient_quota")), Blame::Spent);
/// ```
///
/// # Source
///
/// The error tables of OpenAI's and Anthropic's APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blame {
    /// Money or a quota has come to an end: waiting does not bring it back.
    Spent,
    /// The request, the key, the account or the model is at fault: another attempt would end the same way.
    Request,
    /// It passes, or the words are not known.
    Passing,
}

const SPENT: [&str; 3] = [
    "billing_error",
    "billing_hard_limit_reached",
    "insufficient_quota",
];

const REQUEST: [&str; 15] = [
    "authentication_error",
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "invalid_api_key",
    "invalid_image",
    "invalid_prompt",
    "invalid_request_error",
    "invalid_type",
    "invalid_value",
    "model_not_found",
    "not_found_error",
    "permission_denied",
    "permission_error",
    "request_too_large",
];

/// Codes that say the opposite of whatever type they come with.
const PASSING: [&str; 3] = ["overloaded_error", "rate_limit_exceeded", "server_error"];

impl Blame {
    /// What the type and the code of an error object say together.
    #[must_use]
    pub fn of(kind: Option<&str>, code: Option<&str>) -> Self {
        let say = |list: &[&str]| {
            [kind, code]
                .iter()
                .flatten()
                .any(|word| list.contains(word))
        };
        if say(&SPENT) {
            Self::Spent
        } else if say(&REQUEST) && !say(&PASSING) {
            Self::Request
        } else {
            Self::Passing
        }
    }
}

/// An error object, or a text in its place.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Failure<'a> {
    Object {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        code: Option<Code<'a>>,
    },
    Other(serde::de::IgnoredAny),
}

/// A code by name or by number.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Code<'a> {
    Status(u16),
    Name(#[serde(borrow)] Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

impl Failure<'_> {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Object { kind, code } => class_of(kind.as_deref(), code.as_ref()),
            Self::Other(_) => Class::RETRYABLE,
        }
    }
}

pub(super) fn class_of(kind: Option<&str>, code: Option<&Code<'_>>) -> Class {
    // Other numbers are somebody's own, such as gRPC's: they say no more than a word that is not known.
    let name = match code {
        Some(Code::Status(status @ 400..=599)) => return class_of_status(*status),
        Some(Code::Name(name)) => match name.parse() {
            Ok(status @ 400..=599) => return class_of_status(status),
            _ => Some(&**name),
        },
        Some(Code::Status(_) | Code::Other(_)) | None => None,
    };
    match Blame::of(kind, name) {
        Blame::Spent | Blame::Request => Class::Fatal,
        Blame::Passing => Class::RETRYABLE,
    }
}

fn class_of_status(status: u16) -> Class {
    let passes = matches!(status, 408 | 409 | 429 | 500..=599) && status != 501;
    if passes {
        Class::RETRYABLE
    } else {
        Class::Fatal
    }
}
