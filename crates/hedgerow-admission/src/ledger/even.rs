//! The book of a rate of requests: one at a time, and hardly ever given back.

use std::time::{Duration, Instant};

/// A token bucket of requests, kept as the instant at which it will be full again (GCRA).
///
/// In instants, so that one that is full needs a comparison and an addition; a request's share of the
/// period is kept exactly, by carrying what is less than a nanosecond.
#[derive(Clone, Debug)]
pub(super) struct Even {
    limit: u64,
    period: Duration,
    burst: u64,
    /// A request's share of the period, in whole nanoseconds, and the rest in limit-ths of one.
    share: Duration,
    rest: u64,
    /// The shares of a burst.
    span: Duration,
    /// When the bucket is full again, and how many limit-ths of a nanosecond later.
    full_at: Option<Instant>,
    carried: u64,
    /// Nothing starts before.
    paused_until: Option<Instant>,
    /// The number of the last take that found less than a share owed: what was taken before it is
    /// forgotten.
    thin: u64,
}

impl Even {
    pub(super) fn new(limit: u64, period: Duration, burst: u64) -> Self {
        let mut book = Self {
            limit,
            period,
            burst,
            share: Duration::ZERO,
            rest: 0,
            span: Duration::ZERO,
            full_at: None,
            carried: 0,
            paused_until: None,
            thin: 0,
        };
        book.divide();
        book
    }

    /// The shares of the period.
    fn divide(&mut self) {
        let (period, limit) = (self.period.as_nanos(), u128::from(self.limit));
        self.share = nanos(period / limit);
        self.rest = (period % limit) as u64;
        self.span = nanos(period * u128::from(self.burst) / limit);
    }

    /// What would be owed after one more: until when, and the carried rest.
    #[inline(always)]
    fn after(&self, from: Instant, carried: u64) -> Option<(Instant, u64)> {
        let (mut share, mut carried) = (self.share, carried + self.rest);
        if carried >= self.limit {
            carried -= self.limit;
            share += Duration::from_nanos(1);
        }
        Some((from.checked_add(share)?, carried))
    }

    /// Takes one if it may be taken now, under a number. Numbers grow.
    #[inline(always)]
    pub(super) fn try_take(&mut self, now: Instant, number: u64) -> Option<u64> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        match self.full_at {
            Some(full_at) if now < full_at => {
                let (after, carried) = self.after(full_at, self.carried)?;
                let most = now.checked_add(self.span);
                if most.is_some_and(|most| most < after || (most == after && carried > 0)) {
                    return None;
                }
                if now.checked_add(self.share).is_none_or(|now| now > full_at) {
                    self.thin = number;
                }
                (self.full_at, self.carried) = (Some(after), carried);
            }
            _ => {
                let (after, carried) = self.after(now, 0)?;
                self.thin = number;
                (self.full_at, self.carried) = (Some(after), carried);
            }
        }
        Some(number)
    }

    /// When one may be taken: now, or later.
    pub(super) fn when(&self, now: Instant) -> Instant {
        let mut at = now;
        if let Some(full_at) = self.full_at.filter(|full_at| *full_at > now)
            && let Some((after, carried)) = self.after(full_at, self.carried)
        {
            let owed = after.saturating_duration_since(now);
            let more = owed.saturating_sub(self.span) + Duration::from_nanos((carried > 0).into());
            if owed > self.span || (owed == self.span && carried > 0) {
                at = now.checked_add(more).unwrap_or(now + FAR);
            }
        }
        self.paused_until.map_or(at, |until| at.max(until))
    }

    /// Gives back what was taken under this number and never used. What a bucket that was nearly full
    /// has forgotten since is not given back.
    pub(super) fn give_back(&mut self, now: Instant, number: u64) {
        if number < self.thin {
            return;
        }
        if let Some(full_at) = self.full_at.filter(|full_at| *full_at > now) {
            let owed = full_at - now;
            self.full_at = Some(full_at - owed.min(self.share));
        }
    }

    /// What is left now, in whole requests.
    pub(super) fn left(&self, now: Instant) -> u64 {
        if self.paused_until.is_some_and(|until| now < until) {
            return 0;
        }
        self.burst.saturating_sub(self.owed(now))
    }

    /// What is owed now, in requests, the last one begun counted whole.
    fn owed(&self, now: Instant) -> u64 {
        let owed = self.full_at.map_or(Duration::ZERO, |full_at| {
            full_at.saturating_duration_since(now)
        });
        let owed = owed.as_nanos() * u128::from(self.limit) + u128::from(self.carried);
        if owed == u128::from(self.carried) {
            return 0;
        }
        u64::try_from(owed.div_ceil(self.period.as_nanos())).unwrap_or(u64::MAX)
    }

    /// So many are owed now.
    fn owe(&mut self, now: Instant, requests: u64) {
        let owed = self.period.as_nanos() * u128::from(requests);
        let limit = u128::from(self.limit);
        self.full_at = now.checked_add(nanos(owed / limit));
        self.carried = (owed % limit) as u64;
        // Nothing that was taken before can be given back.
        self.thin = u64::MAX;
    }

    /// Another limit, and burst: what is owed stays owed.
    pub(super) fn set_limit(&mut self, now: Instant, limit: u64, burst: u64) {
        let owed = self.owed(now);
        (self.limit, self.burst) = (limit, burst);
        self.divide();
        self.owe(now, owed);
    }

    /// Never more than that is left now.
    pub(super) fn leave(&mut self, now: Instant, left: u64) {
        if left < self.left(now) {
            self.owe(now, self.burst - left);
        }
    }

    /// Nothing starts before.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }

    /// Whether it says no more than a new one would.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
            && self.paused_until.is_none_or(|until| until <= now)
    }
}

/// An instant that no clock can say is as good as this: and asked about again.
const FAR: Duration = Duration::from_secs(366 * 86_400);

fn nanos(nanos: u128) -> Duration {
    let (secs, below) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    Duration::new(u64::try_from(secs).unwrap_or(u64::MAX), below as u32)
}
