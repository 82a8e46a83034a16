//! How one comes into the queue.

use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::DropRule;
use super::state::State;
use super::waiters::{Id, Kind, List, Phase};
use super::wakes::Wakes;
use super::words::{Closed, Entered, Grant, Rules};
use crate::ask::Ask;
use crate::error::{Overloaded, ShedReason};
use crate::ledger::BookId;
use crate::rate::{MOST, Rate};

impl State {
    /// One comes: it starts, waits or is refused.
    pub(crate) fn enter(
        &mut self,
        rules: &Rules,
        ask: Ask,
        kind: Kind,
        waker: &Waker,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Entered {
        self.counts.entered += 1;
        let patience = ask.patience.unwrap_or(rules.max_wait);
        if let Some(reason) = self.refuses(rules, &ask, kind, now) {
            return Entered::Refused(self.overloaded(reason, Duration::ZERO, now));
        }
        if let Some(grant) = self.start_at_once(rules, &ask, now) {
            return Entered::Granted(grant);
        }
        let lane = self.lanes.lane(ask.key.as_ref(), ask.priority);
        self.number += 1;
        let id = self.waiters.insert(ask, kind, now, lane, self.number);
        self.wait(rules, id, now);
        if self.running >= self.limit && self.is_calm(now) {
            // Nobody can start, and nobody is to be given up.
            self.keep(rules, now, wakes);
        } else {
            self.pump(rules, now, wakes);
        }
        if let Some(entered) = self.came(id) {
            return entered;
        }
        if kind == Kind::Request && self.is_waiting(id) {
            // Only now: the pump may have made room.
            let victim = if patience.is_zero() {
                Some(id)
            } else if self.waiting > rules.max_depth {
                Some(self.least_wanted(rules, id, now))
            } else {
                None
            };
            if let Some(victim) = victim {
                self.shed(victim, ShedReason::QueueFull, now, wakes);
                // Who comes after it may ask for less than what it waited for.
                self.pump(rules, now, wakes);
                if let Some(entered) = self.came(id) {
                    return entered;
                }
            }
        }
        let due = if self.is_waiting(id) {
            self.rest(rules, id, waker, || now, wakes)
        } else {
            // The ledger is to be asked.
            None
        };
        Entered::Waits(id, due)
    }

    /// One comes only if it need not wait; if it must, nothing is counted.
    pub(crate) fn enter_at_once(
        &mut self,
        rules: &Rules,
        ask: &Ask,
        now: Instant,
    ) -> Option<Grant> {
        if self.refuses(rules, ask, Kind::Request, now).is_some() {
            return None;
        }
        let grant = self.start_at_once(rules, ask, now)?;
        self.counts.entered += 1;
        Some(grant)
    }

    /// What became of one that came, if it need not wait.
    fn came(&mut self, id: Id) -> Option<Entered> {
        Some(match self.taken(id)? {
            Ok((grant, _)) => {
                self.counts.at_once += 1;
                self.counts.started += 1;
                Entered::Granted(grant)
            }
            Err(refused) => Entered::Refused(refused),
        })
    }

    pub(super) fn refuses(
        &self,
        rules: &Rules,
        ask: &Ask,
        kind: Kind,
        now: Instant,
    ) -> Option<ShedReason> {
        if self.closed != Closed::No {
            return Some(ShedReason::Closed);
        }
        let late = ask
            .deadline
            .is_some_and(|deadline| deadline.has_passed(now));
        if late && kind == Kind::Request && rules.queue.rule != DropRule::None {
            return Some(ShedReason::DeadlinePassed);
        }
        let fits = |(_, rate): &(BookId, Rate)| rate.amount(ask.cost) <= MOST;
        if !rules.rates.iter().all(fits) {
            return Some(ShedReason::TooLarge);
        }
        None
    }

    /// Who has to go when one more waits than may.
    pub(super) fn least_wanted(&self, rules: &Rules, newest: Id, now: Instant) -> Id {
        let level = self.waiters[newest as usize].level();
        let lower = self.arrivals[level + 1..].iter().rev().find_map(List::last);
        if let Some(lower) = lower {
            return lower;
        }
        let oldest = self.arrivals[level].first();
        match oldest {
            Some(oldest) if self.latest_first(rules, now) => oldest,
            _ => newest,
        }
    }

    #[inline]
    pub(super) fn is_waiting(&self, id: Id) -> bool {
        self.waiters[id as usize].phase == Phase::Waiting
    }

    /// What a waiter has got, if it has: it is gone from the table then.
    pub(super) fn taken(&mut self, id: Id) -> Option<Result<(Grant, Instant), Overloaded>> {
        let waiter = &self.waiters[id as usize];
        let result = match waiter.phase {
            Phase::Waiting | Phase::Asking | Phase::Gone => return None,
            Phase::Shed => Err(waiter.refused()?),
            Phase::Granted => {
                let since = waiter.since;
                Ok((self.waiters.grant_of(id), since))
            }
        };
        // Its waker was used.
        self.waiters.remove(id);
        Some(result)
    }

    /// Puts one into all lists it belongs to.
    pub(super) fn wait(&mut self, rules: &Rules, id: Id, now: Instant) {
        self.lanes.push(&mut self.waiters, id, false);
        self.enlist(rules, id, now, false);
    }

    pub(super) fn enlist(&mut self, rules: &Rules, id: Id, now: Instant, again: bool) {
        self.waiting += 1;
        // Beyond the reserve CoDel has a say.
        self.hurry |= again || matches!(rules.queue.rule, DropRule::CoDel { .. });
        if self.waiting == 1 {
            self.standing_since = Some(now);
            self.crowded.store(true, Ordering::Relaxed);
            self.hurry = true;
        }
        let waiter = &mut self.waiters[id as usize];
        if waiter.kind == Kind::Readiness {
            return;
        }
        // Without any patience it is given up where it came in.
        let ask = &waiter.more.ask;
        let patience = ask.patience.filter(|patience| !patience.is_zero());
        let own = patience.and_then(|patience| {
            Some((
                waiter.since.checked_add(patience)?,
                ShedReason::WaitedTooLong,
            ))
        });
        let deadline = ask
            .deadline
            .filter(|_| rules.queue.rule != DropRule::None)
            .map(|deadline| (deadline.instant(), ShedReason::DeadlinePassed));
        waiter.expire(match (own, deadline) {
            (Some(own), Some(deadline)) => Some(if deadline.0 <= own.0 { deadline } else { own }),
            (own, deadline) => own.or(deadline),
        });
        let level = waiter.level();
        if let Some((at, _)) = waiter.expires() {
            self.expiring.insert((at, id));
            self.hurry = true;
        }
        // The first that may be given up at all.
        self.hurry |= self.arrivals.iter().all(|list| list.first().is_none());
        if again {
            self.arrivals[level].push_in_order(&mut self.waiters, id);
        } else {
            self.arrivals[level].push(&mut self.waiters, id);
        }
    }
}
