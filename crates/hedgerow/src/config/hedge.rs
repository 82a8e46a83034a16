//! The hedge layer as it is configured.

mod strategy;
mod build;

use hedgerow_hedge::policy::Adaptive;
use hedgerow_hedge::{HedgeLayer, HedgeReady};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::build::{Host, Shared};
pub use self::strategy::{ConfiguredPolicy, Strategy};
use super::budget::BudgetConfig;
use super::default;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::time::ConfigDuration;

/// Sends another copy of a request that takes too long, and takes whichever answers first.
///
/// # Examples
///
/// ```
/// use hedgerow::config::{HedgeConfig, Strategy};
/// use std::time::Duration;
///
/// let mut config = HedgeConfig::new(Strategy::Fixed);
/// config.delay = Some(Duration::from_millis(50).into());
/// let layer = config.build()?.clone_requests();
/// # let _ = layer;
///
/// config.percentile = Some(99.0);
/// let errors = config.build().unwrap_err();
/// assert_eq!(
///     errors.to_string(),
///     "percentile = 99.0: the strategy \"fixed\" does not read it: leave it out, or write \
///      strategy = \"percentile\"",
/// );
/// # Ok::<_, hedgerow::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "Sends another copy of a request that takes too long, and takes whichever answers first."
)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// When the copy is sent. With "off" it never is, and the keys of every other strategy may stay.
    pub strategy: Strategy,
    /// percentile: hedge what takes longer than this percentile of the attempts' latency, from 1 to
    /// below 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = DEFAULT_PERCENTILE))]
    pub percentile: Option<f64>,
    /// percentile: the delay until enough latencies are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::initial()))]
    pub initial: Option<ConfigDuration>,
    /// percentile, backoff: the smallest delay it may learn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = default::min_words()))]
    pub min: Option<ConfigDuration>,
    /// percentile, backoff: the largest delay it may learn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = default::max_words()))]
    pub max: Option<ConfigDuration>,
    /// backoff: the delay it begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::backoff().base))]
    pub base: Option<ConfigDuration>,
    /// fixed: the delay of the first copy; a further one is sent after twice that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::delay()))]
    pub delay: Option<ConfigDuration>,
    /// schedule: one delay per copy, from the call's start, ascending. adaptive: the delays to choose
    /// from, 2 to 64, ascending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = default::delays_words()))]
    pub delays: Option<Vec<ConfigDuration>>,
    /// adaptive: what a copy costs, in time: how much sooner an answer has to come for it to be worth
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::price()))]
    pub price: Option<ConfigDuration>,
    /// adaptive: which share of its weight all that is known loses in 20 calls, above 0 and below 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = Adaptive::DEFAULT_FORGETTING))]
    pub forgetting: Option<f64>,
    /// parallel: how many copies are sent at once, the first one counted, 1 to 65.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, to be written for parallel"))]
    pub copies: Option<u64>,
    /// How many copies a call may send besides the first, 1 to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "1; as many as a schedule has delays; one less than the copies of parallel"))]
    pub max_hedges: Option<u64>,
    /// How many latencies one half of the window holds that percentiles are read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "1000; for a high percentile 20 / (1 - p / 100)"))]
    pub window: Option<u64>,
    /// Whose latencies are read: its "own", or the "shared" ones of the latency layer beneath. With a
    /// `key` neither: each key has a histogram of its own.
    pub latency: LatencySource,
    /// What a copy does when the service is not ready for it.
    pub ready: Ready,
    /// Sends no copies, and tells what hedging would have done.
    pub observe_only: bool,
    /// What an answer means in a stack of HTTP requests: by its status, by its `grpc-status`, or as a model
    /// provider has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "\"http\" in a stack of HTTP requests"))]
    pub protocol: Option<Protocol>,
    /// Learns for each "host", "path" or "header:NAME" by itself, from a histogram for each, in a stack
    /// of HTTP requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, all requests together"))]
    pub key: Option<String>,
    /// How many keys are known at a time, 1 to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::max_keys()))]
    pub max_keys: Option<u64>,
    /// What copies may cost: a table, "unlimited", or "shared" with the retry or hedge further out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "10 percent of depth 50; for a percentile 1.5 * (100 - p) percent"))]
    pub budget: Option<BudgetConfig>,
}

/// The percentile that is hedged if none is written.
pub const DEFAULT_PERCENTILE: f64 = 95.0;

/// Whose latencies a hedge reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LatencySource {
    /// Those that it records by itself.
    #[default]
    Own,
    /// Those that the latency layer beneath it records.
    Shared,
}

/// What a copy does when the service is not ready for it: see [`HedgeReady`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Ready {
    /// Waits until it is.
    #[default]
    Wait,
    /// Gives up at once.
    NowOnly,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Protocol {
    /// A 5xx or a 429 loses.
    #[default]
    Http,
    /// The `grpc-status` decides.
    Grpc,
    /// As HTTP, and as OpenAI's API has it: [`OpenAiJudge`](crate::OpenAiJudge).
    Openai,
    /// As HTTP, and as Anthropic's API has it: [`AnthropicJudge`](crate::AnthropicJudge).
    Anthropic,
}

impl HedgeConfig {
    /// The defaults of a strategy.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            ..Self::default()
        }
    }

    /// The layer alone, to be put into a stack by hand: `.http()` or `.clone_requests()` come next.
    ///
    /// # Errors
    ///
    /// Every mistake at once. What has a meaning only in a stack (`key`, `protocol`, anything
    /// "shared") is one: write it in code, or build a [`StackConfig`](super::StackConfig).
    pub fn build(&self) -> Result<HedgeLayer<ConfiguredPolicy>, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&Shared::default(), &mut mistakes);
        mistakes.judge(built)
    }
}

impl Describe for HedgeConfig {
    const NAME: &'static str = "hedge";
}

impl From<Ready> for HedgeReady {
    fn from(ready: Ready) -> Self {
        match ready {
            Ready::Wait => Self::Wait,
            Ready::NowOnly => Self::NowOnly,
        }
    }
}

/// Beyond what there can be is as wrong as the largest number.
pub(crate) fn number(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
