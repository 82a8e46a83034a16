//! The constructors, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use crate::books::Books;
use crate::handle::Hub;
use crate::lane::Hold;
use crate::layer::BatchLayer;
use crate::policy::{Adaptive, BatchPolicy, Idle, Linger};

/// How many items a batch may have unless told otherwise.
pub const DEFAULT_MAX_SIZE: usize = 100;
/// How many items may wait unless told otherwise.
pub const DEFAULT_MAX_QUEUED: usize = 10_000;
/// How many batches may be in flight unless told otherwise.
pub const DEFAULT_MAX_IN_FLIGHT: usize = 16;

/// How long a batch may take unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) const MAX_SIZE: usize = 1_000_000;
pub(crate) const MAX_QUEUED: usize = 100_000_000;
pub(crate) const MAX_IN_FLIGHT: usize = 100_000;

impl<Req, Res> BatchLayer<Req, Res> {
    /// Sends at once when nothing is in flight, and whatever comes meanwhile goes together: [`Idle`].
    #[must_use]
    pub fn idle() -> Self {
        Self::new(Idle::new())
    }

    /// The same, but nobody waits longer than `linger` for it: [`Linger`].
    #[must_use]
    pub fn linger(linger: Duration) -> Self {
        Self::new(Linger::new(linger))
    }

    /// Waits as long as more items pay for it: [`Adaptive`].
    #[must_use]
    pub fn adaptive() -> Self {
        Self::new(Adaptive::new())
    }

    /// With a policy of one's own, or a policy with settings.
    #[must_use]
    pub fn new(policy: impl BatchPolicy + 'static) -> Self {
        Self {
            policy: Arc::new(policy),
            hold: Hold {
                size: DEFAULT_MAX_SIZE,
                weight: u64::MAX,
            },
            weigh: None,
            partition: None,
            preferred: Arc::default(),
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            max_queued: DEFAULT_MAX_QUEUED,
            timeout: Some(DEFAULT_TIMEOUT),
            bisect: None,
            same: None,
            listener: None,
            hub: Hub::new(Arc::new(Books::new())),
        }
    }
}
