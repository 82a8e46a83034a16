//! A budget that asks how many attempts fail, not how many are sent.

use super::{Budget, BudgetError, Floor, TOKEN};
use crate::or_panic;
use crate::sync::Ordering;

/// What a throttle counts in: thousandths of a token.
const GRAIN: u64 = TOKEN / 1_000;
const MOST: f64 = 1_000.0;
const LEAST: f64 = 0.001;

impl Budget {
    /// Grants extras while few attempts fail: as long as more than half of `tokens` are there.
    ///
    /// It starts full. An attempt that [failed](Self::failed) takes one token out, one that
    /// [succeeded](Self::succeeded) puts `ratio` of a token in, and an extra takes none: with 10 and 0.1
    /// extras stop once more than about one attempt in eleven fails, and begin again by themselves.
    /// Unlike a percentage it bounds no load while everything merely becomes slow.
    ///
    /// 0.001 to 1,000 for both, counted in thousandths. Somebody has to tell it how attempts end: the layers
    /// that draw from a budget do not.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_core::{Budget, Kind};
    ///
    /// let throttle = Budget::throttle(4, 0.5);
    /// throttle.failed();
    /// assert!(throttle.try_withdraw(Kind::Retry)); // 3 of 4
    /// throttle.failed();
    /// assert!(!throttle.try_withdraw(Kind::Retry)); // 2 of 4
    /// throttle.succeeded();
    /// assert!(throttle.try_withdraw(Kind::Retry)); // 2.5 of 4
    /// ```
    ///
    /// # Panics
    ///
    /// If a number is out of range: [`try_throttle`](Self::try_throttle) returns the reason.
    ///
    /// # Source
    ///
    /// `retryThrottling` of gRFC A6.
    #[must_use]
    #[track_caller]
    pub fn throttle(tokens: impl Into<f64>, ratio: impl Into<f64>) -> Self {
        or_panic(Self::try_throttle(tokens, ratio))
    }

    /// Like [`throttle`](Self::throttle), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BudgetError::Throttle`] if a number is out of range.
    pub fn try_throttle(
        tokens: impl Into<f64>,
        ratio: impl Into<f64>,
    ) -> Result<Self, BudgetError> {
        let (tokens, ratio) = (tokens.into(), ratio.into());
        let allowed = LEAST..=MOST;
        if !allowed.contains(&tokens) || !allowed.contains(&ratio) {
            return Err(BudgetError::Throttle { tokens, ratio });
        }
        let capacity = thousandths(tokens);
        let floor = Floor {
            tokens: capacity / 2,
            success: thousandths(ratio),
        };
        Ok(Self::new(0, capacity, Some(floor)))
    }

    /// An attempt has failed in a way that speaks of the server: takes a token out of a
    /// [`throttle`](Self::throttle). Does nothing to other budgets.
    pub fn failed(&self) {
        let bucket = &*self.bucket;
        if bucket.floor.is_none() {
            return;
        }
        let less = |tokens: u64| Some(tokens.saturating_sub(TOKEN));
        // It never refuses.
        let _ = bucket
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// An attempt has succeeded: puts the ratio into a [`throttle`](Self::throttle). Does nothing to other
    /// budgets.
    pub fn succeeded(&self) {
        if let Some(floor) = self.bucket.floor {
            self.bucket.add(floor.success);
        }
    }

    /// What is in the bucket now, also a part of a token; infinite if it is unlimited.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        if self.is_unlimited() {
            return f64::INFINITY;
        }
        self.bucket.tokens.load(Ordering::Relaxed) as f64 / TOKEN as f64
    }
}

/// Never rounded up.
fn thousandths(tokens: f64) -> u64 {
    (tokens * 1_000.0 + 1e-6).floor() as u64 * GRAIN
}

#[cfg(all(test, not(hedgerow_loom)))]
mod tests {
    use super::*;
    use crate::budget::Kind;

    /// Around half: at it no, a thousandth above it yes.
    #[test]
    fn extras_are_granted_above_half_and_not_at_it() {
        let throttle = Budget::throttle(10, 0.001);
        for failures in 1..=5 {
            assert!(throttle.try_withdraw(Kind::Hedge), "{failures}");
            throttle.failed();
        }
        assert!(!throttle.try_withdraw(Kind::Hedge));
        throttle.succeeded();
        assert_eq!(throttle.tokens(), 5.001);
        assert!(throttle.try_withdraw(Kind::Hedge));
        assert_eq!(throttle.tokens(), 5.001, "nothing is taken");
        throttle.refund(Kind::Hedge);
        throttle.deposit();
        assert_eq!(throttle.tokens(), 5.001, "and nothing given back");
    }

    #[test]
    fn it_stays_between_empty_and_full() {
        let throttle = Budget::throttle(3, 0.7);
        throttle.succeeded();
        assert_eq!(throttle.tokens(), 3.0);
        for _ in 0..9 {
            throttle.failed();
        }
        assert_eq!(throttle.tokens(), 0.0);
        throttle.succeeded();
        assert_eq!(throttle.tokens(), 0.7);
        assert_eq!(throttle.twin().tokens(), 3.0);
        assert_eq!(throttle.depth(50).tokens(), 0.7, "its depth is its own");
    }

    #[test]
    fn numbers_are_counted_in_thousandths_and_bounded() {
        let throttle = Budget::throttle(1, 0.0019);
        throttle.failed();
        throttle.succeeded();
        assert_eq!(throttle.tokens(), 0.001);
        for (tokens, ratio) in [(0.0, 0.1), (1_000.5, 0.1), (10.0, 0.0), (10.0, f64::NAN)] {
            let refused = Budget::try_throttle(tokens, ratio).expect_err("out of range");
            assert!(refused.to_string().contains("like 10 and 0.1"), "{refused}");
        }
    }

    #[test]
    fn other_budgets_do_not_care_how_attempts_end() {
        let budget = Budget::percent(10.0).depth(2);
        budget.failed();
        budget.succeeded();
        assert_eq!(budget.tokens(), 2.0);
        assert!(budget.try_withdraw(Kind::Retry));
        budget.succeeded();
        assert_eq!(budget.tokens(), 1.0);
    }
}
