//! Counts of a cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::background::Background;

/// A handle on a cache: its counts.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    pub(super) books: Arc<Books>,
    pub(super) background: Background,
}

/// What a cache did since it was made. Its store has counts of its own: [`Store::stats`](crate::Store::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Calls that the store answered as good as new.
    pub hits: u64,
    /// Calls that the store answered stale, while the answer was refreshed.
    pub stale: u64,
    /// Calls that the store answered stale, because the service failed.
    pub stale_on_error: u64,
    /// Calls that the service was asked for, because nothing fresh was in the store.
    pub misses: u64,
    /// Calls without a key.
    pub bypassed: u64,
    /// Answers that were handed to the store.
    pub stored: u64,
    /// Answers that were not to be stored.
    pub not_stored: u64,
    /// Answers that the store had no room in its queue for.
    pub lost: u64,
    /// Failures of the store, which no call has noticed.
    pub store_failures: u64,
    /// Answers that were refreshed behind callers.
    pub refreshed: u64,
    /// Refreshes that failed, or were not begun because too many ran.
    pub not_refreshed: u64,
    /// Calls whose caller left while the service was asked.
    pub cancelled: u64,
    /// Calls that were begun before anybody asked.
    pub prefetched: u64,
    /// Refreshes and prefetches that run now.
    pub running: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(super) hits: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) stale_on_error: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) bypassed: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) not_stored: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) store_failures: AtomicU64,
    pub(super) refreshed: AtomicU64,
    pub(super) not_refreshed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) prefetched: AtomicU64,
}

impl CacheHandle {
    /// What the layer did since it was made.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let books = &self.books;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: read(&books.hits),
            stale: read(&books.stale),
            stale_on_error: read(&books.stale_on_error),
            misses: read(&books.misses),
            bypassed: read(&books.bypassed),
            stored: read(&books.stored),
            not_stored: read(&books.not_stored),
            lost: read(&books.lost),
            store_failures: read(&books.store_failures),
            refreshed: read(&books.refreshed),
            not_refreshed: read(&books.not_refreshed),
            cancelled: read(&books.cancelled),
            prefetched: read(&books.prefetched),
            running: self.background.running() as u64,
        }
    }
}
