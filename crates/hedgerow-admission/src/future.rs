//! The response future: waiting, getting ready, running.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hedgerow_core::BoxError;
use pin_project::pin_project;
use tower_service::Service;

use crate::ask::Asks;
use crate::error::Overloaded;
use crate::layer::Parts;
use crate::limit::Outcome;
use crate::permit::{Permit, Waiting};
use crate::review::{Review, Reviews};

/// The response future of [`AdmissionService`](crate::AdmissionService).
///
/// Dropping it leaves the queue, or gives back the place and what was reserved.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: Service<Req>, P, Req, T = ()> {
    #[pin]
    stage: Stage<S, Req, S::Future, T>,
    parts: Arc<P>,
}

#[pin_project(project = StageProj)]
enum Stage<S, Req, F, T> {
    /// In the queue.
    Waiting {
        #[pin]
        waiting: Waiting<T>,
        next: Option<(S, Req)>,
    },
    /// Admitted; the service below gets ready.
    Readying {
        permit: Option<Permit<T>>,
        next: Option<(S, Req)>,
    },
    /// The future first: it is dropped before its permit goes to the next.
    Running {
        #[pin]
        running: F,
        permit: Option<Permit<T>>,
    },
    /// Not admitted; `None` when its end was told.
    Refused(Option<Overloaded>),
}

impl<S: Service<Req>, P, Req, T> ResponseFuture<S, P, Req, T> {
    #[inline]
    pub(crate) const fn running(running: S::Future, permit: Permit<T>, parts: Arc<P>) -> Self {
        let permit = Some(permit);
        let stage = Stage::Running { running, permit };
        Self { stage, parts }
    }

    pub(crate) fn readying(mut permit: Permit<T>, next: (S, Req), parts: Arc<P>) -> Self {
        permit.set_sent(false);
        let stage = Stage::Readying {
            permit: Some(permit),
            next: Some(next),
        };
        Self { stage, parts }
    }

    pub(crate) const fn waiting(waiting: Waiting<T>, next: (S, Req), parts: Arc<P>) -> Self {
        let next = Some(next);
        let stage = Stage::Waiting { waiting, next };
        Self { stage, parts }
    }

    pub(crate) const fn refused(refused: Overloaded, parts: Arc<P>) -> Self {
        let stage = Stage::Refused(Some(refused));
        Self { stage, parts }
    }
}

impl<S, A, V, Req, T> Future for ResponseFuture<S, Parts<A, V>, Req, T>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Asks<Req, T>,
    V: Reviews<S::Response, S::Error>,
{
    type Output = Result<S::Response, BoxError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                // It runs: its result says how the call ended.
                StageProj::Running { running, permit } => {
                    let result = ready!(running.poll(cx));
                    let mut permit = permit.take();
                    // Gone before its permit goes to the next.
                    this.stage.set(Stage::Refused(None));
                    if let Some(permit) = &mut permit {
                        permit.end(&result, &this.parts.reviews);
                    }
                    return Poll::Ready(result.map_err(Into::into));
                }
                // Its turn has come, or it was refused.
                StageProj::Waiting { waiting, next } => {
                    let (permit, next) = match ready!(waiting.poll(cx)) {
                        Ok(permit) => {
                            let mut permit = permit.in_flight();
                            permit.set_sent(false);
                            (Some(permit), next.take())
                        }
                        Err(refused) => {
                            *next = None;
                            return Poll::Ready(Err(refused.into()));
                        }
                    };
                    this.stage.set(Stage::Readying { permit, next });
                }
                // The clone gets ready, and is called.
                StageProj::Readying { permit, next } => {
                    let (service, _) = next.as_mut().expect("polled after it was ready");
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        let result = Err(error);
                        if let Some(mut permit) = permit.take() {
                            permit.end(&result, &this.parts.reviews);
                        }
                        *next = None;
                        return Poll::Ready(result.map_err(Into::into));
                    }
                    let mut permit = permit.take();
                    let (mut service, mut request) = next.take().expect("it was just there");
                    if let Some(permit) = &mut permit {
                        permit.set_sent(true);
                        this.parts.asks.assign(&mut request, permit.resource());
                    }
                    let running = service.call(request);
                    this.stage.set(Stage::Running { running, permit });
                }
                StageProj::Refused(refused) => {
                    let refused = refused.take().expect("polled after it was ready");
                    return Poll::Ready(Err(refused.into()));
                }
            }
        }
    }
}

impl<T> Permit<T> {
    /// From now on a drop is a caller that left.
    #[inline]
    pub(crate) fn in_flight(mut self) -> Self {
        self.set(Review::of(Outcome::Cancelled));
        self
    }

    /// The call has ended with this result.
    #[inline]
    fn end<Res, E>(&mut self, result: &Result<Res, E>, reviews: &impl Reviews<Res, E>) {
        self.set(reviews.review(result));
    }
}

impl<S: Service<Req>, P, Req, T> fmt::Debug for ResponseFuture<S, P, Req, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Waiting { .. } => "waiting",
            Stage::Readying { .. } => "readying",
            Stage::Running { .. } => "running",
            Stage::Refused(_) => "refused",
        };
        f.debug_struct("ResponseFuture")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
