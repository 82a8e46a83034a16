//! What a row was answered.

use bytes::Bytes;
use http::StatusCode;

/// What a row was answered: its own status, and its body byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowAnswer {
    status: StatusCode,
    request_id: Option<Box<str>>,
    batch_id: Option<Box<str>>,
    body: Bytes,
}

impl RowAnswer {
    /// `None` if the status is not one of HTTP's.
    pub(super) fn new(status: u16, request_id: Option<String>, body: Bytes) -> Option<Self> {
        Some(Self {
            status: StatusCode::from_u16(status).ok()?,
            request_id: request_id.map(Into::into),
            batch_id: None,
            body,
        })
    }

    pub(super) fn of_batch(mut self, batch_id: &str) -> Self {
        self.batch_id = Some(batch_id.into());
        self
    }

    /// The row's own status: 400 if it was at fault, whatever became of the others.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// By which the provider knows the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The batch in which it was answered; `None` if it was sent by itself.
    #[must_use]
    pub fn batch_id(&self) -> Option<&str> {
        self.batch_id.as_deref()
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body alone.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }
}
