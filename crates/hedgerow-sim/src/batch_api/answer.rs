//! A row, and what it is answered.

use bytes::{BufMut, Bytes, BytesMut};
use http::{Response, StatusCode};
use serde_json::json;

use super::body::ApiBody;
use super::echo;
use super::refuse::Refusal;

/// A row of a batch, or a call of a synchronous endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub(super) custom_id: &'a str,
    pub(super) url: &'a str,
    pub(super) body: &'a str,
    pub(super) batch: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// Its `custom_id`; empty for a call of a synchronous endpoint.
    #[must_use]
    pub fn custom_id(&self) -> &'a str {
        self.custom_id
    }

    /// The path of its endpoint, such as `/v1/embeddings`.
    #[must_use]
    pub fn url(&self) -> &'a str {
        self.url
    }

    /// Its body, as it was sent.
    #[must_use]
    pub fn body(&self) -> &'a str {
        self.body
    }

    /// The batch it is in; none for a call of a synchronous endpoint.
    #[must_use]
    pub fn batch(&self) -> Option<&'a str> {
        self.batch
    }
}

/// What a row is answered, and how that stands in the files.
///
/// A row with a status below 400 stands in the output file, any other one in the error file, as
/// OpenAI has it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) kind: Kind,
    copies: u32,
    junk_before: Option<Bytes>,
    unknown_fields: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Response { status: u16, body: Bytes },
    Error { code: String, message: String },
    NullResponse,
    NullBody,
    NullId { body: Bytes },
    Line(Bytes),
    Missing,
}

/// In which file a line stands, and whether its row counts as completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Output,
    Errors,
}

impl Answer {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            copies: 1,
            junk_before: None,
            unknown_fields: false,
        }
    }

    /// The status and the body, byte for byte; a body that is JSON in one line makes a sound row.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::of(Kind::Response { status, body })
    }

    /// What a model would say that repeats its input, in the form of the row's endpoint. Any other
    /// endpoint gets its own request back.
    #[must_use]
    pub fn echo(row: &Row<'_>) -> Self {
        Self::new(200, echo::body(row))
    }

    /// A status with OpenAI's envelope of an error.
    #[must_use]
    pub fn refusal(status: u16, message: &str) -> Self {
        let kind = match status {
            429 => "rate_limit_exceeded",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let body =
            json!({"error": {"message": message, "type": kind, "param": null, "code": null}});
        Self::new(status, body.to_string())
    }

    /// No response, but an error of the batch's own, such as `batch_expired`.
    #[must_use]
    pub fn error(code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self::of(Kind::Error { code, message })
    }

    /// No line at all.
    #[must_use]
    pub fn missing() -> Self {
        Self::of(Kind::Missing)
    }

    /// A line whose `response` and `error` are both null.
    #[must_use]
    pub fn null_response() -> Self {
        Self::of(Kind::NullResponse)
    }

    /// A line with status 200 whose `body` is null.
    #[must_use]
    pub fn null_body() -> Self {
        Self::of(Kind::NullBody)
    }

    /// A line with status 200 whose `custom_id` is null.
    #[must_use]
    pub fn null_id(body: impl Into<Bytes>) -> Self {
        Self::of(Kind::NullId { body: body.into() })
    }

    /// These bytes as a line of the output file, in place of the row's.
    #[must_use]
    pub fn line(line: impl Into<Bytes>) -> Self {
        Self::of(Kind::Line(line.into()))
    }

    /// The line stands there twice.
    #[must_use]
    pub fn twice(mut self) -> Self {
        self.copies = 2;
        self
    }

    /// A line of these bytes stands before it.
    #[must_use]
    pub fn after_junk(mut self, junk: impl Into<Bytes>) -> Self {
        self.junk_before = Some(junk.into());
        self
    }

    /// The line has fields nobody has heard of, at every level.
    #[must_use]
    pub fn with_unknown_fields(mut self) -> Self {
        self.unknown_fields = true;
        self
    }

    pub(super) fn place(&self) -> Place {
        match &self.kind {
            Kind::Response { status: 400.., .. } | Kind::Error { .. } => Place::Errors,
            _ => Place::Output,
        }
    }

    /// As the answer of a synchronous endpoint.
    pub(super) fn direct(self) -> Result<Response<ApiBody>, Refusal> {
        match self.kind {
            Kind::Response { status, body } => {
                let mut answer = ApiBody::json_bytes(body);
                *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
                Ok(answer)
            }
            Kind::NullId { body } | Kind::Line(body) => Ok(ApiBody::json_bytes(body)),
            Kind::NullBody | Kind::NullResponse => Ok(ApiBody::json_bytes("null")),
            Kind::Error { message, .. } => Err(Refusal::new(500, message)),
            Kind::Missing => Err(Refusal::new(500, "there is no answer")),
        }
    }

    /// Writes the lines of a row; `number` makes the ids that are the API's own.
    pub(super) fn write(&self, custom_id: &str, number: u64, out: &mut BytesMut) {
        if let Some(junk) = &self.junk_before {
            out.put_slice(junk);
            out.put_u8(b'\n');
        }
        for _ in 0..self.copies {
            if self.write_line(custom_id, number, out) {
                out.put_u8(b'\n');
            }
        }
    }

    /// Whether there is a line.
    fn write_line(&self, custom_id: &str, number: u64, out: &mut BytesMut) -> bool {
        let id = serde_json::Value::from(custom_id).to_string();
        let unknown = if self.unknown_fields {
            r#""x_unknown":{"a":[1,null,"b"]},"#
        } else {
            ""
        };
        let response = |status: u16, body: &[u8], id: &str, out: &mut BytesMut| {
            let head = format!(
                r#"{{"id":"batch_req_{number}",{unknown}"custom_id":{id},"response":{{"status_code":{status},{unknown}"request_id":"req_{number}","body":"#
            );
            out.put_slice(head.as_bytes());
            out.put_slice(body);
            out.put_slice(br#"},"error":null}"#);
        };
        let without = |error: &str, out: &mut BytesMut| {
            let line = format!(
                r#"{{"id":"batch_req_{number}",{unknown}"custom_id":{id},"response":null,"error":{error}}}"#
            );
            out.put_slice(line.as_bytes());
        };
        match &self.kind {
            Kind::Response { status, body } => response(*status, body, &id, out),
            Kind::NullBody => response(200, b"null", &id, out),
            Kind::NullId { body } => response(200, body, "null", out),
            Kind::NullResponse => without("null", out),
            Kind::Error { code, message } => {
                without(&json!({"code": code, "message": message}).to_string(), out);
            }
            Kind::Line(line) => out.put_slice(line),
            Kind::Missing => return false,
        }
        true
    }
}
