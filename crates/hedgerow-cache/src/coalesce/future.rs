//! The response future: a place aboard of a flight.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hedgerow_core::{BoxError, Deadline, Grant, Kind};
use pin_project::{pin_project, pinned_drop};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::error::{BehindDeadline, FlightCrashed};
use super::event::{CoalesceEvent, PassReason};
use super::handle::bump;
use super::layer::OnFailure;
use super::mission::{Outcome, fly};
use super::rules::CoalesceRules;
use super::service::Core;
use super::share::Share;
use super::table::{Boarded, Doors, Table};
use crate::flight::{Ending, Flight, Seat};
use crate::lead::hand_over;
use crate::oneshot::Oneshot;

pub(super) type Kept<X, S, Req> =
    <Sharing<X, S, Req> as Share<<S as Service<Req>>::Response>>::Kept;
/// A flight of this service.
pub(super) type FlightOf<X, S, Req> = Flight<Outcome<Kept<X, S, Req>>>;
pub(super) type Late<X, S, Req> =
    <Sharing<X, S, Req> as Share<<S as Service<Req>>::Response>>::Late;
type Shared<X, S, Req> = <Sharing<X, S, Req> as Share<<S as Service<Req>>::Response>>::Shared;
pub(super) type Sharing<X, S, Req> =
    <X as CoalesceRules<Req, <S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Share;
pub(super) type Key<X, S, Req> =
    <X as CoalesceRules<Req, <S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Key;
pub(super) type TableOf<X, S, Req> =
    Table<Key<X, S, Req>, Outcome<Kept<X, S, Req>>, Late<X, S, Req>>;

/// The response future of [`Coalesce`](crate::Coalesce).
///
/// Dropping it leaves the flight; the last one that leaves drops the call.
///
/// # Panics
///
/// When the shared call does, in the hands of this one; when it is polled again after it was ready; and when
/// it has a deadline and no tokio runtime with the time driver enabled.
#[pin_project(project = Proj, PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct CoalesceFuture<S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    core: Arc<Core<S, X>>,
    key: Option<X::Key>,
    /// Until it is sent.
    request: Option<Req>,
    started: Instant,
    deadline: Option<Deadline>,
    table: Option<Arc<TableOf<X, S, Req>>>,
    seat: Option<Seat<Outcome<Kept<X, S, Req>>>>,
    /// Whether the flight's request is its own.
    leads: bool,
    /// Whether it has followed a flight that failed.
    tried: bool,
    /// What pays for its second try, until it is known whether that is a call of its own.
    grant: Option<Grant>,
    /// Present if it passed.
    #[pin]
    alone: Option<Oneshot<S, Req>>,
    #[pin]
    timer: Option<Sleep>,
    ended: bool,
}

/// What comes of a turn.
enum Step<T> {
    Done(Result<T, BoxError>),
    /// Look again.
    Again,
}

impl<S, X, Req> CoalesceFuture<S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    pub(super) fn new(
        core: Arc<Core<S, X>>,
        key: Option<X::Key>,
        request: Req,
        started: Instant,
        deadline: Option<Deadline>,
    ) -> Self {
        Self {
            core,
            key,
            request: Some(request),
            started,
            deadline,
            table: None,
            seat: None,
            leads: false,
            tried: false,
            grant: None,
            alone: None,
            timer: None,
            ended: false,
        }
    }
}

impl<S, X, Req> Future for CoalesceFuture<S, X, Req>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    Req: Send + 'static,
    X: CoalesceRules<Req, S::Response, S::Error> + Send + Sync,
{
    type Output = Result<Shared<X, S, Req>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let step = if let Some(alone) = this.alone.as_mut().as_pin_mut() {
                let result = ready!(alone.poll(cx));
                this.alone.set(None);
                let share = this.core.parts.share();
                Step::Done(
                    result
                        .map(|response| share.alone(response))
                        .map_err(Into::into),
                )
            } else if this.seat.is_some() {
                match this.aboard(cx) {
                    Poll::Ready(step) => step,
                    Poll::Pending => ready!(this.overdue(cx)),
                }
            } else {
                this.board()
            };
            if let Step::Done(result) = step {
                return Poll::Ready(this.end(result));
            }
        }
    }
}

