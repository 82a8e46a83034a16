//! Reading a layer's counts, and changing it while it runs.

use std::fmt;
use std::sync::Arc;

use hedgerow_core::{Budget, Kind};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::books::Tally;
use crate::error::{RetryBuildError, StopReason};
use crate::layer::Settings;

/// A handle on a retry layer: its counts, its budget and its live settings.
///
/// All handles of a layer share one [`reset`](Self::reset).
#[derive(Clone)]
pub struct RetryHandle {
    settings: Settings,
}

/// When the counts of [`RetryStats`] began.
#[derive(Debug)]
pub(crate) struct Since {
    at: Instant,
    tally: Tally,
}

/// What a retry layer did since it was made, or since the last reset.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryStats {
    /// Calls that came in.
    pub requests: u64,
    /// Calls in which a retry was sent.
    pub retried: u64,
    /// Retries that were sent.
    pub retries: u64,
    /// Calls that a retry saved.
    pub recovered: u64,
    /// Tries that timed out.
    pub timed_out: u64,
    /// Calls without an accepted answer.
    pub failed: u64,
    /// Calls whose caller left.
    pub cancelled: u64,
    /// Retries that the budget denied.
    pub denied: u64,
    /// Calls that were retried, per call: 0 to 1.
    pub retry_rate: f64,
    /// The mean cost of a call: 1, and 1 more per retry.
    pub average_cost: f64,
    /// Calls per second.
    pub per_second: f64,
    failures: [u64; StopReason::COUNT],
}

impl RetryStats {
    /// Calls without an accepted answer that were not tried again for this reason.
    #[must_use]
    pub const fn failed_by(&self, reason: StopReason) -> u64 {
        self.failures[reason as usize]
    }
}

impl Since {
    pub(crate) fn start() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            at: Instant::now(),
            tally: Tally::default(),
        }))
    }
}

impl RetryHandle {
    pub(crate) const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// What the layer did since it was made, or since the last [`reset`](Self::reset).
    #[must_use]
    pub fn stats(&self) -> RetryStats {
        let since = self.settings.since.lock();
        let tally = self.settings.books.tally().since(&since.tally);
        let seconds = since.at.elapsed().as_secs_f64();
        drop(since);
        let per = |count: u64, of: f64| if of > 0.0 { count as f64 / of } else { 0.0 };
        let calls = tally.calls as f64;
        RetryStats {
            requests: tally.calls,
            retried: tally.retried,
            retries: tally.retries,
            recovered: tally.recovered,
            timed_out: tally.timed_out,
            failed: tally.failed.iter().sum(),
            cancelled: tally.cancelled,
            denied: tally.failed[StopReason::Budget as usize],
            retry_rate: per(tally.retried, calls),
            average_cost: per(tally.calls + tally.retries, calls),
            per_second: per(tally.calls, seconds),
            failures: tally.failed,
        }
    }

    /// Begins the counts of [`stats`](Self::stats) anew. Budget and settings stay.
    pub fn reset(&self) {
        let mut since = self.settings.since.lock();
        since.at = Instant::now();
        since.tally = self.settings.books.tally();
    }

    /// The budget that retries are paid from.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.settings.budget
    }

    /// How many retries the budget granted, to this layer and to whoever shares it.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.settings.budget.granted(Kind::Retry)
    }

    /// How many tries a call may make, the first included.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.settings.books.attempts() as usize
    }

    /// Changes how many tries a call may make, 1 to 64. 1 switches retrying off.
    ///
    /// Fewer hold at once, also for calls that are under way.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Attempts`] if `n` is out of range.
    pub fn set_attempts(&self, n: usize) -> Result<(), RetryBuildError> {
        self.settings.books.set_attempts(n)
    }
}

impl fmt::Debug for RetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryHandle")
            .field("books", &self.settings.books)
            .field("budget", &self.settings.budget)
            .finish()
    }
}
