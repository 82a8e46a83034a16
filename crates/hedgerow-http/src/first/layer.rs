//! Layers that say what is waited for.

use hedgerow_core::{Recorder, or_panic};
use tower_layer::Layer;

use super::event::FirstEvent;
use super::held::Caps;
#[cfg(feature = "llm")]
use super::known::{ByPath, KnownFormat};
use super::seen::{FirstFrame, StreamFormat};
use super::service::AwaitFirst;
use crate::error::HttpBuildError;

const MAX_EVENTS: u32 = 64;
const MAX_BYTES: u64 = 256 * 1_024;

/// Lets an answer count only at the first frame of its body.
///
/// A server that sends its head early has not answered yet: to a hedge outside of this layer the race
/// is won by the first frame, and an answer that breaks before it is an error, which a retry repeats.
/// Everything passes through as it came, from the first frame on with nothing in between.
///
/// A gRPC call that fails without having sent a message says so in trailers, which come in the place
/// of a first frame: such an answer is marked ([`Verdict`](hedgerow_core::Verdict)), and a
/// [`GrpcJudge`](hedgerow_core::GrpcJudge) outside refuses it.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use hedgerow_http::AwaitFirstFrameLayer;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hedgerow_core::BoxError> {
/// let client = ServiceBuilder::new()
///     // Here the hedge.
///     .layer(AwaitFirstFrameLayer::new())
///     .service_fn(async |_: Request<()>| {
///         Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
///     });
/// let answer = client.oneshot(Request::new(())).await?;
/// assert_eq!(answer.into_body().collect().await?.to_bytes(), "hello");
/// # Ok(()) }
/// ```
///
/// # Units
///
/// At most 4,096 empty frames are held before the answer is handed on all the same.
///
/// # Order
///
/// Inside of hedge, retry and admission, around the client: whatever is outside counts from the first
/// frame, a latency too. Answers that are no success, and those without a body, are handed on at once:
/// their status says what they are worth.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on. Dropping the future drops the body with what was held, which cancels the
/// request. It waits as long as the server does: a timeout or a deadline stands outside.
///
/// # Events
///
/// A [`FirstEvent`] to the recorder for every answer that was held.
///
/// # Errors
///
/// The inner service's, boxed as they are, and [`StreamBroken`](crate::StreamBroken).
///
/// # Cost
///
/// One allocation an answer, for the frame that is held; none for the frames after it.
#[derive(Clone, Debug)]
pub struct AwaitFirstFrameLayer<Rec = ()> {
    recorder: Rec,
}

/// Lets a stream of events count only at its first content.
///
/// Model servers send the head of a stream, and events that say nothing yet, long before the first
/// token. To a hedge outside of this layer the race is won by the first *token*. Until then
///
/// * a stream that breaks, or ends, is an error ([`StreamBroken`](crate::StreamBroken)), which a retry
///   repeats without the caller noticing;
/// * an error that the stream tells of (`{"error": …}` with the status 200) marks the answer with what it
///   is worth ([`Verdict`](hedgerow_core::Verdict)): [`HttpJudge`](hedgerow_core::HttpJudge) outside
///   refuses it, and if no attempt does better the caller reads the server's own words.
///
/// From the first content on the answer passes through, and nothing switches to another attempt any
/// more. What was held is delivered byte for byte, in the frames that came.
///
/// Answers that are no stream of events wait for their first frame, as beneath an
/// [`AwaitFirstFrameLayer`].
///
/// # Examples
///
/// ```
/// use hedgerow_core::Class;
/// use hedgerow_http::sse::Event;
/// use hedgerow_http::{AwaitFirstContentLayer, Seen};
///
/// fn see(event: &Event) -> Seen {
///     match &*event.name() {
///         "token" | "end" => Seen::Content,
///         "failed" => Seen::Failed(Class::RETRYABLE),
///         _ => Seen::Preamble,
///     }
/// }
/// let layer = AwaitFirstContentLayer::new(see);
/// # let _ = layer;
/// ```
///
/// OpenAI's and Anthropic's formats are known with the feature `llm`: `AwaitFirstContentLayer::llm()`.
///
/// # Units
///
/// Up to 64 events and 256 KiB are held, in up to 4,096 frames. What is longer is handed on as it is: a
/// server that never comes to its point is no failure.
///
/// # Order
///
/// Inside of hedge, retry and admission, around the client. Inside of whatever decompresses: what is
/// encoded cannot be looked into, and waits for its first frame.
///
/// # Readiness, clones and drop
///
/// As [`AwaitFirstFrameLayer`].
///
/// # Events
///
/// A [`FirstEvent`] to the recorder for every answer that was held.
///
/// # Errors
///
/// The inner service's, boxed as they are, and [`StreamBroken`](crate::StreamBroken).
///
/// # Cost
///
/// Two allocations for a stream whose first frame is content, one for the reader and one for the frames
/// that are held; none for the chunks after the first content (`overhead` in the benches counts them).
/// Memory: what is held, and one frame more.
#[derive(Clone, Debug)]
pub struct AwaitFirstContentLayer<F, Rec = ()> {
    format: F,
    caps: Caps,
    recorder: Rec,
}

