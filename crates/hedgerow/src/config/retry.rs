//! The retry layer as it is configured.

mod build;

use hedgerow_retry::{Exponential, Failure, Fixed, Jitter, RetryLayer, RetryPolicy, Wait};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::build::RetryPart;
use super::budget::BudgetConfig;
use super::default;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::hedge::{Protocol, Shared};
use super::time::ConfigDuration;

/// Sends a request again when its try has failed, after a wait, within attempts, time and budget.
///
/// See [`RetryLayer`].
///
/// # Examples
///
/// ```
/// use hedgerow::config::RetryConfig;
/// use std::time::Duration;
///
/// let mut config = RetryConfig::default();
/// config.attempt_timeout = Some(Duration::from_secs(2).into());
/// let layer = config.build()?.clone_requests();
/// # let _ = layer;
///
/// config.attempts = Some(0);
/// let errors = config.build().unwrap_err();
/// assert_eq!(
///     errors.to_string(),
///     "attempts = 0: 0 tries a call are out of range: write 1 (never retry) to 64, the first try \
///      included",
/// );
/// # Ok::<_, hedgerow::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "Sends a request again when its try has failed, after a wait, within attempts, time and budget."
)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How many tries a call may make, the first included, 1 to 64. 1 never retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::attempts()))]
    pub attempts: Option<u64>,
    /// The first wait, which doubles from retry to retry, above zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::WAIT_BASE))]
    pub base: Option<ConfigDuration>,
    /// The longest wait, at most 24h.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::WAIT_CAP))]
    pub cap: Option<ConfigDuration>,
    /// How waits are spread, so that callers who failed together do not come back together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = JitterConfig::Full))]
    pub jitter: Option<JitterConfig>,
    /// The same wait before every retry, instead of `base`, `cap` and `jitter`. "0s" retries at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, waits that double"))]
    pub wait: Option<ConfigDuration>,
    /// The longest wait that a server may ask for, by `Retry-After` or the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::PUSHBACK_CAP))]
    pub pushback_cap: Option<ConfigDuration>,
    /// How long one try may take, with all attempts of a hedge beneath.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, as long as the call"))]
    pub attempt_timeout: Option<ConfigDuration>,
    /// How long a call may take with all its tries and waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, the deadline that holds already"))]
    pub deadline: Option<ConfigDuration>,
    /// Never retries a try that timed out.
    pub timeouts_are_final: bool,
    /// Drops an answer that was refused before the wait, instead of holding it until the next one is
    /// there.
    pub forget_answers: bool,
    /// By whose latencies a retry that cannot fit before the deadline is refused: "none", or the
    /// "shared" ones of the latency layer beneath.
    pub latency: GateSource,
    /// Which percentile of those latencies has to fit, from 1 to below 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::GATE_PERCENTILE))]
    pub gate_percentile: Option<f64>,
    /// What an answer means in a stack of HTTP requests: by its status, by its `grpc-status`, or as a model
    /// provider has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "\"http\" in a stack of HTTP requests"))]
    pub protocol: Option<Protocol>,
    /// What retries may cost: a table, "unlimited", or "shared" with the retry or hedge further out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "10 percent of depth 50"))]
    pub budget: Option<BudgetConfig>,
}

/// By whose latencies a retry is refused that cannot fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum GateSource {
    /// By nobody's: everything fits.
    #[default]
    None,
    /// By those that the latency layer beneath it records.
    Shared,
}

/// How waits are spread: see [`Jitter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JitterConfig {
    /// Not at all.
    None,
    /// Anything from nothing to the wait.
    #[default]
    Full,
    /// From the base to three times the wait before.
    Decorrelated,
}

/// The waits of a configured retry: one of the policies that ship.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfiguredWaits {
    /// Waits that double.
    Exponential(Exponential),
    /// The same wait each time.
    Fixed(Fixed),
}

impl RetryConfig {
    /// The layer alone, to be put into a stack by hand: `.http()` or `.clone_requests()` come next.
    ///
    /// # Errors
    ///
    /// Every mistake at once. What has a meaning only in a stack (`protocol`, anything "shared") is one:
    /// write it in code, or build a [`StackConfig`](super::StackConfig).
    pub fn build(&self) -> Result<RetryLayer<ConfiguredWaits>, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&Shared::default(), &mut mistakes);
        mistakes.judge(built)
    }

    /// Whether it ever sends anything again.
    pub(crate) fn is_on(&self) -> bool {
        self.attempts != Some(1)
    }
}

impl Describe for RetryConfig {
    const NAME: &'static str = "retry";
}

impl From<JitterConfig> for Jitter {
    fn from(jitter: JitterConfig) -> Self {
        match jitter {
            JitterConfig::None => Self::None,
            JitterConfig::Full => Self::Full,
            JitterConfig::Decorrelated => Self::Decorrelated,
        }
    }
}

impl RetryPolicy for ConfiguredWaits {
    fn wait(&self, failure: &Failure) -> Wait {
        match self {
            Self::Exponential(waits) => waits.wait(failure),
            Self::Fixed(wait) => wait.wait(failure),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Exponential(waits) => waits.name(),
            Self::Fixed(wait) => wait.name(),
        }
    }
}
