//! What is measured: a layer or a floor, around a service of a certain pace.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::TryFutureExt as _;
use hedgerow::policy::BackoffConfig;
use hedgerow::{
    AdmissionLayer, AwaitFirstContentLayer, CacheLayer, Cascade, CoalesceLayer, DeadlineLayer,
    Gate, HedgeLayer, Latency, LatencyLayer, MemoryStore, Rate, ReplayBodyLayer, RetryLayer, Tier,
    TimeoutLayer, Won, hedge,
};
use tower::hedge::Hedge;
use tower::limit::{ConcurrencyLimit, RateLimit};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::{Layer, Service};

use crate::floor::{Clocked, Timed};
use crate::inner::{Echo, Request};
use crate::posting::{Posted, Posting, Streamed, Streaming};
use crate::{caches, lone};

/// The delay of the fixed hedges and of the timer floor: none of them ever fires.
const DELAY: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// The latencies that tower's hedge has seen before: one of each millisecond up to this. Looking up
/// a quantile costs it more the higher it lies.
const SEEN_MS: u64 = 100;
/// How long tower's hedge looks back: beyond the end of the bench, so that it goes on knowing them.
const PERIOD: Duration = Duration::from_secs(3_600);

/// A rate that nothing here reaches.
const MORE_THAN_EVER: u64 = 1_000_000_000;

/// What stands around the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Nothing: what the others are counted over.
    Bare,
    /// `HedgeLayer::percentile(95)`, its delay clamped to what a slow service would teach it.
    Percentile,
    /// `HedgeLayer::fixed(100 ms)`.
    Fixed,
    /// `HedgeLayer::adaptive` of delays that are never waited for.
    Adaptive,
    /// `HedgeLayer::backoff`, its delay no shorter than 100 ms.
    Backoff,
    /// `HedgeLayer::percentile(95)` that only observes.
    Observing,
    /// `HedgeLayer::percentile(95)` with a histogram for each of 64 keys.
    Keyed,
    /// The free function `hedge` with a fixed delay.
    Plain,
    /// A `Cascade` of two tiers, the second one with a delay.
    Cascade,
    /// `LatencyLayer`.
    Latency,
    /// `AdmissionLayer` with one limit of concurrency.
    Concurrency,
    /// `AdmissionLayer` with one limit of concurrency and one rate.
    Admission,
    /// `ReplayBodyLayer`, with the HTTP request that it needs.
    ReplayBody,
    /// An HTTP request with a body, and nothing around it.
    Posting,
    /// `AwaitFirstContentLayer` for a chat, with the HTTP request and answer that it needs.
    FirstContent,
    /// An HTTP request and an answer that is a stream, and nothing around them.
    Streaming,
    /// `RetryLayer::exponential()`, with its budget.
    Retry,
    /// The same around a `TimeoutLayer`.
    RetryTimeout,
    /// The same with an attempt timeout and a deadline of its own.
    RetryTimed,
    /// `TimeoutLayer`.
    Timeout,
    /// `DeadlineLayer`.
    Deadline,
    /// `CacheLayer` over a `MemoryStore` that has every answer.
    Cache,
    /// `CoalesceLayer`, nobody else asks.
    Coalesce,
    /// `BatchLayer::idle()`, a batch of one.
    Batch,
    /// `quick_cache` in a service.
    QuickCache,
    /// `moka` in a service.
    Moka,
    /// `tower_resilience_cache::CacheLayer`.
    ResilienceCache,
    /// `tower::retry::Retry` with a `TpsBudget`.
    TowerRetry,
    /// The same around `tower::timeout::Timeout`.
    TowerRetryTimeout,
    /// `tower::hedge::Hedge` at the 95th percentile.
    Tower,
    /// `tower::limit::ConcurrencyLimit`.
    TowerConcurrency,
    /// `tower::limit::ConcurrencyLimit` around `RateLimit`.
    TowerLimits,
    /// `tower_resilience_hedge::HedgeLayer` with a fixed delay.
    TowerResilience,
    /// Two clock reads and one atomic add.
    Clocks,
    /// A timer, armed when the call is pending for the first time.
    Timer,
}

/// When the service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// In the first poll.
    Ready,
    /// In the second poll.
    PendingOnce,
}

/// One measured combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) subject: Subject,
    pub(crate) pace: Pace,
}

/// What is done with a case's service.
pub(crate) trait Visit {
    type Output;

