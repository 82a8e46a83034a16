//! What is waited for in an answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hedgerow_core::Class;
use http::{Uri, response};

use crate::sse::Event;

/// What an event of a stream is to the call that waits for the first content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It says nothing yet: the stream begins, a ping, a role.
    Preamble,
    /// The first content, or a proper end without any: the answer is handed on.
    Content,
    /// The stream says that the call has failed, and what another attempt is worth.
    Failed(Class),
}

/// What is waited for in an answer, told from the path that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<F> {
    /// The first frame of any answer.
    Frame,
    /// In a stream of events the first content of this format; in any other answer the first frame.
    Content(F),
}

/// Which format of events a layer waits for.
///
/// Implemented for functions from `&`[`Event`] to [`Seen`], for [`FirstFrame`], and with the feature
/// `llm` for `KnownFormat` and `ByPath`.
pub trait StreamFormat: Clone {
    /// What is waited for in the answer to a request for `uri`.
    fn wanted(&self, uri: &Uri) -> Wanted<Self> {
        let _ = uri;
        Wanted::Content(self.clone())
    }

    /// What an event is.
    fn see(&self, event: &Event) -> Seen;
}

/// Waits for no content: any frame will do.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstFrame;

impl StreamFormat for FirstFrame {
    #[inline]
    fn wanted(&self, _: &Uri) -> Wanted<Self> {
        Wanted::Frame
    }

    fn see(&self, _: &Event) -> Seen {
        Seen::Content
    }
}

/// One that panics has seen content, so that an answer is never withheld for it.
impl<F> StreamFormat for F
where
    F: Fn(&Event) -> Seen + Clone,
{
    fn see(&self, event: &Event) -> Seen {
        // The panic hook has reported it.
        catch_unwind(AssertUnwindSafe(|| self(event))).unwrap_or(Seen::Content)
    }
}

/// Whether an answer is a stream of events.
pub(super) fn is_event_stream(head: &response::Parts) -> bool {
    const NAME: &str = "text/event-stream";
    let Some(kind) = head.headers.get(http::header::CONTENT_TYPE) else {
        return false;
    };
    let kind = kind.as_bytes();
    let named = kind.get(..NAME.len());
    let ends = matches!(kind.get(NAME.len()), None | Some(b';' | b' ' | b'\t'));
    // What is compressed cannot be looked into.
    let plain = !head.headers.contains_key(http::header::CONTENT_ENCODING);
    ends && plain && named.is_some_and(|named| named.eq_ignore_ascii_case(NAME.as_bytes()))
}
