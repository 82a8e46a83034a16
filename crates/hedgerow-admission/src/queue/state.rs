//! The queue itself: who runs, who waits, who is next. No clock, no lock, no user's code.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::Queue;
use super::lanes::Lanes;
use super::waiters::{Id, Kind, List, Phase, Waiters, Which};
use super::wakes::Wakes;
use super::words::{Closed, Counts, Got, Grant, Rules, Start};
use crate::ask::{Ask, Priority};
use crate::error::{Overloaded, ShedReason};
use crate::key::Key;
use crate::ledger::{Answer, Decision, Receipt};
use crate::pool::{Pick, Places};

const LEVELS: usize = Priority::ALL.len();

/// The queue.
pub(crate) struct State {
    pub(crate) running: usize,
    /// The limit as it was last told.
    pub(crate) limit: usize,
    pub(crate) waiting: usize,
    /// Whether somebody waits, for those who do not hold the lock.
    pub(super) crowded: Arc<AtomicBool>,
    /// Something may have to be looked at earlier than it was.
    pub(super) hurry: bool,
    pub(crate) closed: Closed,
    pub(crate) counts: Counts,
    pub(crate) places: Option<Places>,
    pub(super) waiters: Waiters,
    pub(super) lanes: Lanes,
    /// All requests that wait, by arrival.
    pub(super) arrivals: [List; LEVELS],
    /// Those that are given up for a reason of their own.
    pub(super) expiring: BTreeSet<(Instant, Id)>,
    /// Since when somebody waits without a break.
    pub(super) standing_since: Option<Instant>,
    /// When a rate of all, or a resource, has something again.
    pub(super) stuck_until: Option<Instant>,
    /// Nobody starts before: an answer of a distant ledger said so.
    pub(super) hold_until: Option<Instant>,
    /// Who looks after the clock for all.
    pub(super) keeper: Option<Id>,
    /// When it looks next, if at all; `None` while it is about to.
    pub(super) armed: Option<Option<Instant>>,
    /// Nothing is due before, unless there is a hurry.
    pub(super) calm_until: Option<Instant>,
    /// How many of those who wait have a waker.
    pub(super) polled: usize,
    /// Which order held when it was last looked at.
    pub(super) was_latest_first: bool,
    pub(super) number: u64,
    /// Starts from the queue, the last that was timed, and how far apart they are (ns, smoothed).
    starts: u64,
    last_start: Option<Instant>,
    pace_ns: f64,
    /// Those that wait for the whole to be empty.
    pub(crate) drained: Vec<Waker>,
}

impl State {
    pub(crate) fn new(
        queue: Queue,
        per_key: Option<usize>,
        places: Option<Places>,
        limit: usize,
        crowded: Arc<AtomicBool>,
    ) -> Self {
        Self {
            crowded,
            hurry: false,
            running: 0,
            limit,
            waiting: 0,
            closed: Closed::No,
            counts: Counts::default(),
            places,
            waiters: Waiters::default(),
            lanes: Lanes::new(queue.order, per_key),
            arrivals: [List::new(Which::Arrival); LEVELS],
            expiring: BTreeSet::new(),
            standing_since: None,
            stuck_until: None,
            hold_until: None,
            keeper: None,
            armed: None,
            calm_until: None,
            polled: 0,
            was_latest_first: false,
            number: 0,
            starts: 0,
            last_start: None,
            pace_ns: 0.0,
            drained: Vec::new(),
        }
    }

    pub(crate) fn of_key(&self, key: &Key) -> (usize, usize) {
        self.lanes.of(key)
    }

    pub(crate) fn keys(&self) -> usize {
        self.lanes.keys()
    }

    pub(crate) fn leftovers(&self) -> usize {
        let listed = self.arrivals.iter().filter(|list| list.first().is_some());
        let kept = usize::from(self.keeper.is_some()) + usize::from(self.standing_since.is_some());
        self.waiters.len()
            + self.expiring.len()
            + self.polled
            + self.drained.len()
            + self.lanes.leftovers()
            + listed.count()
            + kept
    }

    pub(crate) fn steps(&self) -> u64 {
        self.lanes.steps
    }

    /// What the limit is now; `None` leaves what it was.
    #[inline]
    pub(crate) fn told(&mut self, limit: Option<usize>) {
        if let Some(limit) = limit
            && limit != self.limit
        {
            self.limit = limit;
            // CoDel's reserve is another one.
            self.hurry = true;
        }
    }

