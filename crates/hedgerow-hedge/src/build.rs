//! The constructors: one per strategy, each with its `try_` twin.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, LatencyView, OkWins};
use hedgerow_latency::Latency;

use crate::books::Books;
use crate::error::{BuildError, MAX_HEDGES};
use crate::exchange::ByReplay;
use crate::handle::Since;
use crate::layer::{HedgeLayer, HedgeReady, Parts, Settings, or_panic};
use crate::policy::{Fixed, Off, Parallel, Percentile, Schedule};

/// What policies other than a percentile may spend by default, in extras per 100 calls.
const DEFAULT_BUDGET_PERCENT: f64 = 10.0;

impl HedgeLayer<Percentile> {
    /// Hedges attempts that take longer than the percentile `p` of the attempts' latency.
    ///
    /// 1 ≤ `p` < 100: 95 hedges 5 % of the calls, 99.9 one in a thousand. Until enough samples are
    /// there (100, or 5 / (1 − *p*) if that is more) it hedges after 100 ms. The budget defaults to
    /// 1.5 times what the percentile wants: 7.5 % for 95.
    ///
    /// # Panics
    ///
    /// If `p` is out of range (0.95 instead of 95, or 100), with the reason:
    /// [`try_percentile`](Self::try_percentile) returns it instead.
    #[must_use]
    #[track_caller]
    pub fn percentile(p: impl Into<f64>) -> Self {
        or_panic(Self::try_percentile(p), Location::caller())
    }

    /// Like [`percentile`](Self::percentile), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Percentile`] if `p` is out of range.
    pub fn try_percentile(p: impl Into<f64>) -> Result<Self, BuildError> {
        let policy = Percentile::try_new(p.into())?;
        let latency = Latency::for_quantile(policy.quantile());
        // Asked for once, it is kept computed from now on.
        let _ = latency.quantile(policy.quantile());
        let mut layer = build(policy, 1);
        layer.parts.settings.latency = latency;
        layer.parts.settings.budget = Budget::try_percent(policy.budget_percent())?;
        Ok(layer)
    }
}

impl<R, J, Rec> HedgeLayer<Percentile, R, J, Rec> {
    /// Sets the delay used until enough samples are there. Defaults to 100 ms.
    #[must_use]
    pub fn initial(mut self, delay: Duration) -> Self {
        self.parts.policy = Arc::new(self.parts.policy.initial(delay));
        self
    }

    /// Sets the smallest and the largest delay that the percentile may learn. Default to 1 ms, the
    /// timer's grain, and no limit.
    ///
    /// # Panics
    ///
    /// If `min` is larger than `max`: [`try_clamp`](Self::try_clamp) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn clamp(self, min: Duration, max: Duration) -> Self {
        or_panic(self.try_clamp(min, max), Location::caller())
    }

    /// Like [`clamp`](Self::clamp), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Clamp`] if `min` is larger than `max`.
    pub fn try_clamp(mut self, min: Duration, max: Duration) -> Result<Self, BuildError> {
        self.parts.policy = Arc::new(self.parts.policy.try_clamp(min, max)?);
        Ok(self)
    }
}

impl HedgeLayer<Fixed> {
    /// Hedges after `delay`; a second extra attempt, if allowed, after twice that.
    ///
    /// [`Fixed::default`] is 100 ms. Zero sends at once.
    #[must_use]
    pub fn fixed(delay: Duration) -> Self {
        build(Fixed::new(delay), 1)
    }

    /// The twin of [`fixed`](Self::fixed) for those that take a number: there is no wrong delay.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn try_fixed(delay: Duration) -> Result<Self, BuildError> {
        Ok(Self::fixed(delay))
    }
}

impl HedgeLayer<Schedule> {
    /// Sends one extra copy at each of `delays`, counted from the call's start, in ascending order.
    ///
    /// 1 to 64 delays; zero sends at once. If everything in flight has failed, the next copy is
    /// sent immediately.
    ///
    /// # Panics
    ///
    /// If there are none, too many, or they do not ascend: [`try_schedule`](Self::try_schedule)
    /// returns the reason.
    #[must_use]
    #[track_caller]
    pub fn schedule(delays: impl IntoIterator<Item = Duration>) -> Self {
        or_panic(Self::try_schedule(delays), Location::caller())
    }

    /// Like [`schedule`](Self::schedule), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::EmptySchedule`], [`BuildError::UnorderedSchedule`] or
    /// [`BuildError::MaxHedges`].
    pub fn try_schedule(delays: impl IntoIterator<Item = Duration>) -> Result<Self, BuildError> {
        let policy = Schedule::try_new(delays)?;
        let hedges = policy.len();
        Ok(build(policy, hedges))
    }
}

impl HedgeLayer<Parallel> {
    /// Sends `n` copies at once, as far as the budget pays: 1 to 65.
    ///
    /// The default budget grants 10 extras per 100 calls: for *n* copies of every call write
    /// `.budget(Budget::unlimited())`. A service that is ready in its first poll is asked once.
    ///
    /// # Panics
    ///
    /// If `n` is 0 or beyond 65: [`try_parallel`](Self::try_parallel) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn parallel(n: usize) -> Self {
        or_panic(Self::try_parallel(n), Location::caller())
    }

    /// Like [`parallel`](Self::parallel), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Copies`] if `n` is out of range.
    pub fn try_parallel(n: usize) -> Result<Self, BuildError> {
        if n == 0 || n > MAX_HEDGES + 1 {
            return Err(BuildError::Copies(n));
        }
        Ok(build(Parallel, n as u32 - 1))
    }
}

impl HedgeLayer<Off> {
    /// Never hedges, but measures and counts like the others.
    ///
    /// To compare with, and to switch hedging off without changing the stack.
    #[must_use]
    pub fn off() -> Self {
        build(Off, 0)
    }
}

impl<P> HedgeLayer<P> {
    /// Hedges when `policy` says.
    #[must_use]
    pub fn new(policy: P) -> Self {
        build(policy, 1)
    }
}

fn build<P>(policy: P, max_hedges: u32) -> HedgeLayer<P> {
    HedgeLayer {
        parts: Parts {
            policy: Arc::new(policy),
            exchange: Arc::new(ByReplay),
            judge: Arc::new(OkWins),
            recorder: Arc::new(()),
            settings: Settings {
                latency: Latency::new(),
                records: true,
                budget: Budget::percent(DEFAULT_BUDGET_PERCENT),
                feeds: true,
                ready: HedgeReady::Wait,
                books: Arc::new(Books::new(max_hedges)),
                since: Since::start(),
            },
        },
    }
}
