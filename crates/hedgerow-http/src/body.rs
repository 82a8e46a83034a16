//! A body that several attempts can read, or one that passes through.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hedgerow_core::{BodyBytes, ReplayBody};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::resumed::{ResumedBody, data_len};

/// More frames than this are not kept, however small they are: each costs memory of its own.
const MAX_FRAMES: usize = 1_024;

/// The body that a [`ReplayBodyLayer`](crate::ReplayBodyLayer) hands to its inner service.
///
/// Either its frames are all there and shared, and then [`ReplayBody`] makes as many copies as are
/// wanted, each of which is read from the start by itself; or it passes through: first the frames
/// that were taken from the original, then whatever the original still brings, with its errors. A
/// body that passes through has no copy, so its request is sent once.
///
/// The type of the original body stays inside; nothing is boxed.
pub struct ReplayableBody<B: Body> {
    state: State<B>,
}

enum State<B: Body> {
    Shared(Cursor<B::Data>),
    Passing(ResumedBody<B>),
}

/// One reader of the shared frames. No frames at all need no allocation.
struct Cursor<D> {
    kept: Option<Arc<Kept<D>>>,
    next: usize,
    left: u64,
}

/// A whole body.
struct Kept<D> {
    frames: Vec<Piece<D>>,
    bytes: u64,
    exact: bool,
}

#[derive(Clone)]
enum Piece<D> {
    Data(D),
    Trailers(HeaderMap),
}

/// What became of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Shared,
    TooLarge,
    Streaming,
    Failed,
    NotReplayable,
}

impl<B: Body> ReplayableBody<B> {
    /// Whether copies of this body can be made.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.state, State::Shared(_))
    }

    /// The original body, if nothing has been taken from it.
    ///
    /// # Errors
    ///
    /// This body, if frames of the original have been taken.
    #[expect(
        clippy::result_large_err,
        reason = "what cannot be taken apart comes back, as from `Arc::try_unwrap`"
    )]
    pub fn into_inner(self) -> Result<B, Self> {
        match self.state {
            State::Passing(passing) => passing.into_inner().map_err(|passing| Self {
                state: State::Passing(passing),
            }),
            state @ State::Shared(_) => Err(Self { state }),
        }
    }

    /// `body` as it is: it passes through, unless there is nothing in it at all.
    ///
    /// For what speaks of [`ReplayableBody`] and has no [`ReplayBodyLayer`](crate::ReplayBodyLayer)
    /// outside of it.
    #[must_use]
    pub fn passing_through(body: B) -> Self {
        if body.is_end_stream() {
            let state = State::Shared(Cursor::new(None));
            return Self { state };
        }
        Self::untouched(body)
    }

    /// `body` as it is.
    pub(crate) fn untouched(body: B) -> Self {
        Self {
            state: State::Passing(ResumedBody::untouched(body)),
        }
    }

    fn passing(
        taken: Vec<Piece<B::Data>>,
        taken_bytes: u64,
        last: Option<Result<Frame<B::Data>, B::Error>>,
        rest: B,
    ) -> Self {
        let taken = taken.into_iter().map(Piece::into_frame).collect();
        Self {
            state: State::Passing(ResumedBody::new(taken, taken_bytes, last, rest)),
        }
    }
}

impl<B> ReplayableBody<B>
where
    B: Body + Unpin,
{
    /// Takes what is there of `body`, up to `cap` bytes, without waiting.
    pub(crate) fn take_ready(mut body: B, cap: u64) -> (Self, Fate) {
        let hint = body.size_hint();
        if hint.lower() > cap {
            return (Self::untouched(body), Fate::TooLarge);
        }
        let mut frames = Vec::new();
        let mut bytes = 0;
        let mut cx = Context::from_waker(Waker::noop());
        while !body.is_end_stream() {
            let frame = match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    return (
                        Self::passing(frames, bytes, Some(Err(error)), body),
                        Fate::Failed,
                    );
                }
                Poll::Pending => {
                    return (Self::passing(frames, bytes, None, body), Fate::Streaming);
                }
            };
            let more = data_len(&frame);
            if more > cap - bytes || frames.len() == MAX_FRAMES {
                return (
                    Self::passing(frames, bytes, Some(Ok(frame)), body),
                    Fate::TooLarge,
                );
            }
            match Piece::from_frame(frame) {
                Ok(piece) => frames.push(piece),
                // A kind of frame that is not known yet: it cannot be copied.
                Err(frame) => {
                    return (
                        Self::passing(frames, bytes, Some(Ok(frame)), body),
                        Fate::Streaming,
                    );
                }
            }
            bytes += more;
        }
        let exact = hint.exact().is_some() || !frames.iter().any(Piece::is_trailers);
        let kept = (!frames.is_empty()).then(|| {
            Arc::new(Kept {
                frames,
                bytes,
                exact,
            })
        });
        let state = State::Shared(Cursor::new(kept));
        (Self { state }, Fate::Shared)
    }
}

