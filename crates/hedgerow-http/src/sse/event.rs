//! One event.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// One event of a stream: its name, its data and the last id that the stream has set.
///
/// Its parts are slices of the chunk that brought them wherever they arrived in one piece, so an event
/// that is kept keeps its chunk as well.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    pub(super) name: Bytes,
    pub(super) data: Bytes,
    pub(super) id: Bytes,
}

impl Event {
    /// The event's name: `message` if the stream gave none.
    ///
    /// Bytes that are no UTF-8 read as U+FFFD, here and in the other texts.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        if self.name.is_empty() {
            return Cow::Borrowed("message");
        }
        String::from_utf8_lossy(&self.name)
    }

    /// Whether the stream gave the event this name. An unnamed one is a `message`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        if self.name.is_empty() {
            return name == "message";
        }
        self.name == name.as_bytes()
    }

    /// The data as it was sent: its lines, joined by LF.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The data, taken out.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// The data as text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.data)
    }

    /// The id that this event or an earlier one of its stream has set; empty if none did.
    #[must_use]
    pub fn id(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.id)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name())
            .field("data", &self.data)
            .field("id", &self.id())
            .finish()
    }
}
