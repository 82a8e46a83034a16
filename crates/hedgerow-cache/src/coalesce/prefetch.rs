//! A call that is made before anybody asks.

use std::future::poll_fn;
use std::hash::BuildHasher;
use std::sync::Arc;

use hedgerow_core::{Attempt, BoxError, Kind};
use tower_service::Service;

use super::future::{FlightOf, Kept, Key, Late, TableOf};
use super::handle::bump;
use super::mission::{Outcome, fly};
use super::rules::CoalesceRules;
use super::service::{Coalesce, Core};
use super::share::Share;
use super::table::{Boarded, Doors};
use crate::background::Prefetch;
use crate::flight::{Ending, Mission, Seat};
use crate::lead::hand_over;

impl<S, X> Coalesce<S, X> {
    /// Sends a request now that somebody will make later.
    ///
    /// It is an extra [`Attempt`], which limits beneath may treat as such (the lowest rank in an admission queue is
    /// `.extras(Extras::With(Priority::Idle))`), paid from the layer's budget, and bounded in number
    /// ([`prefetches`](crate::CoalesceLayer::prefetches)). The first call with the same key adopts it, while it
    /// flies or when it has landed; one that waits in a queue by then keeps its place there. One that nobody
    /// adopts in time is dropped, with its answer.
    pub fn prefetch<Req>(&self, request: Req) -> Prefetch
    where
        S: Service<Req> + Clone + Send + 'static,
        S::Response: Send,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        Req: Send + 'static,
        X: CoalesceRules<Req, S::Response, S::Error> + Send + Sync,
    {
        let parts = &self.core.parts;
        let settings = parts.settings();
        let Some(key) = parts.key(&request) else {
            return Prefetch::NoKey;
        };
        let Some(grant) = settings.budget.try_grant(Kind::Hedge) else {
            return Prefetch::Denied;
        };
        let table = self.core.tables.of(TableOf::<X, S, Req>::new);
        let share = parts.share();
        let doors = Doors {
            join: |late: &Late<X, S, Req>| share.is_open(late).then_some(()),
            is_open: |late: &Late<X, S, Req>| share.is_open(late),
        };
        let mission = || {
            let (core, lead) = (self.core.clone(), parts.lead().clone());
            let service = move || core.spare();
            let flight = fly::<S, Req, X>(service, request, key.clone(), lead, share.clone());
            Box::pin(flight) as Mission<_>
        };
        let flights = &settings.books.flights;
        let seat = match table.board(&key, settings.max_flights, flights, &doors, mission) {
            Boarded::Lead(seat) => seat,
            Boarded::Follow(_) | Boarded::Join(()) => return Prefetch::Runs,
            Boarded::Full => return Prefetch::Full,
        };
        let hash = settings.hasher.hash_one(&key);
        let early = Early {
            // Not the service: the tasks are to go with the last of those.
            core: self.core.clone(),
            table,
            key,
            seat: Some(seat),
        };
        // If it is not begun it is dropped, and leaves.
        let begun = settings.background.run(hash, || Box::pin(early.wait()));
        if begun.is_ok() {
            grant.spend();
            bump(&settings.books.prefetched);
        }
        begun.into()
    }
}

/// A place aboard for somebody who may come.
struct Early<S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    core: Arc<Core<S, X>>,
    table: Arc<TableOf<X, S, Req>>,
    key: Key<X, S, Req>,
    seat: Option<Seat<Outcome<Kept<X, S, Req>>>>,
}

impl<S, X, Req> Early<S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    /// Drives the flight; when it has landed and nobody has come, it waits until somebody does.
    async fn wait(mut self) {
        let waits = poll_fn(|cx| {
            let Some(seat) = &mut self.seat else {
                return std::task::Poll::Ready(false);
            };
            let mut waits = false;
            let (core, table, key) = (&self.core, &self.table, &self.key);
            let landing = |flight: &Arc<FlightOf<X, S, Req>>| {
                let answered = flight.with(|outcome| outcome.is_answer());
                waits = answered == Some(true) && flight.members() <= 1;
                if waits {
                    table.wait(key, flight);
                    return Ending::Open;
                }
                let share = core.parts.share();
                let late = flight.with(|outcome| match outcome {
                    Outcome::Answer(kept) => share.late(kept),
                    Outcome::Refused(_) | Outcome::Failed(_) => None,
                });
                if late.is_none() {
                    hand_over(core.parts.lead(), key);
                }
                table.end(
                    key,
                    flight,
                    late.flatten(),
                    &core.parts.settings().books.flights,
                );
                Ending::Closed
            };
            let polled = Attempt::new(1).scope(|| seat.poll(cx, landing));
            polled.map(|()| waits)
        })
        .await;
        if waits && let Some(seat) = &self.seat {
            poll_fn(|cx| seat.poll_joined(cx)).await;
        }
    }
}

impl<S, X, Req> Drop for Early<S, X, Req>
where
    S: Service<Req>,
    X: CoalesceRules<Req, S::Response, S::Error>,
{
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else {
            return;
        };
        let books = &self.core.parts.settings().books;
        let flight = seat.flight().clone();
        if flight.was_joined() {
            bump(&books.adopted);
        }
        let abandoned = seat.leave();
        if abandoned || flight.has_landed() {
            self.table.end(&self.key, &flight, None, &books.flights);
        }
        if abandoned {
            hand_over(self.core.parts.lead(), &self.key);
        }
    }
}
