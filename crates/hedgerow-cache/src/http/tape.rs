//! A body that several read while it arrives.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use hedgerow_core::{BoxError, caught, drop_quietly};
use http::HeaderMap;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use slab::Slab;

use super::MAX_FRAMES;
use super::answer::HttpAnswer;
use crate::coalesce::{FlightCrashed, SharedFailure};

/// A body, what has arrived of it, and those that read it.
///
/// Whoever reads and finds nothing asks the body itself. What was read stays as long as somebody has not read
/// it, or could still come to read it from the beginning, within a bound of bytes. Beyond that the oldest
/// pieces go: those that have not read them are cut, and nobody is held back.
pub(super) struct Tape<B> {
    reel: Mutex<Reel<B>>,
    bell: Arc<Bell>,
    waker: Waker,
}

struct Reel<B> {
    source: Source<B>,
    pieces: VecDeque<Piece>,
    /// The number of the first piece that is still there.
    first: u64,
    bytes: usize,
    cap: usize,
    end: Option<End>,
    /// How far each reader has come.
    readers: Slab<u64>,
    telling: Option<Telling>,
}

/// Who is to be told of the answer when it is whole. Dropped, it tells that it does not become so.
pub(super) struct Telling {
    head: HttpAnswer,
    tell: Option<Tell>,
}

type Tell = Box<dyn FnOnce(Option<&Arc<HttpAnswer>>) + Send>;

enum Source<B> {
    There(Pin<Box<B>>),
    /// In the hands of a reader who asks it.
    Asked,
    Gone,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

#[derive(Clone)]
enum End {
    Whole,
    Failed(SharedFailure),
    Crashed,
}

/// Wakes those who wait for more.
struct Bell {
    waiting: Mutex<Waiting>,
}

struct Waiting {
    wakers: Vec<(usize, Waker)>,
    /// The body has called since it was asked last, or had something then: it is worth asking.
    rung: bool,
}

/// A reader of a shared body was too slow: what it had not read was given up, so that the others could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FellBehind {
    /// How many bytes it had read.
    pub read: u64,
    /// How many bytes may be kept for slow readers.
    pub bound: usize,
}

impl fmt::Display for FellBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fell more than {} bytes behind the others that read the same body, after {} bytes",
            self.bound, self.read
        )
    }
}

impl Error for FellBehind {}

/// One reader. Dropped, it reads no more; the last one drops the body.
pub(super) struct Reader<B> {
    tape: Arc<Tape<B>>,
    id: usize,
    read: u64,
}

impl<B> Tape<B> {
    pub(super) fn new(body: B, cap: usize, telling: Option<Telling>) -> Arc<Self> {
        Self::with(Reel {
            source: Source::There(Box::pin(body)),
            pieces: VecDeque::new(),
            first: 0,
            bytes: 0,
            cap,
            end: None,
            readers: Slab::new(),
            telling,
        })
    }

    /// A body that has passed already.
    pub(super) fn whole(answer: &HttpAnswer, cap: usize) -> Arc<Self> {
        let frames = answer.frames.iter().cloned().map(Piece::Data);
        let trailers = answer.trailers.iter().cloned().map(Piece::Trailers);
        let pieces: VecDeque<Piece> = frames.chain(trailers).collect();
        Self::with(Reel {
            source: Source::Gone,
            bytes: pieces.iter().map(Piece::len).sum(),
            pieces,
            first: 0,
            cap,
            end: Some(End::Whole),
            readers: Slab::new(),
            telling: None,
        })
    }

    fn with(reel: Reel<B>) -> Arc<Self> {
        let bell = Arc::new(Bell {
            waiting: Mutex::new(Waiting {
                wakers: Vec::new(),
                rung: true,
            }),
        });
        Arc::new(Self {
            waker: Waker::from(bell.clone()),
            bell,
            reel: Mutex::new(reel),
        })
    }

    /// Reads from the first byte; `None` if that is gone.
    pub(super) fn reader(self: &Arc<Self>) -> Option<Reader<B>> {
        let mut reel = self.reel.lock();
        (reel.first == 0).then(|| Reader {
            tape: self.clone(),
            id: reel.readers.insert(0),
            read: 0,
        })
    }

    /// Whether it goes on arriving, and everything that has arrived is there.
    pub(super) fn is_open(&self) -> bool {
        let reel = self.reel.lock();
        reel.first == 0 && reel.end.is_none()
    }
}

impl<B> Reel<B> {
    /// A piece has arrived. Those who are too far behind lose what they have not read.
    fn push(&mut self, piece: Piece) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
        while (self.bytes > self.cap && self.pieces.len() > 1) || self.pieces.len() > MAX_FRAMES {
            self.drop_first();
        }
        if self.first == 0 {
            return;
        }
        // Nobody can come any more: what all have read is of no use.
        let slowest = self
            .readers
            .iter()
            .map(|(_, at)| *at)
            .min()
            .unwrap_or(u64::MAX);
        while self.first < slowest && self.pieces.len() > 1 {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.bytes -= piece.len();
            self.first += 1;
        }
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            Self::Trailers(trailers) => trailers
                .iter()
                .map(|(n, v)| n.as_str().len() + v.len())
                .sum(),
        }
    }
}

