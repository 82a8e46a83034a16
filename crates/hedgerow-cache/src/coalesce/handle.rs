//! Counts of a coalescer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hedgerow_core::Budget;

/// A handle on a coalescer: its counts and its budget.
#[derive(Clone, Debug)]
pub struct CoalesceHandle {
    pub(super) books: Arc<Books>,
    pub(super) budget: Budget,
}

/// What a coalescer did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoalesceStats {
    /// Calls whose request was sent for all who came meanwhile.
    pub led: u64,
    /// Calls that waited for another one's request.
    pub followed: u64,
    /// Calls that read along with an answer that arrived already.
    pub joined: u64,
    /// Calls that passed: without a key, with too many flights, or too late for an answer's beginning.
    pub passed: u64,
    /// Calls that went on with a request whose own caller had left.
    pub taken_over: u64,
    /// Followers that tried once more.
    pub tried_again: u64,
    /// Followers to which the budget denied that.
    pub denied: u64,
    /// Calls whose caller left.
    pub cancelled: u64,
    /// Calls that were begun before anybody asked.
    pub prefetched: u64,
    /// Of those the ones that somebody asked for in time.
    pub adopted: u64,
    /// Flights under way now.
    pub flights: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(super) led: AtomicU64,
    pub(super) followed: AtomicU64,
    pub(super) joined: AtomicU64,
    pub(super) passed: AtomicU64,
    pub(super) taken_over: AtomicU64,
    pub(super) tried_again: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) prefetched: AtomicU64,
    pub(super) adopted: AtomicU64,
    pub(super) flights: AtomicU64,
}

pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl CoalesceHandle {
    /// What the layer did since it was made.
    #[must_use]
    pub fn stats(&self) -> CoalesceStats {
        let books = &self.books;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CoalesceStats {
            led: read(&books.led),
            followed: read(&books.followed),
            joined: read(&books.joined),
            passed: read(&books.passed),
            taken_over: read(&books.taken_over),
            tried_again: read(&books.tried_again),
            denied: read(&books.denied),
            cancelled: read(&books.cancelled),
            prefetched: read(&books.prefetched),
            adopted: read(&books.adopted),
            flights: read(&books.flights),
        }
    }

    /// The budget that second tries are paid from.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}
