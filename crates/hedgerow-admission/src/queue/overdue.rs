//! Who has waited long enough, and when somebody must look again.

use std::time::{Duration, Instant};

use super::DropRule;
use super::state::State;
use super::waiters::List;
use super::wakes::Wakes;
use super::words::Rules;
use crate::error::ShedReason;

impl State {
    /// Whether the last who came is served first.
    pub(super) fn latest_first(&self, rules: &Rules, now: Instant) -> bool {
        match (rules.queue.turns_after(), self.standing_since) {
            (Some(after), Some(since)) => now.saturating_duration_since(since) >= after,
            _ => false,
        }
    }

    /// How long one may wait now, and why no longer.
    fn longest_wait(&self, rules: &Rules, now: Instant) -> (Duration, ShedReason) {
        let whole = (rules.max_wait, ShedReason::WaitedTooLong);
        let DropRule::CoDel { target, interval } = rules.queue.rule else {
            return whole;
        };
        let standing = self
            .standing_since
            .is_some_and(|since| now.saturating_duration_since(since) >= interval);
        let useful = if standing { target } else { interval };
        if useful < whole.0 {
            (useful, ShedReason::Standing)
        } else {
            whole
        }
    }

    /// How many are never given up for the sake of fresher ones: twice as many as may run at once, so
    /// that a lull in what arrives leaves no place idle.
    const fn reserve(&self) -> usize {
        match self.limit {
            usize::MAX => 0,
            limit => limit.saturating_mul(2),
        }
    }

    /// Gives up whoever has waited too long.
    pub(super) fn give_up_overdue(&mut self, rules: &Rules, now: Instant, wakes: &mut Wakes) {
        while let Some(&(at, id)) = self.expiring.first() {
            if at > now {
                break;
            }
            let reason = self.waiters[id as usize]
                .expires()
                .map_or(ShedReason::WaitedTooLong, |(_, reason)| reason);
            self.shed(id, reason, now, wakes);
        }
        let (longest, reason) = self.longest_wait(rules, now);
        // The lowest priority first: its places are the first to be given up.
        for level in (0..self.arrivals.len()).rev() {
            while let Some(id) = self.arrivals[level].first() {
                let waited = now.saturating_duration_since(self.waiters[id as usize].since);
                let kept = reason == ShedReason::Standing && self.waiting <= self.reserve();
                // The reserve too waits no longer than the gate's longest wait.
                let (longest, reason) = if kept {
                    (rules.max_wait, ShedReason::WaitedTooLong)
                } else {
                    (longest, reason)
                };
                if waited < longest || waited.is_zero() {
                    break;
                }
                self.shed(id, reason, now, wakes);
            }
        }
    }

    /// When somebody must look again.
    pub(super) fn due(&self, rules: &Rules) -> Option<Instant> {
        let mut due = self.expiring.first().map(|(at, _)| *at);
        let mut by = |at: Option<Instant>| {
            if let Some(at) = at {
                due = Some(due.map_or(at, |due| due.min(at)));
            }
        };
        by(self.stuck_until);
        by(self.hold_until);
        by(self.lanes.unblocks());
        if let (Some(after), Some(since)) = (rules.queue.turns_after(), self.standing_since)
            && !self.was_latest_first
            && (self.stuck_until.is_some() || self.lanes.unblocks().is_some())
        {
            // Who is first then may ask for less.
            by(since.checked_add(after));
        }
        let firsts = self.arrivals.iter().filter_map(List::first);
        if let Some(oldest) = firsts.map(|id| self.waiters[id as usize].since).min() {
            by(oldest.checked_add(rules.max_wait));
            if let (DropRule::CoDel { target, interval }, Some(since)) =
                (rules.queue.rule, self.standing_since)
                && self.waiting > self.reserve()
            {
                by(oldest.checked_add(interval));
                let turns = since.checked_add(interval);
                let early = oldest.checked_add(target);
                by(turns.max(early));
            }
        }
        due
    }
}
