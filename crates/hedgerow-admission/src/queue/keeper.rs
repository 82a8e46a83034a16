//! Of those who wait, one looks after the clock for all.

use std::mem;
use std::time::Instant;

use super::state::State;
use super::waiters::{Id, List};
use super::wakes::Wakes;
use super::words::Rules;

impl State {
    /// Whether nobody is to be given up by now, and no rate has something again: who looks after the
    /// clock has said so.
    pub(super) fn is_quiet_until(&self, now: Instant) -> bool {
        !self.hurry && matches!(self.armed, Some(Some(armed)) if now < armed)
    }

    /// Sees to it that somebody looks after the clock.
    pub(super) fn keep(&mut self, rules: &Rules, wakes: &mut Wakes) {
        if self.waiting == 0 {
            return;
        }
        if let Some(id) = self.keeper {
            // It looks soon, or by the time at which it must.
            if !mem::take(&mut self.hurry) {
                return;
            }
            let Some(armed) = self.armed else { return };
            let due = self.due(rules);
            if due.is_none() || armed.is_some_and(|armed| due.is_some_and(|due| armed <= due)) {
                return;
            }
            self.armed = None;
            self.wake(id, wakes);
            return;
        }
        // Who has no waker yet has not been polled, and takes the post when it is.
        let hindmost = self.arrivals.iter().rev().find_map(List::last);
        let foremost = self.arrivals.iter().find_map(List::first);
        let fit = |id: &Id| self.waiters[*id as usize].waker.is_some();
        if let Some(id) = hindmost.filter(fit).or_else(|| foremost.filter(fit)) {
            self.keeper = Some(id);
            self.armed = None;
            self.wake(id, wakes);
        } else if self.polled > 0 {
            // Services that get ready, or one between two that were never polled.
            let mut ready = self.waiters.waiting();
            let ready = ready.find(|(_, waiter)| waiter.waker.is_some());
            if let Some((id, _)) = ready {
                self.keeper = Some(id);
                self.armed = None;
                self.wake(id, wakes);
            }
        }
    }

    fn wake(&self, id: Id, wakes: &mut Wakes) {
        if let Some(waker) = &self.waiters[id as usize].waker {
            wakes.add(waker.clone());
        }
    }
}
