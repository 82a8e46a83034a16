//! Why a request was refused, and why a gate was.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// A request was refused: it was never sent.
///
/// # Examples
///
/// ```
/// use hedgerow_admission::{Gate, ShedReason};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gate = Gate::builder().concurrency(1).max_depth(0).build();
/// let _running = gate.permit().await?;
/// let refused = gate.permit().await.expect_err("there is one place, and no queue");
/// assert_eq!(refused.reason(), ShedReason::QueueFull);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overloaded {
    pub(crate) reason: ShedReason,
    pub(crate) depth: usize,
    pub(crate) limit: Option<usize>,
    pub(crate) waited: Duration,
    pub(crate) retry_after: Option<Duration>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShedReason {
    /// As many wait as may wait; or it would have had to wait and must not.
    QueueFull,
    /// It has waited as long as it may.
    WaitedTooLong,
    /// Its deadline has passed, or would have before its turn.
    DeadlinePassed,
    /// The queue does not empty, and it has waited longer than is of use (`CoDel`).
    Standing,
    /// It costs more than a rate can ever give at once.
    TooLarge,
    /// The function that reads what a request asks has panicked.
    AskPanicked,
    /// Every resource of the pool was killed.
    NoResource,
    /// The gate is closed or drains.
    Closed,
    /// The ledger that holds the rates could not be asked.
    Ledger,
    /// Its [`CancellationToken`](tokio_util::sync::CancellationToken) was cancelled. Counted here if it had
    /// not joined the queue yet; one that waited counts as aborted
    /// ([`AbortedWaiting`](crate::Happened::AbortedWaiting)).
    Cancelled,
}

impl ShedReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::QueueFull,
        Self::WaitedTooLong,
        Self::DeadlinePassed,
        Self::Standing,
        Self::TooLarge,
        Self::AskPanicked,
        Self::NoResource,
        Self::Closed,
        Self::Ledger,
        Self::Cancelled,
    ];

    /// One word, for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WaitedTooLong => "waited_too_long",
            Self::DeadlinePassed => "deadline_passed",
            Self::Standing => "standing",
            Self::TooLarge => "too_large",
            Self::AskPanicked => "ask_panicked",
            Self::NoResource => "no_resource",
            Self::Closed => "closed",
            Self::Ledger => "ledger",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same request may be admitted later.
    #[must_use]
    pub const fn may_pass_later(self) -> bool {
        !matches!(self, Self::TooLarge | Self::AskPanicked | Self::Cancelled)
    }
}

impl Overloaded {
    /// Why.
    #[must_use]
    pub const fn reason(&self) -> ShedReason {
        self.reason
    }

    /// How many waited at that moment.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// How many may run at once; `None` if there is no limit.
    #[must_use]
    pub const fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// How long it had waited.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// When trying again makes sense: when those who wait now will have started at the pace of the last
    /// starts, or when the rate that refused has refilled. `None` if that is not known, or never.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            ShedReason::QueueFull => "the admission queue is full",
            ShedReason::WaitedTooLong => "waited too long for admission",
            ShedReason::DeadlinePassed => "the deadline passed before admission",
            ShedReason::Standing => "the admission queue does not empty",
            ShedReason::TooLarge => "the request costs more than its rate ever allows at once",
            ShedReason::AskPanicked => "reading what the request asks of admission panicked",
            ShedReason::NoResource => "every resource of the pool was killed",
            ShedReason::Closed => "admission is closed",
            ShedReason::Ledger => "the ledger of the rates cannot be reached",
            ShedReason::Cancelled => "cancelled while waiting for admission",
        })?;
        write!(f, " ({} waiting", self.depth)?;
        if let Some(limit) = self.limit {
            write!(f, ", limit {limit}")?;
        }
        if !self.waited.is_zero() {
            write!(f, ", waited {:?}", self.waited)?;
        }
        if let Some(after) = self.retry_after {
            write!(f, ", try again in {after:?}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Overloaded {}

/// Why a gate or a layer was refused, with what to write instead.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum BuildError {
    /// A limit of 0, or an absurd one.
    #[error(
        "concurrency({limit}): write 1 to 1000000 calls at once, or no concurrency at all; \
         a limit that may fall to 0 is `limit(Dynamic::new(..))`"
    )]
    Concurrency {
        /// What was written.
        limit: usize,
    },
    /// A per-key limit of 0, or an absurd one.
    #[error("concurrency_per_key({limit}): write 1 to 1000000 calls at once")]
    ConcurrencyPerKey {
        /// What was written.
        limit: usize,
    },
    /// A rate or a burst of 0, or an absurd one.
    #[error("a rate of {limit} with burst {burst}: write 1 to 1000000000000000 for each")]
    Rate {
        /// What was written.
        limit: u64,
        /// What was written.
        burst: u64,
    },
    /// A period of 0, or longer than a year.
    #[error("a rate per {period:?}: write a period above 0 and at most a year")]
    Period {
        /// What was written.
        period: Duration,
    },
    /// More rates than a gate takes.
    #[error("{count} rates: a gate takes at most {most}; put a second gate around it for more")]
    TooManyRates {
        /// How many were written.
        count: usize,
        /// How many a gate takes.
        most: usize,
    },
    /// Two rates of one name on a gate, or of one name in a ledger that differ.
    #[error("two rates are named {name:?}: leave one out, or give it another name by `.named(..)`")]
    RateName {
        /// The name.
        name: String,
    },
    /// An absurd depth.
    #[error("max_depth({depth}): write at most 10000000 waiters")]
    Depth {
        /// What was written.
        depth: usize,
    },
    /// A longest wait that no clock can count.
    #[error("max_wait({wait:?}): write at most a year; 0 lets nobody wait")]
    MaxWait {
        /// What was written.
        wait: Duration,
    },
    /// `CoDel` without a target or an interval, or with the target above it.
    #[error(
        "CoDel with target {target:?} and interval {interval:?}: write a target above 0 and an \
         interval of at least the target, such as 5 ms and 100 ms"
    )]
    CoDel {
        /// What was written.
        target: Duration,
        /// What was written.
        interval: Duration,
    },
    /// A prefix that no exporter takes.
    #[error(
        "names cannot begin with {0:?}: write letters, digits, `_`, `:` and `.`, first a letter"
    )]
    Prefix(String),
    /// A pool of nothing.
    #[error("a pool needs at least one resource, and `at_once` of 1 or more")]
    EmptyPool,
}
