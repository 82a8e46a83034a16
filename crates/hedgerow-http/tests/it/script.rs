//! A body that does as it is told, and counts what is taken from it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hedgerow_http::{ReplayBodyLayer, ReplayableBody};
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, Service};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Fails(u8),
    Pending,
}

/// What a body says about its length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hint {
    None,
    Exact,
    Lower,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    steps: VecDeque<Step>,
    hint: Hint,
    /// Whether `is_end_stream` tells the end.
    tells_end: bool,
    pub(crate) polls: Arc<AtomicUsize>,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            hint: Hint::None,
            tells_end: false,
            polls: Arc::default(),
        }
    }

    pub(crate) fn hint(mut self, hint: Hint) -> Self {
        self.hint = hint;
        self
    }

    pub(crate) fn tells_end(mut self, tells_end: bool) -> Self {
        self.tells_end = tells_end;
        self
    }

    fn bytes(&self) -> u64 {
        self.steps.iter().map(Step::bytes).sum()
    }
}

impl Step {
    pub(crate) fn data(text: &'static str) -> Self {
        Self::Data(Bytes::from_static(text.as_bytes()))
    }

    pub(crate) fn trailers() -> Self {
        let mut map = HeaderMap::new();
        map.insert("checksum", http::HeaderValue::from_static("7"));
        Self::Trailers(map)
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            _ => 0,
        }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = u8;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, u8>>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(map)) => Poll::Ready(Some(Ok(Frame::trailers(map)))),
            Some(Step::Fails(error)) => Poll::Ready(Some(Err(error))),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        match self.hint {
            Hint::None => {}
            Hint::Exact => hint.set_exact(self.bytes()),
            Hint::Lower => hint.set_lower(self.bytes()),
        }
        hint
    }
}

/// What a body's next frame is; `None` at its end.
pub(crate) async fn next(body: &mut ReplayableBody<Script>) -> Option<Step> {
    match std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        None => None,
        Some(Err(error)) => Some(Step::Fails(error)),
        Some(Ok(frame)) => Some(match frame.into_data() {
            Ok(data) => Step::Data(data),
            Err(frame) => Step::Trailers(frame.into_trailers().expect("data or trailers")),
        }),
    }
}

/// Sends `request` through `layer`; what the inner service got.
pub(crate) fn through<B>(layer: &ReplayBodyLayer, request: Request<B>) -> Request<ReplayableBody<B>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let echo = tower::service_fn(|request: Request<ReplayableBody<B>>| {
        std::future::ready(Ok::<_, Infallible>(request))
    });
    let mut service = layer.layer(echo);
    // `service_fn` is always ready.
    let Ok(request) = service.call(request).into_inner();
    request
}

/// Like [`next`], without a runtime: a scripted body is ready soon.
pub(crate) fn next_now(body: &mut ReplayableBody<Script>) -> Option<Step> {
    let mut next = std::pin::pin!(next(body));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(step) = next.as_mut().poll(&mut cx) {
            return step;
        }
    }
}
