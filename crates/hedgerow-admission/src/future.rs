//! The response future: waiting, getting ready, running.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hedgerow_core::BoxError;
use pin_project::{pin_project, pinned_drop};
use tower_service::Service;

use crate::ask::{Ask, Asks};
use crate::error::Overloaded;
use crate::layer::Parts;
use crate::limit::Outcome;
use crate::permit::Permit;
use crate::plain::Pass;
use crate::queue::Kind;
use crate::review::{Review, Reviews};
use crate::service::Core;
use crate::shared::{Admitted, Shared};
use crate::waiting::{Joined, Wait};

/// The response future of [`AdmissionService`](crate::AdmissionService).
///
/// A request that found no place joins the queue when this is first polled. Dropping it leaves the queue,
/// or gives back the place and what was reserved.
#[pin_project(PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: Service<Req>, P, Req, T = ()> {
    #[pin]
    stage: Stage<S::Future, S, Req>,
    hold: Hold<T>,
    core: Arc<Core<P, T>>,
}

/// How far the call is.
#[pin_project(project = StageProj, project_replace = StageOwned)]
enum Stage<F, S, Req> {
    /// The clone that sends it once it is admitted.
    Next(S, Req),
    Running(#[pin] F),
    Over,
}

/// What the request has of the gate.
pub(crate) enum Hold<T> {
    Nothing,
    /// It joins the queue, and asks nothing but this cost.
    Plain(u64),
    /// It joins the queue.
    Asks(Box<Ask>),
    /// It waits in the queue.
    Waits(Wait),
    Refused(Box<Overloaded>),
    /// A place, and nothing sent yet.
    Unsent(Pass),
    /// A place.
    Sent(Pass),
    /// More than a place and something of one rate.
    Permit(Box<Permit<T>>),
}

impl<S: Service<Req>, P, Req, T> ResponseFuture<S, P, Req, T> {
    /// It runs.
    #[inline]
    pub(crate) const fn running(running: S::Future, hold: Hold<T>, core: Arc<Core<P, T>>) -> Self {
        Self {
            stage: Stage::Running(running),
            hold,
            core,
        }
    }

    /// It has to be admitted first, and its clone to get ready.
    #[inline]
    pub(crate) fn waiting(next: (S, Req), hold: Hold<T>, core: Arc<Core<P, T>>) -> Self {
        Self {
            stage: Stage::Next(next.0, next.1),
            hold,
            core,
        }
    }
}

impl<T> Hold<T> {
    /// What one has that was admitted, and has sent nothing yet.
    fn unsent(admitted: Admitted, shared: &Arc<Shared<T>>) -> Self {
        if admitted.is_plain(&shared.rules) {
            Self::Unsent(admitted.pass())
        } else {
            Self::Permit(Box::new(Permit::new(shared.clone(), admitted).unsent()))
        }
    }