impl<B> Reader<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let tape = &*self.tape;
            let mut reel = tape.reel.lock();
            let at = reel.readers[self.id];
            let Some(ahead) = at.checked_sub(reel.first) else {
                let (read, bound) = (self.read, reel.cap);
                return Poll::Ready(Some(Err(FellBehind { read, bound }.into())));
            };
            if let Some(piece) = reel.pieces.get(ahead as usize).cloned() {
                reel.readers[self.id] = at + 1;
                self.read += piece.len() as u64;
                return Poll::Ready(Some(Ok(match piece {
                    Piece::Data(bytes) => Frame::data(bytes),
                    Piece::Trailers(trailers) => Frame::trailers(trailers),
                })));
            }
            match &reel.end {
                Some(End::Whole) => return Poll::Ready(None),
                Some(End::Failed(error)) => return Poll::Ready(Some(Err(error.clone().into()))),
                Some(End::Crashed) => return Poll::Ready(Some(Err(FlightCrashed.into()))),
                None => {}
            }
            if !tape.bell.wait(self.id, cx.waker()) {
                return Poll::Pending;
            }
            let Source::There(mut body) = std::mem::replace(&mut reel.source, Source::Asked) else {
                // Whoever asks it wakes everybody.
                return Poll::Pending;
            };
            drop(reel);
            let asked = catch_unwind(AssertUnwindSafe(|| tape.ask(&mut body)));
            let asked = match asked {
                Ok(asked) => asked,
                Err(panic) => {
                    // Its drop may panic as well: one is enough.
                    drop_quietly(body);
                    resume_unwind(panic)
                }
            };
            if asked.is_pending() {
                tape.reel.lock().source = Source::There(body);
                if tape.bell.has_rung() {
                    tape.bell.ring();
                }
                return Poll::Pending;
            }
            let mut reel = tape.reel.lock();
            if reel.end.is_none() {
                reel.source = Source::There(body);
                drop(reel);
            } else {
                reel.source = Source::Gone;
                drop(reel);
                // The others are told whatever it does.
                drop_quietly(body);
            }
            // This one goes on at once; the others are to look.
            tape.bell.leave(self.id);
            tape.bell.ring();
        }
    }
}

impl<B> Tape<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Asks the body for more, and notes what comes.
    fn ask(&self, body: &mut Pin<Box<B>>) -> Poll<()> {
        self.bell.begin();
        let mut cx = Context::from_waker(&self.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll_frame(&mut cx)));
        let end = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                let piece = match frame.into_data() {
                    Ok(bytes) => Piece::Data(bytes),
                    Err(frame) => Piece::Trailers(frame.into_trailers().unwrap_or_default()),
                };
                self.reel.lock().push(piece);
                return Poll::Ready(());
            }
            Ok(Poll::Ready(Some(Err(error)))) => End::Failed(SharedFailure::new(error.into())),
            Ok(Poll::Ready(None)) => End::Whole,
            Err(panic) => {
                let mut reel = self.reel.lock();
                reel.end = Some(End::Crashed);
                reel.source = Source::Gone;
                drop(reel);
                self.bell.ring();
                resume_unwind(panic)
            }
        };
        self.tell(&end);
        self.reel.lock().end = Some(end);
        Poll::Ready(())
    }
}

impl<B> Tape<B> {
    /// Tells of the answer before its end is seen: who finds that it has ended is to find what was told.
    fn tell(&self, end: &End) {
        let mut reel = self.reel.lock();
        let Some(telling) = reel.telling.take() else {
            return;
        };
        let whole = matches!(end, End::Whole) && reel.first == 0;
        let pieces = if whole {
            reel.pieces.clone()
        } else {
            VecDeque::new()
        };
        drop(reel);
        if whole {
            telling.tell(&pieces);
        }
    }
}

impl Telling {
    pub(super) fn new<F>(head: HttpAnswer, tell: F) -> Self
    where
        F: FnOnce(Option<&Arc<HttpAnswer>>) + Send + 'static,
    {
        Self {
            head,
            tell: Some(Box::new(tell)),
        }
    }

    fn tell(mut self, pieces: &VecDeque<Piece>) {
        let Some(tell) = self.tell.take() else {
            return;
        };
        let mut answer = self.head.clone();
        for piece in pieces {
            match piece {
                // A frame may be a part of something larger, which would stay in memory as a whole.
                Piece::Data(data) => answer.frames.push(Bytes::copy_from_slice(data)),
                Piece::Trailers(trailers) => answer.trailers = Some(trailers.clone()),
            }
        }
        // A lead is the user's: what it panics with is its own loss.
        let _ = caught(|| tell(Some(&Arc::new(answer))));
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            let _ = caught(|| tell(None));
        }
    }
}

impl<B> Reader<B> {
    /// Whether it has read everything.
    pub(super) fn is_at_end(&self) -> bool {
        let reel = self.tape.reel.lock();
        let at = reel.readers[self.id];
        matches!(reel.end, Some(End::Whole)) && at == reel.first + reel.pieces.len() as u64
    }
}

impl<B> Drop for Reader<B> {
    fn drop(&mut self) {
        self.tape.reel.lock().readers.remove(self.id);
        self.tape.bell.leave(self.id);
    }
}

impl Bell {
    /// Is to be woken. True if the body is worth asking.
    fn wait(&self, id: usize, waker: &Waker) -> bool {
        let mut waiting = self.waiting.lock();
        match waiting.wakers.iter_mut().find(|(of, _)| *of == id) {
            Some((_, known)) => known.clone_from(waker),
            None => waiting.wakers.push((id, waker.clone())),
        }
        waiting.rung
    }

    fn begin(&self) {
        self.waiting.lock().rung = false;
    }

    fn has_rung(&self) -> bool {
        self.waiting.lock().rung
    }

    /// Wakes all that wait.
    fn ring(&self) {
        let mut waiting = self.waiting.lock();
        waiting.rung = true;
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    /// A reader waits no more.
    fn leave(&self, id: usize) {
        self.waiting.lock().wakers.retain(|(of, _)| *of != id);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
