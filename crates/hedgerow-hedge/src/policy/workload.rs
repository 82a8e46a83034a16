//! Delays that the request asks for.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hedgerow_core::{Attempt, LatencyView};

use super::{Delay, HedgePolicy, Stateful};
use crate::error::BuildError;

/// Hedges after what a function of the request says; zero sends at once.
///
/// A further extra attempt, if allowed, is sent after twice that, and so on. A function that panics
/// leaves its request unhedged. [`Factors`] compute a delay from what is usual to know of a prompt.
#[derive(Clone)]
pub struct Workload<F> {
    delay_of: F,
}

/// A delay as a product: a base times one factor for each thing known of the request.
///
/// | | factor |
/// | --- | --- |
/// | a prompt of more than 4,000 characters | 2.5 |
/// | more than 2,000 | 2.0 |
/// | more than 1,000 | 1.5 |
/// | a simple, a medium, a complex task | 0.5, 1, 2 |
/// | peak, normal, off-peak time of day | 0.7, 1, 1.3 |
/// | high, normal, low priority | 0.6, 1, 1.5 |
///
/// The base is 100 ms, and the delay at least 10 ms. What is not told counts as 1.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::HedgeLayer;
/// use hedgerow_hedge::policy::{Complexity, Factors, Priority};
/// use std::time::Duration;
///
/// struct Ask { prompt: String, urgent: bool }
///
/// let delay = |ask: &Ask| {
///     let priority = if ask.urgent { Priority::High } else { Priority::Normal };
///     Factors::default()
///         .prompt_chars(ask.prompt.chars().count())
///         .complexity(Complexity::Complex)
///         .priority(priority)
///         .delay()
/// };
/// let ask = Ask { prompt: "x".repeat(1_001), urgent: true };
/// assert_eq!(delay(&ask), Duration::from_millis(180));
/// let layer = HedgeLayer::workload(delay);
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "call `.delay()`"]
pub struct Factors {
    base: Duration,
    min: Duration,
    max: Duration,
    /// In tenths, one for each thing that may be known.
    tenths: [u128; 4],
}

/// How hard a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Complexity {
    /// × 0.5
    Simple,
    /// × 1
    #[default]
    Medium,
    /// × 2
    Complex,
}

/// How busy it is. The caller tells: no policy reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeOfDay {
    /// × 0.7
    Peak,
    /// × 1
    #[default]
    Normal,
    /// × 1.3
    OffPeak,
}

/// How much somebody waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// × 0.6
    High,
    /// × 1
    #[default]
    Normal,
    /// × 1.5
    Low,
}

impl<F> Workload<F> {
    /// Hedges after what `delay_of` says of the request.
    #[must_use]
    pub const fn new(delay_of: F) -> Self {
        Self { delay_of }
    }
}

impl Factors {
    /// Sets the delay that the factors are multiplied to. Defaults to 100 ms.
    pub const fn base(mut self, delay: Duration) -> Self {
        self.base = delay;
        self
    }

    /// Sets the shortest and the longest delay. Default to 10 ms and no limit.
    ///
    /// # Errors
    ///
    /// [`BuildError::Between`] if `min` is larger than `max`.
    pub fn try_between(mut self, min: Duration, max: Duration) -> Result<Self, BuildError> {
        if min > max {
            return Err(BuildError::Between { min, max });
        }
        (self.min, self.max) = (min, max);
        Ok(self)
    }

    /// How long the prompt is, in characters.
    pub const fn prompt_chars(mut self, chars: usize) -> Self {
        self.tenths[0] = match chars {
            4_001.. => 25,
            2_001.. => 20,
            1_001.. => 15,
            _ => 10,
        };
        self
    }

    /// How hard the task is.
    pub const fn complexity(mut self, complexity: Complexity) -> Self {
        self.tenths[1] = match complexity {
            Complexity::Simple => 5,
            Complexity::Medium => 10,
            Complexity::Complex => 20,
        };
        self
    }

    /// How busy it is now.
    pub const fn time_of_day(mut self, time: TimeOfDay) -> Self {
        self.tenths[2] = match time {
            TimeOfDay::Peak => 7,
            TimeOfDay::Normal => 10,
            TimeOfDay::OffPeak => 13,
        };
        self
    }

    /// How much somebody waits for it.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.tenths[3] = match priority {
            Priority::High => 6,
            Priority::Normal => 10,
            Priority::Low => 15,
        };
        self
    }

    /// The product, within its limits, exact to the nanosecond.
    #[must_use]
    pub fn delay(&self) -> Duration {
        let product: u128 = self.tenths.iter().product();
        // Below 2^94 and 2^13, so they fit.
        let nanos = self.base.as_nanos() * product / 10_000;
        let seconds = u64::try_from(nanos / 1_000_000_000);
        let delay = seconds.map_or(Duration::MAX, |seconds| {
            Duration::new(seconds, (nanos % 1_000_000_000) as u32)
        });
        delay.clamp(self.min, self.max)
    }
}

/// 100 ms × 1, at least 10 ms.
impl Default for Factors {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            min: Duration::from_millis(10),
            max: Duration::MAX,
            tenths: [10; 4],
        }
    }
}

// === impl HedgePolicy, Stateful, Debug ===

impl<Req, F> HedgePolicy<Req> for Workload<F>
where
    F: Fn(&Req) -> Duration + Send + Sync,
{
    fn delay(&self, request: &Req, attempt: Attempt, _: &dyn LatencyView) -> Delay {
        // The panic hook has reported it.
        match catch_unwind(AssertUnwindSafe(|| (self.delay_of)(request))) {
            Ok(delay) => Delay::After(delay.saturating_mul(attempt.index())),
            Err(_) => Delay::Never,
        }
    }

    fn name(&self) -> &'static str {
        "workload"
    }
}

impl<F> Stateful for Workload<F> {}

impl<F> fmt::Debug for Workload<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload").finish_non_exhaustive()
    }
}
