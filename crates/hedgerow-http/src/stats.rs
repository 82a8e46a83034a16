//! How many bodies could be shared.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::body::Fate;

/// What became of the bodies that passed through a [`ReplayBodyLayer`](crate::ReplayBodyLayer).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayBodyStats {
    /// Bodies that were there as a whole: several attempts can read them.
    pub shared: u64,
    /// Bodies that are, or say that they will be, larger than the cap.
    pub too_large: u64,
    /// Bodies that were still arriving.
    pub streaming: u64,
    /// Bodies that failed while they were read.
    pub failed: u64,
    /// Requests that may be sent only once, whose bodies were not looked at.
    pub not_replayable: u64,
}

impl ReplayBodyStats {
    /// All bodies that passed through un-hedged.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.too_large + self.streaming + self.failed + self.not_replayable
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; 5]);

impl Counts {
    #[inline]
    pub(crate) fn add(&self, fate: Fate) {
        self.0[fate as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> ReplayBodyStats {
        let read = |fate: Fate| self.0[fate as usize].load(Ordering::Relaxed);
        ReplayBodyStats {
            shared: read(Fate::Shared),
            too_large: read(Fate::TooLarge),
            streaming: read(Fate::Streaming),
            failed: read(Fate::Failed),
            not_replayable: read(Fate::NotReplayable),
        }
    }
}
