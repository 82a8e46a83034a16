//! The whole call's time, and how it is told to everything beneath.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{BoxError, Deadline, Recorder, or_panic, quietly};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep};
use tower_layer::Layer;
use tower_service::Service;

use crate::error::{DeadlineExceeded, RetryBuildError};
use crate::event::TimeoutEvent;
use crate::timer::{earlier, poll_until, tell};

/// Sets the [`Deadline`] of a call for everything beneath, and ends the call when it has passed.
///
/// The deadline is the earliest of three: the layer's own patience from the call's start, what the
/// request carries ([`deadline_of`](Self::deadline_of), [`http`](Self::http)), and what holds already,
/// so an outer one is never extended. Layers beneath read it by [`Deadline::current`]: a retry plans
/// within it, a queue need not start what nobody waits for. A call whose deadline has passed is refused
/// before anything is sent.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{BoxError, Deadline};
/// use hedgerow_retry::DeadlineLayer;
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let service = ServiceBuilder::new()
///     .layer(DeadlineLayer::new(Duration::from_secs(10)))
///     .service(tower::service_fn(async |_: u64| {
///         assert!(Deadline::current().is_some());
///         Ok::<_, BoxError>(())
///     }));
/// service.oneshot(1).await?;
/// # Ok(()) }
/// ```
///
/// One that the request carries:
///
/// ```
/// use hedgerow_core::Deadline;
/// use hedgerow_retry::DeadlineLayer;
///
/// struct Job { until: Option<Deadline> }
///
/// let layer = DeadlineLayer::inherited().deadline_of(|job: &Job| job.until);
/// # let _ = layer;
/// ```
///
/// # Order
///
/// Outside of a cache and of a retry. It does not cross a task: beneath a `Buffer` set another one,
/// which reads the request ([`http`](Self::http)).
///
/// # Readiness, clones and drop
///
/// Readiness is passed on, and waiting for it is not counted. For HTTP it ends with the head: what a body takes
/// is not counted either. When the deadline has passed the inner
/// future is dropped at once, whatever it does about it. A refused call leaves the service ready for the
/// next one.
///
/// # Events
///
/// A [`TimeoutEvent`] to the recorder, if the deadline has passed.
///
/// # Errors
///
/// The inner service's, boxed as it is, and [`DeadlineExceeded`]. A call that has to wait needs a
/// tokio runtime with the time driver enabled.
///
/// # Cost
///
/// One clock read, and the exchange of a thread-local around `call` and each `poll`. No allocation; no
/// timer for a service that is ready in its first poll.
#[derive(Clone, Copy)]
pub struct DeadlineLayer<D = (), Rec = ()> {
    patience: Option<Duration>,
    source: D,
    recorder: Rec,
}

/// The service that [`DeadlineLayer`] makes.
#[derive(Clone)]
pub struct WithDeadline<S, D = (), Rec = ()> {
    inner: S,
    layer: DeadlineLayer<D, Rec>,
}

/// Reads the deadline that a request carries, and tells it the one that holds.
///
/// `()` knows of none; [`DeadlineOf`] asks a function; `.http()` looks into the extensions.
pub trait DeadlineSource<Req> {
    /// What the request carries.
    fn read(&self, request: &mut Req) -> Option<Deadline>;

    /// Notes in the request what holds for it.
    #[inline]
    fn write(&self, request: &mut Req, deadline: Deadline) {
        let _ = (request, deadline);
    }
}

/// Asks a function for the deadline of a request: what `.deadline_of(f)` sets.
#[derive(Clone, Copy)]
pub struct DeadlineOf<F>(F);

/// The response future of [`WithDeadline`].
///
/// # Panics
///
/// When polled again after it was ready.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct DeadlineFuture<F, Rec = ()> {
    /// `None` once it has ended, and if it was refused.
    #[pin]
    inner: Option<F>,
    started: Instant,
    deadline: Option<Deadline>,
    #[pin]
    timer: Option<Sleep>,
    recorder: Rec,
    ended: bool,
}

impl DeadlineLayer {
    /// Ends every call that takes longer than `patience`.
    ///
    /// # Panics
    ///
    /// If `patience` is zero: [`try_new`](Self::try_new) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn new(patience: Duration) -> Self {
        or_panic(Self::try_new(patience))
    }

    /// Like [`new`](Self::new), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Timeout`] if `patience` is zero.
    pub fn try_new(patience: Duration) -> Result<Self, RetryBuildError> {
        RetryBuildError::check_time(patience)?;
        Ok(Self {
            patience: Some(patience),
            source: (),
            recorder: (),
        })
    }

    /// No deadline of its own: what the request carries, or what holds already.
    #[must_use]
    pub const fn inherited() -> Self {
        Self {
            patience: None,
            source: (),
            recorder: (),
        }
    }
}

