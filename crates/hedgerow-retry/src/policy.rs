//! How long to wait before a try is sent again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hedgerow_core::{Class, or_panic};

use crate::error::RetryBuildError;

/// Longer than this nobody is to wait for one retry.
const LONGEST_CAP: Duration = Duration::from_secs(24 * 3_600);

/// Says how long to wait before the next try, or that there is to be none.
///
/// Reads no clock and waits for nothing. What the server asked for (`Retry-After`) is the layer's to
/// keep: it takes the place of the policy's wait. A policy that panics stops.
///
/// Implemented for functions and closures from `&`[`Failure`] to [`Wait`]; a closure names its
/// argument's type.
///
/// # Examples
///
/// ```
/// use hedgerow_retry::{Failure, RetryLayer, Wait};
/// use std::time::Duration;
///
/// // At once, then after a second, then no more.
/// let layer = RetryLayer::new(|failure: &Failure| match failure.retry {
///     1 => Wait::After(Duration::ZERO),
///     2 => Wait::After(Duration::from_secs(1)),
///     _ => Wait::Stop,
/// });
/// # let _ = layer;
/// ```
pub trait RetryPolicy: Send + Sync {
    /// How long to wait after this failure.
    fn wait(&self, failure: &Failure) -> Wait;

    /// What it is called in a `Debug` of the layer. Defaults to "own".
    fn name(&self) -> &'static str {
        "own"
    }
}

/// What to do after a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Send the next try after this time.
    After(Duration),
    /// Send none.
    Stop,
}

/// A try that failed, as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Which retry is in question: 1 for the first.
    pub retry: u32,
    /// What the failed try is worth.
    pub class: Class,
    /// How long the call has been running.
    pub elapsed: Duration,
    /// What the policy said before, within this call.
    pub last_wait: Option<Duration>,
    /// How many tries have failed since the server last said itself when to come back, this one
    /// included: 0 if it says so now, [`retry`](Self::retry) if it never has.
    pub since_pushback: u32,
}

impl Failure {
    /// A failure after which the `retry`-th retry is in question.
    #[must_use]
    pub const fn new(retry: u32, class: Class) -> Self {
        Self {
            retry,
            class,
            elapsed: Duration::ZERO,
            last_wait: None,
            since_pushback: retry,
        }
    }
}

/// How the waits of [`Exponential`] are spread, so that callers who failed together do not come back
/// together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    /// Not at all: 1, 2, 4 s.
    None,
    /// Anything from nothing to the wait: from 0 to 1, to 2, to 4 s. The default.
    #[default]
    Full,
    /// From the base to three times the wait before, at most the cap.
    Decorrelated,
}

/// Waits that double: the base, twice the base, four times, up to the cap.
///
/// Defaults to 1, 2, 4 s, up to 30 s, with [full jitter](Jitter::Full).
///
/// # Examples
///
/// ```
/// use hedgerow_retry::{Exponential, Jitter, RetryLayer};
/// use std::time::Duration;
///
/// let waits = Exponential::new(Duration::from_millis(100), Duration::from_secs(5));
/// let layer = RetryLayer::new(waits.jitter(Jitter::Decorrelated)).attempts(6);
/// # let _ = layer;
/// ```
///
/// # Cost
///
/// One atomic addition a draw; no lock.
///
/// # Source
///
/// M. Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015.
pub struct Exponential {
    base: Duration,
    cap: Duration,
    jitter: Jitter,
    dice: Dice,
}

/// The same wait before every retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(Duration);

/// A sequence of numbers from a seed, drawn without a lock (Vigna's splitmix64).
struct Dice(AtomicU64);

impl Exponential {
    /// Waits that begin with `base` and never exceed `cap`.
    ///
    /// # Panics
    ///
    /// Unless 0 < `base` ≤ `cap` ≤ 24 h: [`try_new`](Self::try_new) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn new(base: Duration, cap: Duration) -> Self {
        or_panic(Self::try_new(base, cap))
    }

    /// Like [`new`](Self::new), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Backoff`] unless 0 < `base` ≤ `cap` ≤ 24 h.
    pub fn try_new(base: Duration, cap: Duration) -> Result<Self, RetryBuildError> {
        if base.is_zero() || base > cap || cap > LONGEST_CAP {
            return Err(RetryBuildError::Backoff { base, cap });
        }
        Ok(Self {
            base,
            cap,
            jitter: Jitter::Full,
            dice: Dice::new(rand::random()),
        })
    }

    /// Sets how waits are spread. Defaults to [`Jitter::Full`].
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Draws from this seed, the same waits each time. Defaults to a seed of its own.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.dice = Dice::new(seed);
        self
    }

    /// The wait before jitter: the base doubled for every retry before this one, at most the cap.
    fn ceiling(&self, retry: u32) -> Duration {
        let doubled = 2_u32.checked_pow(retry.saturating_sub(1));
        doubled
            .and_then(|times| self.base.checked_mul(times))
            .map_or(self.cap, |wait| wait.min(self.cap))
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30))
    }
}

impl Fixed {
    /// Waits `wait` before every retry. Zero sends it at once.
    #[must_use]
    pub const fn new(wait: Duration) -> Self {
        Self(wait)
    }
}

impl Dice {
    const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// From 0 to below 1.
    fn draw(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&self, low: Duration, high: Duration) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.draw())
    }
}

// === impl RetryPolicy ===

impl RetryPolicy for Exponential {
    fn wait(&self, failure: &Failure) -> Wait {
        let ceiling = self.ceiling(failure.retry);
        Wait::After(match self.jitter {
            Jitter::None => ceiling,
            Jitter::Full => self.dice.between(Duration::ZERO, ceiling),
            Jitter::Decorrelated => {
                let last = failure.last_wait.unwrap_or(self.base);
                let high = last.saturating_mul(3).min(self.cap.saturating_mul(3));
                self.dice.between(self.base, high).min(self.cap)
            }
        })
    }

    fn name(&self) -> &'static str {
        "exponential"
    }
}

impl RetryPolicy for Fixed {
    fn wait(&self, _: &Failure) -> Wait {
        Wait::After(self.0)
    }

    fn name(&self) -> &'static str {
        "fixed"
    }
}

impl<F> RetryPolicy for F
where
    F: Fn(&Failure) -> Wait + Send + Sync,
{
    fn wait(&self, failure: &Failure) -> Wait {
        self(failure)
    }
}

impl<P: RetryPolicy + ?Sized> RetryPolicy for Arc<P> {
    fn wait(&self, failure: &Failure) -> Wait {
        (**self).wait(failure)
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}

// === impl fmt ===

impl fmt::Debug for Exponential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exponential")
            .field("base", &self.base)
            .field("cap", &self.cap)
            .field("jitter", &self.jitter)
            .finish_non_exhaustive()
    }
}
