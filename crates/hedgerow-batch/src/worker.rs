//! The one task of a service: it waits for items, readiness, timers and batches, and survives all of them.

mod backend;
mod end;

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::TryFutureExt as _;
use futures::stream::{FuturesUnordered, Stream};
use hedgerow_core::{BoxError, caught};
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;
use tower_service::Service;

use self::backend::Backend;
use crate::batch::Batch;
use crate::error::BatchError;
use crate::event::{BatchEvent, Reason};
use crate::flight::{Flight, Landing, Work};
use crate::flying::{Flying, Landed, Trip};
use crate::lane::{Hold, Load};
use crate::policy::Decision;
use crate::queue::{Look, Stage};
use crate::riders::{self, Rider};
use crate::settle::{self, Part};
use crate::shared::Shared;
use crate::story::now;

/// After so many turns the task lets others run.
const TURNS: usize = 32;

pub(crate) struct Worker<S, Req, Res> {
    shared: Arc<Shared<Req, Res>>,
    backend: Backend<S>,
    flying: FuturesUnordered<Flying<Req, Res>>,
    /// What is to be sent as soon as the backend is ready.
    chosen: Option<Chosen<Req, Res>>,
    /// Halves of batches that failed.
    parts: VecDeque<Part<Req, Res>>,
    timer: Pin<Box<Sleep>>,
    /// Used again and again.
    loads: Vec<Load<Req, Res>>,
}

enum Chosen<Req, Res> {
    Lane(usize, Reason),
    Part(Part<Req, Res>),
}

/// Items that are to go together.
struct Gathered<Req, Res> {
    riders: Vec<Rider<Req, Res>>,
    reason: Reason,
    search: Option<Arc<AtomicU32>>,
    lane: usize,
}

