//! A stream of bytes, cut anywhere, as lines.

use bytes::{Buf, Bytes, BytesMut};

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Finds the lines of a stream. A byte is looked at once, however small the chunks are.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    /// What earlier chunks brought of a line that has not ended.
    begun: BytesMut,
    /// A CR ended the last line: an LF that follows belongs to it.
    after_cr: bool,
    mark: Mark,
    pub(super) max: usize,
}

/// How much of a byte order mark the stream has begun with.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Matched(usize),
    Settled,
}

/// A line is longer than it may be.
#[derive(Debug)]
pub(super) struct TooLong;

impl Lines {
    pub(super) fn new(max: usize) -> Self {
        Self {
            begun: BytesMut::new(),
            after_cr: false,
            mark: Mark::Matched(0),
            max,
        }
    }

    /// Takes the next line out of `chunk`, without its end; `None` takes all of the chunk.
    pub(super) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, TooLong> {
        if let Mark::Matched(matched) = self.mark {
            self.skip_mark(matched, chunk);
        }
        if self.after_cr && chunk.has_remaining() {
            self.after_cr = false;
            if chunk[0] == b'\n' {
                chunk.advance(1);
            }
        }
        let end = memchr::memchr2(b'\n', b'\r', chunk);
        if self.begun.len() + end.unwrap_or(chunk.len()) > self.max {
            return Err(TooLong);
        }
        let Some(end) = end else {
            self.begun.extend_from_slice(chunk);
            chunk.clear();
            return Ok(None);
        };
        let piece = chunk.split_to(end);
        self.after_cr = chunk.get_u8() == b'\r';
        if self.begun.is_empty() {
            return Ok(Some(piece));
        }
        self.begun.extend_from_slice(&piece);
        Ok(Some(self.take_begun()))
    }

    fn skip_mark(&mut self, mut matched: usize, chunk: &mut Bytes) {
        while matched < BYTE_ORDER_MARK.len() {
            match chunk.first() {
                None => {
                    self.mark = Mark::Matched(matched);
                    return;
                }
                Some(&byte) if byte == BYTE_ORDER_MARK[matched] => {
                    chunk.advance(1);
                    matched += 1;
                }
                Some(_) => {
                    // It was none: what looked like it is the begin of the first line.
                    self.begun.extend_from_slice(&BYTE_ORDER_MARK[..matched]);
                    break;
                }
            }
        }
        self.mark = Mark::Settled;
    }

    /// Whether a line has begun and not ended.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty() || matches!(self.mark, Mark::Matched(1..))
    }

    /// The line that has not ended.
    pub(super) fn take_begun(&mut self) -> Bytes {
        std::mem::take(&mut self.begun).freeze()
    }

    /// Lets go of what is kept.
    pub(super) fn clear(&mut self) {
        self.begun = BytesMut::new();
    }
}
