//! A limit from elsewhere.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::limit::LimitPolicy;
use crate::limit::bounds::Published;

/// Lets as many calls run as a function says, which is asked at every admission and every end.
///
/// For limits that something else decides: a configuration that is reloaded, a feature flag, the
/// number of healthy backends. 0 closes the door: nobody starts until it says more, and those who
/// wait go on waiting.
///
/// The function is called at every admission and at every end, outside of the queue's lock: it
/// should only read, an atomic or an `ArcSwap`. A new limit is noticed when a call comes or ends, or
/// when the gate is told to look again ([`Gate::refresh`](crate::Gate::refresh)): after a rise from 0,
/// where no call runs that could end, tell it.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use hedgerow_admission::{Dynamic, LimitPolicy};
///
/// let shared = Arc::new(AtomicUsize::new(8));
/// let read = Arc::clone(&shared);
/// let limit = Dynamic::new(move || read.load(Ordering::Relaxed));
/// assert_eq!(limit.limit(), 8);
///
/// shared.store(0, Ordering::Relaxed);
/// assert_eq!(limit.limit(), 0);
/// ```
///
/// # Panics
///
/// Not at all: while the function panics, the last limit that it gave stays, at first 1.
///
/// # Cost
///
/// The function, and an atomic store. It learns nothing, so that no clock is read for it.
pub struct Dynamic<F> {
    read: F,
    last: Published,
}

impl<F> Dynamic<F>
where
    F: Fn() -> usize + Send + Sync,
{
    /// At most as many calls at once as `read` says.
    #[must_use]
    pub const fn new(read: F) -> Self {
        Self {
            read,
            last: Published::new(1),
        }
    }
}

// === impl LimitPolicy ===

impl<F> LimitPolicy for Dynamic<F>
where
    F: Fn() -> usize + Send + Sync,
{
    fn limit(&self) -> usize {
        match catch_unwind(AssertUnwindSafe(&self.read)) {
            Ok(limit) => {
                self.last.set(limit);
                limit
            }
            Err(_) => self.last.get(),
        }
    }

    #[inline]
    fn learns(&self) -> bool {
        false
    }
}

// === impl Debug ===

impl<F> fmt::Debug for Dynamic<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dynamic")
            .field("last", &self.last.get())
            .finish_non_exhaustive()
    }
}
