//! A scripted HTTP service whose bodies arrive frame by frame.

#![expect(clippy::unwrap_used, reason = "a failed step of a test may panic")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::poll;
use hedgerow_core::BoxError;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};
use tower::Service;

use crate::support::ms;

pub(crate) type Asked = Request<Full<Bytes>>;

pub(crate) fn get(path: &str) -> Asked {
    Request::get(format!("http://up.test{path}"))
        .body(Full::default())
        .unwrap()
}

/// A body that says a frame every so often, and counts how often it was asked and whether it is alive.
pub(crate) struct Ticks {
    frames: std::vec::IntoIter<Said>,
    every: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    alive: Arc<AtomicUsize>,
    pub(crate) polls: Arc<AtomicUsize>,
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Body for Ticks {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        if !self.every.is_zero() {
            let every = self.every;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(every)));
            std::task::ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        Poll::Ready(self.frames.next().map(|frame| frame.map_err(Into::into)))
    }
}

/// A frame, or an error.
pub(crate) type Said = Result<Frame<Bytes>, &'static str>;

/// A service of such bodies.
#[derive(Clone)]
pub(crate) struct Ticker {
    pub(crate) frames: Arc<dyn Fn(usize) -> Vec<Said> + Send + Sync>,
    pub(crate) head: Arc<dyn Fn(usize) -> Response<()> + Send + Sync>,
    pub(crate) every: Duration,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) alive: Arc<AtomicUsize>,
    pub(crate) polls: Arc<AtomicUsize>,
}

pub(crate) fn data(text: &str) -> Said {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

impl Ticker {
    /// So many frames, each the number of the call and its own.
    pub(crate) fn new(frames: usize, every_ms: u64) -> Self {
        Self {
            frames: Arc::new(move |call| {
                (0..frames).map(|n| data(&format!("{call}.{n} "))).collect()
            }),
            head: Arc::new(|_| Response::new(())),
            every: ms(every_ms),
            calls: Arc::default(),
            alive: Arc::default(),
            polls: Arc::default(),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }
}

impl Service<Asked> for Ticker {
    type Response = Response<Ticks>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Ticks>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Asked) -> Self::Future {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.alive.fetch_add(1, Ordering::Relaxed);
        let body = Ticks {
            frames: (self.frames)(call).into_iter(),
            every: self.every,
            timer: None,
            alive: self.alive.clone(),
            polls: self.polls.clone(),
        };
        std::future::ready(Ok((self.head)(call).map(|()| body)))
    }
}

/// All frames of a body: its data each by itself, and its trailers; or the error it ends with.
pub(crate) async fn read<B>(body: B) -> Result<(Vec<String>, Option<HeaderMap>), BoxError>
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    let mut body = Box::pin(body);
    let (mut frames, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => frames.push(String::from_utf8(data.to_vec()).unwrap()),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((frames, trailers))
}

/// Whether a body has nothing now.
pub(crate) async fn waits<B: Body + Unpin>(body: &mut B) -> bool {
    poll!(body.frame()).is_pending()
}

/// Frames that a test sends when it likes.
pub(crate) struct Told(pub(crate) mpsc::UnboundedReceiver<Bytes>);

impl Body for Told {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
