//! The counts of a layer, and its live settings.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_latency::{Latency, Snapshot};

/// How many calls must be un-replayable, and no other, before it is said once.
const WARN_AT: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Books {
    max_hedges: AtomicU32,
    calls: AtomicU64,
    /// Calls in which an extra attempt was sent.
    hedged: AtomicU64,
    fired: AtomicU64,
    wins: AtomicU64,
    denied: AtomicU64,
    not_ready: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    unreplayable: AtomicU64,
    /// How long calls took that an extra attempt won: the calls whose latency is not the primary's.
    rescued: OnceLock<Latency>,
}

/// All counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) hedged: u64,
    pub(crate) fired: u64,
    pub(crate) wins: u64,
    pub(crate) denied: u64,
    pub(crate) not_ready: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) unreplayable: u64,
}

fn bump(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

impl Books {
    pub(crate) fn new(max_hedges: u32) -> Self {
        Self {
            max_hedges: AtomicU32::new(max_hedges),
            calls: AtomicU64::new(0),
            hedged: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            wins: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            not_ready: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            unreplayable: AtomicU64::new(0),
            rescued: OnceLock::new(),
        }
    }

    /// Counts a call.
    #[inline]
    pub(crate) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn max_hedges(&self) -> u32 {
        self.max_hedges.load(Ordering::Relaxed)
    }

    pub(crate) fn set_max_hedges(&self, n: u32) {
        self.max_hedges.store(n, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn unreplayable(&self) {
        let count = bump(&self.unreplayable);
        if count == WARN_AT && self.calls.load(Ordering::Relaxed) <= WARN_AT {
            tracing::warn!(
                target: "hedgerow::hedge",
                "none of the first {WARN_AT} requests may be sent twice, so nothing is hedged: \
                 see `Replay`"
            );
        }
    }

    pub(crate) fn fired(&self, first: bool) {
        if first {
            bump(&self.hedged);
        }
        bump(&self.fired);
    }

    pub(crate) fn won_by_extra(&self, elapsed: Duration) {
        bump(&self.wins);
        self.rescued.get_or_init(Latency::new).record(elapsed);
    }

    pub(crate) fn denied(&self) {
        bump(&self.denied);
    }

    pub(crate) fn not_ready(&self) {
        bump(&self.not_ready);
    }

    pub(crate) fn failed(&self) {
        bump(&self.failed);
    }

    pub(crate) fn cancelled(&self) {
        bump(&self.cancelled);
    }

    pub(crate) fn rescued(&self) -> Snapshot {
        self.rescued
            .get()
            .map_or_else(Snapshot::empty, Latency::total)
    }

    pub(crate) fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            calls: read(&self.calls),
            hedged: read(&self.hedged),
            fired: read(&self.fired),
            wins: read(&self.wins),
            denied: read(&self.denied),
            not_ready: read(&self.not_ready),
            failed: read(&self.failed),
            cancelled: read(&self.cancelled),
            unreplayable: read(&self.unreplayable),
        }
    }
}

impl Tally {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            hedged: self.hedged - earlier.hedged,
            fired: self.fired - earlier.fired,
            wins: self.wins - earlier.wins,
            denied: self.denied - earlier.denied,
            not_ready: self.not_ready - earlier.not_ready,
            failed: self.failed - earlier.failed,
            cancelled: self.cancelled - earlier.cancelled,
            unreplayable: self.unreplayable - earlier.unreplayable,
        }
    }
}
