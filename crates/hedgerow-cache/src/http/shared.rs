//! HTTP answers that several read while they arrive.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow_core::{BoxError, Class, Classify, HttpJudge, or_panic};
use http::Response;
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};

use super::answer::HttpAnswer;
use super::tape::{Reader, Tape, Telling};
use crate::coalesce::Share;
use crate::error::CacheBuildError;

const DEFAULT_BEHIND: usize = 1 << 20;

/// Shares HTTP answers with their bodies, from the first byte and while they arrive: what
/// [`CoalesceLayer::http`](crate::CoalesceLayer::http) sets.
///
/// Everybody reads at his own pace. What has arrived is kept for those who are behind, up to
/// [`behind`](Self::behind) bytes in 65,536 frames; who falls further behind is cut off with a
/// [`FellBehind`](crate::FellBehind), and one who had nothing yet of the answer makes a call of its own.
/// Nobody holds back anybody. Those who come while the answer arrives join it, as long as its first byte is
/// there. An answer that nobody reads any more is dropped.
///
/// With a cache's [`lead`](crate::CacheLayer::lead) an answer is stored the moment its body is whole, as long as all
/// of it is still there, so that of those who come next nobody pays again.
///
/// # Order
///
/// As of [`CoalesceLayer`](crate::CoalesceLayer). The body is polled by whoever wants more of it.
#[derive(Clone, Copy, Debug)]
pub struct SharedBodies<J = HttpJudge> {
    behind: usize,
    judge: J,
}

impl SharedBodies {
    /// One MiB for slow readers; the judge of HTTP.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            behind: DEFAULT_BEHIND,
            judge: HttpJudge,
        }
    }
}

impl Default for SharedBodies {
    fn default() -> Self {
        Self::new()
    }
}

impl<J> SharedBodies<J> {
    /// Sets how many bytes of an answer are kept for slow readers and for those who come, and one frame beyond
    /// that. At least 1. Defaults to 1 MiB.
    ///
    /// # Panics
    ///
    /// If `bytes` is zero: [`try_behind`](Self::try_behind) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn behind(self, bytes: usize) -> Self {
        or_panic(self.try_behind(bytes))
    }

    /// Like [`behind`](Self::behind), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] if `bytes` is zero.
    pub fn try_behind(mut self, bytes: usize) -> Result<Self, CacheBuildError> {
        CacheBuildError::bound(
            "a bound of bytes for slow readers",
            bytes as u64,
            1,
            u64::MAX,
        )?;
        self.behind = bytes;
        Ok(self)
    }

    /// Sets who judges answers by their heads. Defaults to [`HttpJudge`].
    #[must_use]
    pub fn accept<K>(self, judge: K) -> SharedBodies<K> {
        SharedBodies {
            behind: self.behind,
            judge,
        }
    }
}

/// An answer that is shared.
#[doc(hidden)]
#[expect(missing_debug_implementations, reason = "nobody sees it")]
pub struct Cassette<B> {
    head: Parts,
    tape: Arc<Tape<B>>,
}

/// An answer that still arrives.
#[doc(hidden)]
#[expect(missing_debug_implementations, reason = "nobody sees it")]
pub struct Arriving<B> {
    head: Parts,
    tape: Weak<Tape<B>>,
}

/// A body that others read as well, or one's own. Dropped, it reads no more; the last one drops the body of the
/// service.
pub struct SharedBody<B>(Reads<B>);

enum Reads<B> {
    Along(Reader<B>),
    Alone(Pin<Box<B>>),
}

fn with<B>(head: &Parts, reader: Reader<B>) -> Response<SharedBody<B>> {
    Response::from_parts(head.clone(), SharedBody(Reads::Along(reader)))
}

impl<B, J> Share<Response<B>> for SharedBodies<J>
where
    B: Body<Data = Bytes> + Send + 'static,
    J: Send + Sync + 'static,
{
    type Kept = Cassette<B>;
    type Told = Arc<HttpAnswer>;
    type Shared = Response<SharedBody<B>>;
    type Late = Arriving<B>;

    fn keep<F>(&self, response: Response<B>, tell: Option<F>) -> Cassette<B>
    where
        F: FnOnce(Option<&Arc<HttpAnswer>>) + Send + 'static,
    {
        let (head, body) = response.into_parts();
        let telling =
            tell.map(|tell| Telling::new(HttpAnswer::head(head.status, &head.headers), tell));
        Cassette {
            head,
            tape: Tape::new(body, self.behind, telling),
        }
    }

    fn recall(&self, told: Arc<HttpAnswer>) -> Cassette<B> {
        let mut response = Response::new(());
        *response.status_mut() = told.status;
        response.headers_mut().clone_from(&told.headers);
        Cassette {
            head: response.into_parts().0,
            tape: Tape::whole(&told, self.behind),
        }
    }

    fn take(&self, kept: &Cassette<B>) -> Option<Self::Shared> {
        Some(with(&kept.head, kept.tape.reader()?))
    }

    fn late(&self, kept: &Cassette<B>) -> Option<Arriving<B>> {
        Some(Arriving {
            head: kept.head.clone(),
            tape: Arc::downgrade(&kept.tape),
        })
    }

    fn join(&self, late: &Arriving<B>) -> Option<Self::Shared> {
        let tape = late.tape.upgrade().filter(|tape| tape.is_open())?;
        Some(with(&late.head, tape.reader()?))
    }

    fn is_open(&self, late: &Arriving<B>) -> bool {
        late.tape.upgrade().is_some_and(|tape| tape.is_open())
    }

    fn alone(&self, response: Response<B>) -> Self::Shared {
        response.map(|body| SharedBody(Reads::Alone(Box::pin(body))))
    }
}

impl<Res, E, J: Classify<Res, E>> Classify<Res, E> for SharedBodies<J> {
    fn classify(&self, result: &Result<Res, E>) -> Class {
        self.judge.classify(result)
    }
}

impl<B> Body for SharedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Reads::Along(reader) => reader.poll(cx),
            Reads::Alone(body) => body.as_mut().poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Reads::Along(reader) => reader.is_at_end(),
            Reads::Alone(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Reads::Along(_) => SizeHint::default(),
            Reads::Alone(body) => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for SharedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Reads::Along(_) => "SharedBody(along)",
            Reads::Alone(_) => "SharedBody(alone)",
        })
    }
}