impl<S, Req, Res> Worker<S, Req, Res>
where
    S: Service<Batch<Req, Res>> + Clone,
    S::Error: Into<BoxError>,
    S::Response: 'static,
    S::Future: Send + 'static,
{
    pub(crate) fn new(shared: Arc<Shared<Req, Res>>, inner: S) -> Self {
        Self {
            backend: Backend::new(inner),
            shared,
            flying: FuturesUnordered::new(),
            chosen: None,
            parts: VecDeque::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            loads: Vec::new(),
        }
    }

    /// Settles the batches that have ended; whether any has.
    fn land(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some(landed)) = Pin::new(&mut self.flying).poll_next(cx) {
            any = true;
            let Some((trip, landed)) = landed else {
                continue;
            };
            let elapsed = now().saturating_duration_since(trip.started);
            self.shared.queue(|queue| queue.land(trip.lane));
            let parts = settle::settle(&self.shared, trip, landed, elapsed);
            self.parts.extend(parts.into_iter().flatten());
        }
        any
    }

    /// Sends what is to be sent; whether anything was.
    fn send_all(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while self.flying.len() < self.shared.settings.max_in_flight {
            if self.chosen.is_none() {
                self.chosen = self.choose();
            }
            if self.chosen.is_none() {
                self.backend.relax();
                break;
            }
            let ready = match self.backend.poll::<Batch<Req, Res>>(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready,
            };
            let Some(chosen) = self.chosen.take() else {
                break;
            };
            any = true;
            let mut gathered = self.gather(chosen);
            if let Some(same) = &self.shared.settings.same
                && gathered.riders.len() > 1
            {
                riders::join(&mut gathered.riders, &**same);
            }
            self.depart(gathered, ready);
        }
        any
    }

    /// What is to be sent next, if anything is.
    fn choose(&mut self) -> Option<Chosen<Req, Res>> {
        if let Some(part) = self.parts.pop_front() {
            return Some(Chosen::Part(part));
        }
        let Shared {
            settings, story, ..
        } = &*self.shared;
        loop {
            let now = now();
            let at = story.nanos(now);
            let (lane, look) = self.shared.queue(|queue| {
                let lane = queue.next_dirty()?;
                Some((lane, queue.look(lane, settings.hold, now, at)))
            })?;
            let waiting = match look {
                Look::Empty => continue,
                Look::Now(reason) => return Some(Chosen::Lane(lane, reason)),
                Look::Ask(waiting) => waiting,
            };
            let decision = caught(|| settings.policy.decide(&waiting));
            match decision.unwrap_or(Decision::Send(Reason::Policy)) {
                Decision::Send(reason) => return Some(Chosen::Lane(lane, reason)),
                Decision::Wait(until) => self.shared.queue(|queue| {
                    queue.wait(lane, until, waiting.count, now);
                }),
            }
        }
    }

    /// Takes the items of what was chosen.
    fn gather(&mut self, chosen: Chosen<Req, Res>) -> Gathered<Req, Res> {
        let (lane, reason) = match chosen {
            Chosen::Part(Part {
                riders,
                search,
                lane,
            }) => {
                return Gathered {
                    riders,
                    reason: Reason::Bisect,
                    search: Some(search),
                    lane,
                };
            }
            Chosen::Lane(lane, reason) => (lane, reason),
        };
        let Shared {
            settings, places, ..
        } = &*self.shared;
        let mut riders: Vec<Rider<Req, Res>> = Vec::new();
        self.shared.queue(|queue| {
            let size = preferred(&settings.preferred, queue.live_in(lane), settings.hold.size);
            let hold = Hold {
                size,
                ..settings.hold
            };
            queue.take(lane, hold, &mut riders);
        });
        places.add_permits(riders.len());
        self.shared.tell_moved();
        let search = settings
            .bisect
            .as_ref()
            .map(|_| settle::allowance(riders.len()));
        Gathered {
            riders,
            reason,
            search,
            lane,
        }
    }

    /// Hands a batch to the backend, unless nobody waits for it any more.
    fn depart(&mut self, gathered: Gathered<Req, Res>, ready: Result<(), Option<S::Error>>) {
        let Gathered {
            mut riders,
            reason,
            search,
            lane,
        } = gathered;
        let Shared {
            settings, story, ..
        } = &*self.shared;
        let callers = riders.iter().map(|rider| 1 + rider.twins.len()).sum();
        let flight = Flight::new(story.clone(), callers);
        let copies = settings.bisect.as_deref();
        let copy = settings.same.as_ref().map(|same| same.copy());
        let batch = riders::board(&mut riders, &flight, copies, copy);
        if batch.is_empty() {
            return;
        }
        let started = now();
        let deadline = riders::deadline(&riders);
        let trip = Trip {
            flight,
            lane,
            weight: batch.weight,
            riders,
            started,
            search,
        };
        self.announce(&trip, reason);
        if let Err(error) = ready {
            drop(batch);
            // Not for anything that is in it: there is nothing to be found.
            let trip = Trip {
                search: None,
                ..trip
            };
            self.ground(trip, error);
            return;
        }
        let inner = &mut self.backend.inner;
        let work = caught(|| -> Work {
            let work = match deadline {
                Some(deadline) => deadline.scope(|| inner.call(batch)),
                None => inner.call(batch),
            };
            Box::pin(work.err_into().map_ok(drop))
        });
        self.backend.called();
        match work {
            Some(work) => {
                trip.flight.begin(work);
                let flying = Flying::new(trip, self.shared.settings.timeout, deadline);
                self.flying.push(flying);
                self.shared.queue(|queue| queue.depart(lane));
            }
            None => {
                self.backend.renew();
                self.ground(trip, None);
            }
        }
    }

    fn announce(&self, trip: &Trip<Req, Res>, reason: Reason) {
        let story = &self.shared.story;
        let size = trip.flight.size();
        let twins: usize = trip.riders.iter().map(|rider| rider.twins.len()).sum();
        story.books.dispatched(size, twins, reason);
        let now = story.nanos(trip.started);
        let wait = |came: u64| Duration::from_nanos(now.saturating_sub(came));
        if reason != Reason::Bisect {
            for rider in &trip.riders {
                story.books.waited(wait(rider.at));
            }
        }
        story.tell(|| BatchEvent::Dispatched {
            size,
            twins,
            weight: trip.weight,
            waited: trip
                .riders
                .iter()
                .map(|rider| wait(rider.at))
                .max()
                .unwrap_or_default(),
            reason,
            in_flight: self.flying.len() + 1,
        });
    }

    /// The backend did not take a batch: it failed in getting ready, or panicked.
    fn ground(&mut self, trip: Trip<Req, Res>, error: Option<S::Error>) {
        let landing = error.map_or(Landing::Panicked, |error| Landing::Failed(error.into()));
        let landed = Landed::Work(landing);
        let parts = settle::settle(&self.shared, trip, landed, Duration::ZERO);
        self.parts.extend(parts.into_iter().flatten());
    }

    /// Sets the timer to the next lane's time; whether that is over already.
    fn timer(&mut self, next: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(next) = next else {
            return false;
        };
        let next = tokio::time::Instant::from_std(next);
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready()
    }

    /// One turn; `None` if there is nothing more to do until it is woken.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let now = now();
        let mut expired = std::mem::take(&mut self.loads);
        let stage = self.shared.queue(|queue| {
            if !queue
                .worker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                queue.worker = Some(cx.waker().clone());
            }
            queue.pass(now, &mut expired);
            queue.stage
        });
        self.shared
            .refuse(&mut expired, |entered| BatchError::DeadlineExceeded {
                waited: now.saturating_duration_since(entered),
            });
        self.loads = expired;
        if stage == Stage::Aborted {
            return Poll::Ready(Turn::Over);
        }
        let landed = self.land(cx);
        let sent = self.send_all(cx);
        let (next, empty) = self
            .shared
            .queue(|queue| (queue.next_time(), queue.live() == 0));
        if landed || sent || self.timer(next, cx) {
            return Poll::Ready(Turn::Again);
        }
        self.shared.forget_lanes();
        let idle = empty && self.flying.is_empty() && self.parts.is_empty();
        if idle && stage == Stage::Draining {
            return Poll::Ready(Turn::Over);
        }
        Poll::Pending
    }
}

enum Turn {
    Again,
    Over,
}

/// How many of `waiting` items go: the largest preferred number of them, or as many as may.
fn preferred(sizes: &[usize], waiting: usize, most: usize) -> usize {
    let fits = sizes.iter().rev().find(|size| **size <= waiting);
    fits.copied().unwrap_or(most)
}

impl<S, Req, Res> Future for Worker<S, Req, Res>
where
    S: Service<Batch<Req, Res>> + Clone,
    S::Error: Into<BoxError>,
    S::Response: 'static,
    S::Future: Send + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Turn::Over) => return Poll::Ready(()),
                Poll::Ready(Turn::Again) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Its parts are boxed or never pinned.
impl<S, Req, Res> Unpin for Worker<S, Req, Res> {}
