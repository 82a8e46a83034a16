//! The events of an HTTP body.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::Body;

use super::error::EventsError;
use super::event::Event;
use super::reader::Reader;

/// The events of an HTTP body, as a [`Stream`] or by [`next`](Self::next).
///
/// It ends with the body: an event that is not finished then is left out, as the format wants, and
/// [`reader`](Self::reader) tells of it ([`Reader::is_unfinished`]). After an error it has ended.
/// Trailers are skipped.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use hedgerow_http::sse::Events;
/// use http_body_util::Full;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let body = Full::new(Bytes::from("data: first\n\ndata: second\n\n"));
/// let mut events = Events::new(body);
/// while let Some(event) = events.next().await {
///     println!("{}", event?.text());
/// }
/// # Ok(()) }
/// ```
///
/// # Readiness, clones and drop
///
/// A chunk is asked for when the one before has been read to its end: a reader that stops leaves the
/// rest to the connection's own flow control. Dropping it drops the body, which cancels the request.
/// Dropping the future of [`next`](Self::next) loses nothing.
///
/// # Cost
///
/// That of [`Reader`]; nothing is kept beside it but the rest of one chunk.
#[derive(Clone, Debug)]
pub struct Events<B> {
    /// Gone at its end.
    body: Option<B>,
    chunk: Bytes,
    reader: Reader,
}

impl<B> Events<B> {
    /// The events of `body`.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self::with_reader(body, Reader::new())
    }

    /// The events of `body`, read by `reader`, which may have limits of its own.
    #[must_use]
    pub const fn with_reader(body: B, reader: Reader) -> Self {
        Self {
            body: Some(body),
            chunk: Bytes::new(),
            reader,
        }
    }

    /// The reader: what has begun, the last id, the wish to wait before connecting again.
    #[must_use]
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }
}

impl<B: Body + Unpin> Events<B> {
    /// The next event, or `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// [`EventsError`], if the body breaks or the reader's limits are exceeded.
    pub async fn next(&mut self) -> Option<Result<Event, EventsError<B::Error>>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Like [`next`](Self::next), for futures that are written by hand.
    pub fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, EventsError<B::Error>>>> {
        while let Some(body) = &mut self.body {
            match self.reader.read(&mut self.chunk) {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(self.ended(error.into())))),
            }
            match ready!(Pin::new(body).poll_frame(cx)) {
                None => self.body = None,
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(self.ended(EventsError::Body(error)))));
                }
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        // Of `Bytes` no copy is made.
                        self.chunk = data.copy_to_bytes(data.remaining());
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    fn ended(&mut self, error: EventsError<B::Error>) -> EventsError<B::Error> {
        self.body = None;
        self.chunk = Bytes::new();
        error
    }
}

impl<B: Body + Unpin> Stream for Events<B> {
    type Item = Result<Event, EventsError<B::Error>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}