impl<S, X, Req> Proj<'_, S, X, Req>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    Req: Send + 'static,
    X: CoalesceRules<Req, S::Response, S::Error> + Send + Sync,
{
    /// Leads, follows, joins or passes.
    fn board(&mut self) -> Step<Shared<X, S, Req>> {
        let Some(key) = self.key.clone() else {
            return self.pass(PassReason::NoKey);
        };
        let core = &*self.core;
        let parts = &core.parts;
        let settings = parts.settings();
        let table = self
            .table
            .get_or_insert_with(|| core.tables.of(TableOf::<X, S, Req>::new));
        let share = parts.share();
        let doors = Doors {
            join: |late: &Late<X, S, Req>| share.join(late),
            is_open: |late: &Late<X, S, Req>| share.is_open(late),
        };
        let (request, shared_core) = (&mut *self.request, self.core.clone());
        let of_flight = key.clone();
        let mission = || {
            let request = request.take().expect("a call leads at most once");
            let lead = parts.lead().clone();
            let service = move || shared_core.spare();
            let mission = fly::<S, Req, X>(service, request, of_flight, lead, share.clone());
            Box::pin(mission) as crate::flight::Mission<_>
        };
        let books = &settings.books;
        match table.board(&key, settings.max_flights, &books.flights, &doors, mission) {
            Boarded::Lead(seat) => {
                spend(self.grant);
                bump(&books.led);
                *self.seat = Some(seat);
                *self.leads = true;
                parts.tell(CoalesceEvent::Led);
            }
            Boarded::Follow(seat) => {
                // Others try as well, and one of them has paid.
                *self.grant = None;
                *self.seat = Some(seat);
                if !*self.tried {
                    bump(&books.followed);
                    parts.tell(CoalesceEvent::Followed);
                }
            }
            Boarded::Join(shared) => {
                bump(&books.joined);
                parts.tell(CoalesceEvent::Joined);
                return Step::Done(Ok(shared));
            }
            Boarded::Full => return self.pass(PassReason::Full),
        }
        Step::Again
    }

    /// Sends its own request, for itself alone.
    fn pass(&mut self, reason: PassReason) -> Step<Shared<X, S, Req>> {
        let Some(request) = self.request.take() else {
            // Its request was sent, and whoever it was shared with has left nothing of the answer.
            return Step::Done(Err(FlightCrashed.into()));
        };
        spend(self.grant);
        bump(&self.core.parts.settings().books.passed);
        self.core.parts.tell(CoalesceEvent::Passed(reason));
        self.alone
            .set(Some(Oneshot::new(self.core.spare(), request)));
        Step::Again
    }

    /// Polls the flight, and takes what it landed with.
    fn aboard(&mut self, cx: &mut Context<'_>) -> Poll<Step<Shared<X, S, Req>>> {
        let (Some(seat), Some(table), Some(key)) = (&mut *self.seat, &*self.table, &*self.key)
        else {
            unreachable!("aboard of a flight that stands in a table by its key");
        };
        let parts = &self.core.parts;
        let share = parts.share().clone();
        let books = &parts.settings().books;
        ready!(seat.poll(cx, |flight| {
            let late = flight.with(|outcome| match outcome {
                Outcome::Answer(kept) => share.late(kept),
                Outcome::Refused(_) | Outcome::Failed(_) => None,
            });
            if late.is_none() {
                // It panicked, with whatever it held of the lead.
                hand_over(parts.lead(), key);
            }
            table.end(key, flight, late.flatten(), &books.flights);
            Ending::Closed
        }));
        let flight = seat.flight().clone();
        if !*self.leads && !*self.tried && self.tries_again(&flight) {
            *self.seat = None;
            *self.tried = true;
            return Poll::Ready(Step::Again);
        }
        let alone = flight.members() <= 1;
        let taken = flight.with(|outcome| match outcome {
            Outcome::Answer(kept) | Outcome::Refused(kept) => share.take(kept).map(Ok),
            Outcome::Failed(failure) => Some(Err(failure.take(alone))),
        });
        *self.seat = None;
        Poll::Ready(match taken {
            Some(Some(result)) => Step::Done(result),
            Some(None) => self.pass(PassReason::Late),
            None => Step::Done(Err(FlightCrashed.into())),
        })
    }

    /// Whether it may try once more, because the flight it followed failed.
    fn tries_again(&mut self, flight: &Flight<Outcome<Kept<X, S, Req>>>) -> bool {
        let settings = self.core.parts.settings();
        let answered = flight.with(|outcome| outcome.is_answer());
        if answered == Some(true) || settings.on_failure != OnFailure::TryOnceMore {
            return false;
        }
        *self.grant = settings.budget.try_grant(Kind::Retry);
        let granted = self.grant.is_some();
        let (counter, event) = if granted {
            (&settings.books.tried_again, CoalesceEvent::TriedAgain)
        } else {
            (&settings.books.denied, CoalesceEvent::Denied)
        };
        bump(counter);
        self.core.parts.tell(event);
        granted
    }

    /// Ends its own wait when its deadline has passed.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<Step<Shared<X, S, Req>>> {
        let Some(deadline) = *self.deadline else {
            return Poll::Pending;
        };
        if self.timer.is_none() {
            let at = Instant::from_std(deadline.instant());
            self.timer.set(Some(sleep_until(at)));
        }
        if let Some(timer) = self.timer.as_mut().as_pin_mut() {
            ready!(timer.poll(cx));
        }
        self.leave();
        let after = self.started.elapsed();
        Poll::Ready(Step::Done(Err(BehindDeadline { after }.into())))
    }

    fn end(
        &mut self,
        result: Result<Shared<X, S, Req>, BoxError>,
    ) -> <CoalesceFuture<S, X, Req> as Future>::Output {
        *self.ended = true;
        let shared = !*self.leads && self.request.is_some();
        let elapsed = self.started.elapsed();
        self.core.parts.tell(match &result {
            Ok(_) => CoalesceEvent::Answered { shared, elapsed },
            Err(_) => CoalesceEvent::Failed { shared, elapsed },
        });
        result
    }
}

