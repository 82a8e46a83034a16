//! What waits, in all partitions. No clock, no lock, and no code of the user's in here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::event::Reason;
use crate::lane::{Due, Hold, Lane, Load};
use crate::policy::{Until, Waiting};
use crate::seat::Seats;

/// Empty lanes beyond this are forgotten, with the rates that they knew.
const SPARE_LANES: usize = 1_024;

/// The queue of a service, and how far it has come in its life.
pub(crate) struct Queue<Req, Res> {
    lanes: Slab<Lane<Req, Res>>,
    next_seq: u64,
    /// When each lane is to be looked at.
    timers: BTreeSet<(Instant, usize)>,
    /// Lanes that are to be looked at now.
    dirty: VecDeque<usize>,
    /// Lanes with items, by their oldest.
    order: BTreeMap<u64, usize>,
    live: usize,
    /// Everything up to this number is to be sent.
    flush_below: u64,
    pub(crate) stage: Stage,
    /// Of the task, if it waits.
    pub(crate) worker: Option<Waker>,
    /// Where the next reply cell comes from: here, because this is locked anyway.
    pub(crate) seats: Seats<Res>,
}

/// How far a service has come in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Open,
    /// Takes nothing more, sends what it has.
    Draining,
    /// Takes nothing more, sends nothing more.
    Aborted,
}

/// What has become of a lane that was looked at.
pub(crate) enum Look {
    /// Nothing waits in it.
    Empty,
    /// It is to be sent.
    Now(Reason),
    /// That is the policy's to say.
    Ask(Waiting),
}

impl<Req, Res> Queue<Req, Res> {
    pub(crate) const fn new() -> Self {
        Self {
            lanes: Slab::new(),
            next_seq: 0,
            timers: BTreeSet::new(),
            dirty: VecDeque::new(),
            order: BTreeMap::new(),
            live: 0,
            flush_below: 0,
            stage: Stage::Open,
            worker: None,
            seats: Seats::new(),
        }
    }

    /// How many items wait in a lane.
    pub(crate) fn live_in(&self, id: usize) -> usize {
        self.lanes.get(id).map_or(0, |lane| lane.live)
    }

