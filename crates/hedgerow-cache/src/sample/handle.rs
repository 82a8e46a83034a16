//! Counts of a sample cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handle on a sample cache: its counts.
#[derive(Clone, Debug)]
pub struct SampleHandle {
    pub(super) books: Arc<Books>,
}

/// What a sample cache did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampleStats {
    /// Calls for samples.
    pub requests: u64,
    /// Samples that were in the store.
    pub cached: u64,
    /// Samples that another call under way brought.
    pub duplicated: u64,
    /// Samples that were paid for, and given.
    pub paid: u64,
    /// Calls of the service.
    pub calls: u64,
    /// Calls for samples that failed.
    pub failed: u64,
    /// Calls for samples without a key, or for which no cursor could be kept: nothing is stored.
    pub passed: u64,
    /// Failures of the store, which no call has noticed.
    pub store_failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(super) requests: AtomicU64,
    pub(super) cached: AtomicU64,
    pub(super) duplicated: AtomicU64,
    pub(super) paid: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) passed: AtomicU64,
    pub(super) store_failures: AtomicU64,
}

impl SampleHandle {
    /// What the layer did since it was made.
    #[must_use]
    pub fn stats(&self) -> SampleStats {
        let books = &self.books;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SampleStats {
            requests: read(&books.requests),
            cached: read(&books.cached),
            duplicated: read(&books.duplicated),
            paid: read(&books.paid),
            calls: read(&books.calls),
            failed: read(&books.failed),
            passed: read(&books.passed),
            store_failures: read(&books.store_failures),
        }
    }
}
