//! The counts of a layer, and its live settings.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_core::Budget;
use hedgerow_latency::{Latency, Snapshot};

use crate::observe::Imagined;

/// How many calls must be un-replayable, and no other, before it is said once.
const WARN_AT: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Books {
    /// How many extra attempts a call may send; [`WATCHED`] if it is only to be told.
    plan: AtomicU32,
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
    /// What hedging would have done while it was only observed.
    imagined: OnceLock<Imagined>,
}

/// The bit of the plan that says: observe only.
const WATCHED: u32 = 1 << 31;

/// What a call that begins now may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan(u32);

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
            plan: AtomicU32::new(max_hedges),
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
            imagined: OnceLock::new(),
        }
    }

    /// Counts a call.
    #[inline]
    pub(crate) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn plan(&self) -> Plan {
        Plan(self.plan.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn max_hedges(&self) -> u32 {
        self.plan().max_hedges()
    }

    pub(crate) fn set_max_hedges(&self, n: u32) {
        self.change_plan(|plan| (plan & WATCHED) | n);
    }

    pub(crate) fn observe_only(&self, on: bool) {
        self.change_plan(|plan| if on { plan | WATCHED } else { plan & !WATCHED });
    }

    fn change_plan(&self, change: impl Fn(u32) -> u32) {
        let change = |plan| Some(change(plan));
        // It never refuses.
        let _ = self
            .plan
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// What hedging would have done, from the first time it was only observed.
    pub(crate) fn imagined(&self) -> Option<&Imagined> {
        self.imagined.get()
    }

    /// The same, begun now if need be, with a budget like `budget` to imagine with.
    pub(crate) fn imagine(&self, budget: &Budget) -> &Imagined {
        self.imagined.get_or_init(|| Imagined::new(budget.twin()))
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

impl Plan {
    #[inline]
    pub(crate) const fn max_hedges(self) -> u32 {
        self.0 & !WATCHED
    }

    /// Whether extra attempts are only told, not sent.
    #[inline]
    pub(crate) const fn is_watched(self) -> bool {
        self.0 & WATCHED != 0
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
