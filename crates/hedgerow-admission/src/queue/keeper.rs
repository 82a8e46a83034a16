//! Of those who wait, one looks after the clock for all.

use std::time::{Duration, Instant};

use super::state::State;
use super::waiters::{Id, List};
use super::wakes::Wakes;
use super::words::Rules;

/// For how long the queue is calm if nothing is ever due in it.
const LONG: Duration = Duration::from_secs(3_600);

impl State {
    /// Whether nobody is to be given up by now, and no rate has something again: that was seen when
    /// somebody looked last, whoever looks after the clock since.
    #[inline]
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        !self.hurry && self.calm_until.is_some_and(|until| now < until)
    }

    /// Sees when something is due next.
    pub(super) fn survey(&mut self, rules: &Rules, now: Instant) -> Option<Instant> {
        let due = self.due(rules);
        self.calm_until = Some(due.unwrap_or(now + LONG));
        self.hurry = false;
        due
    }

    /// Sees to it that somebody looks after the clock.
    pub(super) fn keep(&mut self, rules: &Rules, now: Instant, wakes: &mut Wakes) {
        if self.waiting == 0 || (self.keeper.is_some() && !self.hurry) {
            return;
        }
        let due = self.survey(rules, now);
        if let Some(id) = self.keeper {
            // It looks soon, or by the time at which it must.
            let Some(armed) = self.armed else { return };
            if due.is_none() || armed.is_some_and(|armed| due.is_some_and(|due| armed <= due)) {
                return;
            }
            self.armed = None;
            self.rouse(id, wakes);
            return;
        }
        // Who has no waker yet has not been polled, and takes the post when it is. Best is who waits longest
        // from now on.
        let hindmost = self.arrivals.iter().rev().find_map(List::last);
        let foremost = self.arrivals.iter().find_map(List::first);
        let (best, other) = if self.latest_first(rules, now) {
            (foremost, hindmost)
        } else {
            (hindmost, foremost)
        };
        let fit = |id: &Id| self.waiters[*id as usize].waker.is_some();
        let chosen = best.filter(fit).or_else(|| other.filter(fit)).or_else(|| {
            if self.polled == 0 {
                return None;
            }
            // Services that get ready, or one between two that were never polled.
            let mut waiting = self.waiters.waiting();
            let found = waiting.find(|(_, waiter)| waiter.waker.is_some());
            found.map(|(id, _)| id)
        });
        if let Some(id) = chosen {
            self.keeper = Some(id);
            self.armed = None;
            self.rouse(id, wakes);
        }
    }

    /// It is to look, and waits on.
    fn rouse(&self, id: Id, wakes: &mut Wakes) {
        if let Some(waker) = &self.waiters[id as usize].waker {
            wakes.add(waker.clone());
        }
    }
}
