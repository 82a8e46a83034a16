//! What happens to requests.

use std::time::Duration;

use bytes::Bytes;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum On {
    /// `POST /v1/files`.
    Upload,
    /// `GET /v1/files/{id}`, and the list of files.
    File,
    /// `GET /v1/files/{id}/content`.
    Download,
    /// `DELETE /v1/files/{id}`.
    Delete,
    /// `POST /v1/batches`.
    Create,
    /// `GET /v1/batches/{id}`.
    Poll,
    /// `GET /v1/batches`.
    List,
    /// `POST /v1/batches/{id}/cancel`.
    Cancel,
    /// A synchronous endpoint, such as `/v1/chat/completions`.
    Direct,
    /// The models.
    Models,
}

/// Something that happens to the requests it is for, once unless it is told otherwise.
///
/// Of the faults that are for a request, the one that was added first and still has to happen does.
#[derive(Clone, Debug)]
pub struct Fault {
    on: On,
    model: Option<String>,
    endpoint: Option<String>,
    skip: u32,
    times: Option<u32>,
    pub(super) deed: Deed,
}

#[derive(Clone, Debug)]
pub(super) enum Deed {
    Refuse {
        status: u16,
        retry_after: Option<Duration>,
        message: Option<String>,
    },
    Stall(Option<Duration>),
    Body(Bytes),
    Cut(u64),
    HangUpBefore,
    HangUpAfter,
}

impl Fault {
    /// A fault of such requests: a 500, until it is told what else.
    #[must_use]
    pub fn on(on: On) -> Self {
        Self {
            on,
            model: None,
            endpoint: None,
            skip: 0,
            times: Some(1),
            deed: Deed::Refuse {
                status: 500,
                retry_after: None,
                message: None,
            },
        }
    }

    fn deed(mut self, deed: Deed) -> Self {
        self.deed = deed;
        self
    }

    /// They are refused with this status, and change nothing.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.deed(Deed::Refuse {
            status,
            retry_after: None,
            message: None,
        })
    }

    /// The refusal says when to come back: `Retry-After` in whole seconds, rounded up, and
    /// `retry-after-ms` as it is.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        if let Deed::Refuse { retry_after, .. } = &mut self.deed {
            *retry_after = Some(time);
        }
        self
    }

    /// The refusal says this.
    #[must_use]
    pub fn message(mut self, text: &str) -> Self {
        if let Deed::Refuse { message, .. } = &mut self.deed {
            *message = Some(text.to_owned());
        }
        self
    }

    /// They are answered that much later.
    #[must_use]
    pub fn stall(self, time: Duration) -> Self {
        self.deed(Deed::Stall(Some(time)))
    }

    /// They are never answered, and change nothing.
    #[must_use]
    pub fn hang(self) -> Self {
        self.deed(Deed::Stall(None))
    }

    /// They have their effect, but are answered 200 with these bytes.
    #[must_use]
    pub fn answered_with(self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.deed(Deed::Body(body))
    }

    /// The connection breaks after so many bytes of the answer's body.
    #[must_use]
    pub fn cut_after(self, bytes: u64) -> Self {
        self.deed(Deed::Cut(bytes))
    }

    /// The connection breaks without an answer, and nothing was changed.
    #[must_use]
    pub fn hang_up_before(self) -> Self {
        self.deed(Deed::HangUpBefore)
    }

    /// They have their effect, and the connection breaks without an answer.
    #[must_use]
    pub fn hang_up_after(self) -> Self {
        self.deed(Deed::HangUpAfter)
    }

    /// Only those about this model.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// Only those about this endpoint, such as `/v1/embeddings`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = Some(endpoint.to_owned());
        self
    }

    /// The first `n` of them are spared.
    #[must_use]
    pub fn skip(mut self, n: u32) -> Self {
        self.skip = n;
        self
    }

    /// It happens to `n` of them.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.times = Some(n);
        self
    }

    /// It happens to all of them.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Whether it happens to this request, which is then booked.
    fn happens(&mut self, on: On, about: About<'_>) -> bool {
        let fits = |wanted: &Option<String>, got: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == got
        };
        if self.on != on
            || self.times == Some(0)
            || !fits(&self.model, about.model)
            || !fits(&self.endpoint, about.endpoint)
        {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

/// What a request is about, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About<'a> {
    pub(super) model: Option<&'a str>,
    pub(super) endpoint: Option<&'a str>,
}

/// The deed that is due for a request.
pub(super) fn due(faults: &mut [Fault], on: On, about: About<'_>) -> Option<Deed> {
    faults
        .iter_mut()
        .find_map(|fault| fault.happens(on, about).then(|| fault.deed.clone()))
}
