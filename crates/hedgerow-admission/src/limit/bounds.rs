//! Where a limit begins and between what it stays.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limit::error::LimitError;

/// More calls at once than any service here could mean.
pub(super) const LARGEST: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: usize,
    pub(super) initial: usize,
    pub(super) max: usize,
}

impl Bounds {
    pub(super) const DEFAULT: Self = Self {
        min: 1,
        initial: 20,
        max: 1_000,
    };

    pub(super) fn check(self) -> Result<Self, LimitError> {
        let Self { min, initial, max } = self;
        if min < 1 || initial < min || max < initial || LARGEST < max {
            return Err(LimitError::Bounds { min, initial, max });
        }
        Ok(self)
    }

    /// `limit` within the bounds; a number that is none leaves it where it was.
    pub(super) fn hold(self, limit: f64, before: f64) -> f64 {
        if limit.is_finite() {
            limit.clamp(self.min as f64, self.max as f64)
        } else {
            before
        }
    }

    /// The nearest whole limit within the bounds.
    pub(super) fn whole(self, limit: f64) -> usize {
        // A cast saturates, and makes 0 of what is no number.
        (limit.round() as usize).clamp(self.min, self.max)
    }
}

/// The limit as those read it who ask for it.
#[derive(Debug)]
pub(super) struct Published(AtomicUsize);

impl Published {
    pub(super) const fn new(limit: usize) -> Self {
        Self(AtomicUsize::new(limit))
    }

    #[inline]
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Called under the lock of whoever computes limits, so that the newest is the last.
    #[inline]
    pub(super) fn set(&self, limit: usize) {
        self.0.store(limit, Ordering::Relaxed);
    }
}

/// The setters of the bounds, for the configuration of every limit that has them.
macro_rules! bounds_setters {
    () => {
        /// Sets the smallest limit, at least 1. Defaults to 1.
        pub const fn min(mut self, limit: usize) -> Self {
            self.bounds.min = limit;
            self
        }

        /// Sets the limit it begins with. Defaults to 20.
        pub const fn initial(mut self, limit: usize) -> Self {
            self.bounds.initial = limit;
            self
        }

        /// Sets the largest limit, at most 1,000,000. Defaults to 1,000.
        pub const fn max(mut self, limit: usize) -> Self {
            self.bounds.max = limit;
            self
        }
    };
}
pub(super) use bounds_setters;
