//! Policies that know their delays beforehand.

use std::time::Duration;

use hedgerow_core::{Attempt, LatencyView};

use super::{Delay, HedgePolicy};
use crate::error::{BuildError, MAX_HEDGES};

/// The first extra attempt after a fixed delay, the second after twice that, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    delay: Duration,
}

/// One extra attempt at each of the given delays from the call's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    delays: Box<[Duration]>,
}

/// Every extra attempt at once, when the primary is not ready in its first poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallel;

/// No extra attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Off;

impl Fixed {
    /// Hedges after `delay`. Zero sends at once.
    #[must_use]
    pub const fn new(delay: Duration) -> Self {
        Self { delay }
    }
}

/// After 100 ms.
impl Default for Fixed {
    fn default() -> Self {
        Self::new(Duration::from_millis(100))
    }
}

impl Schedule {
    /// Hedges at each of `delays`, which must ascend.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if there are none, more than 64, or one is smaller than the one before.
    pub fn try_new(delays: impl IntoIterator<Item = Duration>) -> Result<Self, BuildError> {
        // One more than may be: enough to see that there are too many.
        let delays: Box<[Duration]> = delays.into_iter().take(MAX_HEDGES + 1).collect();
        if delays.is_empty() {
            return Err(BuildError::EmptySchedule);
        }
        if let Some(at) = delays.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(BuildError::UnorderedSchedule {
                before: delays[at],
                after: delays[at + 1],
            });
        }
        BuildError::check_hedges(delays.len())?;
        Ok(Self { delays })
    }

    /// How many extra attempts it plans: 1 to 64.
    pub(crate) fn len(&self) -> u32 {
        self.delays.len() as u32
    }
}

// === impl HedgePolicy ===

impl<Req> HedgePolicy<Req> for Fixed {
    #[inline]
    fn delay(&self, _: &Req, attempt: Attempt, _: &dyn LatencyView) -> Delay {
        Delay::After(self.delay.saturating_mul(attempt.index()))
    }

    fn name(&self) -> &'static str {
        "fixed"
    }
}

impl<Req> HedgePolicy<Req> for Schedule {
    fn delay(&self, _: &Req, attempt: Attempt, _: &dyn LatencyView) -> Delay {
        let place = attempt.index().saturating_sub(1) as usize;
        self.delays
            .get(place)
            .map_or(Delay::Never, |&delay| Delay::After(delay))
    }

    fn name(&self) -> &'static str {
        "schedule"
    }
}

impl<Req> HedgePolicy<Req> for Parallel {
    fn delay(&self, _: &Req, _: Attempt, _: &dyn LatencyView) -> Delay {
        Delay::After(Duration::ZERO)
    }

    fn name(&self) -> &'static str {
        "parallel"
    }
}

impl<Req> HedgePolicy<Req> for Off {
    fn delay(&self, _: &Req, _: Attempt, _: &dyn LatencyView) -> Delay {
        Delay::Never
    }

    fn name(&self) -> &'static str {
        "off"
    }
}
