//! Who pays for an extra attempt.

mod throttle;

use std::fmt;

use crate::sync::{Arc, AtomicU64, Ordering};

/// Billionths of a token: the grain of the books.
const TOKEN: u64 = 1_000_000_000;
/// A budget beyond this is no budget: say [`Budget::unlimited`] instead.
const MAX_PERCENT: f64 = 100_000.0;
const MAX_DEPTH: u32 = 1_000_000_000;
const DEFAULT_DEPTH: u32 = 50;

/// A token bucket, filled by calls, from which extra attempts are paid.
///
/// Every call puts in a fraction of a token, every extra attempt (a hedge, a retry) takes one out.
/// The bucket starts full and holds at most `depth` tokens. There is no floor and no clock, so the
/// law is exact: **over any window of *n* calls the extras are at most *β·n + depth***. When the
/// backend slows down and every call wants an extra, the extra load stays at the percentage.
///
/// Clones share one bucket. It is fed once per call by the outermost layer that holds it
/// (`.budget(b)` feeds and draws); layers further in only draw (`.share_budget(b)`).
///
/// # Examples
///
/// ```
/// use hedgerow_core::{Budget, Kind};
///
/// let budget = Budget::percent(5.0).depth(2);
/// assert!(budget.try_withdraw(Kind::Hedge) && budget.try_withdraw(Kind::Hedge));
/// assert!(!budget.try_withdraw(Kind::Hedge));
/// for _call in 0..20 { budget.deposit(); }
/// assert!(budget.try_withdraw(Kind::Hedge));
/// ```
///
/// # Cost
///
/// Lock-free. A deposit into a full bucket is two loads; otherwise one compare-and-swap, as is a
/// withdrawal.
///
/// # Source
///
/// Finagle's and gRPC's retry budgets, without their clock and without a reserve: those let a slow
/// backend be charged more than the stated share.
#[derive(Clone)]
pub struct Budget {
    bucket: Arc<Bucket>,
}

struct Bucket {
    tokens: AtomicU64,
    per_call: u64,
    /// `u64::MAX` for no limit at all.
    capacity: u64,
    /// Of a throttle alone.
    floor: Option<Floor>,
    granted: [AtomicU64; 2],
    denied: [AtomicU64; 2],
}

/// What makes a throttle of a bucket.
#[derive(Clone, Copy)]
struct Floor {
    /// More than this has to be there, and nothing is taken.
    tokens: u64,
    /// What a success puts in.
    success: u64,
}

/// What an extra attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A copy sent beside a running attempt.
    Hedge,
    /// A try after a failed one.
    Retry,
}

/// Why a budget was refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BudgetError {
    /// The percentage is negative, not a number, or beyond 100,000.
    Percent(f64),
    /// The depth is beyond 1,000,000,000 tokens.
    Depth(u32),
    /// A throttle's tokens are not within 0.001 to 1,000, or what a success brings is not within 0.001 and
    /// 1,000.
    Throttle {
        /// How many tokens it holds.
        tokens: f64,
        /// What a success brings.
        ratio: f64,
    },
}

impl Budget {
    /// A budget of `percent` extras per 100 calls, of depth 50.
    ///
    /// 0 ≤ `percent` ≤ 100,000; 5.0 means five extras per 100 calls, in the long run. With 0 the
    /// bucket is never refilled: `depth` extras in all.
    ///
    /// # Panics
    ///
    /// If `percent` is out of range: [`try_percent`](Self::try_percent) returns the reason instead.
    #[must_use]
    #[track_caller]
    pub fn percent(percent: impl Into<f64>) -> Self {
        match Self::try_percent(percent) {
            Ok(budget) => budget,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`percent`](Self::percent), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BudgetError::Percent`] if `percent` is out of range.
    pub fn try_percent(percent: impl Into<f64>) -> Result<Self, BudgetError> {
        let percent = percent.into();
        if !(0.0..=MAX_PERCENT).contains(&percent) {
            return Err(BudgetError::Percent(percent));
        }
        // Never rounded up, so that the books never exceed what was written.
        let per_call = (percent / 100.0 * TOKEN as f64 + 1e-3).floor() as u64;
        Ok(Self::new(per_call, u64::from(DEFAULT_DEPTH) * TOKEN, None))
    }

    /// No limit: every extra is granted.
    ///
    /// For a backend that cannot be overloaded, and for experiments.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(0, u64::MAX, None)
    }

    /// Sets how many tokens the bucket holds, and starts with: the burst. Defaults to 50.
    ///
    /// Set it before the budget is cloned: this makes a new, full bucket. A fan-out of 100 leaves
    /// wants about 200. With 0 nothing is ever granted. Has no meaning for
    /// [`unlimited`](Self::unlimited) and for a [`throttle`](Self::throttle), which stay so.
    ///
    /// # Panics
    ///
    /// If `depth` is beyond 1,000,000,000: [`try_depth`](Self::try_depth) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn depth(self, depth: u32) -> Self {
        match self.try_depth(depth) {
            Ok(budget) => budget,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`depth`](Self::depth), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BudgetError::Depth`] if `depth` is out of range.
    pub fn try_depth(self, depth: u32) -> Result<Self, BudgetError> {
        if depth > MAX_DEPTH {
            return Err(BudgetError::Depth(depth));
        }
        if self.is_unlimited() || self.bucket.floor.is_some() {
            return Ok(self);
        }
        let depth = u64::from(depth) * TOKEN;
        Ok(Self::new(self.bucket.per_call, depth, None))
    }

