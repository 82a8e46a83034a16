//! A body of which the first frames were taken already.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

/// The body that an [`AwaitFirstFrameLayer`](crate::AwaitFirstFrameLayer) or an
/// [`AwaitFirstContentLayer`](crate::AwaitFirstContentLayer) hands on: first the frames that were
/// held, as they came, then whatever the original still brings, with its errors and trailers.
pub struct ResumedBody<B: Body> {
    taken: vec::IntoIter<Frame<B::Data>>,
    taken_bytes: u64,
    /// What ended the taking: a frame that is not counted, or an error.
    last: Option<Result<Frame<B::Data>, B::Error>>,
    rest: B,
}

impl<B: Body> ResumedBody<B> {
    /// `taken` frames of so many bytes, then `last`, then `rest`.
    pub(crate) fn new(
        taken: Vec<Frame<B::Data>>,
        taken_bytes: u64,
        last: Option<Result<Frame<B::Data>, B::Error>>,
        rest: B,
    ) -> Self {
        Self {
            taken: taken.into_iter(),
            taken_bytes,
            last,
            rest,
        }
    }

    /// `rest` as it is.
    #[must_use]
    pub fn untouched(rest: B) -> Self {
        Self::new(Vec::new(), 0, None, rest)
    }

    /// The original, if nothing taken from it is left.
    #[expect(
        clippy::result_large_err,
        reason = "what cannot be taken apart comes back, as from `Arc::try_unwrap`"
    )]
    pub(crate) fn into_inner(self) -> Result<B, Self> {
        if self.taken.len() == 0 && self.last.is_none() {
            Ok(self.rest)
        } else {
            Err(self)
        }
    }
}

impl<B: Body + Unpin> ResumedBody<ResumedBody<B>> {
    /// One body instead of two around one another, with the same frames.
    #[must_use]
    pub fn flatten(self) -> ResumedBody<B> {
        let inner = self.rest;
        let mut taken: Vec<_> = self.taken.collect();
        let mut last = None;
        match self.last {
            Some(Ok(frame)) => taken.push(frame),
            // Nothing comes behind an error.
            Some(Err(error)) => last = Some(Err(error)),
            None => {}
        }
        if last.is_none() {
            taken.extend(inner.taken);
            last = inner.last;
        }
        let bytes = taken.iter().map(data_len).sum();
        ResumedBody::new(taken, bytes, last, inner.rest)
    }
}

/// The bytes of data in a frame.
pub(crate) fn data_len<D: Buf>(frame: &Frame<D>) -> u64 {
    frame.data_ref().map_or(0, |data| data.remaining() as u64)
}

impl<B: Body + Unpin> Body for ResumedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if let Some(frame) = self.taken.next() {
            self.taken_bytes -= data_len(&frame);
            if self.taken.len() == 0 {
                // The room for what was held is not kept for as long as the rest takes.
                self.taken = Vec::new().into_iter();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(last) = self.last.take() {
            return Poll::Ready(Some(last));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.taken.len() == 0 && self.last.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut there = self.taken_bytes;
        if let Some(Ok(frame)) = &self.last {
            there += data_len(frame);
        }
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(there));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(there)) {
            hint.set_upper(upper);
        }
        hint
    }
}

/// Only the original body is ever polled in place.
impl<B: Body + Unpin> Unpin for ResumedBody<B> {}

impl<B: Body> fmt::Debug for ResumedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumedBody")
            .field("taken_bytes", &self.taken_bytes)
            .finish_non_exhaustive()
    }
}
