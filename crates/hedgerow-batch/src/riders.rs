//! The items of a batch, from the queue to the backend.

use std::sync::Arc;

use hedgerow_core::{Copies, Deadline, caught, drop_quietly};

use crate::batch::{Batch, Item, Reply, Twins};
use crate::flight::Flight;
use crate::lane::{Due, Load};
use crate::same::Same;
use crate::seat::Seat;

/// An item of a batch, with the callers of those that are the same.
pub(crate) struct Rider<Req, Res> {
    /// Until it is sent; then a copy of it, if it may be sent again.
    pub(crate) request: Option<Req>,
    pub(crate) slot: Seat<Res>,
    pub(crate) twins: Vec<Seat<Res>>,
    pub(crate) weight: u64,
    /// When it came, in nanoseconds of the queue's own count.
    pub(crate) at: u64,
    pub(crate) due: Option<Box<Due>>,
}

impl<Req, Res> Rider<Req, Res> {
    /// Everybody who waits for it.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Seat<Res>> {
        self.twins.iter().chain([&self.slot])
    }

    fn is_open(&self) -> bool {
        self.slots().any(|slot| slot.is_open())
    }
}

impl<Req, Res> From<Load<Req, Res>> for Rider<Req, Res> {
    fn from(load: Load<Req, Res>) -> Self {
        Self {
            request: Some(load.request),
            slot: load.slot,
            twins: Vec::new(),
            weight: load.weight,
            at: load.at,
            due: load.due,
        }
    }
}

/// Makes one rider of those that are the same.
pub(crate) fn join<Req, Res>(riders: &mut Vec<Rider<Req, Res>>, same: &dyn Same<Req, Res>) {
    riders.retain(Rider::is_open);
    let firsts = caught(|| {
        let mut requests = riders.iter().filter_map(|rider| rider.request.as_ref());
        same.firsts(&mut requests)
    });
    // A function that panics finds nothing the same.
    let Some(firsts) = firsts.filter(|firsts| firsts.len() == riders.len()) else {
        return;
    };
    let mut kept: Vec<Rider<Req, Res>> = Vec::with_capacity(riders.len());
    let mut places = Vec::with_capacity(riders.len());
    for (at, mut rider) in riders.drain(..).enumerate() {
        let first = firsts[at];
        if first == at {
            places.push(kept.len());
            kept.push(rider);
            continue;
        }
        let place = places[first];
        places.push(place);
        let first = &mut kept[place];
        // Who has no deadline waits for ever, and so does the item.
        let pair = first.due.take().zip(rider.due);
        first.due = pair.map(|(one, other)| if one.end < other.end { other } else { one });
        first.at = first.at.min(rider.at);
        first.twins.append(&mut rider.twins);
        first.twins.push(rider.slot);
        drop_quietly(rider.request);
    }
    *riders = kept;
}

/// Until when a batch is of use: until the last of its deadlines, if all have one.
pub(crate) fn deadline<Req, Res>(riders: &[Rider<Req, Res>]) -> Option<Deadline> {
    let mut last = None;
    for rider in riders {
        last = last.max(Some(rider.due.as_ref()?.end));
    }
    last.map(Deadline::at)
}

/// Puts those who are still waited for on the flight, and makes the backend's batch of them.
pub(crate) fn board<Req, Res>(
    riders: &mut Vec<Rider<Req, Res>>,
    flight: &Arc<Flight>,
    copies: Option<&(dyn Copies<Req> + Send + Sync)>,
    copy: Option<fn(&Res) -> Res>,
) -> Batch<Req, Res> {
    let mut items = Vec::with_capacity(riders.len());
    let mut weight = 0_u64;
    riders.retain_mut(|rider| {
        let mut wanted = false;
        for slot in rider.slots() {
            if slot.send(flight) {
                wanted = true;
            } else {
                flight.settle();
            }
        }
        let Some(mut request) = rider.request.take().filter(|_| wanted) else {
            return false;
        };
        if let Some(copies) = copies {
            rider.request = caught(|| copies.copy(&mut request)).flatten();
        }
        weight = weight.saturating_add(rider.weight);
        let mut reply = Reply::new(rider.slot.clone(), flight.clone());
        if let Some(copy) = copy
            && !rider.twins.is_empty()
        {
            let slots = rider.twins.clone();
            reply.set_twins(Twins { slots, copy });
        }
        items.push(Item { request, reply });
        true
    });
    flight.set_size(items.len());
    Batch { items, weight }
}
