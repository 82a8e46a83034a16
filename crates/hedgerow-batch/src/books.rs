//! The counts of a layer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_latency::Latency;

use crate::event::{BatchOutcome, Reason};
use crate::sizes::Sizes;

#[derive(Debug)]
pub(crate) struct Books {
    entered: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    /// Those of the cancelled that had been sent.
    cancelled_sent: AtomicU64,
    batches: [AtomicU64; Reason::ALL.len()],
    twins: AtomicU64,
    missing: AtomicU64,
    extra: AtomicU64,
    late: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
    abandoned: AtomicU64,
    failed_batches: AtomicU64,
    pub(crate) sizes: Sizes,
    /// How long items waited until they were sent.
    pub(crate) waits: Latency,
}

/// All counts at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) entered: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) cancelled_sent: u64,
    pub(crate) batches: [u64; Reason::ALL.len()],
    pub(crate) twins: u64,
    pub(crate) missing: u64,
    pub(crate) extra: u64,
    pub(crate) late: u64,
    pub(crate) panicked: u64,
    pub(crate) timed_out: u64,
    pub(crate) abandoned: u64,
    pub(crate) failed_batches: u64,
}

#[inline]
fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            entered: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            cancelled_sent: AtomicU64::new(0),
            batches: Default::default(),
            twins: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            extra: AtomicU64::new(0),
            late: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            failed_batches: AtomicU64::new(0),
            sizes: Sizes::new(),
            waits: Latency::new().coarse(),
        }
    }

    #[inline]
    pub(crate) fn entered(&self) {
        bump(&self.entered);
    }

    #[inline]
    pub(crate) fn answered(&self) {
        bump(&self.answered);
    }

    pub(crate) fn failed(&self) {
        bump(&self.failed);
    }

    pub(crate) fn cancelled(&self, sent: bool) {
        bump(&self.cancelled);
        if sent {
            bump(&self.cancelled_sent);
        }
    }

    pub(crate) fn dispatched(&self, size: usize, twins: usize, reason: Reason) {
        bump(&self.batches[reason as usize]);
        self.twins.fetch_add(twins as u64, Ordering::Relaxed);
        self.sizes.record(size);
    }

    #[inline]
    pub(crate) fn waited(&self, wait: Duration) {
        self.waits.record(wait);
    }

    pub(crate) fn landed(&self, outcome: BatchOutcome) {
        bump(match outcome {
            BatchOutcome::Done | BatchOutcome::Aborted => return,
            BatchOutcome::Failed => &self.failed_batches,
            BatchOutcome::Panicked => &self.panicked,
            BatchOutcome::TimedOut => &self.timed_out,
            BatchOutcome::Abandoned => &self.abandoned,
        });
    }

    pub(crate) fn missing(&self) {
        bump(&self.missing);
    }

    pub(crate) fn extra(&self, n: u64) {
        self.extra.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn late(&self) {
        bump(&self.late);
    }

    pub(crate) fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        // Ends before beginnings, so that there are never more of them.
        let (answered, failed) = (read(&self.answered), read(&self.failed));
        let (cancelled_sent, cancelled) = (read(&self.cancelled_sent), read(&self.cancelled));
        Tally {
            answered,
            failed,
            cancelled,
            cancelled_sent,
            entered: read(&self.entered),
            batches: std::array::from_fn(|at| read(&self.batches[at])),
            twins: read(&self.twins),
            missing: read(&self.missing),
            extra: read(&self.extra),
            late: read(&self.late),
            panicked: read(&self.panicked),
            timed_out: read(&self.timed_out),
            abandoned: read(&self.abandoned),
            failed_batches: read(&self.failed_batches),
        }
    }
}
