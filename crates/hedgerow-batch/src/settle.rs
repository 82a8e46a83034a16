//! What becomes of a batch's items when it lands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hedgerow_core::caught;

use crate::batch::{fail, missing};
use crate::error::{BatchError, SharedError};
use crate::event::BatchEvent;
use crate::flight::Landing;
use crate::flying::{Landed, Trip};
use crate::policy::Flown;
use crate::riders::Rider;
use crate::shared::Shared;
use crate::slot::Loss;

/// A part of a batch that failed, to be sent again.
pub(crate) struct Part<Req, Res> {
    pub(crate) riders: Vec<Rider<Req, Res>>,
    pub(crate) search: Arc<AtomicU32>,
    pub(crate) lane: usize,
}

/// How many dispatches finding one poisonous item among `n` takes: two halves a level.
const fn dispatches_to_find_one(n: usize) -> u32 {
    2 * (usize::BITS - n.saturating_sub(1).leading_zeros())
}

/// Settles every item; the halves of a batch in which a poisonous item is to be found.
pub(crate) fn settle<Req, Res>(
    shared: &Shared<Req, Res>,
    trip: Trip<Req, Res>,
    landed: Landed,
    elapsed: Duration,
) -> Option<[Part<Req, Res>; 2]> {
    let outcome = landed.outcome();
    let size = trip.flight.size();
    shared.story.books.landed(outcome);
    shared.story.tell(|| BatchEvent::Landed {
        size,
        elapsed,
        outcome,
    });
    let done = matches!(landed, Landed::Work(Landing::Done));
    let flown = Flown {
        size,
        weight: trip.weight,
        elapsed,
        done,
    };
    let _ = caught(|| shared.settings.policy.observe(&flown));
    match landed {
        Landed::Work(Landing::Done) => land(&trip),
        Landed::Work(Landing::Failed(error)) => {
            let source = SharedError::new(error);
            return lose(trip, |size| BatchError::Failed {
                size,
                source: source.clone(),
            });
        }
        Landed::Work(Landing::Panicked) => {
            return lose(trip, |size| BatchError::Panicked { size });
        }
        Landed::TimedOut => {
            let after = shared.settings.timeout.unwrap_or(elapsed);
            fail_all(&trip, &BatchError::TimedOut { after });
        }
        // Those who came in between, if the last caller and an answer met.
        Landed::Work(Landing::Abandoned) => fail_all(&trip, &BatchError::Aborted),
    }
    None
}

fn land<Req, Res>(trip: &Trip<Req, Res>) {
    if trip.flight.is_settled() {
        return;
    }
    for slot in trip.riders.iter().flat_map(Rider::slots) {
        if slot.land(&trip.flight) == Loss::Missing {
            missing(slot, &trip.flight);
        }
    }
}

pub(crate) fn fail_all<Req, Res>(trip: &Trip<Req, Res>, error: &BatchError) {
    for slot in trip.riders.iter().flat_map(Rider::slots) {
        fail(slot, &trip.flight, error.clone().into());
    }
}

/// A batch failed as a whole: what is not yet answered shares its error, or is sent again in halves.
fn lose<Req, Res>(
    mut trip: Trip<Req, Res>,
    error: impl Fn(usize) -> BatchError,
) -> Option<[Part<Req, Res>; 2]> {
    let waits = |rider: &Rider<Req, Res>| rider.slots().any(|slot| slot.is_open());
    let again = trip
        .riders
        .iter()
        .filter(|rider| rider.request.is_some() && waits(rider))
        .count();
    let Some(search) = trip.search.clone().filter(|_| again > 1) else {
        fail_all(&trip, &error(trip.flight.size()));
        return None;
    };
    if !pay(&search) {
        fail_all(&trip, &error(trip.flight.size()));
        return None;
    }
    let lane = trip.lane;
    let riders = std::mem::take(&mut trip.riders);
    let (again, lost): (Vec<_>, Vec<_>) = riders
        .into_iter()
        .partition(|rider| rider.request.is_some() && waits(rider));
    trip.riders = lost;
    fail_all(&trip, &error(trip.flight.size()));
    let mut first = again;
    let second = first.split_off(first.len() / 2);
    Some([first, second].map(|riders| Part {
        riders,
        search: search.clone(),
        lane,
    }))
}

/// Takes two dispatches from what the search may cost.
fn pay(search: &AtomicU32) -> bool {
    search
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            left.checked_sub(2)
        })
        .is_ok()
}

/// What the search in a batch of `n` may cost.
pub(crate) fn allowance(n: usize) -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(dispatches_to_find_one(n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_among_n_is_found_by_halving() {
        for (n, levels) in [
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (100, 7),
            (128, 7),
            (129, 8),
        ] {
            assert_eq!(dispatches_to_find_one(n), 2 * levels, "{n}");
        }
    }
}