    fn visit<S>(self, service: S) -> Self::Output
    where
        S: Service<Request, Response = Request, Error: fmt::Debug + Send, Future: Send>
            + Send
            + 'static;
}

/// tower's policy that allows everything.
#[derive(Clone, Debug)]
struct Always;

impl tower::hedge::Policy<Request> for Always {
    fn clone_request(&self, request: &Request) -> Option<Request> {
        Some(*request)
    }

    fn can_retry(&self, _: &Request) -> bool {
        true
    }
}

/// tower's policy for retries: what fails is sent again, if the budget pays.
#[derive(Clone, Debug)]
struct TowersRetries {
    budget: Arc<TpsBudget>,
}

impl TowersRetries {
    fn new() -> Self {
        Self {
            budget: Arc::new(TpsBudget::default()),
        }
    }
}

impl<E> tower::retry::Policy<Request, Request, E> for TowersRetries {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut Request, result: &mut Result<Request, E>) -> Option<Self::Future> {
        if result.is_ok() {
            self.budget.deposit();
            return None;
        }
        self.budget.withdraw().then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(*request)
    }
}

impl Subject {
    /// Whether a call of it reaches the bare service: all do but a hit of a cache.
    pub(crate) const fn asks_the_service(self) -> bool {
        !matches!(self, Self::Cache)
    }

    pub(crate) const ALL: [Self; 35] = [
        Self::Bare,
        Self::Percentile,
        Self::Fixed,
        Self::Adaptive,
        Self::Backoff,
        Self::Observing,
        Self::Keyed,
        Self::Plain,
        Self::Cascade,
        Self::Latency,
        Self::Concurrency,
        Self::Admission,
        Self::ReplayBody,
        Self::Posting,
        Self::FirstContent,
        Self::Streaming,
        Self::Retry,
        Self::RetryTimeout,
        Self::RetryTimed,
        Self::Timeout,
        Self::Deadline,
        Self::Cache,
        Self::Coalesce,
        Self::Batch,
        Self::QuickCache,
        Self::Moka,
        Self::ResilienceCache,
        Self::TowerRetry,
        Self::TowerRetryTimeout,
        Self::Tower,
        Self::TowerConcurrency,
        Self::TowerLimits,
        Self::TowerResilience,
        Self::Clocks,
        Self::Timer,
    ];
    /// The layers of this workspace, which the bars are for.
    pub(crate) const OURS: [Self; 18] = [
        Self::Percentile,
        Self::Fixed,
        Self::Adaptive,
        Self::Backoff,
        Self::Observing,
        Self::Keyed,
        Self::Cascade,
        Self::Latency,
        Self::Concurrency,
        Self::Admission,
        Self::Retry,
        Self::RetryTimeout,
        Self::RetryTimed,
        Self::Timeout,
        Self::Deadline,
        Self::Cache,
        Self::Coalesce,
        Self::Batch,
    ];

