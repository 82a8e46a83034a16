//! Who is told once the lock is free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Who is to be woken once the lock is free.
#[derive(Default)]
pub(crate) struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
    /// Not woken but dropped: the last of a task's wakers may drop the task, and its permit with it.
    forgotten: Option<Waker>,
}

impl Wakes {
    pub(crate) fn add(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.rest.push(waker);
        }
    }

    /// Drops it once the lock is free.
    pub(super) fn forget(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.forgotten = waker;
        }
    }

    /// Wakes them; the lock must be free.
    #[inline]
    pub(crate) fn wake(self) {
        // A waker that panics must not cost the others theirs.
        let wake = |waker: Waker| drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        if let Some(first) = self.first {
            wake(first);
            if !self.rest.is_empty() {
                self.rest.into_iter().for_each(wake);
            }
        }
    }
}