    /// A new, full budget of the same percentage and depth, which shares nothing with this one.
    #[must_use]
    pub fn twin(&self) -> Self {
        let Bucket {
            per_call,
            capacity,
            floor,
            ..
        } = *self.bucket;
        Self::new(per_call, capacity, floor)
    }

    fn new(per_call: u64, capacity: u64, floor: Option<Floor>) -> Self {
        Self {
            bucket: Arc::new(Bucket {
                tokens: AtomicU64::new(capacity),
                per_call,
                capacity,
                floor,
                granted: [AtomicU64::new(0), AtomicU64::new(0)],
                denied: [AtomicU64::new(0), AtomicU64::new(0)],
            }),
        }
    }

    /// Puts in what one call brings. Called once per call, by the layer that feeds the budget.
    #[inline]
    pub fn deposit(&self) {
        let bucket = &*self.bucket;
        if bucket.tokens.load(Ordering::Relaxed) < bucket.capacity {
            bucket.add(bucket.per_call);
        }
    }

    /// Takes one token out, or says no. Never waits.
    #[must_use]
    pub fn try_withdraw(&self, kind: Kind) -> bool {
        let granted = self.is_unlimited() || self.bucket.take();
        let books = if granted {
            &self.bucket.granted
        } else {
            &self.bucket.denied
        };
        books[kind as usize].fetch_add(1, Ordering::Relaxed);
        granted
    }

    /// Takes one token out like [`try_withdraw`](Self::try_withdraw), as a guard that gives it back
    /// unless it is [spent](Grant::spend).
    #[must_use]
    pub fn try_grant(&self, kind: Kind) -> Option<Grant> {
        self.try_withdraw(kind).then(|| Grant {
            budget: Some(self.clone()),
            kind,
        })
    }

    /// Gives back the token of an extra that was granted but never sent. Without one it does
    /// nothing.
    pub fn refund(&self, kind: Kind) {
        let granted = &self.bucket.granted[kind as usize];
        let less = |count: u64| count.checked_sub(1);
        if granted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_err()
        {
            return;
        }
        if !self.is_unlimited() && self.bucket.floor.is_none() {
            self.bucket.add(TOKEN);
        }
    }

    /// Whole tokens in the bucket now, `u64::MAX` if it is unlimited.
    #[must_use]
    pub fn available(&self) -> u64 {
        if self.is_unlimited() {
            return u64::MAX;
        }
        self.bucket.tokens.load(Ordering::Relaxed) / TOKEN
    }

    /// The extras allowed per 100 calls in the long run, `None` if it is unlimited.
    #[must_use]
    pub fn per_100_calls(&self) -> Option<f64> {
        let percent = self.bucket.per_call as f64 * 100.0 / TOKEN as f64;
        (!self.is_unlimited()).then_some(percent)
    }

    /// The extras allowed at once, `None` if it is unlimited.
    #[must_use]
    pub fn burst(&self) -> Option<u64> {
        (!self.is_unlimited()).then_some(self.bucket.capacity / TOKEN)
    }

    /// How many extras of this kind were granted (and not given back) since the start.
    #[must_use]
    pub fn granted(&self, kind: Kind) -> u64 {
        self.bucket.granted[kind as usize].load(Ordering::Relaxed)
    }

