//! A body that is noted while it passes, or comes from the store.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hedgerow_core::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::MAX_FRAMES;
use super::answer::HttpAnswer;
use crate::cache::Deposit;

/// A body that is noted while it passes, or comes from the store frame by frame.
#[pin_project]
pub struct KeptBody<B>(#[pin] Kind<B>);

#[pin_project(project = KindProj)]
enum Kind<B> {
    Replays {
        answer: Arc<HttpAnswer>,
        at: usize,
    },
    Passes {
        #[pin]
        body: B,
        noted: Option<Box<Noted>>,
    },
}

/// What has passed so far.
struct Noted {
    answer: HttpAnswer,
    bytes: usize,
    max: usize,
    deposit: Deposit<Arc<HttpAnswer>>,
}

impl<B> KeptBody<B> {
    pub(super) const fn replay(answer: Arc<HttpAnswer>) -> Self {
        Self(Kind::Replays { answer, at: 0 })
    }

    pub(super) const fn pass(body: B) -> Self {
        Self(Kind::Passes { body, noted: None })
    }
}

impl<B: Body> KeptBody<B> {
    /// Notes what passes, and deposits it at the end.
    pub(super) fn keep(
        body: B,
        head: HttpAnswer,
        max: usize,
        deposit: Deposit<Arc<HttpAnswer>>,
    ) -> Self {
        let mut noted = Some(Box::new(Noted {
            answer: head,
            bytes: 0,
            max,
            deposit,
        }));
        // Nobody polls a body that is empty.
        finish(&mut noted, body.is_end_stream());
        Self(Kind::Passes { body, noted })
    }
}

/// The body is whole: what was noted of it is an answer.
fn finish(noted: &mut Option<Box<Noted>>, whole: bool) {
    if whole && let Some(noted) = noted.take() {
        noted.deposit.put(Arc::new(noted.answer));
    }
}

impl Noted {
    /// Notes a frame. False if it is too much.
    fn note(&mut self, frame: &Frame<Bytes>) -> bool {
        if let Some(data) = frame.data_ref() {
            self.bytes += data.len();
            // A frame may be a part of something larger, which would stay in memory as a whole.
            self.answer.frames.push(Bytes::copy_from_slice(data));
        } else if let Some(trailers) = frame.trailers_ref() {
            self.answer.trailers = Some(trailers.clone());
        }
        self.bytes <= self.max && self.answer.frames.len() <= MAX_FRAMES
    }
}

impl<B> Body for KeptBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().0.project() {
            KindProj::Replays { answer, at } => {
                let n = *at;
                *at += 1;
                let frame = match answer.frames.get(n) {
                    Some(data) => Some(Frame::data(data.clone())),
                    None if n == answer.frames.len() => {
                        answer.trailers.clone().map(Frame::trailers)
                    }
                    None => None,
                };
                Poll::Ready(frame.map(Ok))
            }
            KindProj::Passes { mut body, noted } => {
                let polled = ready!(body.as_mut().poll_frame(cx));
                match &polled {
                    Some(Ok(frame)) => {
                        if noted.as_mut().is_some_and(|noted| !noted.note(frame)) {
                            *noted = None;
                        }
                        // Nobody polls a body on that says it has ended.
                        finish(noted, body.is_end_stream());
                    }
                    Some(Err(_)) => *noted = None,
                    None => finish(noted, true),
                }
                Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Replays { answer, at } => {
                *at >= answer.frames.len() + usize::from(answer.trailers.is_some())
            }
            Kind::Passes { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Replays { answer, at } => {
                let left = answer
                    .frames
                    .iter()
                    .skip(*at)
                    .map(|frame| frame.len() as u64);
                SizeHint::with_exact(left.sum())
            }
            Kind::Passes { body, .. } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for KeptBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Replays { .. } => "KeptBody(replays)",
            Kind::Passes { noted: None, .. } => "KeptBody(passes)",
            Kind::Passes { .. } => "KeptBody(is noted)",
        })
    }
}
