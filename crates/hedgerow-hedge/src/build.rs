//! The constructors: one per strategy, each with its `try_` twin.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, LatencyView, OkWins, or_panic};
use hedgerow_latency::Latency;

use crate::books::Books;
use crate::error::{BuildError, MAX_HEDGES};
use crate::exchange::ByReplay;
use crate::handle::Since;
use crate::layer::{HedgeLayer, HedgeReady, Parts, Settings};
use crate::policy::{
    Adaptive, Backoff, BackoffConfig, DEFAULT_KEYS, Fixed, Keyed, Off, Parallel, Percentile,
    Scaled, Schedule, Workload,
};

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
        or_panic(Self::try_percentile(p))
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
        or_panic(self.try_clamp(min, max))
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

    /// Divides each latency by its class's own scale first, so that all classes share one histogram
    /// and each is still hedged at its own percentile.
    ///
    /// For classes of requests that differ in scale but not in shape (small, medium and large
    /// prompts). A class needs 16 calls of its own and can then be hedged, where
    /// [`key`](Self::key) needs 100 and a few hundred to be as exact. For backends that differ in
    /// more than their scale, take `key`.
    ///
    /// `f` reads the class off the request: a plain `fn(&Request) -> K`, or a closure that names its
    /// argument's type. One that panics leaves its request to a class of its own. At most 1,000
    /// classes are known at a time ([`max_keys`](Self::max_keys)); what [`keys`](Self::keys) tells
    /// are their unscaled histograms. Comes after `.initial`, `.clamp` and `.window`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_hedge::HedgeLayer;
    ///
    /// #[derive(Clone)]
    /// struct Ask { prompt: String }
    ///
    /// let layer = HedgeLayer::percentile(95)
    ///     .clone_requests()
    ///     .class(|ask: &Ask| ask.prompt.len() / 1_000);
    /// # let _ = layer;
    /// ```
    ///
    /// # Cost
    ///
    /// That of `key`, and one logarithm, one atomic exchange and a third recording per call.
    #[must_use]
    pub fn class<Req, K, F>(self, f: F) -> HedgeLayer<Keyed<Scaled, F, K>, R, J, Rec>
    where
        F: Fn(&Req) -> K,
        K: Hash + Eq,
    {
        let Parts {
            policy,
            exchange,
            judge,
            recorder,
            settings,
        } = self.parts;
        let scaled = Scaled::new(*policy, settings.latency.window_size());
        let keyed = Keyed::new(scaled, f, &settings.latency, DEFAULT_KEYS);
        HedgeLayer {
            parts: Parts {
                policy: Arc::new(keyed),
                exchange,
                judge,
                recorder,
                settings,
            },
        }
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
        or_panic(Self::try_schedule(delays))
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
        or_panic(Self::try_parallel(n))
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

impl HedgeLayer<Adaptive> {
    /// Learns which of `delays` costs least, in the mean of latency and price, and hedges after it.
    ///
    /// 2 to 64 delays, ascending, none beyond an hour; [`Adaptive::default`] has 50, 100, 200, 500
    /// and 1,000 ms. See [`Adaptive`] for what is learnt and how. It looks at means: to cut a far
    /// tail at a given load, a percentile is the better tool.
    ///
    /// # Panics
    ///
    /// If there are too few or too many, or they do not ascend: [`try_adaptive`](Self::try_adaptive)
    /// returns the reason.
    #[must_use]
    #[track_caller]
    pub fn adaptive(delays: impl IntoIterator<Item = Duration>) -> Self {
        or_panic(Self::try_adaptive(delays))
    }

    /// Like [`adaptive`](Self::adaptive), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Arms`], [`BuildError::UnorderedArms`] or [`BuildError::LongArm`].
    pub fn try_adaptive(delays: impl IntoIterator<Item = Duration>) -> Result<Self, BuildError> {
        Ok(build(Adaptive::try_new(delays)?, 1))
    }
}

impl<R, J, Rec> HedgeLayer<Adaptive, R, J, Rec> {
    /// Sets what an extra attempt costs, in time: how much sooner an answer has to come for it to
    /// be worth sending one. Defaults to 50 ms.
    #[must_use]
    pub fn price(mut self, price: Duration) -> Self {
        self.parts.policy = Arc::new(self.parts.policy.priced(price));
        self
    }

    /// Sets the rate of forgetting, 0 < `rate` < 1: which share of its weight all that is known
    /// loses in 20 calls. Defaults to 0.1: half after 132 calls.
    ///
    /// # Panics
    ///
    /// If `rate` is out of range: [`try_forgetting`](Self::try_forgetting) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn forgetting(self, rate: f64) -> Self {
        or_panic(self.try_forgetting(rate))
    }

    /// Like [`forgetting`](Self::forgetting), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Forgetting`] if `rate` is out of range.
    pub fn try_forgetting(mut self, rate: f64) -> Result<Self, BuildError> {
        self.parts.policy = Arc::new(self.parts.policy.try_forgetful(rate)?);
        Ok(self)
    }

    /// Sets the seed of the draws. Defaults to one that differs from layer to layer in the order in
    /// which they are made.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.parts.policy = Arc::new(self.parts.policy.seeded(seed));
        self
    }
}

impl<F> HedgeLayer<Workload<F>> {
    /// Hedges after what `f` says of the request; zero sends at once.
    ///
    /// A plain `fn(&Request) -> Duration`, or a closure that names its argument's type. If it panics,
    /// its request is not hedged. [`Factors`](crate::policy::Factors) multiply a base by what is
    /// known of a prompt.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_hedge::HedgeLayer;
    /// use std::time::Duration;
    ///
    /// #[derive(Clone)]
    /// struct Query { rows: u32 }
    ///
    /// let layer = HedgeLayer::workload(|query: &Query| Duration::from_micros(10) * query.rows)
    ///     .clone_requests();
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn workload<Req>(f: F) -> Self
    where
        F: Fn(&Req) -> Duration,
    {
        build(Workload::new(f), 1)
    }

    /// The twin of [`workload`](Self::workload) for those that take a value that may be refused:
    /// there is no wrong function.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn try_workload<Req>(f: F) -> Result<Self, BuildError>
    where
        F: Fn(&Req) -> Duration,
    {
        Ok(Self::workload(f))
    }
}

impl HedgeLayer<Backoff> {
    /// Hedges after a delay that each call makes shorter (× 0.9: no hedge was needed, or it won) or
    /// longer (× 1.5: it lost; × 2.0: the call failed).
    ///
    /// Left to itself it settles where 20.6 % of the calls are hedged in vain, whatever the service:
    /// see [`Backoff`]. The default budget of 10 % holds it back.
    ///
    /// # Panics
    ///
    /// If it does not begin within its limits: [`try_backoff`](Self::try_backoff) returns the
    /// reason.
    #[must_use]
    #[track_caller]
    pub fn backoff(config: BackoffConfig) -> Self {
        or_panic(Self::try_backoff(config))
    }

    /// Like [`backoff`](Self::backoff), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Backoff`] unless 1 ms ≤ min ≤ base ≤ max ≤ 1 h.
    pub fn try_backoff(config: BackoffConfig) -> Result<Self, BuildError> {
        Ok(build(Backoff::try_new(config)?, 1))
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
