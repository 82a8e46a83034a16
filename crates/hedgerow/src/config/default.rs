//! The code's own defaults, asked of the code.

use std::time::Duration;

use hedgerow_admission::{Aimd, LimitPolicy};
use hedgerow_core::{Attempt, Budget, LatencyView};
use hedgerow_hedge::policy::{Adaptive, Backoff, BackoffConfig, Fixed, Percentile};
use hedgerow_hedge::{BuildError, Delay, HedgeLayer, HedgePolicy};
use hedgerow_http::{AwaitFirstContentLayer, ByPath, DeadlineHeader, ReplayBodyLayer};
use hedgerow_latency::Latency;
use hedgerow_retry::RetryLayer;

use super::hedge::DEFAULT_PERCENTILE;
use super::time::ConfigDuration;

/// A service of which so many latencies are known, all of them the same.
struct Known(u64, Duration);

impl LatencyView for Known {
    fn quantile(&self, _: f64) -> Option<Duration> {
        Some(self.1)
    }

    fn count(&self) -> u64 {
        self.0
    }
}

fn first_delay(policy: &impl HedgePolicy<()>, latency: &Known) -> ConfigDuration {
    match policy.delay(&(), Attempt::new(1), latency) {
        Delay::After(delay) | Delay::AfterLast(delay) => delay.into(),
        Delay::Never => Duration::MAX.into(),
    }
}

fn percentile() -> Percentile {
    Percentile::try_new(DEFAULT_PERCENTILE).expect("a test builds the defaults")
}

/// The delay of a fixed hedge.
pub(crate) fn delay() -> ConfigDuration {
    first_delay(&Fixed::default(), &Known(0, Duration::ZERO))
}

/// The delay of a percentile that knows nothing yet.
pub(crate) fn initial() -> ConfigDuration {
    first_delay(&percentile(), &Known(0, Duration::ZERO))
}

/// The delay of a percentile that knows a service of no latency at all.
pub(crate) fn learnt_min() -> ConfigDuration {
    first_delay(&percentile(), &Known(u64::MAX, Duration::ZERO))
}

/// Where a backoff begins and between what it stays.
pub(crate) struct BackoffDefaults {
    pub(crate) base: ConfigDuration,
    pub(crate) min: ConfigDuration,
    pub(crate) max: ConfigDuration,
}

/// The defaults of a backoff.
pub(crate) fn backoff() -> BackoffDefaults {
    let base = Backoff::default().current().into();
    // It refuses to begin at no delay at all, and says where it may.
    match Backoff::try_new(BackoffConfig::default().base(Duration::ZERO)) {
        Err(BuildError::Backoff { min, max, .. }) => BackoffDefaults {
            base,
            min: min.into(),
            max: max.into(),
        },
        _ => BackoffDefaults {
            base,
            min: Duration::ZERO.into(),
            max: Duration::MAX.into(),
        },
    }
}

pub(crate) fn min_words() -> String {
    let (percentile, backoff) = (learnt_min(), backoff().min);
    format!("{percentile} for a percentile, {backoff} for a backoff")
}

pub(crate) fn max_words() -> String {
    format!("no limit for a percentile, {} for a backoff", backoff().max)
}

/// The delays that an adaptive hedge chooses from.
pub(crate) fn arms() -> Vec<ConfigDuration> {
    let policy = Adaptive::default();
    policy.delays().iter().map(|&delay| delay.into()).collect()
}

pub(crate) fn delays_words() -> String {
    let arms: Vec<_> = arms().iter().map(ToString::to_string).collect();
    format!(
        "to be written for a schedule; {} for adaptive",
        arms.join(", ")
    )
}

/// What an extra copy costs an adaptive hedge, in time.
pub(crate) fn price() -> ConfigDuration {
    Adaptive::DEFAULT_PRICE.into()
}

/// When a tier starts: together with the one before it.
pub(crate) fn tier_after() -> ConfigDuration {
    Duration::ZERO.into()
}

/// What a call to a tier costs. A test compares both with a `Tier`, which shows them in its `Debug`
/// alone; where nothing is written the tier's own hold.
pub(crate) const TIER_COST: f64 = 1.0;

/// How many tries a call may make.
pub(crate) fn attempts() -> usize {
    RetryLayer::exponential().handle().attempts()
}

// What the layers show in their `Debug` alone: a test compares each of these with it, and where nothing
// is written the layer's own hold.

