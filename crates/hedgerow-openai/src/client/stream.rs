//! A streamed answer.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use hedgerow::crates::http::sse::{Events, EventsError, Reader};
use hedgerow::{BoxError, Usage};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body::Body;
use pin_project::pin_project;

use super::answer::{Collect, Head};
use super::protocol::{
    ChatEvents, CompletionEvents, MessageEvents, Protocol, ResponseEvents, Step,
};
use super::settings::Settings;
use crate::anthropic::{Message, MessageCollector};
use crate::error::CallError;
use crate::openai::{ChatCollector, ChatCompletion, Response as OpenAiResponse};

/// How many events are held while a first content is waited for.
const HELD_EVENTS: usize = 64;
/// How many bytes of data.
const HELD_BYTES: u64 = 256 << 10;

/// The chunks of a chat's answer.
pub type ChatStream<R> = EventStream<R, ChatEvents>;
/// The pieces of a continued text.
pub type CompletionStream<R> = EventStream<R, CompletionEvents>;
/// The events of a response.
pub type ResponseStream<R> = EventStream<R, ResponseEvents>;
/// The events of a message.
pub type MessageStream<R> = EventStream<R, MessageEvents>;

/// A streamed answer: its typed events, as a [`Stream`] or by [`next`](Self::next), until the answer ends.
///
/// An error that the provider sends inside of the stream is an error here, and so is a stream that ends
/// before its answer does. After an error it has ended.
///
/// # Readiness, clones and drop
///
/// Nothing is read ahead: a reader that stops leaves the rest to the connection's flow control. Dropping it
/// drops the body, which cancels the request. Dropping the future of [`next`](Self::next) loses nothing.
///
/// # Cost
///
/// One box a stream; each event is parsed where it lies.
pub struct EventStream<R, P: Protocol> {
    /// Gone at its end.
    events: Option<Events<Pin<Box<R>>>>,
    protocol: P,
    held: VecDeque<P::Item>,
    head: Head,
    /// How many events, and bytes of their data, have come.
    seen: Seen,
    max_body_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    events: u64,
    bytes: u64,
}

impl<R, P: Protocol> EventStream<R, P> {
    fn new(head: Head, body: R, settings: &Settings) -> Self {
        let max = settings.max_event_bytes;
        // A line has the name of its field in front of the data.
        let reader = Reader::new()
            .max_event_bytes(max)
            .max_line_bytes(max.saturating_add(64));
        Self {
            events: Some(Events::with_reader(Box::pin(body), reader)),
            protocol: P::default(),
            held: VecDeque::new(),
            head,
            seen: Seen::default(),
            max_body_bytes: settings.max_body_bytes,
        }
    }

    /// What the call has used, as far as that was told: all of it at the end, and nothing if the provider
    /// tells nothing.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.protocol.usage()
    }

    /// By which the provider knows the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.head.request_id()
    }

    /// What the provider said of its rates when it began to answer.
    #[must_use]
    pub const fn pushback(&self) -> &hedgerow_core::Pushback {
        self.head.pushback()
    }
}

impl<R, P> EventStream<R, P>
where
    R: Body,
    R::Error: Into<BoxError>,
    P: Protocol,
{
    /// The next event, or `None` at the end of the answer.
    ///
    /// # Errors
    ///
    /// [`CallError`], and `None` ever after.
    pub async fn next(&mut self) -> Option<Result<P::Item, CallError>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Waits until a model has begun to answer, and keeps what came before: what an attempt has to wait for
    /// that is to be tried again, or raced, without anybody noticing.
    ///
    /// Not every event is content: a role, the start of a message or of a part, a ping are none. More than
    /// 64 events or 256 KiB are not held; then the stream is taken as it is.
    ///
    /// # Errors
    ///
    /// [`CallError`], if the stream fails before.
    pub async fn first_content(mut self) -> Result<Self, CallError> {
        while self.held.len() < HELD_EVENTS && self.seen.bytes < HELD_BYTES {
            let Some(item) = poll_fn(|cx| self.poll_fresh(cx)).await else {
                break;
            };
            let item = item?;
            let content = P::has_content(&item);
            self.held.push_back(item);
            if content {
                break;
            }
        }
        Ok(self)
    }

    /// Like [`next`](Self::next), for futures that are written by hand.
    pub fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<P::Item, CallError>>> {
        match self.held.pop_front() {
            Some(item) => Poll::Ready(Some(Ok(item))),
            None => self.poll_fresh(cx),
        }
    }

    /// The next event that is not held.
    fn poll_fresh(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<P::Item, CallError>>> {
        while let Some(events) = &mut self.events {
            let event = match ready!(events.poll_event(cx)) {
                Some(Ok(event)) => event,
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broken(error)))),
                None => {
                    self.events = None;
                    let events = self.seen.events;
                    let cut =
                        (!self.protocol.is_whole()).then_some(Err(CallError::CutOff { events }));
                    return Poll::Ready(cut);
                }
            };
            // Some keep a connection alive by events that hold nothing.
            if event.data().trim_ascii().is_empty() {
                continue;
            }
            self.seen.events += 1;
            self.seen.bytes += event.data().len() as u64;
            match self.protocol.read(&self.head, &event) {
                Ok(Step::Nothing) => {}
                Ok(Step::Item(item)) => return Poll::Ready(Some(Ok(item))),
                Ok(Step::Last(item)) => {
                    self.end(cx);
                    return Poll::Ready(Some(Ok(item)));
                }
                Ok(Step::End) => self.end(cx),
                Err(error) => {
                    self.events = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    /// The answer is whole. What ends the body is often there already: when it is read, the connection can
    /// be used again.
    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(mut events) = self.events.take() {
            let _ = events.poll_event(cx);
        }
    }

    fn broken(&mut self, error: EventsError<R::Error>) -> CallError {
        self.events = None;
        match error {
            EventsError::Sse(error) => CallError::Event(error),
            EventsError::Body(error) => CallError::Body {
                received: self.seen.bytes,
                source: error.into(),
            },
            // A way to end that is not known here yet.
            other => CallError::Transport(other.to_string().into()),
        }
    }

    /// Hands each event to `add` until the end.
    async fn each(mut self, mut add: impl FnMut(P::Item)) -> Result<Self, CallError> {
        let max_bytes = self.max_body_bytes;
        while let Some(item) = self.next().await {
            add(item?);
            if self.seen.bytes > max_bytes as u64 {
                return Err(CallError::TooLarge { max_bytes });
            }
        }
        Ok(self)
    }
}

impl<R> ChatStream<R>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    /// Puts the rest of the answer together: what the call would have answered without a stream.
    ///
    /// # Errors
    ///
    /// [`CallError`], if the stream fails, or the answer is larger than the client's `max_body_bytes`.
    pub async fn collect(self) -> Result<ChatCompletion, CallError> {
        let mut collector = ChatCollector::new();
        self.each(|chunk| collector.add(chunk)).await?;
        Ok(collector.finish())
    }
}