    /// Whether there is a place, and nobody waits for one.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.waiting == 0 && self.running < self.limit && self.closed == Closed::No
    }

    /// One without a key starts at once.
    #[inline]
    pub(crate) fn start_plainly(&mut self) {
        self.running += 1;
        self.counts.plain += 1;
    }

    /// One without a key has ended; `false` if somebody has to be told.
    #[inline]
    pub(crate) fn end_plainly(&mut self) -> bool {
        self.running -= 1;
        self.counts.finished += 1;
        self.waiting == 0 && (self.running > 0 || self.drained.is_empty())
    }

    /// One starts who comes while nobody waits, if there is enough of everything.
    pub(super) fn start_at_once(
        &mut self,
        rules: &Rules,
        ask: &Ask,
        now: Instant,
    ) -> Option<Grant> {
        if !self.has_room() || !rules.quiet || self.lanes.is_full(ask.key.as_ref()) {
            return None;
        }
        let Start::Now(got) = Self::start(&mut self.places, rules, ask, now) else {
            return None;
        };
        self.running += 1;
        self.counts.at_once += 1;
        self.counts.started += 1;
        self.lanes.started(ask.key.as_ref());
        let Got { receipt, resource } = got.unwrap_or_default();
        Some(Grant {
            receipt,
            resource,
            key: ask.key.clone(),
            cost: ask.cost,
        })
    }

    /// Takes one out of all lists.
    #[inline]
    pub(super) fn unlink(&mut self, id: Id) {
        self.lanes.remove(&mut self.waiters, id);
        let waiter = &self.waiters[id as usize];
        if let Some((at, _)) = waiter.expires() {
            self.expiring.remove(&(at, id));
        }
        let waiter = &self.waiters[id as usize];
        if waiter.kind == Kind::Request {
            let level = waiter.level();
            self.arrivals[level].remove(&mut self.waiters, id);
        }
        self.polled -= usize::from(self.waiters[id as usize].waker.is_some());
        self.waiting -= 1;
        if self.waiting == 0 {
            self.crowded.store(false, Ordering::Relaxed);
            self.standing_since = None;
            self.stuck_until = None;
            self.hold_until = None;
        }
        if self.keeper == Some(id) {
            self.keeper = None;
            self.armed = None;
        }
    }

    /// Starts whoever may start, and gives up whoever must be given up.
    pub(crate) fn pump(&mut self, rules: &Rules, now: Instant, wakes: &mut Wakes) {
        if self.waiting > 0 && !self.is_calm(now) {
            self.give_up_overdue(rules, now, wakes);
            self.lanes.unblock(Some(now));
            let latest_first = self.latest_first(rules, now);
            if latest_first != self.was_latest_first {
                // What blocked a lane was what the one at its other end asked.
                self.was_latest_first = latest_first;
                self.lanes.unblock(None);
            }
        }
        self.stuck_until = None;
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        while self.waiting > 0 && self.running < self.limit && self.hold_until.is_none() {
            let Some((lane, id)) = self.lanes.next(self.latest_first(rules, now)) else {
                break;
            };
            let ask = &self.waiters[id as usize].more.ask;
            match Self::start(&mut self.places, rules, ask, now) {
                Start::Now(got) => {
                    self.take_out(lane, id);
                    self.paced(now);
                    self.waiters.grant(id, got, now);
                    self.wake(id, wakes);
                }
                Start::Asked(answer) => {
                    self.take_out(lane, id);
                    let waiter = &mut self.waiters[id as usize];
                    waiter.phase = Phase::Asking;
                    waiter.more.asking = Some(answer);
                    self.wake(id, wakes);
                }
                Start::Stuck(until) => {
                    self.stuck_until = Some(until);
                    self.hurry = true;
                    break;
                }
                Start::Blocked(until) => {
                    self.lanes.block(lane, until);
                    self.hurry = true;
                }
                Start::Never(reason) => self.shed(id, reason, now, wakes),
            }
        }
        self.keep(rules, now, wakes);
        self.tell_drained(wakes);
    }

    /// One that waited has its turn, and a place.
    #[inline]
    fn take_out(&mut self, lane: u32, id: Id) {
        let key = self.lanes.key(lane).cloned();
        self.lanes.turn(lane);
        self.unlink(id);
        self.running += 1;
        self.lanes.started(key.as_ref());
    }

    /// Something has become of a waiter.
    #[inline]
    pub(super) fn wake(&mut self, id: Id, wakes: &mut Wakes) {
        if let Some(waker) = self.waiters[id as usize].waker.take() {
            wakes.add(waker);
        }
    }

    pub(super) fn shed(&mut self, id: Id, reason: ShedReason, now: Instant, wakes: &mut Wakes) {
        let waited = now.saturating_duration_since(self.waiters[id as usize].since);
        // The depth without it, and what held it up.
        let stuck = self.stuck_until;
        self.unlink(id);
        self.stuck_until = stuck;
        let refused = self.overloaded(reason, waited, now);
        if self.waiting == 0 {
            self.stuck_until = None;
        }
        self.waiters.refuse(id, refused);
        self.wake(id, wakes);
    }

    /// Tries to take all that a request needs besides its place.
    #[inline]
    pub(super) fn start(
        places: &mut Option<Places>,
        rules: &Rules,
        ask: &Ask,
        now: Instant,
    ) -> Start {
        if places.is_none() && rules.rates.is_empty() {
            return Start::Now(None);
        }
        let picked = match places {
            None => None,
            Some(places) => match places.find(now) {
                Pick::Free(resource) => Some(resource),
                Pick::Later(Some(until)) => return Start::Stuck(until),
                // Somebody who gives one back, or revives one, looks at the queue again.
                Pick::Later(None) => return Start::Stuck(now + Duration::from_secs(3_600)),
                Pick::Never => return Start::Never(ShedReason::NoResource),
            },
        };
        let decision = if rules.rates.is_empty() {
            Decision::Granted(Receipt::default())
        } else {
            match rules
                .ledger
                .reserve(&rules.claim(ask.key.as_ref(), ask.cost, now))
            {
                Answer::Now(decision) => decision,
                // The resource is looked for again when the answer is there.
                Answer::Later(later) => return Start::Asked(later),
            }
        };
        match decision {
            Decision::Granted(receipt) => {
                if let (Some(resource), Some(places)) = (picked, places) {
                    places.take(resource);
                }
                Start::Now(Some(Got {
                    receipt,
                    resource: picked,
                }))
            }
            Decision::Wait {
                until,
                own_key: true,
            } => Start::Blocked(until),
            Decision::Wait { until, .. } => Start::Stuck(until),
            Decision::Never => Start::Never(ShedReason::TooLarge),
            Decision::Failed => Start::Never(ShedReason::Ledger),
        }
    }

    /// One that ran has ended. `aborted`: it never used its place.
    #[inline]
    pub(crate) fn end(
        &mut self,
        rules: &Rules,
        grant: &Grant,
        now: Option<Instant>,
        aborted: bool,
        wakes: &mut Wakes,
    ) {
        self.running -= 1;
        self.counts.finished += u64::from(!aborted);
        put_back(&mut self.places, grant.resource);
        self.lanes.ended(grant.key.as_ref());
        if self.waiting > 0
            && let Some(now) = now
        {
            if !rules.rates.is_empty() {
                self.lanes.unblock_key(grant.key.as_ref());
            }
            self.pump(rules, now, wakes);
        } else {
            self.tell_drained(wakes);
        }
    }

    /// Those that wait for the whole to be empty are woken when it is.
    #[inline]
    pub(crate) fn tell_drained(&mut self, wakes: &mut Wakes) {
        if self.running == 0 && self.waiting == 0 {
            for waker in self.drained.drain(..) {
                wakes.add(waker);
            }
        }
    }

    /// Everybody who waits is refused.
    pub(crate) fn refuse_all(&mut self, now: Instant, wakes: &mut Wakes) {
        let waiting: Vec<Id> = self.waiters.waiting().map(|(id, _)| id).collect();
        for id in waiting {
            self.shed(id, ShedReason::Closed, now, wakes);
        }
        self.tell_drained(wakes);
    }

    /// Everything may have changed: all that wait are looked at again.
    pub(crate) fn reconsider(&mut self, rules: &Rules, now: Instant, wakes: &mut Wakes) {
        self.lanes.unblock(None);
        self.hold_until = None;
        self.pump(rules, now, wakes);
    }

    /// One has started from the queue. After the first 16 only every 16th is timed.
    #[inline]
    pub(super) fn paced(&mut self, now: Instant) {
        self.starts += 1;
        if self.starts > 16 && !self.starts.is_multiple_of(16) {
            return;
        }
        let since = if self.starts > 16 { 16.0 } else { 1.0 };
        if let Some(last) = self.last_start.replace(now) {
            let apart = now.saturating_duration_since(last).as_secs_f64() * 1e9 / since;
            // As much as `since` starts in a row would have moved it by a sixteenth each.
            let weight = if self.starts > 16 { 0.644 } else { 1.0 / 16.0 };
            self.pace_ns += (apart - self.pace_ns) * weight;
        }
    }

    /// One is refused: counted here, and nowhere else.
    pub(crate) fn overloaded(
        &mut self,
        reason: ShedReason,
        waited: Duration,
        now: Instant,
    ) -> Overloaded {
        self.counts.shed[reason as usize] += 1;
        let queue = self.pace_ns * (self.waiting + 1) as f64;
        let pace = (self.pace_ns > 0.0).then(|| Duration::from_nanos(queue as u64));
        let stuck = self
            .stuck_until
            .map(|until| until.saturating_duration_since(now));
        let retry_after = if reason.may_pass_later() {
            stuck.max(pace)
        } else {
            None
        };
        Overloaded {
            reason,
            depth: self.waiting,
            limit: (self.limit < usize::MAX).then_some(self.limit),
            waited,
            retry_after,
        }
    }
}

fn put_back(places: &mut Option<Places>, resource: Option<u32>) {
    if let (Some(resource), Some(places)) = (resource, places) {
        places.put_back(resource);
    }
}
