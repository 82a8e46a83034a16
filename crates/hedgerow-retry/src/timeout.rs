//! One try's time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, Class, Classify, Recorder, cause_ref, or_panic, quietly};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep};
use tower_layer::Layer;
use tower_service::Service;

use crate::error::{RetryBuildError, TimedOut};
use crate::event::TimeoutEvent;
use crate::timer::{instant, poll_until, tell};

/// Drops a request that takes longer than a given time, with a [`TimedOut`] that says so.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{BoxError, cause_ref};
/// use hedgerow_retry::{TimedOut, TimeoutLayer};
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(TimeoutLayer::new(Duration::from_secs(2)))
///     .service(tower::service_fn(async |_: u64| std::future::pending::<Result<(), BoxError>>().await));
/// let error = service.oneshot(1).await.unwrap_err();
/// assert_eq!(cause_ref::<TimedOut>(&*error).unwrap().after, Duration::from_secs(2));
/// # }
/// ```
///
/// # Units
///
/// The timer has a grain of 1 ms and rounds up.
///
/// # Order
///
/// Beneath a retry it bounds a try, beneath a hedge an attempt, outside of both the whole call; for
/// that a [`DeadlineLayer`](crate::DeadlineLayer) is better, because layers beneath can see it. A retry
/// layer has an [`attempt_timeout`](crate::RetryLayer::attempt_timeout) of its own and knows a
/// [`TimedOut`] from beneath by itself; the judge of a hedge or of a `LatencyLayer` is told by
/// [`TimeoutsAreCutOff`].
///
/// # Readiness, clones and drop
///
/// Readiness is passed on, and waiting for it is not counted. For HTTP it ends with the head: what a body takes
/// is not counted either. When the time is over the inner future is
/// dropped at once, whatever it does about it.
///
/// # Events
///
/// A [`TimeoutEvent`] to the recorder, if the time is over.
///
/// # Errors
///
/// The inner service's, boxed as it is, and [`TimedOut`]. A call that has to wait needs a tokio
/// runtime with the time driver enabled.
///
/// # Cost
///
/// One clock read. No allocation; no timer for a service that is ready in its first poll.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer<Rec = ()> {
    after: Duration,
    recorder: Rec,
}

/// The service that [`TimeoutLayer`] makes.
#[derive(Clone, Debug)]
pub struct Timeout<S, Rec = ()> {
    inner: S,
    after: Duration,
    recorder: Rec,
}

/// The response future of [`Timeout`].
///
/// # Panics
///
/// When polled again after it was ready.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct TimeoutFuture<F, Rec = ()> {
    /// `None` once it has ended.
    #[pin]
    inner: Option<F>,
    started: Instant,
    after: Duration,
    recorder: Rec,
    #[pin]
    timer: Option<Sleep>,
}

impl TimeoutLayer {
    /// Gives up what takes longer than `after`.
    ///
    /// # Panics
    ///
    /// If `after` is zero: [`try_new`](Self::try_new) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn new(after: Duration) -> Self {
        or_panic(Self::try_new(after))
    }

    /// Like [`new`](Self::new), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Timeout`] if `after` is zero.
    pub fn try_new(after: Duration) -> Result<Self, RetryBuildError> {
        RetryBuildError::check_time(after)?;
        Ok(Self {
            after,
            recorder: (),
        })
    }
}

impl<Rec> TimeoutLayer<Rec> {
    /// Tells every timeout to `recorder`. Defaults to `()`, which costs nothing.
    ///
    /// It is cloned for every call: put what is not cheap to clone into an `Arc`. If it panics, its event
    /// is lost and nothing else.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> TimeoutLayer<T> {
        TimeoutLayer {
            after: self.after,
            recorder,
        }
    }
}

impl<S, Rec: Clone> Layer<S> for TimeoutLayer<Rec> {
    type Service = Timeout<S, Rec>;

    fn layer(&self, inner: S) -> Timeout<S, Rec> {
        Timeout {
            inner,
            after: self.after,
            recorder: self.recorder.clone(),
        }
    }
}

impl<S, Rec> Timeout<S, Rec> {
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

impl<S, Rec, Req> Service<Req> for Timeout<S, Rec>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    Rec: Recorder<TimeoutEvent> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = TimeoutFuture<S::Future, Rec>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let started = Instant::now();
        TimeoutFuture {
            inner: Some(self.inner.call(request)),
            started,
            after: self.after,
            recorder: self.recorder.clone(),
            timer: None,
        }
    }
}

impl<F, Rec, Res, E> Future for TimeoutFuture<F, Rec>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    Rec: Recorder<TimeoutEvent>,
{
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            panic!("a response future was polled after it was ready");
        };
        if let Poll::Ready(result) = inner.poll(cx) {
            this.inner.set(None);
            return Poll::Ready(result.map_err(Into::into));
        }
        let until = instant(*this.started, *this.after);
        if poll_until(this.timer, until, cx).is_pending() {
            return Poll::Pending;
        }
        quietly(|| this.inner.set(None));
        let timed_out = TimedOut { after: *this.after };
        tell(this.recorder, &TimeoutEvent::TimedOut(timed_out));
        Poll::Ready(Err(timed_out.into()))
    }
}

/// A judge that knows a timeout from a failure, and leaves everything else to `J`.
///
/// As a latency, what timed out took longer than its time ("cut off"); what failed says nothing. For
/// the layers above a [`TimeoutLayer`] that keep latencies: a hedge, a `LatencyLayer`. Whatever else `J`
/// is, a [`TimedOut`] or a [`DeadlineExceeded`](crate::DeadlineExceeded) of a request that was sent is
/// [`Class::TimedOut`].
///
/// # Examples
///
/// ```
/// use hedgerow_core::{BoxError, Class, Classify, OkWins};
/// use hedgerow_retry::TimeoutsAreCutOff;
///
/// let judge = TimeoutsAreCutOff(OkWins);
/// let failed: Result<(), BoxError> = Err("no".into());
/// assert_eq!(judge.classify(&failed), Class::RETRYABLE);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutsAreCutOff<J>(pub J);

impl<J, Res> Classify<Res, BoxError> for TimeoutsAreCutOff<J>
where
    J: Classify<Res, BoxError>,
{
    fn classify(&self, result: &Result<Res, BoxError>) -> Class {
        match result {
            Err(error) if is_timeout(error) => Class::TimedOut,
            result => self.0.classify(result),
        }
    }

    fn wants_losses(&self) -> bool {
        self.0.wants_losses()
    }

    fn all_lost(&self, results: &[(Attempt, &Result<Res, BoxError>)]) {
        self.0.all_lost(results);
    }
}

fn is_timeout(error: &BoxError) -> bool {
    let exceeded = cause_ref::<crate::DeadlineExceeded>(&**error);
    exceeded.is_some_and(|exceeded| exceeded.sent) || cause_ref::<TimedOut>(&**error).is_some()
}
