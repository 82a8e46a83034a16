//! What becomes of one that waits: it looks, it is answered, it leaves.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::state::{Ended, Grant, Looked, Rules, State, Wakes};
use super::waiters::{Id, Phase};
use crate::error::ShedReason;
use crate::ledger::Decision;
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
        clock: fn() -> Instant,
        wakes: &mut Wakes,
    ) -> Looked {
        if self.keeper == Some(id)
            && let Some(armed) = self.armed.flatten()
            && let now = clock()
            && armed <= now
        {
            self.armed = None;
            self.pump(rules, now, wakes);
        }
        if let Some(taken) = self.taken(id) {
            return match taken {
                Ok((grant, at)) => {
                    self.counts.started += 1;
                    Looked::Granted(grant, at)
                }
                Err(refused) => Looked::Refused(refused),
            };
        }
        let waiter = &mut self.waiters[id as usize];
        if let Phase::Asking(later) = &mut waiter.phase
            && let Some(later) = later.take()
        {
            return Looked::Ask(later);
        }
        match &mut waiter.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        if self.keeper.is_none() {
            self.keeper = Some(id);
        }
        if self.keeper == Some(id) {
            // Never an instant that has passed: whoever waits for it would not wait.
            let due = self.due(rules).map(|due| due.max(clock() + MOMENT));
            self.armed = Some(due);
            self.hurry = false;
            return Looked::Waits(due);
        }
        Looked::Waits(None)
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
        let ask = self.waiters[id as usize].ask.clone();
        self.running -= 1;
        self.lanes.ended(ask.key.as_ref());
        let refuse = |state: &mut Self, reason, wakes: &mut Wakes| {
            let waited = now.saturating_duration_since(state.waiters[id as usize].arrived);
            let refused = state.overloaded(reason, waited, now);
            state.settle_waiter(id, Phase::Shed(refused), wakes);
        };
        match decision {
            Decision::Granted(receipt) => {
                let claim = rules.claim(ask.key.as_ref(), ask.cost, now);
                let resource = match self.places.as_mut().map(|places| places.pick(now)) {
                    None => Some(None),
                    Some(Pick::Taken(resource)) => Some(Some(resource)),
                    Some(Pick::Later(_) | Pick::Never) => None,
                };
                if let Some(resource) = resource {
                    self.running += 1;
                    self.lanes.started(ask.key.as_ref());
                    self.paced(now);
                    let grant = Grant {
                        receipt,
                        resource,
                        key: ask.key.clone(),
                        cost: ask.cost,
                    };
                    self.settle_waiter(id, Phase::Granted(grant, now), wakes);
                } else {
                    rules.ledger.refund(&claim, receipt, false);
                    self.wait_again(rules, id, now);
                }
            }
            Decision::Wait { until, own_key } => {
                self.wait_again(rules, id, now);
                if own_key && ask.key.is_some() {
                    let lane = self.waiters[id as usize].lane;
                    self.lanes.block(lane, until);
                } else {
                    self.hold_until = Some(until);
                }
                self.hurry = true;
            }
            Decision::Never => refuse(self, ShedReason::TooLarge, wakes),
            Decision::Failed => refuse(self, ShedReason::Ledger, wakes),
        }
        self.pump(rules, now, wakes);
    }

    /// One that had left the queue goes back to its front.
    pub(super) fn wait_again(&mut self, rules: &Rules, id: Id, now: Instant) {
        let (key, priority) = {
            let ask = &self.waiters[id as usize].ask;
            (ask.key.clone(), ask.priority)
        };
        let lane = self.lanes.lane(key.as_ref(), priority);
        let waiter = &mut self.waiters[id as usize];
        waiter.lane = lane;
        waiter.phase = Phase::Waiting;
        self.lanes.push(&mut self.waiters, id, true);
        self.enlist(rules, id, now);
    }

    /// A waiter leaves.
    pub(crate) fn leave(
        &mut self,
        rules: &Rules,
        id: Id,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Ended {
        if self.is_waiting(id) {
            self.unlink(id);
            self.waiters.remove(id);
            // Its turn may have held others up, or the clock.
            self.counts.aborted += 1;
            self.pump(rules, now, wakes);
            self.tell_drained(wakes);
            return Ended::Aborted;
        }
        let key = self.waiters[id as usize].ask.key.take();
        let phase = self.waiters.remove(id);
        if !matches!(phase, Phase::Shed(_)) {
            self.counts.aborted += 1;
        }
        match phase {
            Phase::Shed(refused) => Ended::Refused(refused),
            Phase::Granted(grant, _) => {
                rules.refund(&grant, now, false);
                self.end(rules, &grant, Some(now), true, wakes);
                Ended::Aborted
            }
            Phase::Asking(_) | Phase::Waiting | Phase::Gone => {
                self.running -= 1;
                self.lanes.ended(key.as_ref());
                self.pump(rules, now, wakes);
                Ended::Aborted
            }
        }
    }
}
