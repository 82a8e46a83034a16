//! Waits for the head of an answer, and then for what is wanted of its body.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hedgerow_core::{BoxError, Recorder, Verdict};
use http::{Response, response};
use http_body::Body;
use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;

use super::error::StreamBroken;
use super::event::{FirstEvent, HeldStream};
use super::held::{Caps, Fate, Held};
use super::seen::{StreamFormat, Wanted, is_event_stream};
use crate::resumed::ResumedBody;

/// The response future of [`AwaitFirst`](super::AwaitFirst).
///
/// # Panics
///
/// When polled again after it was ready.
#[pin_project(PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct AwaitFirstFuture<T, B, F, Rec>
where
    B: Body,
    Rec: Recorder<FirstEvent>,
{
    /// `None` once the head is there.
    #[pin]
    inner: Option<T>,
    open: Option<Open<B, F>>,
    wanted: Wanted<F>,
    caps: Caps,
    recorder: Rec,
}

/// An answer whose head is there.
struct Open<B: Body, F> {
    head: response::Parts,
    body: B,
    held: Held<B::Data, F>,
    since: Option<Instant>,
}

impl<T, B, F, Rec> AwaitFirstFuture<T, B, F, Rec>
where
    B: Body,
    Rec: Recorder<FirstEvent>,
{
    pub(super) const fn new(inner: T, wanted: Wanted<F>, caps: Caps, recorder: Rec) -> Self {
        Self {
            inner: Some(inner),
            open: None,
            wanted,
            caps,
            recorder,
        }
    }
}

impl<B, F> Open<B, F>
where
    B: Body + Unpin,
    B::Data: Clone,
    B::Error: Into<BoxError>,
    F: StreamFormat,
{
    fn new(answer: Response<B>, wanted: &Wanted<F>, caps: Caps, timed: bool) -> Self {
        let (head, body) = answer.into_parts();
        let format = match wanted {
            Wanted::Content(format) if is_event_stream(&head) => Some(format.clone()),
            Wanted::Content(_) | Wanted::Frame => None,
        };
        Self {
            head,
            body,
            held: Held::new(caps, format),
            since: timed.then(Instant::now),
        }
    }

    /// Takes frames until it is clear what becomes of the answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fate, BoxError>> {
        loop {
            let fate = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.held.ended(),
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                Some(Ok(frame)) => self.held.take(frame),
            };
            if !matches!(fate, Fate::HoldOn) {
                return Poll::Ready(Ok(fate));
            }
        }
    }

    fn broken(&self, source: Option<BoxError>) -> BoxError {
        let HeldStream { events, bytes, .. } = self.held.told;
        Box::new(StreamBroken {
            events,
            bytes,
            source,
        })
    }
}

impl<B: Body, F> Open<B, F> {
    /// What was held until now.
    fn told(&self) -> HeldStream {
        HeldStream {
            waited: self.since.map(|since| since.elapsed()).unwrap_or_default(),
            ..self.held.told
        }
    }
}

impl<T, B, E, F, Rec> Future for AwaitFirstFuture<T, B, F, Rec>
where
    T: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body + Unpin,
    B::Data: Clone,
    B::Error: Into<BoxError>,
    F: StreamFormat,
    Rec: Recorder<FirstEvent>,
{
    type Output = Result<Response<ResumedBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            let answer = ready!(inner.poll(cx));
            this.inner.set(None);
            let answer = answer.map_err(Into::into)?;
            if !answer.status().is_success() || answer.body().is_end_stream() {
                return Poll::Ready(Ok(answer.map(ResumedBody::untouched)));
            }
            let timed = this.recorder.enabled();
            *this.open = Some(Open::new(answer, this.wanted, *this.caps, timed));
        }
        let Some(open) = this.open.as_mut() else {
            panic!("a response future was polled after it was ready");
        };
        let fate = ready!(open.poll(cx));
        let mut open = this.open.take().expect("it was polled a line above");
        let told = open.told();
        let event = match fate {
            Ok(Fate::HandOn(why)) => FirstEvent::Committed(told, why),
            Ok(Fate::Refused(class)) => {
                open.head.extensions.insert(Verdict(class));
                FirstEvent::Refused(told, class)
            }
            Ok(Fate::HoldOn | Fate::Empty) => {
                tell(this.recorder, &FirstEvent::Broken(told));
                return Poll::Ready(Err(open.broken(None)));
            }
            Err(source) => {
                tell(this.recorder, &FirstEvent::Broken(told));
                return Poll::Ready(Err(open.broken(Some(source))));
            }
        };
        tell(this.recorder, &event);
        let Open {
            head, body, held, ..
        } = open;
        Poll::Ready(Ok(Response::from_parts(head, held.resume(body))))
    }
}

/// Tells a recorder. One that panics loses its event and nothing else: the panic hook has reported it.
fn tell<Rec: Recorder<FirstEvent>>(recorder: &Rec, event: &FirstEvent) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if recorder.enabled() {
            recorder.record(event);
        }
    }));
}

#[pinned_drop]
impl<T, B, F, Rec> PinnedDrop for AwaitFirstFuture<T, B, F, Rec>
where
    B: Body,
    Rec: Recorder<FirstEvent>,
{
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(open) = this.open.as_ref() {
            let told = open.told();
            tell(this.recorder, &FirstEvent::Cancelled(told));
        }
    }
}

impl<T, B, F, Rec> fmt::Debug for AwaitFirstFuture<T, B, F, Rec>
where
    B: Body,
    Rec: Recorder<FirstEvent>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitFirstFuture")
            .field("head", &self.open.is_some())
            .finish_non_exhaustive()
    }
}
