//! The end of the task.

use super::{Chosen, Worker};
use crate::error::BatchError;
use crate::event::{BatchEvent, BatchOutcome};
use crate::riders::Rider;
use crate::settle;
use crate::story::now;

/// Whatever ends the task, nobody who waits is left behind.
impl<S, Req, Res> Drop for Worker<S, Req, Res> {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.queue(|queue| {
            for trip in self.flying.iter().filter_map(|flying| flying.trip.as_ref()) {
                queue.land(trip.lane);
            }
        });
        // Whoever comes from here on starts a new task.
        shared.worker_gone();
        for flying in std::mem::take(&mut self.flying) {
            let Some(trip) = flying.trip else { continue };
            trip.flight.ground();
            let (size, elapsed) = (
                trip.flight.size(),
                now().saturating_duration_since(trip.started),
            );
            settle::fail_all(&trip, &BatchError::Aborted);
            shared.story.tell(|| BatchEvent::Landed {
                size,
                elapsed,
                outcome: BatchOutcome::Aborted,
            });
        }
        let chosen = self.chosen.take().and_then(|chosen| match chosen {
            Chosen::Part(part) => Some(part),
            Chosen::Lane(..) => None,
        });
        for part in self.parts.drain(..).chain(chosen) {
            for slot in part.riders.iter().flat_map(Rider::slots) {
                shared.strand_slot(slot);
            }
        }
        let mut left = Vec::new();
        shared.queue(|queue| queue.take_all(&mut left));
        shared.refuse(&mut left, |_| BatchError::Aborted);
        shared.tell_moved();
    }
}