    /// As a table names it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Bare => "the bare service",
            Self::Percentile => "HedgeLayer::percentile(95)",
            Self::Fixed => "HedgeLayer::fixed(100 ms)",
            Self::Adaptive => "HedgeLayer::adaptive(delays)",
            Self::Backoff => "HedgeLayer::backoff(from 100 ms)",
            Self::Observing => "percentile(95).observe_only()",
            Self::Keyed => "percentile(95).key(f)",
            Self::Plain => "hedge(factory, [100 ms])",
            Self::Cascade => "Cascade, two tiers",
            Self::Latency => "LatencyLayer",
            Self::Concurrency => "AdmissionLayer, concurrency",
            Self::Admission => "AdmissionLayer, concurrency and rate",
            Self::ReplayBody => "ReplayBodyLayer, and an HTTP request",
            Self::Posting => "floor: an HTTP request",
            Self::FirstContent => "AwaitFirstContentLayer, and a stream",
            Self::Streaming => "floor: an HTTP request and a stream",
            Self::Retry => "RetryLayer::exponential()",
            Self::RetryTimeout => "RetryLayer over TimeoutLayer",
            Self::RetryTimed => "RetryLayer, timeout and deadline in it",
            Self::Timeout => "TimeoutLayer",
            Self::Deadline => "DeadlineLayer",
            Self::Cache => "CacheLayer, a hit in memory",
            Self::Coalesce => "CoalesceLayer, a call alone",
            Self::Batch => "BatchLayer::idle(), an item alone",
            Self::QuickCache => "quick_cache in a service, a hit",
            Self::Moka => "moka in a service, a hit",
            Self::ResilienceCache => "tower-resilience-cache, a hit",
            Self::TowerRetry => "tower::retry::Retry, TpsBudget",
            Self::TowerRetryTimeout => "tower's Retry, TpsBudget and Timeout",
            Self::Tower => "tower::hedge::Hedge",
            Self::TowerConcurrency => "tower's ConcurrencyLimit",
            Self::TowerLimits => "tower's ConcurrencyLimit and RateLimit",
            Self::TowerResilience => "tower-resilience-hedge",
            Self::Clocks => "floor: two clock reads, one atomic add",
            Self::Timer => "floor: a lazily armed timer",
        }
    }

    /// As the command line names it.
    const fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Percentile => "percentile",
            Self::Fixed => "fixed",
            Self::Adaptive => "adaptive",
            Self::Backoff => "backoff",
            Self::Observing => "observing",
            Self::Keyed => "keyed",
            Self::Plain => "plain",
            Self::Cascade => "cascade",
            Self::Latency => "latency",
            Self::Concurrency => "concurrency",
            Self::Admission => "admission",
            Self::ReplayBody => "replay-body",
            Self::Posting => "posting",
            Self::FirstContent => "first-content",
            Self::Streaming => "streaming",
            Self::Retry => "retry",
            Self::RetryTimeout => "retry-timeout",
            Self::RetryTimed => "retry-timed",
            Self::Timeout => "timeout",
            Self::Deadline => "deadline",
            Self::Cache => "cache",
            Self::Coalesce => "coalesce",
            Self::Batch => "batch",
            Self::QuickCache => "quick-cache",
            Self::Moka => "moka",
            Self::ResilienceCache => "resilience-cache",
            Self::TowerRetry => "tower-retry",
            Self::TowerRetryTimeout => "tower-retry-timeout",
            Self::Tower => "tower",
            Self::TowerConcurrency => "tower-concurrency",
            Self::TowerLimits => "tower-limits",
            Self::TowerResilience => "tower-resilience",
            Self::Clocks => "clocks",
            Self::Timer => "timer",
        }
    }

    /// Whether there is anything to see: a timer that is never armed is not.
    pub(crate) fn meets(self, pace: Pace) -> bool {
        self != Self::Timer || pace == Pace::PendingOnce
    }
}

impl Pace {
    pub(crate) const ALL: [Self; 2] = [Self::Ready, Self::PendingOnce];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::PendingOnce => "pending-once",
        }
    }
}

