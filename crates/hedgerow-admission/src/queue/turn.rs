//! What becomes of one that waits: it looks, it is answered, it leaves.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::state::State;
use super::waiters::{Id, Kind, Phase};
use super::wakes::Wakes;
use super::words::{Closed, Ended, Got, Looked, Rules};
use crate::ask::Ask;
use crate::error::ShedReason;
use crate::ledger::{Decision, Receipt};
use crate::pool::Pick;

/// The timer's grain.
const MOMENT: Duration = Duration::from_millis(1);

impl State {
    /// A waiter looks what has become of it.
    pub(crate) fn look(
        &mut self,
        rules: &Rules,
        id: Id,
        waker: &Waker,
        clock: impl Fn() -> Instant,
        wakes: &mut Wakes,
    ) -> Looked {
        self.take_post(id);
        if self.keeper == Some(id)
            && let now = clock()
            && self.due(rules).is_some_and(|due| due <= now)
        {
            self.armed = None;
            self.pump(rules, now, wakes);
        }
        if let Some(looked) = self.look_at_own(id) {
            return looked;
        }
        let waiter = &mut self.waiters[id as usize];
        if waiter.phase == Phase::Asking
            && let Some(later) = waiter.more.asking.take()
        {
            return Looked::Ask(later, self.waits_until(rules, id));
        }
        Looked::Waits(self.rest(rules, id, waker, clock, wakes))
    }

    /// What a waiter has got or was refused, if it was: nothing else has to be looked at for that.
    #[inline]
    pub(crate) fn look_at_own(&mut self, id: Id) -> Option<Looked> {
        Some(match self.taken(id)? {
            Ok((grant, at)) => {
                self.counts.started += 1;
                Looked::Granted(grant, at)
            }
            Err(refused) => Looked::Refused(refused),
        })
    }

    /// Somebody has to look after the clock.
    fn take_post(&mut self, id: Id) {
        if self.keeper.is_none() && self.is_waiting(id) {
            self.keeper = Some(id);
            self.armed = None;
            self.hurry = true;
        }
    }