    /// How many items wait.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// The number of the oldest item that waits.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.order.first_key_value().map(|(seq, _)| *seq)
    }

    // === lanes ===

    pub(crate) fn add_lane(&mut self) -> usize {
        self.lanes.insert(Lane::new())
    }

    /// Whether so many lanes are empty that some should be forgotten.
    pub(crate) fn has_spare_lanes(&self) -> bool {
        self.lanes.len() > self.order.len() + SPARE_LANES
    }

    /// Forgets a lane if nothing waits in it.
    pub(crate) fn forget_lane(&mut self, id: usize) -> bool {
        let Some(lane) = self.lanes.get(id) else {
            return true;
        };
        if lane.live > 0 || lane.dirty || lane.in_flight > 0 {
            return false;
        }
        self.rearm(id, None);
        self.lanes.remove(id);
        true
    }

    #[cfg(test)]
    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    // === items come and go ===

    /// Takes an item in. The waker of the task, if it has to be woken for it.
    #[inline]
    pub(crate) fn enter(
        &mut self,
        id: usize,
        load: Load<Req, Res>,
        hold: Hold,
    ) -> (u64, Option<Waker>) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.live += 1;
        let due = load.due.as_deref().copied();
        let lane = &mut self.lanes[id];
        lane.push(seq, load);
        if lane.live == 1 {
            lane.listed = Some(seq);
            self.order.insert(seq, id);
        }
        let sooner = due.is_some_and(|due| self.is_sooner(id, due));
        let lane = &mut self.lanes[id];
        let wanted =
            lane.live == 1 || lane.live >= lane.ask_at.min(hold.size) || lane.weight >= hold.weight;
        let news = wanted && !lane.dirty;
        if news {
            lane.dirty = true;
            self.dirty.push_back(id);
        }
        let waker = if news || sooner {
            self.worker.take()
        } else {
            None
        };
        (seq, waker)
    }

    /// Whether a deadline comes before what the lane's timer is set to, which it then is no more.
    fn is_sooner(&mut self, id: usize, due: Due) -> bool {
        let sooner = self.lanes[id].timer.is_none_or(|timer| due.press < timer);
        if sooner {
            self.rearm(id, Some(due.press));
        }
        sooner
    }

    /// The caller of an item has left: its load, if it still waits.
    pub(crate) fn leave(&mut self, id: usize, seq: u64) -> Option<Load<Req, Res>> {
        let load = self.lanes.get_mut(id)?.leave(seq)?;
        self.live -= 1;
        self.relist(id);
        Some(load)
    }

    /// Lists a lane under its oldest item.
    fn relist(&mut self, id: usize) {
        let lane = &mut self.lanes[id];
        let first = lane.first().map(|entry| entry.seq);
        if lane.listed == first {
            return;
        }
        if let Some(seq) = lane.listed {
            self.order.remove(&seq);
        }
        lane.listed = first;
        if let Some(seq) = first {
            self.order.insert(seq, id);
        }
    }

    /// Takes the oldest items of a lane.
    pub(crate) fn take<T>(&mut self, id: usize, hold: Hold, into: &mut Vec<T>)
    where
        T: From<Load<Req, Res>>,
    {
        let Some(lane) = self.lanes.get_mut(id) else {
            return;
        };
        let before = lane.live;
        lane.take(hold, into);
        self.live -= before - lane.live;
        lane.until = None;
        lane.ask_at = 1;
        if lane.live > 0 {
            self.mark(id);
        } else {
            self.rearm(id, None);
        }
        self.relist(id);
    }

    /// A batch of a lane goes to the backend.
    pub(crate) fn depart(&mut self, id: usize) {
        if let Some(lane) = self.lanes.get_mut(id) {
            lane.in_flight += 1;
        }
    }

    /// A batch of a lane is done: if it was the last one, the lane's backend is idle.
    pub(crate) fn land(&mut self, id: usize) {
        let Some(lane) = self.lanes.get_mut(id) else {
            return;
        };
        lane.in_flight -= 1;
        if lane.in_flight == 0 && lane.live > 0 {
            self.mark(id);
        }
    }

    /// Takes everything that waits.
    pub(crate) fn take_all(&mut self, into: &mut Vec<Load<Req, Res>>) {
        let whole = Hold {
            size: usize::MAX,
            weight: u64::MAX,
        };
        while let Some((_, &id)) = self.order.first_key_value() {
            self.take(id, whole, into);
        }
    }

    // === what is to be done ===

    fn mark(&mut self, id: usize) {
        let lane = &mut self.lanes[id];
        if !lane.dirty {
            lane.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Everything that waits now is to be sent; the number below which it lies.
    pub(crate) fn flush(&mut self) -> u64 {
        self.flush_below = self.next_seq;
        self.look_at_all();
        self.flush_below
    }

    /// Every lane with items is to be looked at, the one with the oldest first.
    pub(crate) fn look_at_all(&mut self) {
        let ids: Vec<usize> = self.order.values().copied().collect();
        for id in ids {
            self.mark(id);
        }
    }

    /// Takes those whose deadline has passed, and marks the lanes whose time has come.
    pub(crate) fn pass(&mut self, now: Instant, expired: &mut Vec<Load<Req, Res>>) {
        while let Some(&(time, id)) = self.timers.first()
            && time <= now
        {
            let before = expired.len();
            let lane = &mut self.lanes[id];
            lane.expire(now, expired);
            self.live -= expired.len() - before;
            self.relist(id);
            let next = self.lanes[id].next_time(now);
            self.rearm(id, next);
            if self.lanes[id].live > 0 {
                self.mark(id);
            }
        }
    }

    /// When the next lane's time comes.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        self.timers.first().map(|(time, _)| *time)
    }

    fn rearm(&mut self, id: usize, time: Option<Instant>) {
        let lane = &mut self.lanes[id];
        if lane.timer == time {
            return;
        }
        if let Some(before) = lane.timer {
            self.timers.remove(&(before, id));
        }
        lane.timer = time;
        if let Some(time) = time {
            self.timers.insert((time, id));
        }
    }

    /// The next lane that is to be looked at.
    pub(crate) fn next_dirty(&mut self) -> Option<usize> {
        let id = self.dirty.pop_front()?;
        self.lanes[id].dirty = false;
        Some(id)
    }

    /// What has become of a lane, `now`, which is `at` in nanoseconds.
    pub(crate) fn look(&self, id: usize, hold: Hold, now: Instant, at: u64) -> Look {
        let lane = self.lanes.get(id);
        let Some((lane, first)) = lane.and_then(|lane| Some((lane, lane.first()?))) else {
            return Look::Empty;
        };
        if self.stage == Stage::Draining {
            return Look::Now(Reason::Drain);
        }
        if first.seq < self.flush_below {
            return Look::Now(Reason::Flush);
        }
        if let Some(reason) = lane.pressing(hold, now) {
            return Look::Now(reason);
        }
        let nanos = Duration::from_nanos;
        Look::Ask(Waiting {
            count: lane.live,
            weight: lane.weight,
            age: nanos(at.saturating_sub(first.load.as_ref().map_or(at, |load| load.at))),
            waited: nanos(lane.waited(at)),
            gap: lane.gaps.mean(),
            quiet: nanos(lane.gaps.last().map_or(0, |last| at.saturating_sub(last))),
            in_flight: lane.in_flight,
            max_size: hold.size,
        })
    }

    /// The policy, asked when `asked` items waited, waits. What came while it thought may be what it
    /// waits for.
    pub(crate) fn wait(&mut self, id: usize, until: Until, asked: usize, now: Instant) {
        let Some(lane) = self.lanes.get_mut(id) else {
            return;
        };
        // Never sooner than now, nor at so many items as it has just seen: it would be asked for ever.
        let after = until.after.map(|after| after.max(Duration::from_nanos(1)));
        lane.until = after.and_then(|after| now.checked_add(after));
        lane.ask_at = until.count.unwrap_or(usize::MAX).max(asked + 1);
        let late = lane.live >= lane.ask_at;
        let next = lane.next_time(now);
        self.rearm(id, next);
        if late {
            self.mark(id);
        }
    }
}
