//! The model's name in an answer, put back to what the client called it.

mod scan;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hedgerow::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use self::scan::Scan;

/// A JSON answer, or a stream of them as events, in which the model is called by another name. Every other
/// byte passes as it is, as it comes; nothing is held back but a name that has not ended.
///
/// The name is looked for where the providers' wires have it: `model` at the top, and in `response`
/// (OpenAI's responses) and `message` (Anthropic's) beneath it.
#[pin_project]
#[derive(Debug)]
pub(crate) struct Renamed<B> {
    #[pin]
    inner: B,
    scan: Scan,
}

impl<B> Renamed<B> {
    /// Whole JSON.
    pub(crate) fn json(inner: B, name: &str) -> Self {
        Self {
            inner,
            scan: Scan::json(name),
        }
    }

    /// Events of a stream.
    pub(crate) fn events(inner: B, name: &str) -> Self {
        Self {
            inner,
            scan: Scan::events(name),
        }
    }
}

impl<B> Body for Renamed<B>
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            let Some(frame) = ready!(this.inner.as_mut().poll_frame(cx)?) else {
                return Poll::Ready(None);
            };
            let frame = match frame.into_data() {
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                Ok(data) => this.scan.pass(data),
            };
            // A piece of nothing but the old name.
            if !frame.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Appends to what was changed, once something was.
#[derive(Debug, Default)]
struct Changed {
    bytes: Option<BytesMut>,
    /// From where on the piece was not taken over yet.
    from: usize,
}

impl Changed {
    /// Takes over what stands before `at`, then `text`, and goes on at `next`.
    fn replace(&mut self, piece: &[u8], at: usize, text: &[u8], next: usize) {
        let bytes = self
            .bytes
            .get_or_insert_with(|| BytesMut::with_capacity(piece.len() + text.len()));
        bytes.extend_from_slice(&piece[self.from..at]);
        bytes.extend_from_slice(text);
        self.from = next;
    }

    /// Leaves out what was not taken over yet and stands before `next`.
    fn leave_out(&mut self, next: usize) {
        self.bytes.get_or_insert_default();
        self.from = next;
    }

    fn finish(self, piece: Bytes) -> Bytes {
        let Some(mut bytes) = self.bytes else {
            return piece;
        };
        bytes.extend_from_slice(&piece[self.from..]);
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` in pieces of `size` bytes.
    fn renamed(mut scan: Scan, text: &str, size: usize) -> String {
        let mut all = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            all.extend(scan.pass(Bytes::copy_from_slice(piece)));
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn the_name_is_changed_where_the_wires_have_it_at_every_cut() {
        let answers = [
            (r#"{"id":"x","model" : "old","n":[{"model":"no"}]}"#, true),
            (
                r#"{"a":{"model":"no"},"model":"o\"l\\d","b":"model"}"#,
                true,
            ),
            (
                r#"{"type":"x","response":{"id":"m","model":"old","o":{"model":"no"}}}"#,
                true,
            ),
            (r#"{"message":{"model":"old"},"x":{"model":"no"}}"#, true),
            (r#"{"model":null,"a":"model","b":["model","x"]}"#, false),
            (r#"["model","x",{"model":"no"}]"#, false),
            (
                r#"{"messages":{"model":"no"},"a":"\"model\":\"no\""}"#,
                false,
            ),
            (r#""model""#, false),
            (r#"{"model":7,"x":{"response":{"model":"no"}}}"#, false),
        ];
        for (answer, changes) in answers {
            let wanted = answer
                .replace("\"old\"", "\"n\\\"w\"")
                .replace(r#""o\"l\\d""#, "\"n\\\"w\"");
            assert_eq!(wanted != answer, changes);
            for size in 1..=answer.len() {
                assert_eq!(renamed(Scan::json("n\"w"), answer, size), wanted, "{size}");
            }
        }
    }

    #[test]
    fn each_event_of_a_stream_is_changed_at_every_cut() {
        let old = "event: a\ndata: {\"model\":\"old\",\"x\":1}\n\n: {\"model\":\"old\"}\r\n\
                   data:{\"response\":\ndata: {\"model\":\"old\"}}\r\n\r\ndata: {\"broken\n\n\
                   id: 1\ndata: {\"model\":\"old\"}\n\ndata: [DONE]\n\n";
        let mut wanted = old.replace("\"old\"", "\"new\"");
        // A comment is none of it.
        wanted = wanted.replace(": {\"model\":\"new\"}\r\n", ": {\"model\":\"old\"}\r\n");
        for size in 1..=old.len() {
            assert_eq!(renamed(Scan::events("new"), old, size), wanted, "{size}");
        }
    }

    #[test]
    fn a_piece_without_the_name_is_passed_on_as_it_is() {
        let piece = Bytes::from_static(b"{\"id\":1,");
        let at = piece.as_ptr();
        assert_eq!(Scan::json("new").pass(piece).as_ptr(), at);
    }
}
