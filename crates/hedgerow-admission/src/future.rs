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
    /// It waits in the queue.
    Waits(Wait),
    /// A place, and whether anything was sent with it.
    Place(Pass, bool),
    More(Box<More<T>>),
}

/// What few requests have. Boxed: the drop of the others is to be short.
pub(crate) enum More<T> {
    /// It joins the queue.
    Asks(Ask),
    Refused(Overloaded),
    /// More than a place and something of one rate.
    Permit(Permit<T>),
}

impl<S: Service<Req>, P, Req, T> ResponseFuture<S, P, Req, T> {
    /// It was admitted: dropped before it [runs](Self::run), it gives all back.
    #[inline]
    pub(crate) const fn admitted(hold: Hold<T>, core: Arc<Core<P, T>>) -> Self {
        Self {
            stage: Stage::Over,
            hold,
            core,
        }
    }

    /// It runs.
    #[inline]
    pub(crate) fn run(&mut self, running: S::Future) {
        self.stage = Stage::Running(running);
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
    pub(crate) fn asks(ask: Ask) -> Self {
        Self::More(Box::new(More::Asks(ask)))
    }

    pub(crate) fn refused(refused: Overloaded) -> Self {
        Self::More(Box::new(More::Refused(refused)))
    }

    pub(crate) fn permit(permit: Permit<T>) -> Self {
        Self::More(Box::new(More::Permit(permit)))
    }

    /// What one has that was admitted, and has sent nothing yet.
    fn unsent(admitted: Admitted, shared: &Arc<Shared<T>>) -> Self {
        if admitted.is_plain(&shared.rules) {
            Self::Place(admitted.pass(), false)
        } else {
            Self::permit(Permit::new(shared.clone(), admitted).unsent())
        }
    }

    /// Waits until it has a place.
    fn poll_admitted(
        &mut self,
        shared: &Arc<Shared<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Overloaded>> {
        let ask = match self {
            Self::Place(..) => return Poll::Ready(Ok(())),
            Self::More(more) if matches!(**more, More::Permit(_)) => return Poll::Ready(Ok(())),
            Self::Waits(wait) => {
                let result = ready!(wait.poll(shared, cx));
                return Poll::Ready(self.got(result, shared));
            }
            _ => match mem::replace(self, Self::Nothing) {
                Self::Plain(cost) => Ask::new().cost(cost),
                Self::More(more) => match *more {
                    More::Asks(ask) => ask,
                    More::Refused(refused) => return Poll::Ready(Err(refused)),
                    More::Permit(_) => return Poll::Pending,
                },
                _ => return Poll::Pending,
            },
        };
        match Wait::join(shared, ask, Kind::Request, cx) {
            Joined::At(result) => Poll::Ready(self.got(result, shared)),
            Joined::Waits(wait) => {
                *self = Self::Waits(wait);
                Poll::Pending
            }
        }
    }

    /// It waits no longer.
    fn got(
        &mut self,
        result: Result<Admitted, Overloaded>,
        shared: &Arc<Shared<T>>,
    ) -> Result<(), Overloaded> {
        let (hold, result) = match result {
            Ok(admitted) => (Self::unsent(admitted, shared), Ok(())),
            Err(refused) => (Self::Nothing, Err(refused)),
        };
        *self = hold;
        result
    }

    /// Something is sent now.
    fn send(&mut self) {
        match self {
            Self::Place(_, sent) => *sent = true,
            Self::More(more) => {
                if let More::Permit(permit) = &mut **more {
                    permit.set_sent();
                }
            }
            _ => {}
        }
    }

    /// All that it has is given back; nobody knows of an answer.
    #[inline(never)]
    fn give_back(&mut self, shared: &Shared<T>) {
        match mem::replace(self, Self::Nothing) {
            Self::Waits(mut wait) => wait.leave(shared),
            Self::Place(pass, false) => shared.finish_unsent(pass),
            Self::Place(pass, true) => shared.finish_pass(pass, || Review::of(Outcome::Cancelled)),
            // A permit gives itself back.
            Self::Nothing | Self::Plain(_) | Self::More(_) => {}
        }
    }
}

impl<T> More<T> {
    fn resource(&self) -> Option<&T> {
        match self {
            Self::Permit(permit) => Some(permit.resource()),
            Self::Asks(_) | Self::Refused(_) => None,
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
        if let Hold::Place(pass, _) = *this.hold {
            // There is nothing in it to be dropped.
            mem::forget(mem::replace(this.hold, Hold::Nothing));
            let review = || parts.reviews.review(&result);
            this.core.shared.finish_pass(pass, review);
        } else if let Hold::More(more) = mem::replace(this.hold, Hold::Nothing)
            && let More::Permit(permit) = *more
        {
            permit.end(parts.reviews.review(&result));
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
            Hold::More(more) => more.resource(),
            _ => None,
        };
        let resource = resource.unwrap_or(&shared.resources[0]);
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