    /// How many extras of this kind were denied since the start.
    #[must_use]
    pub fn denied(&self, kind: Kind) -> u64 {
        self.bucket.denied[kind as usize].load(Ordering::Relaxed)
    }

    /// Whether every extra is granted.
    #[must_use]
    #[inline]
    pub fn is_unlimited(&self) -> bool {
        self.bucket.capacity == u64::MAX
    }

    /// Whether the two share one bucket.
    #[must_use]
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bucket, &other.bucket)
    }
}

/// A token that was granted to an extra attempt which is not sent yet.
///
/// Dropped, it goes back into its budget.
#[must_use = "dropping it gives the token back"]
#[derive(Debug)]
pub struct Grant {
    /// Present until it is spent.
    budget: Option<Budget>,
    kind: Kind,
}

impl Grant {
    /// The attempt was sent: the token is gone.
    pub fn spend(mut self) {
        self.budget = None;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.refund(self.kind);
        }
    }
}

impl Bucket {
    fn add(&self, amount: u64) {
        let mut now = self.tokens.load(Ordering::Relaxed);
        loop {
            let next = now.saturating_add(amount).min(self.capacity);
            if next == now {
                return;
            }
            match self.swap(now, next) {
                Ok(_) => return,
                Err(seen) => now = seen,
            }
        }
    }

    fn take(&self) -> bool {
        let mut now = self.tokens.load(Ordering::Relaxed);
        if let Some(floor) = self.floor {
            return now > floor.tokens;
        }
        loop {
            let Some(next) = now.checked_sub(TOKEN) else {
                return false;
            };
            match self.swap(now, next) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
    }

    fn swap(&self, now: u64, next: u64) -> Result<u64, u64> {
        self.tokens
            .compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed)
    }
}

// === impl fmt ===

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unlimited() {
            return f.write_str("Budget::unlimited()");
        }
        if let Some(floor) = self.bucket.floor {
            return f
                .debug_struct("Throttle")
                .field("floor", &(floor.tokens as f64 / TOKEN as f64))
                .field("tokens", &self.tokens())
                .finish();
        }
        f.debug_struct("Budget")
            .field("percent", &self.per_100_calls().unwrap_or_default())
            .field("depth", &(self.bucket.capacity / TOKEN))
            .field("available", &self.available())
            .finish()
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(
                f,
                "a budget of {percent} percent is out of range: write the extras allowed per 100 \
                 calls, from 0 to 100000 (5.0 for five), or Budget::unlimited()"
            ),
            Self::Throttle { tokens, ratio } => write!(
                f,
                "a throttle of {tokens} tokens that gets {ratio} for a success is out of range: write \
                 from 0.001 to 1000 for both, like 10 and 0.1"
            ),
            Self::Depth(depth) => write!(
                f,
                "a budget depth of {depth} is out of range: write the burst in tokens, from 0 to \
                 {MAX_DEPTH}, or use Budget::unlimited()"
            ),
        }
    }
}

impl std::error::Error for BudgetError {}

#[cfg(all(test, hedgerow_loom))]
mod loom_tests {
    use super::*;

    #[test]
    fn loom_two_threads_never_share_a_token() {
        loom::model(|| {
            let budget = Budget::percent(50.0).depth(1);
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let budget = budget.clone();
                    loom::thread::spawn(move || {
                        budget.deposit();
                        u32::from(budget.try_withdraw(Kind::Hedge))
                    })
                })
                .collect();
            let granted: u32 = threads
                .into_iter()
                .map(|thread| thread.join().expect("nobody panics"))
                .sum();
            // One from the depth, and at most one from the two halves put in.
            assert!((1..=2).contains(&granted));
            let left = budget.bucket.tokens.load(Ordering::Relaxed);
            assert!(u64::from(granted) * TOKEN + left <= 2 * TOKEN);
        });
    }

    #[test]
    fn loom_a_refund_is_not_lost_and_never_overflows_the_bucket() {
        loom::model(|| {
            let budget = Budget::percent(0.0).depth(1);
            assert!(budget.try_withdraw(Kind::Hedge));
            let other = budget.clone();
            let refund = loom::thread::spawn(move || other.refund(Kind::Hedge));
            let got = budget.try_withdraw(Kind::Hedge);
            refund.join().expect("nobody panics");
            assert_eq!(budget.available() + u64::from(got), 1);
        });
    }
}
