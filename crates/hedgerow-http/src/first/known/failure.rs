//! What an error that a stream tells of is worth.

use std::borrow::Cow;

use hedgerow_core::Class;
use serde::Deserialize;

/// Another attempt would end the same way: the request, the key, the account or the model is at fault.
const FINAL: [&str; 18] = [
    "authentication_error",
    "billing_error",
    "billing_hard_limit_reached",
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "insufficient_quota",
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
    let name = match code {
        Some(Code::Status(status)) => return class_of_status(*status),
        Some(Code::Name(name)) => match name.parse() {
            Ok(status @ 400..=599) => return class_of_status(status),
            _ => Some(&**name),
        },
        Some(Code::Other(_)) | None => None,
    };
    let told = [name, kind];
    let is = |list: &[&str]| told.iter().flatten().any(|told| list.contains(told));
    if is(&FINAL) && !is(&PASSING) {
        Class::Fatal
    } else {
        Class::RETRYABLE
    }
}

fn class_of_status(status: u16) -> Class {
    let passes = matches!(status, 408 | 409 | 429 | 500..) && status != 501;
    if passes {
        Class::RETRYABLE
    } else {
        Class::Fatal
    }
}
