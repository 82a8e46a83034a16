//! The body of an answer, or a text in its place.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

/// The body that [`Respond`](super::Respond) hands on: the inner service's own, or the text of a refusal.
#[pin_project(project = Proj)]
#[derive(Debug)]
pub struct RespondBody<B>(#[pin] Kind<B>);

#[pin_project(project = KindProj)]
#[derive(Debug)]
enum Kind<B> {
    Inner(#[pin] B),
    Text(Bytes),
}

impl<B> RespondBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self(Kind::Inner(body))
    }
}

impl<B> From<String> for RespondBody<B> {
    fn from(text: String) -> Self {
        Self(Kind::Text(text.into()))
    }
}

/// Nothing.
impl<B> Default for RespondBody<B> {
    fn default() -> Self {
        Self(Kind::Text(Bytes::new()))
    }
}

impl<B: Body<Data = Bytes>> Body for RespondBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().0.project() {
            KindProj::Inner(body) => body.poll_frame(cx),
            KindProj::Text(text) if text.is_empty() => Poll::Ready(None),
            KindProj::Text(text) => {
                let text = std::mem::take(text);
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Inner(body) => body.is_end_stream(),
            Kind::Text(text) => text.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Inner(body) => body.size_hint(),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
        }
    }
}
