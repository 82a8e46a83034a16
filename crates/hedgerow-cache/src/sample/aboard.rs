//! The places of a call at the flights that it waits for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::task::Poll;

use hedgerow_core::BoxError;

use super::error::SampleError;
use super::fetch::{Desk, Fetched, Landing};
use crate::coalesce::Failure;
use crate::flight::{Ending, Flight, Seat};

/// A flight that a call waits for, and which of its samples it wants.
pub(super) struct Part<V> {
    pub(super) seat: Option<Seat<Landing<V>>>,
    /// All that the flight brings.
    pub(super) of_flight: Arc<[u32]>,
    pub(super) wants: Vec<u32>,
    pub(super) leads: bool,
}

/// A place at the flights of a call. Dropped, it leaves them.
pub(super) struct Aboard<K: Eq + Hash + Clone, V> {
    pub(super) desk: Arc<Desk<K, V>>,
    pub(super) key: K,
    pub(super) parts: Vec<Part<V>>,
}

pub(super) type Found<V> = HashMap<u32, (Fetched<V>, bool)>;

impl<K: Eq + Hash + Clone, V: Clone> Aboard<K, V> {
    /// Takes a place, or uses the one it has in that flight.
    pub(super) fn join(&mut self, flight: &Arc<Flight<Landing<V>>>, slot: u32) -> Option<()> {
        let same = |part: &&mut Part<V>| {
            let seat = part.seat.as_ref();
            seat.is_some_and(|seat| Arc::ptr_eq(seat.flight(), flight))
        };
        if let Some(part) = self.parts.iter_mut().find(same) {
            part.wants.push(slot);
            return Some(());
        }
        let seat = flight.join()?;
        self.parts.push(Part {
            seat: Some(seat),
            of_flight: Arc::new([]),
            wants: vec![slot],
            leads: false,
        });
        Some(())
    }

    /// Waits for all flights, also when one has failed: what the others bring is paid for. The first failure,
    /// one of its own before others', and whether it is its own.
    pub(super) async fn land(&mut self, found: &mut Found<V>) -> Option<(BoxError, bool)> {
        let mut failure: Option<(BoxError, bool)> = None;
        let mut note = |error: BoxError, led: bool| {
            if failure.as_ref().is_none_or(|(_, own)| led && !own) {
                failure = Some((error, led));
            }
        };
        std::future::poll_fn(|cx| {
            let mut waits = false;
            for part in &mut self.parts {
                let Some(seat) = &mut part.seat else {
                    continue;
                };
                let (desk, key, of_flight) = (&self.desk, &self.key, &part.of_flight);
                let landed = seat.poll(cx, |flight| {
                    if of_flight.is_empty() {
                        desk.forget(flight);
                    } else {
                        desk.end(key, of_flight, flight);
                    }
                    Ending::Closed
                });
                if landed.is_pending() {
                    waits = true;
                    continue;
                }
                if let Some((error, led)) = take(part, found) {
                    note(error, led);
                }
            }
            if waits {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        failure
    }
}

/// Takes what a flight landed with for those samples that are wanted of it.
fn take<V: Clone>(part: &mut Part<V>, found: &mut Found<V>) -> Option<(BoxError, bool)> {
    let seat = part.seat.take()?;
    let alone = seat.flight().members() <= 1;
    let leads = part.leads;
    let taken = seat.flight().with(|landing| {
        let mut lacks = false;
        for slot in &part.wants {
            match landing.samples.get(slot) {
                Some(fetched) => {
                    let fetched = Fetched {
                        value: fetched.value.clone(),
                        cached: fetched.cached,
                    };
                    found.insert(*slot, (fetched, !leads));
                }
                None => lacks = true,
            }
        }
        lacks.then(|| match &landing.failure {
            Failure::Gone => SampleError::Crashed.into(),
            _ => landing.failure.take(alone),
        })
    });
    match taken {
        Some(lacking) => lacking.map(|error| (error, leads)),
        None => Some((SampleError::Crashed.into(), leads)),
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Aboard<K, V> {
    fn drop(&mut self) {
        for part in &mut self.parts {
            let Some(seat) = part.seat.take() else {
                continue;
            };
            let flight = seat.flight().clone();
            if seat.leave() {
                self.desk.forget(&flight);
            }
        }
    }
}