const CAPS: Caps = Caps {
    events: MAX_EVENTS,
    bytes: MAX_BYTES,
};

impl AwaitFirstFrameLayer {
    /// Waits for the first frame of every answer.
    #[must_use]
    pub const fn new() -> Self {
        Self { recorder: () }
    }
}

impl Default for AwaitFirstFrameLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<Rec> AwaitFirstFrameLayer<Rec> {
    /// Tells a [`FirstEvent`] to `recorder` for every answer that was held. Defaults to `()`, which
    /// costs nothing.
    ///
    /// It is cloned for every call: put what is not cheap to clone into an `Arc`.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> AwaitFirstFrameLayer<T> {
        AwaitFirstFrameLayer { recorder }
    }
}

impl<F> AwaitFirstContentLayer<F> {
    /// Waits for the first event that is content to `format`: a function from `&Event` to
    /// [`Seen`](super::Seen), or one of the known formats.
    #[must_use]
    pub const fn new(format: F) -> Self
    where
        F: StreamFormat,
    {
        Self {
            format,
            caps: CAPS,
            recorder: (),
        }
    }
}

#[cfg(feature = "llm")]
impl AwaitFirstContentLayer<ByPath> {
    /// Waits for the first content of OpenAI's and Anthropic's streams, told apart by how the path of
    /// the request ends: `/chat/completions`, `/completions`, `/responses`, `/messages`. What is asked
    /// for by any other path waits for its first frame.
    #[must_use]
    pub fn llm() -> Self {
        Self::new(ByPath::default())
    }
}

#[cfg(feature = "llm")]
impl AwaitFirstContentLayer<KnownFormat> {
    /// Waits for the first content of a chat completion.
    #[must_use]
    pub const fn openai_chat() -> Self {
        Self::new(KnownFormat::OpenAiChat)
    }

    /// Waits for the first content of Anthropic's messages.
    #[must_use]
    pub const fn anthropic_messages() -> Self {
        Self::new(KnownFormat::AnthropicMessages)
    }
}

impl<F, Rec> AwaitFirstContentLayer<F, Rec> {
    /// Holds up to `events` events. Defaults to 64; at least 1.
    ///
    /// # Panics
    ///
    /// If it is zero: [`try_max_events`](Self::try_max_events) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_events(self, events: u32) -> Self {
        or_panic(self.try_max_events(events))
    }

    /// Like [`max_events`](Self::max_events), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`HttpBuildError::Held`] if it is zero.
    pub fn try_max_events(mut self, events: u32) -> Result<Self, HttpBuildError> {
        if events == 0 {
            return Err(HttpBuildError::Held);
        }
        self.caps.events = events;
        Ok(self)
    }

    /// Holds up to `bytes` bytes. Defaults to 262,144; at least 1, at most 8 MiB.
    ///
    /// # Panics
    ///
    /// If it is out of range: [`try_max_bytes`](Self::try_max_bytes) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_bytes(self, bytes: u64) -> Self {
        or_panic(self.try_max_bytes(bytes))
    }

    /// Like [`max_bytes`](Self::max_bytes), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`HttpBuildError::Held`] if it is out of range.
    pub fn try_max_bytes(mut self, bytes: u64) -> Result<Self, HttpBuildError> {
        if !(1..=8 << 20).contains(&bytes) {
            return Err(HttpBuildError::Held);
        }
        self.caps.bytes = bytes;
        Ok(self)
    }

    /// So many events are held.
    #[must_use]
    pub const fn held_events(&self) -> u32 {
        self.caps.events
    }

    /// So many bytes are held.
    #[must_use]
    pub const fn held_bytes(&self) -> u64 {
        self.caps.bytes
    }

    /// Tells a [`FirstEvent`] to `recorder` for every answer that was held. Defaults to `()`, which
    /// costs nothing.
    ///
    /// It is cloned for every call: put what is not cheap to clone into an `Arc`.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> AwaitFirstContentLayer<F, T> {
        AwaitFirstContentLayer {
            format: self.format,
            caps: self.caps,
            recorder,
        }
    }
}

impl<S, Rec> Layer<S> for AwaitFirstFrameLayer<Rec>
where
    Rec: Recorder<FirstEvent> + Clone,
{
    type Service = AwaitFirst<S, FirstFrame, Rec>;

    fn layer(&self, inner: S) -> Self::Service {
        AwaitFirst {
            inner,
            format: FirstFrame,
            caps: CAPS,
            recorder: self.recorder.clone(),
        }
    }
}

impl<S, F, Rec> Layer<S> for AwaitFirstContentLayer<F, Rec>
where
    F: Clone,
    Rec: Recorder<FirstEvent> + Clone,
{
    type Service = AwaitFirst<S, F, Rec>;

    fn layer(&self, inner: S) -> Self::Service {
        AwaitFirst {
            inner,
            format: self.format.clone(),
            caps: self.caps,
            recorder: self.recorder.clone(),
        }
    }
}
