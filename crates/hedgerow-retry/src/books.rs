//! The counts of a layer, and its live settings.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::error::{MAX_ATTEMPTS, RetryBuildError, StopReason};

#[derive(Debug)]
pub(crate) struct Books {
    attempts: AtomicU32,
    calls: AtomicU64,
    /// Calls in which a retry was sent.
    retried: AtomicU64,
    retries: AtomicU64,
    recovered: AtomicU64,
    timed_out: AtomicU64,
    cancelled: AtomicU64,
    /// Calls that failed, by the reason why no other try followed.
    failed: [AtomicU64; StopReason::COUNT],
}

/// All counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) retried: u64,
    pub(crate) retries: u64,
    pub(crate) recovered: u64,
    pub(crate) timed_out: u64,
    pub(crate) cancelled: u64,
    pub(crate) failed: [u64; StopReason::COUNT],
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Books {
    pub(crate) fn new(attempts: u32) -> Self {
        Self {
            attempts: AtomicU32::new(attempts),
            calls: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            failed: Default::default(),
        }
    }

    #[inline]
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(crate) fn set_attempts(&self, n: usize) -> Result<(), RetryBuildError> {
        if n == 0 || n > MAX_ATTEMPTS {
            return Err(RetryBuildError::Attempts(n));
        }
        self.attempts.store(n as u32, Ordering::Relaxed);
        Ok(())
    }

    /// Counts a call.
    #[inline]
    pub(crate) fn begin(&self) {
        bump(&self.calls);
    }

    pub(crate) fn retried(&self, first: bool) {
        if first {
            bump(&self.retried);
        }
        bump(&self.retries);
    }

    pub(crate) fn recovered(&self) {
        bump(&self.recovered);
    }

    pub(crate) fn timed_out(&self) {
        bump(&self.timed_out);
    }

    pub(crate) fn cancelled(&self) {
        bump(&self.cancelled);
    }

    pub(crate) fn failed(&self, reason: StopReason) {
        bump(&self.failed[reason as usize]);
    }

    pub(crate) fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            calls: read(&self.calls),
            retried: read(&self.retried),
            retries: read(&self.retries),
            recovered: read(&self.recovered),
            timed_out: read(&self.timed_out),
            cancelled: read(&self.cancelled),
            failed: std::array::from_fn(|at| read(&self.failed[at])),
        }
    }
}

impl Tally {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            retried: self.retried - earlier.retried,
            retries: self.retries - earlier.retries,
            recovered: self.recovered - earlier.recovered,
            timed_out: self.timed_out - earlier.timed_out,
            cancelled: self.cancelled - earlier.cancelled,
            failed: std::array::from_fn(|at| self.failed[at] - earlier.failed[at]),
        }
    }
}