/// The first wait before a retry.
pub(crate) const WAIT_BASE: ConfigDuration = ConfigDuration::millis(1_000);
/// The longest wait before a retry.
pub(crate) const WAIT_CAP: ConfigDuration = ConfigDuration::millis(30_000);
/// The longest wait that a server may ask for.
pub(crate) const PUSHBACK_CAP: ConfigDuration = ConfigDuration::millis(30_000);
/// Which percentile has to fit before the deadline.
pub(crate) const GATE_PERCENTILE: f64 = 50.0;
/// How many wait for admission at most.
pub(crate) const MAX_DEPTH: u64 = 1_000;
/// How long one waits for admission at most.
pub(crate) const MAX_WAIT: ConfigDuration = ConfigDuration::millis(30_000);
/// What a request takes of a rate of tokens.
pub(crate) const ASKED_COST: u64 = 1;
/// How long a queue must not have been empty before the last come are served first.
pub(crate) const LIFO_AFTER: ConfigDuration = ConfigDuration::millis(10);
/// The longest wait in a queue that does not empty, by `CoDel`.
pub(crate) const CODEL_TARGET: ConfigDuration = ConfigDuration::millis(5);
/// The longest wait in one that does, by `CoDel`.
pub(crate) const CODEL_INTERVAL: ConfigDuration = ConfigDuration::millis(100);
/// The smallest limit that one that adapts may reach.
pub(crate) const LIMIT_MIN: u64 = 1;
/// The largest.
pub(crate) const LIMIT_MAX: u64 = 1_000;
/// What remains of an AIMD limit when it falls.
pub(crate) const BACKOFF: f64 = 0.9;
/// Which share of late calls an AIMD limit puts up with.
pub(crate) const TOLERATE: f64 = 0.05;
/// Which share of the calls a Vegas limit lets wait in the service before it stops rising.
pub(crate) const ALPHA: f64 = 0.05;
/// Before it falls.
pub(crate) const BETA: f64 = 0.1;
/// How many times the latency without a queue a gradient limit puts up with.
pub(crate) const TOLERANCE: f64 = 1.05;
/// How many calls a gradient limit lets wait in the service.
pub(crate) const STANDING: f64 = 4.0;
/// The weight of a round in a gradient limit.
pub(crate) const SMOOTHING: f64 = 0.2;
/// The elasticity of the throughput that a limit is steered to.
pub(crate) const TARGET: f64 = 0.2;

/// How long an answer is kept.
pub(crate) const TTL: ConfigDuration = ConfigDuration::millis(60_000);
/// How large a body may be that is kept.
pub(crate) const KEPT_BYTES: u64 = 1 << 20;
/// How many answers are refreshed at a time.
pub(crate) const REFRESHES: u64 = 64;
/// How long a refresh may take.
pub(crate) const REFRESH_PATIENCE: ConfigDuration = ConfigDuration::millis(30_000);
/// How many calls may be under way that others could join.
pub(crate) const FLIGHTS: u64 = 10_000;
/// How much of a shared body is kept for slow readers.
pub(crate) const BEHIND_BYTES: u64 = 1 << 20;
/// How much is stored in a file.
pub(crate) const DISK_BYTES: u64 = 1 << 30;

/// How much answers may take in memory: a file's own default, as code has to say it.
pub(crate) const MEMORY_BYTES: u64 = 64 << 20;

/// The limit that every policy begins with.
pub(crate) fn limit_initial() -> usize {
    Aimd::default().limit()
}

/// How many keys are known at a time.
pub(crate) fn max_keys() -> usize {
    HedgeLayer::off().key(|_: &()| ()).keys().max_keys()
}

/// What a layer says to room for so many keys.
pub(crate) fn try_max_keys(at_most: u64) -> Result<(), BuildError> {
    let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
    // Nothing is allocated for keys that never come, but a list for as many as there may be.
    let layer = HedgeLayer::off().key(|_: &()| ());
    layer.try_max_keys(at_most).map(|_| ())
}

/// How many copies a budget pays at once.
pub(crate) fn depth() -> u64 {
    Budget::percent(1.0).available()
}

/// How many latencies one half of a window holds.
pub(crate) fn window() -> u64 {
    Latency::new().window_size()
}

/// Bodies of how many bytes are kept.
pub(crate) fn cap_bytes() -> u64 {
    ReplayBodyLayer::new().cap()
}

/// A budget, where there is none to share because of another mistake.
pub(crate) fn budget() -> Budget {
    HedgeLayer::off().handle().budget().twin()
}

/// How many events are held of a stream.
pub(crate) fn held_events() -> u32 {
    AwaitFirstContentLayer::<ByPath>::llm().held_events()
}

/// How many bytes are held of a stream.
pub(crate) fn held_bytes() -> u64 {
    AwaitFirstContentLayer::<ByPath>::llm().held_bytes()
}

/// The header that tells how long a caller waits.
/// What is taken off a received deadline.
pub(crate) fn no_time() -> ConfigDuration {
    Duration::ZERO.into()
}

pub(crate) fn timeout_header() -> String {
    DeadlineHeader::http().name().to_string()
}
