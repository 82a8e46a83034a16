//! The book of a rate of tokens: a bucket that can look back.

use std::collections::VecDeque;
use std::time::Duration;

/// Nanoseconds times the limit: what a unit of the rate costs is then whole (`period` in nanoseconds),
/// whatever the limit is.
type Scaled = u128;

/// Stretches of the past that are kept at most.
const STRETCHES: usize = 64;

/// A token bucket, kept as the instant at which it will be full again (GCRA).
///
/// What is given back must be given back as if it had never been taken. A bucket that was full in
/// between has lost it: adding it now would let more start in a window than the rate allows. So the
/// past since the oldest open reservation is kept, in at most 64 stretches, and replayed with what was
/// really used. Within a stretch all is taken to have come at its end, which errs on the careful side.
#[derive(Clone, Debug)]
pub(super) struct Metered {
    limit: u64,
    period_ns: u64,
    burst: u64,
    /// What may be owed at most: the price of the burst.
    most: Scaled,
    /// When the bucket is full again.
    full_at: Scaled,
    /// Nothing starts before, in nanoseconds.
    paused_until: u64,
    /// `full_at` before the oldest stretch.
    base: Scaled,
    past: VecDeque<Stretch>,
    /// How long a stretch may be, in nanoseconds.
    grain: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The numbers of its reservations.
    first: u64,
    last: u64,
    /// When the first and the last of them came, in nanoseconds.
    from: u64,
    until: u64,
    /// What they cost by now.
    cost: u128,
    /// How many of them may still change.
    open: u32,
}

impl Metered {
    pub(super) fn new(limit: u64, period: Duration, burst: u64, now: u64) -> Self {
        let mut book = Self {
            limit,
            period_ns: u64::try_from(period.as_nanos()).unwrap_or(u64::MAX),
            burst,
            most: 0,
            full_at: 0,
            paused_until: 0,
            base: 0,
            past: VecDeque::new(),
            grain: 0,
        };
        book.most = book.price(burst);
        book.full_at = book.scaled(now);
        book.base = book.full_at;
        book
    }

    fn scaled(&self, now: u64) -> Scaled {
        u128::from(now) * u128::from(self.limit)
    }

    fn price(&self, amount: u64) -> Scaled {
        u128::from(amount) * u128::from(self.period_ns)
    }

    fn finest(&self) -> u64 {
        // How long a whole burst takes to refill, in so many stretches.
        let refill = self.most / u128::from(self.limit);
        u64::try_from(refill / STRETCHES as u128).unwrap_or(u64::MAX)
    }

    /// When `amount` may be taken, in nanoseconds: now, or later; `None` if never.
    #[inline]
    pub(super) fn when(&self, now: u64, amount: u64) -> Option<u64> {
        if amount > self.burst {
            return None;
        }
        let owed = self.full_at.saturating_sub(self.scaled(now));
        let allowed = self.most - self.price(amount);
        let at = if owed <= allowed {
            now
        } else {
            let wait = (owed - allowed).div_ceil(u128::from(self.limit));
            now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
        };
        Some(at.max(self.paused_until))
    }

    /// Takes it under a number, so that it can be settled later. Numbers grow.
    pub(super) fn take(&mut self, now: u64, amount: u64, number: u64) {
        if self.past.is_empty() {
            self.base = self.full_at;
            self.grain = self.finest();
        }
        self.full_at = self.full_at.max(self.scaled(now)) + self.price(amount);
        let grain = self.grain;
        match self.past.back_mut() {
            Some(last) if now.saturating_sub(last.from) <= grain => {
                last.last = number;
                last.until = last.until.max(now);
                last.cost += u128::from(amount);
                last.open = last.open.saturating_add(1);
            }
            _ => {
                if self.past.len() == STRETCHES {
                    self.coarsen();
                }
                self.past.push_back(Stretch {
                    first: number,
                    last: number,
                    from: now,
                    until: now,
                    cost: u128::from(amount),
                    open: 1,
                });
            }
        }
    }

    /// Half as many stretches, each twice as long.
    fn coarsen(&mut self) {
        self.grain = self.grain.max(1).saturating_mul(2);
        let mut merged = VecDeque::with_capacity(STRETCHES);
        while let Some(mut stretch) = self.past.pop_front() {
            if let Some(next) = self.past.pop_front() {
                stretch.last = next.last;
                stretch.until = stretch.until.max(next.until);
                stretch.cost += next.cost;
                stretch.open = stretch.open.saturating_add(next.open);
            }
            merged.push_back(stretch);
        }
        self.past = merged;
    }

    /// Corrects what was taken under this number to what was used.
    pub(super) fn settle(&mut self, now: u64, amount: u64, number: u64, used: u64) {
        // More than was reserved is owed, whatever the past.
        if used > amount {
            let more = self.price(used - amount);
            self.full_at = self.full_at.max(self.scaled(now)) + more;
        }
        let at = self.past.partition_point(|stretch| stretch.last < number);
        let Some(stretch) = self.past.get_mut(at).filter(|found| found.first <= number) else {
            // Final already; what is owed on top must survive the next replay.
            if let Some(last) = self.past.back_mut() {
                last.cost += u128::from(used.saturating_sub(amount));
            }
            return;
        };
        stretch.open = stretch.open.saturating_sub(1);
        if used < amount {
            stretch.cost = stretch.cost.saturating_sub(u128::from(amount - used));
            self.full_at = self.full_at.min(self.replayed());
        } else {
            stretch.cost += u128::from(used - amount);
        }
        while let Some(first) = self.past.front() {
            if first.open > 0 {
                break;
            }
            self.base = self.after(self.base, first);
            self.past.pop_front();
        }
    }

    fn after(&self, full_at: Scaled, stretch: &Stretch) -> Scaled {
        full_at.max(self.scaled(stretch.until)) + stretch.cost * u128::from(self.period_ns)
    }

    fn replayed(&self) -> Scaled {
        self.past
            .iter()
            .fold(self.base, |full_at, stretch| self.after(full_at, stretch))
    }

    /// What is left now, in whole units.
    pub(super) fn left(&self, now: u64) -> u64 {
        if now < self.paused_until {
            return 0;
        }
        let owed = self.full_at.saturating_sub(self.scaled(now));
        let left = self.most.saturating_sub(owed) / u128::from(self.period_ns);
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// Another limit, and burst: what is owed stays owed.
    pub(super) fn set_limit(&mut self, now: u64, limit: u64, burst: u64) {
        let owed = self.full_at.saturating_sub(self.scaled(now));
        self.limit = limit;
        self.burst = burst;
        self.most = self.price(burst);
        self.full_at = self.scaled(now) + owed;
        self.forget();
    }

    /// Never more than that is left now.
    pub(super) fn leave(&mut self, now: u64, left: u64) {
        if left < self.left(now) {
            self.full_at = self.scaled(now) + self.price(self.burst - left);
            self.forget();
        }
    }

    /// Nothing starts before.
    pub(super) fn pause(&mut self, until: u64) {
        self.paused_until = self.paused_until.max(until);
    }

    /// What was taken so far is final.
    fn forget(&mut self) {
        self.past.clear();
    }

    /// Whether it says no more than a new one would.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.past.is_empty() && self.full_at <= self.scaled(now) && self.paused_until <= now
    }
}
