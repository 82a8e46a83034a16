//! Bodies of answers: in memory or from a file, whole or cut.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::refuse::Refusal;
use super::service::BoxError;

/// Of a file that is read.
const PIECE: usize = 64 * 1024;
/// Of a request that is held in memory: more than any sound one has.
const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// The body of an answer.
#[derive(Debug)]
pub struct ApiBody {
    source: Source,
    /// What is left of it.
    left: u64,
    /// How much of that may be sent before the connection breaks.
    cut: Option<u64>,
    /// Whether what came before the cut has had its turn to be sent.
    flushed: bool,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    File(File),
}

impl ApiBody {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            left: bytes.len() as u64,
            source: Source::Whole(bytes),
            cut: None,
            flushed: false,
        }
    }

    /// The next `bytes` bytes of `file`.
    pub(super) fn file(file: File, bytes: u64) -> Self {
        Self {
            source: Source::File(file),
            left: bytes,
            cut: None,
            flushed: false,
        }
    }

    pub(super) fn cut_after(mut self, bytes: u64) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// A 200 with this value.
    pub(super) fn json(value: &Value) -> Response<Self> {
        Self::json_bytes(value.to_string())
    }

    /// A 200 with these bytes, which are JSON.
    pub(super) fn json_bytes(bytes: impl Into<Bytes>) -> Response<Self> {
        let mut answer = Response::new(Self::whole(bytes));
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(CONTENT_TYPE, json);
        answer
    }

    /// The body of a request, in memory.
    pub(super) async fn collect<B>(body: B) -> Result<Bytes, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let whole = Limited::new(body, MAX_REQUEST).collect().await;
        let whole = whole.map_err(|error| Refusal::new(413, error.to_string()))?;
        Ok(whole.to_bytes())
    }

    fn next(&mut self) -> io::Result<Bytes> {
        let most = self.left.min(self.cut.unwrap_or(u64::MAX));
        if most == 0 {
            let text = "the mock cut this body, as its script says";
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, text));
        }
        let piece = usize::try_from(most).unwrap_or(PIECE).min(PIECE);
        let bytes = match &mut self.source {
            Source::Whole(bytes) => bytes.split_to(piece),
            Source::File(file) => {
                let mut bytes = BytesMut::zeroed(piece);
                file.read_exact(&mut bytes)?;
                bytes.freeze()
            }
        };
        self.left -= piece as u64;
        if let Some(cut) = &mut self.cut {
            *cut -= piece as u64;
        }
        Ok(bytes)
    }
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.cut == Some(0) && !self.flushed {
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(self.next().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
