//! The end of the task.

use std::pin::Pin;

use super::{Chosen, Worker};
use crate::error::BatchError;
use crate::event::{BatchEvent, BatchOutcome};
use crate::flying::Flying;
use crate::riders::Rider;
use crate::settle;
use crate::story::now;

/// Whatever ends the task, nobody who waits is left behind.
impl<S, Req, Res> Drop for Worker<S, Req, Res> {
    fn drop(&mut self) {
        let shared = &self.shared;
        let flying = Pin::new(&mut self.flying).iter_pin_mut();
        let trips: Vec<_> = flying.filter_map(Flying::take_trip).collect();
        shared.queue(|queue| {
            for trip in &trips {
                queue.land(trip.lane);
            }
        });
        // Whoever comes from here on starts a new task.
        shared.worker_gone();
        for trip in trips {
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
