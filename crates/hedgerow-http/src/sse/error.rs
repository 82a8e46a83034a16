//! Why a stream of events is read no further.

use thiserror::Error;

/// A stream holds more than a reader may keep.
///
/// Nothing of the stream can be trusted after it: the reader gives the same error from then on, and
/// has let go of everything it had kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SseError {
    /// A line does not end within the limit.
    #[error("a line of the event stream is longer than {max_bytes} bytes")]
    LineTooLong {
        /// The longest line that is read.
        max_bytes: usize,
    },
    /// The data of an event exceeds the limit.
    #[error("the data of an event exceeds {max_bytes} bytes")]
    EventTooLarge {
        /// The most data that one event may have.
        max_bytes: usize,
    },
}

/// Why [`Events`](super::Events) ended before its stream did.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventsError<E> {
    /// The body broke.
    #[error("the event stream broke")]
    Body(#[source] E),
    /// A line or an event is too large.
    #[error(transparent)]
    Sse(#[from] SseError),
}