    /// One that waits on is woken when something becomes of it; when it must look again, if it looks
    /// after the clock.
    pub(super) fn rest(
        &mut self,
        rules: &Rules,
        id: Id,
        waker: &Waker,
        clock: impl Fn() -> Instant,
        wakes: &mut Wakes,
    ) -> Option<Instant> {
        let known = &mut self.waiters[id as usize].waker;
        if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            let before = known.replace(waker.clone());
            self.polled += usize::from(before.is_none());
            wakes.forget(before);
        }
        self.take_post(id);
        if self.keeper != Some(id) {
            return None;
        }
        // Never an instant that has passed: whoever waits for it would not wait.
        let now = clock();
        let due = self.survey(rules, now);
        let due = due.map(|due| if due <= now { now + MOMENT } else { due });
        self.armed = Some(due);
        due
    }

    /// The ledger's answer has come to a waiter that asked.
    pub(crate) fn answered(
        &mut self,
        rules: &Rules,
        id: Id,
        decision: Decision,
        now: Instant,
        wakes: &mut Wakes,
    ) {
        let ask = self.waiters[id as usize].more.ask.clone();
        self.running -= 1;
        self.lanes.ended(ask.key.as_ref());
        match (decision, self.came_too_late(rules, id, now)) {
            (Decision::Granted(receipt), None) => {
                if !self.may_run(id, &ask, receipt, now, wakes) {
                    self.give_up(rules, &ask, receipt, now);
                    self.wait_again(rules, id, now);
                }
            }
            (Decision::Granted(receipt), Some(reason)) => {
                self.give_up(rules, &ask, receipt, now);
                self.refuse(id, reason, now, wakes);
            }
            (Decision::Wait { .. } | Decision::Failed, Some(reason)) => {
                self.refuse(id, reason, now, wakes);
            }
            (Decision::Wait { until, own_key }, None) => {
                if ask.patience.unwrap_or(rules.max_wait).is_zero() {
                    self.refuse(id, ShedReason::QueueFull, now, wakes);
                } else {
                    self.wait_again(rules, id, now);
                    if own_key {
                        let lane = self.waiters[id as usize].lane;
                        self.lanes.block(lane, until);
                    } else {
                        self.hold_until = Some(until);
                    }
                    if self.waiting > rules.max_depth
                        && self.waiters[id as usize].kind == Kind::Request
                    {
                        let victim = self.least_wanted(rules, id, now);
                        self.shed(victim, ShedReason::QueueFull, now, wakes);
                    }
                }
                self.hurry = true;
            }
            (Decision::Never, _) => self.refuse(id, ShedReason::TooLarge, now, wakes),
            (Decision::Failed, None) => self.refuse(id, ShedReason::Ledger, now, wakes),
        }
        self.pump(rules, now, wakes);
    }

    /// One that asked gets its place and its resource, if there is one now.
    fn may_run(
        &mut self,
        id: Id,
        ask: &Ask,
        receipt: Receipt,
        now: Instant,
        wakes: &mut Wakes,
    ) -> bool {
        let resource = match &mut self.places {
            None => None,
            Some(places) => {
                let Pick::Free(resource) = places.find(now) else {
                    return false;
                };
                places.take(resource);
                Some(resource)
            }
        };
        self.running += 1;
        self.lanes.started(ask.key.as_ref());
        self.paced(now);
        self.waiters.grant(id, Some(Got { receipt, resource }), now);
        self.wake(id, wakes);
        true
    }

    /// Until when one that asks waits for the answer.
    fn waits_until(&self, rules: &Rules, id: Id) -> Option<Instant> {
        let waiter = &self.waiters[id as usize];
        if waiter.kind == Kind::Readiness {
            return None;
        }
        let own = waiter.expires().map(|(at, _)| at);
        let longest = Some(rules.max_wait).filter(|longest| !longest.is_zero());
        let longest = longest.and_then(|longest| waiter.since.checked_add(longest));
        own.map_or(longest, |own| {
            Some(longest.map_or(own, |longest| longest.min(own)))
        })
    }

    /// Why one that asked cannot use the answer any more.
    fn came_too_late(&self, rules: &Rules, id: Id, now: Instant) -> Option<ShedReason> {
        if self.closed == Closed::Yes {
            return Some(ShedReason::Closed);
        }
        let waiter = &self.waiters[id as usize];
        if waiter.kind == Kind::Readiness {
            return None;
        }
        if let Some((_, reason)) = waiter.expires().filter(|(at, _)| *at <= now) {
            return Some(reason);
        }
        let waited = now.saturating_duration_since(waiter.since);
        (waited >= rules.max_wait && !rules.max_wait.is_zero()).then_some(ShedReason::WaitedTooLong)
    }

    /// What was reserved is given back unused.
    fn give_up(&mut self, rules: &Rules, ask: &Ask, receipt: Receipt, now: Instant) {
        let claim = rules.claim(ask.key.as_ref(), ask.cost, now);
        rules.ledger.refund(&claim, receipt, false);
        self.lanes.unblock_key(ask.key.as_ref());
    }

    /// One that asked is refused.
    fn refuse(&mut self, id: Id, reason: ShedReason, now: Instant, wakes: &mut Wakes) {
        let waited = now.saturating_duration_since(self.waiters[id as usize].since);
        let refused = self.overloaded(reason, waited, now);
        self.waiters.refuse(id, refused);
        self.wake(id, wakes);
    }

    /// One that had left the queue goes back to where it was.
    pub(super) fn wait_again(&mut self, rules: &Rules, id: Id, now: Instant) {
        let (key, priority) = {
            let ask = &self.waiters[id as usize].more.ask;
            (ask.key.clone(), ask.priority)
        };
        let lane = self.lanes.lane(key.as_ref(), priority);
        let waiter = &mut self.waiters[id as usize];
        waiter.lane = lane;
        waiter.phase = Phase::Waiting;
        self.lanes.push(&mut self.waiters, id, true);
        self.enlist(rules, id, now, true);
    }

    /// A waiter leaves.
    pub(crate) fn leave(
        &mut self,
        rules: &Rules,
        id: Id,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Ended {
        let waiter = &mut self.waiters[id as usize];
        match waiter.phase {
            Phase::Shed => {
                let refused = waiter.refused();
                wakes.forget(self.waiters.remove(id));
                return refused.map_or(Ended::Aborted, Ended::Refused);
            }
            Phase::Granted => {
                let grant = self.waiters.grant_of(id);
                rules.refund(&grant, now, false);
                wakes.forget(self.waiters.remove(id));
                self.end(rules, &grant, Some(now), true, wakes);
            }
            Phase::Waiting => {
                self.unlink(id);
                wakes.forget(self.waiters.remove(id));
                // Its turn may have held others up, or the clock.
                self.pump(rules, now, wakes);
            }
            Phase::Asking | Phase::Gone => {
                let key = waiter.more.ask.key.take();
                wakes.forget(self.waiters.remove(id));
                self.running -= 1;
                self.lanes.ended(key.as_ref());
                self.pump(rules, now, wakes);
            }
        }
        self.counts.aborted += 1;
        Ended::Aborted
    }
}
