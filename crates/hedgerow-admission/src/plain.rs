//! The plain way past the queue: for a request without a key and a deadline, when nobody waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::ledger::{BookId, LocalLedger, Receipt};
use crate::limit::Outcome;
use crate::queue::Grant;
use crate::review::Review;
use crate::shared::{Ending, Shared, clock};

/// What a request without a key and a deadline needs when nobody waits.
pub(crate) enum Plain {
    /// More than that: the long way.
    No,
    /// A place.
    Place,
    /// A place, and when it was given.
    Timed,
    /// A place, and something of one rate.
    Rate(Arc<LocalLedger>, BookId),
}

/// What one has that was admitted the plain way: no more than it needs to be given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// When, if anybody wants to know.
    pub(crate) at: Option<Instant>,
    /// The word of the receipt for the one rate.
    pub(crate) word: u64,
    pub(crate) cost: u64,
}

impl Pass {
    /// As the queue keeps it.
    pub(crate) fn grant(self) -> Grant {
        let mut receipt = Receipt::default();
        receipt.0[0] = self.word;
        Grant {
            receipt,
            resource: None,
            key: None,
            cost: self.cost,
        }
    }
}

impl<T> Shared<T> {
    /// Whether somebody waits: a hint, which whoever takes the lock then sees for himself.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// One that came the plain way has ended, and sent nothing.
    pub(crate) fn finish_unsent(&self, pass: Pass) {
        self.finish(&Ending {
            grant: &pass.grant(),
            at: pass.at,
            story: None,
            review: Review::of(Outcome::Cancelled),
            sent: false,
        });
    }

    /// One who finds a place, and nobody waits: the quietest way of all.
    #[inline(always)]
    pub(crate) fn enter_plainly(&self, cost: u64) -> Option<Pass> {
        match &self.plain {
            Plain::No => None,
            Plain::Place => self.take_place(None, cost, || Some(0)),
            Plain::Timed => self.take_place(Some(clock()), cost, || Some(0)),
            Plain::Rate(books, book) => {
                let now = clock();
                self.take_place(Some(now), cost, || books.take_one(*book, cost, now))
            }
        }
    }

    #[inline(always)]
    fn take_place(
        &self,
        at: Option<Instant>,
        cost: u64,
        take: impl FnOnce() -> Option<u64>,
    ) -> Option<Pass> {
        let limit = self.limit.now();
        let mut state = self.state.lock();
        state.told(limit);
        if !state.has_room() {
            return None;
        }
        let word = take()?;
        state.start_plainly();
        Some(Pass { at, word, cost })
    }

    /// One that came the plain way has ended; how is only asked if anybody wants to know.
    #[inline(always)]
    pub(crate) fn finish_pass(&self, pass: Pass, review: impl FnOnce() -> Review) {
        if self.light {
            return self.finish_plainly();
        }
        self.finish(&Ending {
            grant: &pass.grant(),
            at: pass.at,
            story: None,
            review: review(),
            sent: true,
        });
    }

    #[inline(always)]
    fn finish_plainly(&self) {
        // A hint: what it misses is seen under the lock.
        if self.is_crowded() {
            return self.finish_for_others(true);
        }
        let mut state = self.state.lock();
        if state.end_plainly() {
            return;
        }
        drop(state);
        self.finish_for_others(false);
    }

    /// Somebody waits for what has ended.
    #[inline(never)]
    fn finish_for_others(&self, ends: bool) {
        let limit = self.limit.now();
        let waiting = self.with(|shared, state, now, wakes| {
            state.told(limit);
            if ends {
                state.end_plainly();
            }
            state.pump(&shared.rules, now, wakes);
            state.waiting
        });
        self.catch_up(limit, waiting);
    }
}
