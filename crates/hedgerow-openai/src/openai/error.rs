//! How OpenAI's wire tells errors.

use http::StatusCode;
use serde::Deserialize;

use crate::json::{Object, Raw};
use crate::wire::wire;

wire! {
    /// An error as an answer: `{"error": {…}}`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_openai::openai::ErrorEnvelope;
    ///
    /// let error = ErrorEnvelope::new(http::StatusCode::TOO_MANY_REQUESTS, "slow down");
    /// assert_eq!(
    ///     serde_json::to_string(&error)?,
    ///     r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":null}}"#,
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub struct ErrorEnvelope {
        /// What is wrong.
        "error" => error: ErrorBody,
    }

    /// What is wrong.
    pub struct ErrorBody {
        /// In words.
        "message" => message: Option<String>,
        /// Of which sort: `invalid_request_error`, `rate_limit_error` ..
        "type" => kind: Option<String>,
        /// Which field of the request is wrong.
        "param" => param: Option<String>,
        /// A word for machines: `context_length_exceeded`, `insufficient_quota` .. Some providers send a
        /// number.
        "code" => code: Option<Raw>,
    }
}

impl ErrorEnvelope {
    /// The error that goes with a status, as a server writes it.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let mut rest = Object::new();
        // The wire has them always.
        rest.put("param", Raw::null());
        rest.put("code", Raw::null());
        Self {
            error: ErrorBody {
                message: Some(message.into()),
                kind: Some(kind.to_owned()),
                rest,
                ..ErrorBody::default()
            },
            ..Self::default()
        }
    }

    /// Sets the word for machines.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.error.code = Some(Raw::text(code));
        self
    }

    /// Sets which field of the request is wrong.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.error.param = Some(param.into());
        self
    }
}

impl ErrorBody {
    /// The word for machines, or the number.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        let code = self.code.as_ref()?;
        Some(code.read().unwrap_or_else(|_| code.as_str().to_owned()))
    }
}

/// The error in an answer or an event that should not have one: `{"error": …}` and no `null`, or an object
/// that says to be an `error`.
pub(crate) fn in_band(data: &[u8]) -> Option<ErrorBody> {
    /// Nothing else is looked at.
    #[derive(Deserialize)]
    struct Told {
        error: Option<Raw>,
        object: Option<Raw>,
    }

    let told: Told = serde_json::from_slice(data).ok()?;
    match (told.error, told.object) {
        (Some(error), _) => Some(read_error(&error)),
        // As vLLM tells it, without an envelope.
        (None, Some(object)) if object.as_str() == "\"error\"" => serde_json::from_slice(data).ok(),
        (None, _) => None,
    }
}

/// An error of whatever form: an object, or a text.
pub(crate) fn read_error(raw: &Raw) -> ErrorBody {
    raw.read().unwrap_or_else(|_| ErrorBody {
        message: Some(raw.read().unwrap_or_else(|_| raw.as_str().to_owned())),
        ..ErrorBody::default()
    })
}
