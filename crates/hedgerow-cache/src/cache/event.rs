//! What the recorder of a cache is told.

use std::time::Duration;

/// How a call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheStatus {
    /// From the store, as good as new.
    Hit {
        /// How long ago it was stored.
        age: Duration,
        /// How long it goes on being so.
        left: Duration,
    },
    /// From the store, stale, while it is refreshed behind the caller.
    Stale {
        /// How long ago it was stored.
        age: Duration,
        /// How long it has been stale.
        by: Duration,
    },
    /// By the service: there was nothing in the store.
    Miss,
    /// By the service: what was in the store was stale.
    Refetched,
    /// From the store, stale, because the service failed.
    StaleOnError {
        /// How long ago it was stored.
        age: Duration,
        /// How long it has been stale.
        by: Duration,
    },
    /// By the service: the request has no key.
    Bypass,
}

/// What happened to a call at a [`CacheLayer`](crate::CacheLayer), or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheEvent {
    /// Terminal: it was answered.
    Answered(CacheStatus),
    /// Terminal: the service failed, and there was nothing in the store that could stand in.
    Failed(CacheStatus),
    /// Terminal: its caller left while the service was asked.
    Cancelled,
    /// An answer was handed to the store.
    Stored,
    /// An answer was not to be stored: the judge, or its own words, forbid it.
    NotStored,
    /// The store failed, and the call went on without it.
    StoreFailed(StoreDeed),
    /// The store's queue was full, and an answer was not stored.
    Lost,
    /// A stale answer was refreshed behind a caller, or not.
    Refreshed {
        /// Whether there is a new answer now.
        renewed: bool,
    },
}

/// What a store was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreDeed {
    /// Look for an entry.
    Get,
    /// Store one.
    Put,
}

impl CacheStatus {
    /// How long ago the answer was stored, if it came from the store.
    #[must_use]
    pub const fn age(self) -> Option<Duration> {
        match self {
            Self::Hit { age, .. } | Self::Stale { age, .. } | Self::StaleOnError { age, .. } => {
                Some(age)
            }
            Self::Miss | Self::Refetched | Self::Bypass => None,
        }
    }

    /// Whether the answer came from the store.
    #[must_use]
    pub const fn is_hit(self) -> bool {
        matches!(
            self,
            Self::Hit { .. } | Self::Stale { .. } | Self::StaleOnError { .. }
        )
    }
}

impl CacheEvent {
    /// Whether this ends its call.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Answered(_) | Self::Failed(_) | Self::Cancelled)
    }
}
