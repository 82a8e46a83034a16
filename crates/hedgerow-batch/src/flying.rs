//! The task's side of a batch that is with the backend.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hedgerow_core::Deadline;
use pin_project::pin_project;
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};

use crate::event::BatchOutcome;
use crate::flight::{Flight, Landing};
use crate::riders::Rider;

/// A batch that is with the backend: resolves when its future has ended.
#[pin_project]
pub(crate) struct Flying<Req, Res> {
    trip: Option<Trip<Req, Res>>,
    timeout: Option<Duration>,
    /// Made when the backend does not answer at once.
    #[pin]
    timer: Option<Sleep>,
    deadline: Option<Deadline>,
}

/// What is known of a batch when it lands.
pub(crate) struct Trip<Req, Res> {
    pub(crate) flight: Arc<Flight>,
    /// Where its items waited.
    pub(crate) lane: usize,
    pub(crate) riders: Vec<Rider<Req, Res>>,
    pub(crate) weight: u64,
    pub(crate) started: Instant,
    /// How many dispatches the search for what poisons the batch may still take.
    pub(crate) search: Option<Arc<AtomicU32>>,
}

/// How it landed.
pub(crate) enum Landed {
    Work(Landing),
    TimedOut,
}

impl<Req, Res> Flying<Req, Res> {
    pub(crate) fn new(
        trip: Trip<Req, Res>,
        timeout: Option<Duration>,
        deadline: Option<Deadline>,
    ) -> Self {
        Self {
            trip: Some(trip),
            timeout,
            timer: None,
            deadline,
        }
    }

    /// What is known of the batch, unless it has landed: nothing of it lands from here on.
    pub(crate) fn take_trip(self: Pin<&mut Self>) -> Option<Trip<Req, Res>> {
        self.project().trip.take()
    }
}

impl<Req, Res> Future for Flying<Req, Res> {
    type Output = Option<(Trip<Req, Res>, Landed)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(trip) = this.trip else {
            return Poll::Ready(None);
        };
        let landed = match trip.flight.poll(*this.deadline, cx) {
            Poll::Ready(landing) => Landed::Work(landing),
            Poll::Pending => {
                // Outside of the task's cooperative budget, which the backend may have used up.
                if let (None, Some(after)) = (&*this.timer, *this.timeout) {
                    let started = tokio::time::Instant::from_std(trip.started);
                    // What is beyond all time never comes.
                    let timer = started.checked_add(after).map(sleep_until);
                    this.timer.set(timer);
                }
                let over = this
                    .timer
                    .as_pin_mut()
                    .is_some_and(|timer| pin!(unconstrained(timer)).poll(cx).is_ready());
                if !over {
                    return Poll::Pending;
                }
                trip.flight.ground();
                Landed::TimedOut
            }
        };
        Poll::Ready(this.trip.take().map(|trip| (trip, landed)))
    }
}

impl Landed {
    pub(crate) const fn outcome(&self) -> BatchOutcome {
        match self {
            Self::Work(Landing::Done) => BatchOutcome::Done,
            Self::Work(Landing::Failed(_)) => BatchOutcome::Failed,
            Self::Work(Landing::Panicked) => BatchOutcome::Panicked,
            Self::Work(Landing::Abandoned) => BatchOutcome::Abandoned,
            Self::TimedOut => BatchOutcome::TimedOut,
        }
    }
}