impl<Rec> DeadlineLayer<(), Rec> {
    /// Asks `f` for the deadline that a request carries. It only ever shortens the others. Comes
    /// before `.http()`, which adds to it.
    ///
    /// A plain `fn(&Request) -> Option<Deadline>`, or a closure that names its argument's type. If it
    /// panics, the request carries none.
    #[must_use]
    pub fn deadline_of<F>(self, f: F) -> DeadlineLayer<DeadlineOf<F>, Rec> {
        self.source(|()| DeadlineOf(f))
    }
}

impl<D, Rec> DeadlineLayer<D, Rec> {
    /// Tells every deadline that has passed to `recorder`. Defaults to `()`, which costs nothing.
    ///
    /// It is cloned for every call: put what is not cheap to clone into an `Arc`. If it panics, its event
    /// is lost and nothing else.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> DeadlineLayer<D, T> {
        DeadlineLayer {
            patience: self.patience,
            source: self.source,
            recorder,
        }
    }

    pub(crate) fn source<E>(self, change: impl FnOnce(D) -> E) -> DeadlineLayer<E, Rec> {
        DeadlineLayer {
            patience: self.patience,
            source: change(self.source),
            recorder: self.recorder,
        }
    }
}

impl<S, D: Clone, Rec: Clone> Layer<S> for DeadlineLayer<D, Rec> {
    type Service = WithDeadline<S, D, Rec>;

    fn layer(&self, inner: S) -> WithDeadline<S, D, Rec> {
        WithDeadline {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S, D, Rec> WithDeadline<S, D, Rec> {
    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service, taken out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, D, Rec, Req> Service<Req> for WithDeadline<S, D, Rec>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    D: DeadlineSource<Req>,
    Rec: Recorder<TimeoutEvent> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = DeadlineFuture<S::Future, Rec>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let started = Instant::now();
        let now = started.into_std();
        let own = self
            .layer
            .patience
            .and_then(|patience| Deadline::within(now, patience));
        let carried = self.layer.source.read(&mut request);
        let deadline = earlier(earlier(own, carried), Deadline::current());
        if let Some(deadline) = deadline {
            self.layer.source.write(&mut request, deadline);
        }
        let refused = deadline.is_some_and(|deadline| deadline.has_passed(now));
        DeadlineFuture {
            inner: (!refused).then(|| Deadline::in_scope(deadline, || self.inner.call(request))),
            started,
            deadline,
            timer: None,
            recorder: self.layer.recorder.clone(),
            ended: false,
        }
    }
}

impl<F, Rec, Res, E> Future for DeadlineFuture<F, Rec>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    Rec: Recorder<TimeoutEvent>,
{
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            if let Poll::Ready(result) = Deadline::in_scope(*this.deadline, || inner.poll(cx)) {
                *this.ended = true;
                this.inner.set(None);
                return Poll::Ready(result.map_err(Into::into));
            }
            let until = this.deadline.map(|at| Instant::from_std(at.instant()));
            if poll_until(this.timer, until, cx).is_pending() {
                return Poll::Pending;
            }
        }
        if *this.ended {
            panic!("a response future was polled after it was ready");
        }
        *this.ended = true;
        let sent = this.inner.is_some();
        quietly(|| this.inner.set(None));
        let exceeded = exceeded(*this.started, *this.deadline, sent);
        tell(this.recorder, &TimeoutEvent::DeadlineExceeded(exceeded));
        Poll::Ready(Err(exceeded.into()))
    }
}

#[cold]
fn exceeded(started: Instant, deadline: Option<Deadline>, sent: bool) -> DeadlineExceeded {
    let now = Instant::now();
    let overdue = deadline.map(|at| now.into_std().saturating_duration_since(at.instant()));
    DeadlineExceeded {
        after: if sent {
            now.saturating_duration_since(started)
        } else {
            Duration::ZERO
        },
        overdue: overdue.unwrap_or_default(),
        sent,
    }
}

// === impl DeadlineSource ===

impl<Req> DeadlineSource<Req> for () {
    #[inline]
    fn read(&self, _: &mut Req) -> Option<Deadline> {
        None
    }
}

impl<Req, F> DeadlineSource<Req> for DeadlineOf<F>
where
    F: Fn(&Req) -> Option<Deadline>,
{
    fn read(&self, request: &mut Req) -> Option<Deadline> {
        // The panic hook has reported it.
        catch_unwind(AssertUnwindSafe(|| (self.0)(request))).unwrap_or(None)
    }
}

// === impl fmt ===

impl<F> fmt::Debug for DeadlineOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeadlineOf")
    }
}

impl<D: fmt::Debug, Rec> fmt::Debug for DeadlineLayer<D, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineLayer")
            .field("patience", &self.patience)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, D: fmt::Debug, Rec> fmt::Debug for WithDeadline<S, D, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithDeadline")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
