//! What the layers tell their recorder.

use std::time::Duration;

use hedgerow_core::Class;

/// What became of an answer that was held until something came of it.
///
/// Answers that are not held (those that are no success, or have no body) tell nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstEvent {
    /// It was handed on, and from now on passes through.
    Committed(HeldStream, Awaited),
    /// Its stream began with an error: it was handed on with that mark.
    Refused(HeldStream, Class),
    /// It broke or ended before its first content, and was given up.
    Broken(HeldStream),
    /// Its caller left before that.
    Cancelled(HeldStream),
}

/// What was held of an answer, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldStream {
    /// From the head of the answer until it was handed on or given up.
    pub waited: Duration,
    /// Whole events, if it was read as a stream of events.
    pub events: u32,
    /// Frames, empty ones too.
    pub frames: u32,
    /// Bytes of data.
    pub bytes: u64,
}

/// Why an answer is held no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Awaited {
    /// What was waited for has come: a frame, or content.
    Content,
    /// As much is held as may be held.
    Full,
    /// It has ended, and was not waited on for events.
    End,
}

impl Awaited {
    /// One word, for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Full => "full",
            Self::End => "end",
        }
    }
}
