//! How Anthropic's wire tells errors.

use http::StatusCode;

use crate::json::Raw;
use crate::wire::wire;

wire! {
    /// An error as an answer or as an event: `{"type": "error", "error": {…}}`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_openai::anthropic::ErrorEnvelope;
    ///
    /// let overloaded = http::StatusCode::from_u16(529)?;
    /// let error = ErrorEnvelope::new(overloaded, "too much to do");
    /// assert_eq!(
    ///     serde_json::to_string(&error)?,
    ///     r#"{"type":"error","error":{"type":"overloaded_error","message":"too much to do"}}"#,
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct ErrorEnvelope {
        /// `error`.
        "type" => kind: Option<String>,
        /// What is wrong.
        "error" => error: ErrorBody,
        /// By which the provider knows the request.
        "request_id" => request_id: Option<String>,
    }

    /// What is wrong.
    pub struct ErrorBody {
        /// Of which sort: `overloaded_error`, `rate_limit_error`, `invalid_request_error` ..
        "type" => kind: Option<String>,
        /// In words.
        "message" => message: Option<String>,
        /// More about it, such as `error_code`.
        "details" => details: Option<Raw>,
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
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        Self {
            kind: Some("error".to_owned()),
            error: ErrorBody {
                kind: Some(kind.to_owned()),
                message: Some(message.into()),
                ..ErrorBody::default()
            },
            ..Self::default()
        }
    }

    /// Sets by which the request is known.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }
}
