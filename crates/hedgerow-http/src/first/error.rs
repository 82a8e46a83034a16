//! A stream that came to nothing.

use std::error::Error;
use std::fmt;

use hedgerow_core::BoxError;

/// A stream broke, or ended, before there was any content in it: nothing of it has been handed on.
///
/// Its source is the body's own error; there is none if the body just ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamBroken {
    /// The events that had come.
    pub events: u32,
    /// The bytes that had come.
    pub bytes: u64,
    pub(super) source: Option<BoxError>,
}

impl fmt::Display for StreamBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, bytes, .. } = self;
        let how = if self.source.is_some() {
            "broke"
        } else {
            "ended"
        };
        write!(
            f,
            "the answer {how} before its first content ({events} events, {bytes} bytes)"
        )
    }
}

impl Error for StreamBroken {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| &**error as _)
    }
}
