//! The attempts of all methods, told to the throttle and to whoever asked.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hedgerow_core::{Attempt, BoxError, Budget, Recorder};
use hedgerow_retry::{RetryEvent, TryOutcome};
use http::{HeaderValue, Request, Response};
use pin_project::pin_project;
use tower::Service;

use super::copies::PREVIOUS_ATTEMPTS;
use super::judge::{CodeJudge, Told};

/// Tells the throttle how attempts end, and the caller how many came before the one that answered.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    pub(super) inner: S,
    pub(super) judge: CodeJudge,
    pub(super) throttle: Option<Budget>,
}

/// The future of an attempt.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct CountedFuture<F> {
    #[pin]
    inner: F,
    judge: CodeJudge,
    throttle: Option<Budget>,
    attempt: Attempt,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError>,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = CountedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let attempt = request.extensions().get().copied();
        CountedFuture {
            inner: self.inner.call(request),
            judge: self.judge,
            throttle: self.throttle.clone(),
            attempt: attempt.unwrap_or(Attempt::PRIMARY),
        }
    }
}

impl<F, R> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<R>, BoxError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let Some(throttle) = this.throttle {
            match this.judge.told(&result) {
                Told::Success => throttle.succeeded(),
                Told::Failure => throttle.failed(),
                Told::Nothing => {}
            }
        }
        if this.attempt.is_extra()
            && let Ok(answer) = &mut result
        {
            let before = HeaderValue::from(this.attempt.index());
            answer.headers_mut().insert(PREVIOUS_ATTEMPTS, before);
        }
        Poll::Ready(result)
    }
}

/// Tells the throttle of attempts whose own time was over: nobody else sees their end.
#[derive(Clone, Debug)]
pub struct TimedOutAttempts(pub(super) Option<Budget>);

impl Recorder<RetryEvent> for TimedOutAttempts {
    fn enabled(&self) -> bool {
        self.0.is_some()
    }

    fn record(&self, event: &RetryEvent) {
        if let (Some(throttle), RetryEvent::TryEnded(ended)) = (&self.0, event)
            && ended.outcome == TryOutcome::TimedOut
        {
            throttle.failed();
        }
    }
}
