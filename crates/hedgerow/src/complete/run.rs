//! How a call is made.

use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_admission::{AdmissionLayer, Gate, Overloaded};
use hedgerow_core::{BoxError, Class, Classify, cause_ref};
use hedgerow_retry::{RetryLayer, TimeoutLayer, TimeoutsAreCutOff};
use tower::{Layer, Service, ServiceExt};

use super::outcome::{Cancelled, CompleteError, Completed};
use super::tally::{Counted, Tally};
use super::{Complete, Settings};

impl<'a, S, Req, J> IntoFuture for Complete<'a, S, Req, J>
where
    S: Service<Req> + Clone + Send + Sync + 'a,
    S::Response: Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Req: Clone + Send + Sync + 'a,
    J: Classify<S::Response, BoxError> + Send + Sync + 'a,
{
    type Output = Result<Completed<S::Response>, CompleteError>;
    type IntoFuture = Completing<'a, S::Response>;

    fn into_future(self) -> Completing<'a, S::Response> {
        Completing(Box::pin(self.run()))
    }
}

/// The future of a [`Complete`].
#[must_use = "futures do nothing unless polled"]
pub struct Completing<'a, T>(
    Pin<Box<dyn Future<Output = Result<Completed<T>, CompleteError>> + Send + 'a>>,
);

impl<T> Future for Completing<'_, T> {
    type Output = Result<Completed<T>, CompleteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<S, Req, J> Complete<'_, S, Req, J>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    Req: Clone,
    J: Classify<S::Response, BoxError>,
{
    async fn run(self) -> Result<Completed<S::Response>, CompleteError> {
        let tally = Tally::start();
        let token = self.settings.token.clone();
        let usage = self.usage.clone();
        let result = {
            let mut call = pin!(self.call(tally.clone()));
            let mut cancelled = pin!(async {
                match &token {
                    Some(token) => token.cancelled().await,
                    None => std::future::pending().await,
                }
            });
            poll_fn(|cx| {
                if cancelled.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(Cancelled.into()));
                }
                call.as_mut().poll(cx)
            })
            .await
            // Here the call is dropped, with whatever it holds.
        };
        let took = tally.took();
        match result {
            Ok(value) => {
                let usage = usage.and_then(|read| read(&value));
                Ok(Completed { value, usage, took })
            }
            Err(source) => Err(CompleteError { took, source }),
        }
    }

    async fn call(self, tally: Arc<Tally>) -> Result<S::Response, BoxError> {
        let Settings {
            gate,
            ask,
            attempts,
            attempt_timeout,
            deadline,
            waits,
            budget,
            token: _,
        } = self.settings;
        let judge = Arc::new(self.judge);
        let read = self.usage;
        let admission = AdmissionLayer::new(gate.unwrap_or_else(|| Gate::builder().build()))
            .ask(move |_: &Req| ask.clone())
            .accept(TimeoutsAreCutOff(By(judge.clone())))
            .settle(move |value: &S::Response| Some(read.as_ref()?(value)?.total()));
        let mut retry = RetryLayer::new(waits).clone_requests().accept(By(judge));
        if let Some(n) = attempts {
            retry = retry.attempts(n);
        }
        if let Some(patience) = deadline {
            retry = retry.deadline(patience);
        }
        if let Some(budget) = budget {
            retry = retry.budget(budget);
        }
        // No end that a clock can tell is none.
        let timeout = TimeoutLayer::new(attempt_timeout.unwrap_or(Duration::MAX));
        let client = timeout.layer(Counted::new(self.client, tally));
        let service = retry.layer(admission.layer(client));
        service.oneshot(self.request).await
    }
}

/// A judge behind an `Arc`, to whom what the gate refused is final.
struct By<J>(Arc<J>);

impl<J, T> Classify<T, BoxError> for By<J>
where
    J: Classify<T, BoxError>,
{
    fn classify(&self, result: &Result<T, BoxError>) -> Class {
        match result {
            Err(error) if cause_ref::<Overloaded>(&**error).is_some() => Class::Fatal,
            result => self.0.classify(result),
        }
    }
}

impl<J> Clone for By<J> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// === impl Debug ===

impl<T> fmt::Debug for Completing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completing").finish_non_exhaustive()
    }
}