impl<D> Cursor<D> {
    fn new(kept: Option<Arc<Kept<D>>>) -> Self {
        let left = kept.as_ref().map_or(0, |kept| kept.bytes);
        Self {
            kept,
            next: 0,
            left,
        }
    }

    fn peek(&self) -> Option<&Piece<D>> {
        self.kept.as_ref()?.frames.get(self.next)
    }
}

impl<D> Piece<D> {
    fn from_frame(frame: Frame<D>) -> Result<Self, Frame<D>> {
        match frame.into_data() {
            Ok(data) => Ok(Self::Data(data)),
            Err(frame) => frame.into_trailers().map(Self::Trailers),
        }
    }

    fn into_frame(self) -> Frame<D> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    const fn is_trailers(&self) -> bool {
        matches!(self, Self::Trailers(_))
    }
}

// === impl Body ===

impl<B> Body for ReplayableBody<B>
where
    B: Body + Unpin,
    B::Data: Clone,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.state {
            State::Shared(cursor) => {
                let Some(frame) = cursor.peek().cloned().map(Piece::into_frame) else {
                    return Poll::Ready(None);
                };
                cursor.next += 1;
                cursor.left -= data_len(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            State::Passing(passing) => Pin::new(passing).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Shared(cursor) => cursor.peek().is_none(),
            State::Passing(passing) => passing.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Shared(cursor) => {
                if cursor.kept.as_ref().is_none_or(|kept| kept.exact) {
                    return SizeHint::with_exact(cursor.left);
                }
                // An exact length makes HTTP/1.1 send a Content-Length and lose the trailers.
                let mut hint = SizeHint::new();
                hint.set_lower(cursor.left);
                hint
            }
            State::Passing(passing) => passing.size_hint(),
        }
    }
}

/// A copy starts at the first frame, wherever this one stands.
impl<B> ReplayBody for ReplayableBody<B>
where
    B: Body,
{
    fn replay_body(&mut self) -> Option<Self> {
        match &self.state {
            State::Shared(cursor) => Some(Self {
                state: State::Shared(Cursor::new(cursor.kept.clone())),
            }),
            State::Passing(_) => None,
        }
    }
}

/// The bytes of a body that is shared and that nobody has begun to read. One that passes through has none,
/// and so has one with trailers: they are part of what it says, and not among its bytes.
impl<B> BodyBytes for ReplayableBody<B>
where
    B: Body,
    B::Data: Clone,
{
    fn body_bytes(&self) -> Option<Bytes> {
        let State::Shared(Cursor { kept, next: 0, .. }) = &self.state else {
            return None;
        };
        let Some(kept) = kept else {
            return Some(Bytes::new());
        };
        // One frame is one more handle on the same bytes, where the data can do that.
        if let [Piece::Data(data)] = kept.frames.as_slice() {
            let mut data = data.clone();
            return Some(data.copy_to_bytes(data.remaining()));
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(kept.bytes).ok()?);
        for frame in &kept.frames {
            match frame {
                Piece::Data(data) => whole.put(data.clone()),
                Piece::Trailers(_) => return None,
            }
        }
        Some(whole.freeze())
    }
}

/// Only the original body is ever polled in place.
impl<B: Body + Unpin> Unpin for ReplayableBody<B> {}

// === impl Debug ===

impl<B: Body> fmt::Debug for ReplayableBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Shared(cursor) => f
                .debug_struct("Shared")
                .field("bytes", &cursor.kept.as_ref().map_or(0, |kept| kept.bytes))
                .field("left", &cursor.left)
                .finish(),
            State::Passing(passing) => f.debug_tuple("PassThrough").field(passing).finish(),
        }
    }
}
