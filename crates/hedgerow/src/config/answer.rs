//! The body of an answer that comes out of a stack of HTTP requests.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hedgerow_core::BoxError;
use hedgerow_http::ResumedBody;
use http_body::{Body, Frame, SizeHint};

/// The body of an answer of an [`HttpStack`](super::HttpStack): the client's own, or what a cache or a coalescer
/// made of it.
///
/// # Cost
///
/// The client's own body stands in it as it is. One that was kept or shared is boxed: an allocation a layer and
/// answer.
pub struct StackBody<R>(Kind<R>);

enum Kind<R> {
    Own(R),
    Made(Pin<Box<Made>>),
}

type Made = dyn Body<Data = Bytes, Error = BoxError> + Send;

impl<R> StackBody<R>
where
    R: Body + Unpin,
    R::Error: Into<BoxError>,
{
    /// The client's own, from which nothing was taken.
    pub(crate) fn own(body: R) -> ResumedBody<Self> {
        ResumedBody::untouched(Self(Kind::Own(body)))
    }

    /// One that a layer made.
    pub(crate) fn made<B>(body: B) -> ResumedBody<Self>
    where
        B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
    {
        ResumedBody::untouched(Self(Kind::Made(Box::pin(body))))
    }
}

impl<R> Body for StackBody<R>
where
    R: Body + Unpin,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Own(body) => Pin::new(body).poll_frame(cx).map(|polled| {
                polled.map(|frame| match frame {
                    // Of `Bytes` that is one more handle, and the old one is gone.
                    Ok(frame) => {
                        Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
                    }
                    Err(error) => Err(error.into()),
                })
            }),
            Kind::Made(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(body) => body.is_end_stream(),
            Kind::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(body) => body.size_hint(),
            Kind::Made(body) => body.size_hint(),
        }
    }
}

impl<R> fmt::Debug for StackBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Own(_) => "StackBody(own)",
            Kind::Made(_) => "StackBody(made)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::FutureExt as _;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    /// What a stack without a cache pays for those that have one.
    #[test]
    fn a_clients_own_body_is_neither_boxed_nor_copied() {
        let word = size_of::<usize>();
        let own = size_of::<ResumedBody<Full<Bytes>>>();
        assert!(size_of::<ResumedBody<StackBody<Full<Bytes>>>>() <= own + 2 * word);
        let data = Bytes::from(vec![1_u8; 100]);
        let mut body = StackBody::own(Full::new(data.clone()));
        let frame = body.frame().now_or_never().flatten();
        let got = frame.and_then(|frame| frame.ok()?.into_data().ok());
        assert_eq!(got.map(|got| got.as_ptr()), Some(data.as_ptr()));
        assert!(body.is_end_stream());
    }

    #[test]
    fn other_data_and_trailers_come_as_they_are() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let frames = [
            Ok::<_, Infallible>(Frame::data(std::io::Cursor::new(b"one".to_vec()))),
            Ok(Frame::trailers(trailers.clone())),
        ];
        let body = StackBody::own(StreamBody::new(futures::stream::iter(frames)));
        let whole = body.collect().now_or_never().and_then(Result::ok);
        let whole = whole.map(|whole| (whole.trailers().cloned(), whole.to_bytes()));
        assert_eq!(whole, Some((Some(trailers), Bytes::from("one"))));
    }
}
