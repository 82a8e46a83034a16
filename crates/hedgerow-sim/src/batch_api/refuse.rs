//! Refusals, in OpenAI's envelope.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use serde_json::json;

use super::body::ApiBody;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    code: Option<&'static str>,
    param: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            message: message.into(),
            code: None,
            param: None,
            retry_after: None,
        }
    }

    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        let mut refusal = Self::new(400, message);
        refusal.param = Some(param);
        refusal
    }

    /// What a fault refuses with.
    pub(super) fn scripted(
        status: u16,
        message: Option<&str>,
        retry_after: Option<Duration>,
    ) -> Self {
        let mut refusal = Self::new(status, message.unwrap_or("as the script says"));
        refusal.retry_after = retry_after;
        if status == 429 {
            refusal.code = Some("rate_limit_exceeded");
        }
        refusal
    }

    pub(super) fn no_file(id: &str) -> Self {
        Self::new(404, format!("No such File object: {id}"))
    }

    pub(super) fn no_batch(id: &str) -> Self {
        Self::new(404, format!("No batch found with id '{id}'."))
    }

    pub(super) fn unknown_url(method: &Method, uri: &Uri) -> Self {
        let path = uri.path();
        Self::new(404, format!("Invalid URL ({method} {path})")).code("unknown_url")
    }

    /// The mock itself could not go on.
    pub(super) fn broken(error: &dyn std::fmt::Display) -> Self {
        Self::new(500, format!("the mock could not go on: {error}"))
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(super) fn answer(&self) -> Response<ApiBody> {
        let kind = match self.status.as_u16() {
            429 => "requests",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let error = json!({
            "message": self.message, "type": kind, "param": self.param, "code": self.code,
        });
        let mut answer = ApiBody::json(&json!({ "error": error }));
        *answer.status_mut() = self.status;
        if let Some(time) = self.retry_after {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let headers = answer.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
        }
        answer
    }
}