    /// Waits until it has a place.
    fn poll_admitted(
        &mut self,
        shared: &Arc<Shared<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Overloaded>> {
        let result = match self {
            Self::Unsent(_) | Self::Sent(_) | Self::Permit(_) => return Poll::Ready(Ok(())),
            Self::Nothing => return Poll::Pending,
            Self::Waits(wait) => ready!(wait.poll(shared, cx)),
            Self::Refused(refused) => Err(**refused),
            Self::Plain(_) | Self::Asks(_) => {
                let ask = match mem::replace(self, Self::Nothing) {
                    Self::Plain(cost) => Ask::new().cost(cost),
                    Self::Asks(ask) => *ask,
                    _ => return Poll::Pending,
                };
                match Wait::join(shared, ask, Kind::Request, cx) {
                    Joined::At(result) => result,
                    Joined::Waits(wait) => {
                        *self = Self::Waits(wait);
                        return Poll::Pending;
                    }
                }
            }
        };
        *self = Self::Nothing;
        *self = Self::unsent(result?, shared);
        Poll::Ready(Ok(()))
    }

    /// Something is sent now.
    fn send(&mut self) {
        match self {
            Self::Unsent(pass) => *self = Self::Sent(*pass),
            Self::Permit(permit) => permit.set_sent(),
            _ => {}
        }
    }

    /// All that it has is given back; nobody knows of an answer.
    #[inline(never)]
    fn give_back(&mut self, shared: &Shared<T>) {
        match mem::replace(self, Self::Nothing) {
            Self::Waits(mut wait) => wait.leave(shared),
            Self::Unsent(pass) => shared.finish_unsent(pass),
            Self::Sent(pass) => shared.finish_pass(pass, || Review::of(Outcome::Cancelled)),
            // A permit gives itself back.
            Self::Nothing | Self::Plain(_) | Self::Asks(_) | Self::Refused(_) | Self::Permit(_) => {
            }
        }
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
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !matches!(self.stage, Stage::Running(_)) {
            ready!(self.as_mut().poll_sent(cx))?;
        }
        let mut this = self.project();
        let StageProj::Running(running) = this.stage.as_mut().project() else {
            return Poll::Pending;
        };
        let result = ready!(running.poll(cx));
        // Gone before its place goes to the next.
        this.stage.set(Stage::Over);
        let parts = &this.core.parts;
        match mem::replace(this.hold, Hold::Nothing) {
            Hold::Sent(pass) => this
                .core
                .shared
                .finish_pass(pass, || parts.reviews.review(&result)),
            Hold::Permit(permit) => permit.end(parts.reviews.review(&result)),
            _ => {}
        }
        Poll::Ready(result.map_err(Into::into))
    }
}

impl<S, A, V, Req, T> ResponseFuture<S, Parts<A, V>, Req, T>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Asks<Req, T>,
    V: Reviews<S::Response, S::Error>,
{
    /// Waits for its turn, makes the clone ready, and calls it.
    #[inline(never)]
    fn poll_sent(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut this = self.project();
        let StageProj::Next(service, _) = this.stage.as_mut().project() else {
            panic!("polled after it was ready");
        };
        let shared = &this.core.shared;
        let ready = match ready!(this.hold.poll_admitted(shared, cx)) {
            Ok(()) => ready!(service.poll_ready(cx)).map_err(Into::into),
            Err(refused) => Err(refused.into()),
        };
        let next = this.stage.as_mut().project_replace(Stage::Over);
        if let Err(error) = ready {
            // Nothing was sent: all that was reserved is given back.
            this.hold.give_back(shared);
            return Poll::Ready(Err(error));
        }
        let StageOwned::Next(mut service, mut request) = next else {
            return Poll::Pending;
        };
        this.hold.send();
        let resource = match this.hold {
            Hold::Permit(permit) => permit.resource(),
            _ => &shared.resources[0],
        };
        this.core.parts.asks.assign(&mut request, resource);
        this.stage.set(Stage::Running(service.call(request)));
        Poll::Ready(Ok(()))
    }
}

#[pinned_drop]
impl<S: Service<Req>, P, Req, T> PinnedDrop for ResponseFuture<S, P, Req, T> {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        if !matches!(self.hold, Hold::Nothing) {
            self.leave();
        }
    }
}

impl<S: Service<Req>, P, Req, T> ResponseFuture<S, P, Req, T> {
    /// Its caller has left.
    #[cold]
    fn leave(self: Pin<&mut Self>) {
        let mut this = self.project();
        let _held = Held {
            hold: this.hold,
            shared: &this.core.shared,
        };
        this.stage.set(Stage::Over);
    }
}

/// What is given back when what runs is gone, though its drop may panic.
struct Held<'a, T> {
    hold: &'a mut Hold<T>,
    shared: &'a Shared<T>,
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.hold.give_back(self.shared);
    }
}

impl<S: Service<Req>, P, Req, T> fmt::Debug for ResponseFuture<S, P, Req, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("sent", &matches!(self.stage, Stage::Running(_)))
            .finish_non_exhaustive()
    }
}