impl Case {
    /// Makes the case's service and hands it to `visitor`. Within a runtime: a layer may want one.
    pub(crate) fn visit<V: Visit>(self, visitor: V) -> V::Output {
        let echo = Echo::new(self.pace == Pace::PendingOnce);
        match self.subject {
            Subject::Bare => visitor.visit(echo),
            Subject::Percentile => {
                visitor.visit(HedgeLayer::percentile(95).clamp(DELAY, LONGEST).layer(echo))
            }
            Subject::Fixed => visitor.visit(HedgeLayer::fixed(DELAY).layer(echo)),
            Subject::Adaptive => {
                let delays = [1, 2, 5, 10].map(|times| DELAY * times);
                visitor.visit(HedgeLayer::adaptive(delays).layer(echo))
            }
            Subject::Backoff => {
                let config = BackoffConfig::default().base(DELAY).min(DELAY);
                visitor.visit(HedgeLayer::backoff(config).layer(echo))
            }
            Subject::Observing => {
                let layer = HedgeLayer::percentile(95).clamp(DELAY, LONGEST);
                visitor.visit(layer.observe_only().layer(echo))
            }
            Subject::Keyed => {
                let layer = HedgeLayer::percentile(95).clamp(DELAY, LONGEST);
                visitor.visit(layer.key(Request::key).layer(echo))
            }
            Subject::Plain => visitor.visit(tower::service_fn(move |request| {
                let mut echo = echo.clone();
                hedge(move |_| echo.call(request), [DELAY]).map_ok(Won::into_value)
            })),
            Subject::Cascade => visitor.visit(
                Cascade::builder()
                    .tier(Tier::new("first", echo.clone()))
                    .tier(Tier::new("second", echo).after(DELAY))
                    .clone_requests()
                    .build()
                    .expect("two names, and delays that ascend"),
            ),
            Subject::Latency => visitor.visit(LatencyLayer::new(Latency::new()).layer(echo)),
            Subject::Concurrency => visitor.visit(AdmissionLayer::concurrency(16).layer(echo)),
            Subject::Admission => {
                let gate = Gate::builder()
                    .concurrency(16)
                    .rate(Rate::per_second(MORE_THAN_EVER))
                    .build();
                visitor.visit(AdmissionLayer::new(gate).layer(echo))
            }
            Subject::ReplayBody => visitor.visit(Posting::new(
                ReplayBodyLayer::new().layer(Posted::new(echo)),
            )),
            Subject::Posting => visitor.visit(Posting::new(Posted::new(echo))),
            Subject::FirstContent => visitor.visit(Streaming::new(
                AwaitFirstContentLayer::openai_chat().layer(Streamed::new(echo)),
            )),
            Subject::Streaming => visitor.visit(Streaming::new(Streamed::new(echo))),
            Subject::Retry => visitor.visit(RetryLayer::exponential().layer(echo)),
            Subject::RetryTimeout => visitor
                .visit(RetryLayer::exponential().layer(TimeoutLayer::new(LONGEST).layer(echo))),
            Subject::RetryTimed => {
                let layer = RetryLayer::exponential().attempt_timeout(LONGEST);
                visitor.visit(layer.deadline(LONGEST * 2).layer(echo))
            }
            Subject::Timeout => visitor.visit(TimeoutLayer::new(LONGEST).layer(echo)),
            Subject::Deadline => visitor.visit(DeadlineLayer::new(LONGEST).layer(echo)),
            Subject::Cache => {
                let store = MemoryStore::entries(2 * caches::ENTRIES);
                let layer = CacheLayer::new(store).key(caches::key).ttl(PERIOD);
                visitor.visit(layer.layer(echo))
            }
            Subject::Coalesce => visitor.visit(CoalesceLayer::new(caches::key).layer(echo)),
            Subject::Batch => visitor.visit(lone::lone(echo)),
            Subject::QuickCache => visitor.visit(caches::Quick::new(echo)),
            Subject::Moka => visitor.visit(caches::Moka::new(echo)),
            Subject::ResilienceCache => {
                let layer = tower_resilience_cache::CacheLayer::builder()
                    .max_size(2 * caches::ENTRIES as usize)
                    .ttl(PERIOD)
                    .key_extractor(|request: &Request| request.one_of(caches::ENTRIES))
                    .build()
                    .expect("a size and a key");
                visitor.visit(layer.layer(echo))
            }
            Subject::TowerRetry => {
                visitor.visit(tower::retry::Retry::new(TowersRetries::new(), echo))
            }
            Subject::TowerRetryTimeout => {
                let timeout = tower::timeout::Timeout::new(echo, LONGEST);
                visitor.visit(tower::retry::Retry::new(TowersRetries::new(), timeout))
            }
            Subject::Tower => {
                let seen: Vec<u64> = (1..=SEEN_MS).collect();
                visitor.visit(Hedge::new_with_mock_latencies(
                    echo, Always, 10, 0.95, PERIOD, &seen,
                ))
            }
            Subject::TowerConcurrency => visitor.visit(ConcurrencyLimit::new(echo, 16)),
            Subject::TowerLimits => {
                let rate = tower::limit::rate::Rate::new(MORE_THAN_EVER, Duration::from_secs(1));
                visitor.visit(ConcurrencyLimit::new(RateLimit::new(echo, rate), 16))
            }
            Subject::TowerResilience => visitor.visit(
                tower_resilience_hedge::HedgeLayer::builder()
                    .delay(DELAY)
                    .max_hedged_attempts(2)
                    .build()
                    .layer(echo),
            ),
            Subject::Clocks => visitor.visit(Clocked::new(echo)),
            Subject::Timer => visitor.visit(Timed::new(echo, DELAY)),
        }
    }
}

// === as written on the command line: `percentile/ready` ===

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.subject.word(), self.pace.word())
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        Subject::ALL
            .into_iter()
            .flat_map(|subject| Pace::ALL.map(|pace| Self { subject, pace }))
            .find(|case| case.to_string() == word)
            .with_context(|| format!("no such case: {word}; one is `percentile/ready`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        for subject in Subject::ALL {
            for pace in Pace::ALL {
                let case = Case { subject, pace };
                assert_eq!(case.to_string().parse::<Case>().unwrap(), case);
            }
        }
    }

    #[test]
    fn an_unknown_case_is_refused_with_an_example() {
        let error = "tower/slow".parse::<Case>().unwrap_err();
        assert!(error.to_string().contains("percentile/ready"), "{error}");
    }
}
