//! The settings that are numbers: how much goes together, waits and flies, and for how long.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::or_panic;

use crate::build::{MAX_IN_FLIGHT, MAX_QUEUED, MAX_SIZE};
use crate::error::BatchBuildError;
use crate::layer::BatchLayer;

impl<Req, Res> BatchLayer<Req, Res> {
    /// Sets how many items a batch may have, 1 to 1,000,000. Defaults to 100.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_size`](Self::try_max_size) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_size(self, n: usize) -> Self {
        or_panic(self.try_max_size(n))
    }

    /// Like [`max_size`](Self::max_size), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxSize`] if `n` is out of range.
    pub fn try_max_size(mut self, n: usize) -> Result<Self, BatchBuildError> {
        if n == 0 || n > MAX_SIZE {
            return Err(BatchBuildError::MaxSize(n));
        }
        self.hold.size = n;
        self.check_preferred()?;
        Ok(self)
    }

    /// Sets how heavy a batch may be, and how heavy a request is. Defaults to no weight.
    ///
    /// No batch is heavier, but for one with a single item that is: it goes alone. The function runs in
    /// `call`, once for each request. A closure names its argument's type.
    ///
    /// # Panics
    ///
    /// If `max` is 0: [`try_max_weight`](Self::try_max_weight) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_weight<F>(self, max: u64, weigh: F) -> Self
    where
        F: Fn(&Req) -> u64 + Send + Sync + 'static,
    {
        or_panic(self.try_max_weight(max, weigh))
    }

    /// Like [`max_weight`](Self::max_weight), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxWeight`] if `max` is 0.
    pub fn try_max_weight<F>(mut self, max: u64, weigh: F) -> Result<Self, BatchBuildError>
    where
        F: Fn(&Req) -> u64 + Send + Sync + 'static,
    {
        if max == 0 {
            return Err(BatchBuildError::MaxWeight);
        }
        self.hold.weight = max;
        self.weigh = Some(Arc::new(weigh));
        Ok(self)
    }

    /// Sets sizes that the backend likes: of what waits, the largest of them that can be filled is sent,
    /// and the rest waits on. Defaults to none.
    ///
    /// What is fewer than the smallest goes as it is.
    ///
    /// # Panics
    ///
    /// If one of them is 0 or more than a batch may have: [`try_prefer`](Self::try_prefer) returns the
    /// reason.
    #[must_use]
    #[track_caller]
    pub fn prefer(self, sizes: impl IntoIterator<Item = usize>) -> Self {
        or_panic(self.try_prefer(sizes))
    }

    /// Like [`prefer`](Self::prefer), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::Preferred`] if one of them is 0 or more than a batch may have.
    pub fn try_prefer(
        mut self,
        sizes: impl IntoIterator<Item = usize>,
    ) -> Result<Self, BatchBuildError> {
        let mut sizes: Vec<usize> = sizes.into_iter().collect();
        sizes.sort_unstable();
        self.preferred = sizes.into();
        self.check_preferred()?;
        Ok(self)
    }

    fn check_preferred(&self) -> Result<(), BatchBuildError> {
        let max = self.hold.size;
        match self
            .preferred
            .iter()
            .find(|size| **size == 0 || **size > max)
        {
            Some(&size) => Err(BatchBuildError::Preferred { size, max }),
            None => Ok(()),
        }
    }

    /// Sets how many batches may be in flight at once, 1 to 100,000. Defaults to 16.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_in_flight`](Self::try_max_in_flight) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_in_flight(self, n: usize) -> Self {
        or_panic(self.try_max_in_flight(n))
    }

    /// Like [`max_in_flight`](Self::max_in_flight), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxInFlight`] if `n` is out of range.
    pub fn try_max_in_flight(mut self, n: usize) -> Result<Self, BatchBuildError> {
        if n == 0 || n > MAX_IN_FLIGHT {
            return Err(BatchBuildError::MaxInFlight(n));
        }
        self.max_in_flight = n;
        Ok(self)
    }

    /// Sets how many items may wait to be sent, 1 to 100,000,000. Defaults to 10,000.
    ///
    /// A service that was made ready and not called yet counts.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_queued`](Self::try_max_queued) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_queued(self, n: usize) -> Self {
        or_panic(self.try_max_queued(n))
    }

    /// Like [`max_queued`](Self::max_queued), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxQueued`] if `n` is out of range.
    pub fn try_max_queued(mut self, n: usize) -> Result<Self, BatchBuildError> {
        if n == 0 || n > MAX_QUEUED {
            return Err(BatchBuildError::MaxQueued(n));
        }
        self.max_queued = n;
        Ok(self)
    }

    /// Drops what the backend does for a batch after this time; its items that are not answered yet get
    /// [`BatchError::TimedOut`](crate::BatchError::TimedOut). Defaults to 60 s
    /// ([`DEFAULT_TIMEOUT`](crate::DEFAULT_TIMEOUT)).
    ///
    /// It counts from the dispatch. A caller's own deadline or timeout ends its wait sooner, and the last
    /// caller that leaves ends the batch.
    ///
    /// # Panics
    ///
    /// If `after` is zero: [`try_timeout`](Self::try_timeout) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn timeout(self, after: Duration) -> Self {
        or_panic(self.try_timeout(after))
    }

    /// Like [`timeout`](Self::timeout), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::Timeout`] if `after` is zero.
    pub fn try_timeout(mut self, after: Duration) -> Result<Self, BatchBuildError> {
        if after.is_zero() {
            return Err(BatchBuildError::Timeout(after));
        }
        self.timeout = Some(after);
        Ok(self)
    }

    /// Lets a batch take as long as it takes: one that hangs holds one of the places in flight until all of
    /// its callers have left.
    #[must_use]
    pub fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }
}