impl<R> MessageStream<R>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    /// Puts the rest of the message together: what the call would have answered without a stream.
    ///
    /// # Errors
    ///
    /// [`CallError`], if the stream fails, or the message is larger than the client's `max_body_bytes`.
    pub async fn collect(self) -> Result<Message, CallError> {
        let mut collector = MessageCollector::new();
        self.each(|event| collector.add(event)).await?;
        Ok(collector.finish())
    }
}

impl<R> ResponseStream<R>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    /// Reads to the end: the response as its last event tells it.
    ///
    /// # Errors
    ///
    /// [`CallError`], if the stream fails, or the events are larger than the client's `max_body_bytes`.
    pub async fn collect(self) -> Result<OpenAiResponse, CallError> {
        let mut last = None;
        let stream = self
            .each(|event| last = event.response.or(last.take()))
            .await?;
        let events = stream.seen.events;
        last.ok_or(CallError::CutOff { events })
    }
}

impl<R, P> Stream for EventStream<R, P>
where
    R: Body,
    R::Error: Into<BoxError>,
    P: Protocol,
{
    type Item = Result<P::Item, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx)
    }
}

/// The future of an answer that is streamed.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Opening<F, R, P> {
    #[pin]
    state: State<F, R>,
    protocol: std::marker::PhantomData<fn() -> P>,
}

#[pin_project(project = StateProj)]
enum State<F, R> {
    /// Nothing was sent.
    Failed(Option<CallError>),
    /// Until the head is there.
    Sending(#[pin] F, Arc<Settings>),
    /// It is no stream, but an error.
    Refused(Box<Head>, String, #[pin] Collect<R>),
}

impl<F, R, P> Opening<F, R, P> {
    pub(super) const fn new(answer: F, settings: Arc<Settings>) -> Self {
        Self {
            state: State::Sending(answer, settings),
            protocol: std::marker::PhantomData,
        }
    }

    pub(super) const fn failed(error: CallError) -> Self {
        Self {
            state: State::Failed(Some(error)),
            protocol: std::marker::PhantomData,
        }
    }
}

impl<F, R, E, P> Future for Opening<F, R, P>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
    P: Protocol,
{
    type Output = Result<EventStream<R, P>, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Failed(error) => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error));
                }
                StateProj::Sending(answer, settings) => {
                    let answer = ready!(answer.poll(cx))
                        .map_err(|error| CallError::Transport(error.into()))?;
                    let (parts, body) = answer.into_parts();
                    let head = Head::of(settings.provider, &parts);
                    let content_type = parts
                        .headers
                        .get(CONTENT_TYPE)
                        .and_then(|value| value.to_str().ok());
                    let content_type = content_type.unwrap_or_default();
                    if parts.status == StatusCode::OK && may_stream(content_type) {
                        return Poll::Ready(Ok(EventStream::new(head, body, settings)));
                    }
                    let collect = Collect::of(&parts, body, settings.max_body_bytes);
                    State::Refused(Box::new(head), content_type.to_owned(), collect)
                }
                StateProj::Refused(head, content_type, collect) => {
                    let body = ready!(collect.poll(cx))?;
                    let refusal = head.judge(&body).or_else(|| head.told(&body));
                    return Poll::Ready(Err(refusal.unwrap_or_else(|| CallError::NoStream {
                        content_type: std::mem::take(content_type),
                    })));
                }
            };
            this.state.set(next);
        }
    }
}

/// Some servers leave the type out, or write one of their own; what is JSON is no stream.
fn may_stream(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    !essence.eq_ignore_ascii_case("application/json") && !essence.eq_ignore_ascii_case("text/html")
}

// === impl Unpin, Debug ===

/// The body is in a box of its own, and nothing else is ever pinned.
impl<R, P: Protocol> Unpin for EventStream<R, P> {}

impl<R, P: Protocol> fmt::Debug for EventStream<R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("head", &self.head)
            .field("seen", &self.seen)
            .field("held", &self.held.len())
            .field("ended", &self.events.is_none())
            .finish_non_exhaustive()
    }
}

impl<F, R, P> fmt::Debug for Opening<F, R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}
