//! What the layer tells its recorder.

use std::time::Duration;

/// What happened to the items of a batching layer, and to its batches.
///
/// Every item that came in ends in exactly one [terminal](Self::is_terminal) event:
/// [`Answered`](Self::Answered), [`Failed`](Self::Failed) or [`Cancelled`](Self::Cancelled). With the
/// default recorder `()` no event is even built.
///
/// Recorders are told synchronously, by the caller, the backend or the layer's task: count, or hand on
/// and return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchEvent {
    /// An item came in.
    Enqueued {
        /// How many wait now, in all partitions, with it.
        queued: usize,
    },
    /// A batch was sent.
    Dispatched {
        /// Its items, twins not counted.
        size: usize,
        /// Callers that get the answer of an identical item.
        twins: usize,
        /// The sum of its items' weights; the number of items, if none was set.
        weight: u64,
        /// How long its oldest item waited.
        waited: Duration,
        /// Why it was sent now.
        reason: Reason,
        /// How many batches are in flight, with it.
        in_flight: usize,
    },
    /// Terminal for an item: it was answered.
    Answered {
        /// From the call to the answer.
        elapsed: Duration,
    },
    /// Terminal for an item: it got an error.
    Failed {
        /// From the call to the error.
        elapsed: Duration,
    },
    /// Terminal for an item: its caller left.
    Cancelled {
        /// From the call until then.
        elapsed: Duration,
        /// Whether it had been sent.
        dispatched: bool,
    },
    /// The backend's future for a batch has ended.
    Landed {
        /// Its items, twins not counted.
        size: usize,
        /// How long it took.
        elapsed: Duration,
        /// How it ended.
        outcome: BatchOutcome,
    },
}

/// Why a batch was sent when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// As many items waited as a batch may have.
    Full,
    /// What waited was as heavy as a batch may be.
    Heavy,
    /// Its first item had waited as long as it may.
    Linger,
    /// Nothing was in flight.
    Idle,
    /// Waiting any longer would have cost more than it saves.
    Paid,
    /// A policy of one's own said so.
    Policy,
    /// Half of what was left before an item's deadline was over.
    Deadline,
    /// The handle asked for it.
    Flush,
    /// The last service is gone, or the handle drains the layer.
    Drain,
    /// It is a part of a batch that failed.
    Bisect,
}

/// How the backend's future for a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchOutcome {
    /// Well.
    Done,
    /// With an error.
    Failed,
    /// With a panic.
    Panicked,
    /// It took longer than it may, and was dropped.
    TimedOut,
    /// All of its callers had left, and it was dropped.
    Abandoned,
    /// The layer was aborted.
    Aborted,
}

impl BatchEvent {
    /// Whether this ends an item.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Answered { .. } | Self::Failed { .. } | Self::Cancelled { .. }
        )
    }
}

impl Reason {
    pub(crate) const ALL: [Self; 10] = [
        Self::Full,
        Self::Heavy,
        Self::Linger,
        Self::Idle,
        Self::Paid,
        Self::Policy,
        Self::Deadline,
        Self::Flush,
        Self::Drain,
        Self::Bisect,
    ];

    /// One word for it, as telemetry labels it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Heavy => "heavy",
            Self::Linger => "linger",
            Self::Idle => "idle",
            Self::Paid => "paid",
            Self::Policy => "policy",
            Self::Deadline => "deadline",
            Self::Flush => "flush",
            Self::Drain => "drain",
            Self::Bisect => "bisect",
        }
    }
}

impl BatchOutcome {
    /// One word for it, as telemetry labels it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Abandoned => "abandoned",
            Self::Aborted => "aborted",
        }
    }
}
