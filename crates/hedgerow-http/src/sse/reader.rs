//! Lines made into events.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::error::SseError;
use super::event::Event;
use super::lines::Lines;

const MAX_LINE_BYTES: usize = 8 << 20;
const MAX_EVENT_BYTES: usize = 16 << 20;

/// Reads events from chunks that are cut anywhere.
///
/// The caller keeps the chunk and calls [`read`](Self::read) until it is empty; nothing but a line or
/// an event that has not ended is kept in between.
///
/// # Units
///
/// Lines of up to 8 MiB and events of up to 16 MiB of data are read, unless told otherwise.
///
/// # Errors
///
/// [`SseError`], when a limit is exceeded. The reader says the same from then on.
///
/// # Cost
///
/// Each byte is looked at once and copied at most twice, however the stream is cut. A line that
/// arrives in one chunk is not copied, and an event whose data is one such line allocates nothing.
/// Memory: a line, an event's data, a name and an id, each within the limits, and the chunks they are
/// slices of.
#[derive(Clone, Debug)]
pub struct Reader {
    lines: Lines,
    max_event: usize,
    data: Data,
    name: Bytes,
    id: Bytes,
    retry: Option<Duration>,
    failed: Option<SseError>,
}

/// The data of an event that has not ended.
#[derive(Clone, Debug)]
enum Data {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Reader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lines: Lines::new(MAX_LINE_BYTES),
            max_event: MAX_EVENT_BYTES,
            data: Data::None,
            name: Bytes::new(),
            id: Bytes::new(),
            retry: None,
            failed: None,
        }
    }

    /// Refuses lines, comments included, of more than `max` bytes. Defaults to 8 MiB.
    #[must_use]
    pub const fn max_line_bytes(mut self, max: usize) -> Self {
        self.lines.max = max;
        self
    }

    /// Refuses events with more than `max` bytes of data. Defaults to 16 MiB.
    #[must_use]
    pub const fn max_event_bytes(mut self, max: usize) -> Self {
        self.max_event = max;
        self
    }

    /// Takes the next event out of `chunk`. `None` means that all of the chunk was taken and the next
    /// one is wanted.
    ///
    /// # Errors
    ///
    /// [`SseError`], if a line or an event exceeds its limit, and ever after.
    pub fn read(&mut self, chunk: &mut Bytes) -> Result<Option<Event>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            let line = match self.lines.next(chunk) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(_) => {
                    let max_bytes = self.lines.max;
                    return Err(self.fail(SseError::LineTooLong { max_bytes }));
                }
            };
            if !line.is_empty() {
                self.take_line(&line)?;
            } else if let Some(event) = self.dispatch() {
                return Ok(Some(event));
            }
        }
    }

    /// Whether a line or an event has begun and not ended: at the end of a stream, that it was cut
    /// off, or that its server left the last empty line out.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.lines.has_begun() || !matches!(self.data, Data::None) || !self.name.is_empty()
    }

    /// What would be the next event if its line and the event ended here.
    ///
    /// To the format it is none, and [`Events`](super::Events) leaves it out: its data may be cut
    /// anywhere. For servers that leave out the last empty line.
    ///
    /// # Errors
    ///
    /// [`SseError`], if it exceeds a limit.
    pub fn finish(&mut self) -> Result<Option<Event>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let line = self.lines.take_begun();
        if !line.is_empty() {
            self.take_line(&line)?;
        }
        Ok(self.dispatch())
    }

    /// How long the stream wants its reader to wait before it connects again, by its last `retry`
    /// field.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// What to send as `Last-Event-ID` when connecting again: the id of the last event that was read,
    /// or one that was set since; empty if there is none.
    #[must_use]
    pub const fn last_event_id(&self) -> &Bytes {
        &self.id
    }

    fn take_line(&mut self, line: &Bytes) -> Result<(), SseError> {
        let (field, value) = match memchr::memchr(b':', line) {
            None => (&line[..], Bytes::new()),
            Some(colon) => {
                let spaced = line.get(colon + 1) == Some(&b' ');
                let value = line.slice(colon + 1 + usize::from(spaced)..);
                (&line[..colon], value)
            }
        };
        match field {
            b"data" => return self.add_data(value),
            b"event" => self.name = value,
            b"id" if !value.contains(&0) => self.id = value,
            b"retry" => self.retry = milliseconds(&value).or(self.retry),
            // Comments, which have no name, and fields that mean nothing here.
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, value: Bytes) -> Result<(), SseError> {
        let there = match &self.data {
            Data::None => 0,
            Data::One(line) => line.len() + 1,
            Data::Many(lines) => lines.len() + 1,
        };
        if there + value.len() > self.max_event {
            let max_bytes = self.max_event;
            return Err(self.fail(SseError::EventTooLarge { max_bytes }));
        }
        self.data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => Data::One(value),
            Data::One(first) => Data::Many(joined(BytesMut::from(&first[..]), &value)),
            Data::Many(lines) => Data::Many(joined(lines, &value)),
        };
        Ok(())
    }

    /// The event that an empty line ends; without data it was none.
    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => return None,
            Data::One(line) => line,
            Data::Many(lines) => lines.freeze(),
        };
        let id = self.id.clone();
        Some(Event { name, data, id })
    }

    #[cold]
    fn fail(&mut self, error: SseError) -> SseError {
        self.failed = Some(error);
        self.lines.clear();
        self.data = Data::None;
        self.name = Bytes::new();
        error
    }
}

fn joined(mut lines: BytesMut, more: &[u8]) -> BytesMut {
    lines.reserve(more.len() + 1);
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(more);
    lines
}

/// Digits and nothing else.
fn milliseconds(value: &[u8]) -> Option<Duration> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    text.parse().ok().map(Duration::from_millis)
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}
