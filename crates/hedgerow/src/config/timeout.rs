//! A timeout: its configuration, its layer, and what it means to those that measure.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, Class, Classify, cause_ref};
use pin_project::pin_project;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Sleep, sleep};
use tower::{Layer, Service};

use super::assemble::Part;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::member::{Given, Member};
use super::order::Place;
use super::time::ConfigDuration;

/// Gives up a call, or an attempt, that takes longer.
///
/// Outside of a hedge it bounds the whole call, with all its attempts; beneath a hedge each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "Gives up a call, or beneath a hedge an attempt, that takes longer.")]
#[non_exhaustive]
pub struct TimeoutConfig {
    /// How long it may take.
    pub after: ConfigDuration,
}

impl TimeoutConfig {
    /// Gives up what takes longer than `after`.
    #[must_use]
    pub const fn new(after: ConfigDuration) -> Self {
        Self { after }
    }

    /// The layer.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<TimeoutLayer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built)
    }

    pub(crate) fn assemble(self, mistakes: &mut Mistakes) -> Option<TimeoutLayer> {
        if self.after.get().is_zero() {
            let problem = "nothing can be answered in no time: write a time above zero, or leave the layer out";
            mistakes.refuse("after", self.after, problem);
            return None;
        }
        Some(TimeoutLayer::new(self.after.get()))
    }
}

impl Describe for TimeoutConfig {
    const NAME: &'static str = "timeout";
}

impl Member for TimeoutConfig {
    fn part(&self, _: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        self.assemble(mistakes).map(Part::Timeout)
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.timeout(self.after.get(), warn);
    }
}

/// Gives up a request that takes longer than a given time, with a [`TimedOut`] that says so.
///
/// What a configured stack uses. In code, tower's `timeout` does the same.
///
/// # Readiness, clones and drop
///
/// Readiness is passed on, and waiting for it is not counted. When the time is over the inner future is
/// dropped with the response future.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer {
    after: Duration,
}

impl TimeoutLayer {
    /// Gives up what takes longer than `after`.
    #[must_use]
    pub const fn new(after: Duration) -> Self {
        Self { after }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout {
            inner,
            after: self.after,
        }
    }
}

/// The service that [`TimeoutLayer`] makes.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    after: Duration,
}

/// The time was over before there was an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedOut {
    /// The time that was allowed.
    pub after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {:?}", self.after)
    }
}

impl std::error::Error for TimedOut {}

impl<S, Req> Service<Req> for Timeout<S>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        TimeoutFuture {
            inner: self.inner.call(request),
            after: self.after,
            sleep: None,
        }
    }
}

/// The response future of [`Timeout`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct TimeoutFuture<F> {
    #[pin]
    inner: F,
    after: Duration,
    /// Armed when the inner future was pending for the first time: boxed, to be no part of calls that
    /// are ready at once.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<F, Res, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result.map_err(Into::into));
        }
        let after = *this.after;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep(after)));
        sleep
            .as_mut()
            .poll(cx)
            .map(|()| Err(TimedOut { after }.into()))
    }
}

/// A judge that knows a timeout from a failure, and leaves everything else to `J`.
///
/// As a latency, what timed out took longer than its time; what failed says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeoutsAreCutOff<J>(pub(crate) J);

impl<J, Res> Classify<Res, BoxError> for TimeoutsAreCutOff<J>
where
    J: Classify<Res, BoxError>,
{
    fn classify(&self, result: &Result<Res, BoxError>) -> Class {
        match result {
            Err(error) if cause_ref::<TimedOut>(&**error).is_some() => Class::TimedOut,
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
