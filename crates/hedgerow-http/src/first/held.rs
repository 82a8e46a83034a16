//! What is held of an answer, until something has come of it.

use bytes::{Buf, Bytes};
use hedgerow_core::{Class, GrpcJudge};
use http_body::{Body, Frame};

use super::event::{Awaited, HeldStream};
use super::seen::{Seen, StreamFormat};
use crate::resumed::{ResumedBody, data_len};
use crate::sse::Reader;

/// Each frame costs memory of its own, however small it is.
const MAX_FRAMES: u32 = 4_096;

/// How much may be held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) events: u32,
    pub(super) bytes: u64,
}

/// The frames that have come, and what is looked for in them.
pub(super) struct Held<D, F> {
    frames: Vec<Frame<D>>,
    pub(super) told: HeldStream,
    caps: Caps,
    /// `None` if any frame will do.
    events: Option<Box<Watch<F>>>,
}

/// Boxed, so that the future of an answer that is no stream of events is not larger for it.
struct Watch<F> {
    reader: Reader,
    format: F,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    HoldOn,
    HandOn(Awaited),
    /// Handed on as well, with this mark.
    Refused(Class),
    /// It has ended, or is about to, with nothing in it.
    Empty,
}

impl<D, F> Held<D, F>
where
    D: Buf + Clone,
    F: StreamFormat,
{
    pub(super) fn new(caps: Caps, format: Option<F>) -> Self {
        let events = format.map(|format| {
            // What is longer than may be held is handed on before.
            Box::new(Watch {
                reader: Reader::new(),
                format,
            })
        });
        Self {
            frames: Vec::new(),
            told: HeldStream::default(),
            caps,
            events,
        }
    }

    /// Takes a frame, and says what becomes of the answer.
    pub(super) fn take(&mut self, frame: Frame<D>) -> Fate {
        self.told.frames += 1;
        self.told.bytes += data_len(&frame);
        let fate = self.look_at(&frame);
        self.frames.push(frame);
        let full = self.told.bytes > self.caps.bytes
            || self.told.events >= self.caps.events
            || self.told.frames >= MAX_FRAMES;
        match fate {
            Fate::HoldOn if full => Fate::HandOn(Awaited::Full),
            fate => fate,
        }
    }

    fn look_at(&mut self, frame: &Frame<D>) -> Fate {
        let Some(data) = frame.data_ref() else {
            return self.look_at_trailers(frame);
        };
        if !data.has_remaining() {
            return Fate::HoldOn;
        }
        let Some(watch) = &mut self.events else {
            return Fate::HandOn(Awaited::Content);
        };
        // Of `Bytes` no copy is made.
        let mut data = data.clone();
        let mut chunk: Bytes = data.copy_to_bytes(data.remaining());
        loop {
            match watch.reader.read(&mut chunk) {
                Ok(Some(event)) => match watch.format.see(&event) {
                    Seen::Preamble => self.told.events += 1,
                    Seen::Content => return Fate::HandOn(Awaited::Content),
                    Seen::Failed(class) => return Fate::Refused(class),
                },
                Ok(None) => return Fate::HoldOn,
                // Larger than anything that may be held.
                Err(_) => return Fate::HandOn(Awaited::Full),
            }
            if self.told.events >= self.caps.events {
                return Fate::HandOn(Awaited::Full);
            }
        }
    }

    /// Trailers in the place of a first frame: a gRPC call that failed says so in them.
    fn look_at_trailers(&self, frame: &Frame<D>) -> Fate {
        match frame.trailers_ref() {
            Some(trailers) => match GrpcJudge::status_of(trailers) {
                Some(class) => Fate::Refused(class),
                None => self.ended(),
            },
            // A kind of frame that is not known yet.
            None => Fate::HandOn(Awaited::Content),
        }
    }

    /// What becomes of an answer that has ended.
    pub(super) fn ended(&self) -> Fate {
        if self.events.is_some() {
            Fate::Empty
        } else {
            Fate::HandOn(Awaited::End)
        }
    }

    /// The whole body: what was held, and what is still to come.
    pub(super) fn resume<B: Body<Data = D>>(self, rest: B) -> ResumedBody<B> {
        ResumedBody::new(self.frames, self.told.bytes, None, rest)
    }
}
