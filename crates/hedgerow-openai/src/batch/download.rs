//! A file of answers, line by line.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use thiserror::Error;

use super::api::{BatchApi, ResponseBody, next_piece};
use crate::error::CallError;

/// The content of a file, from a line on.
pub(super) struct Download {
    body: ResponseBody,
    held: BytesMut,
    /// How much of `held` has been looked at.
    looked: usize,
    received: u64,
    /// How many lines stand before the next one in the file.
    at: u64,
    /// Inside of a line that is too long, of which the rest is skipped.
    skipping: bool,
    ended: bool,
    /// The last line has no end: it may be a part of one.
    unended: bool,
    max_line: usize,
    pub(super) part: Part,
}

/// What the head of an answer says of a file that may still grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// More lines will come: `X-Incomplete`.
    pub(super) incomplete: bool,
    /// How many lines there are, as the API counts them: `X-Last-Line`.
    pub(super) last_line: Option<u64>,
}

impl Part {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok();
        Self {
            incomplete: text("x-incomplete").is_some_and(|word| word.eq_ignore_ascii_case("true")),
            last_line: text("x-last-line").and_then(|number| number.parse().ok()),
        }
    }
}

impl Download {
    /// Asks for the lines behind `offset`. An API that does not know of offsets begins at the first one.
    pub(super) async fn open(api: &BatchApi, file: &str, offset: u64) -> Result<Self, CallError> {
        let (parts, body) = api.content(file, offset).await?.into_parts();
        let part = Part::of(&parts.headers);
        let knows_offsets = part.incomplete || part.last_line.is_some();
        Ok(Self {
            body,
            held: BytesMut::new(),
            looked: 0,
            received: 0,
            at: if knows_offsets { offset } else { 0 },
            skipping: false,
            ended: false,
            unended: false,
            max_line: api.settings().max_body_bytes,
            part,
        })
    }

    /// How many whole lines have been read, with those that were skipped by the offset.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// The error that a last line is which has no end and makes no sense: the rest of it is missing.
    pub(super) fn cut(&mut self) -> Option<CallError> {
        self.unended.then(|| {
            self.at -= 1;
            CallError::Body {
                received: self.received,
                source: WithinLine.into(),
            }
        })
    }

    /// The next line. A line that is longer than a body may be is left out.
    pub(super) async fn next(&mut self, api: &BatchApi) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(end) = memchr_newline(&self.held[self.looked..]) {
                let line = self.held.split_to(self.looked + end + 1);
                self.looked = 0;
                self.at += 1;
                if std::mem::take(&mut self.skipping) || line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(line.freeze()));
            }
            self.looked = self.held.len();
            if self.skipping || self.held.len() > self.max_line {
                self.skipping = true;
                self.held.clear();
                self.looked = 0;
            }
            if self.ended {
                return Ok(None);
            }
            match next_piece(&mut self.body, api.silence(), self.received).await? {
                Some(piece) => {
                    self.received += piece.len() as u64;
                    self.held.extend_from_slice(&piece);
                }
                None => {
                    self.ended = true;
                    if self.held.is_empty() || self.skipping {
                        return Ok(None);
                    }
                    self.unended = true;
                    self.held.extend_from_slice(b"\n");
                }
            }
        }
    }
}

/// A file ends within a line.
#[derive(Clone, Copy, Debug, Error)]
#[error("it ends within a line")]
pub(super) struct WithinLine;

/// Whether a file was there but for the rest of its last line.
pub(super) fn ends_within_line(error: &CallError) -> bool {
    matches!(error, CallError::Body { source, .. } if source.is::<WithinLine>())
}

fn memchr_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}