impl<S, X, Req> Proj<'_, S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    /// Goes, and takes the flight along if it was the last one aboard. True if it was.
    fn leave(&mut self) -> bool {
        let (Some(seat), Some(table), Some(key)) = (self.seat.take(), &*self.table, &*self.key)
        else {
            return false;
        };
        let flight = seat.flight().clone();
        let abandoned = seat.leave();
        if abandoned {
            let parts = &self.core.parts;
            table.end(key, &flight, None, &parts.settings().books.flights);
            drop(flight);
            hand_over(parts.lead(), key);
        }
        abandoned
    }
}

/// Its second try is a call of its own.
fn spend(grant: &mut Option<Grant>) {
    if let Some(grant) = grant.take() {
        grant.spend();
    }
}

#[pinned_drop]
impl<S, X, Req> PinnedDrop for CoalesceFuture<S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    fn drop(self: Pin<&mut Self>) {
        if self.ended {
            return;
        }
        let mut this = self.project();
        let dropped = this.leave();
        bump(&this.core.parts.settings().books.cancelled);
        let elapsed = this.started.elapsed();
        this.core
            .parts
            .tell(CoalesceEvent::Cancelled { dropped, elapsed });
    }
}

impl<S, X, Req> fmt::Debug for CoalesceFuture<S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceFuture")
            .field("started", &self.started)
            .field("leads", &self.leads)
            .finish_non_exhaustive()
    }
}
