//! The admission layer as it is configured.

mod limit;
mod rate;
mod queue;
mod ask;
mod build;

use hedgerow_admission::{Extras, Gate, Priority};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::build::AdmissionPart;
pub use self::limit::{LimitConfig, LimitName};
pub use self::queue::{DropName, OrderName, QueueConfig};
pub use self::rate::RateConfig;
use super::default;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::hedge::Protocol;
use super::time::ConfigDuration;

/// Lets a request start when there is room for it: one queue for concurrency, rates and tokens.
///
/// See [`AdmissionLayer`](crate::AdmissionLayer) and [`Gate`].
///
/// # Examples
///
/// ```
/// use hedgerow::AdmissionLayer;
/// use hedgerow::config::{AdmissionConfig, RateConfig};
/// use std::time::Duration;
///
/// let mut config = AdmissionConfig::concurrency(16);
/// config.rates = vec![RateConfig::tokens(90_000, Duration::from_secs(60).into())];
/// let layer = AdmissionLayer::new(config.build()?).cost(|prompt: &String| prompt.len() as u64 / 4);
/// # let _ = layer;
///
/// config.rates[0].burst = Some(0);
/// let errors = config.build().unwrap_err();
/// assert_eq!(errors.mistakes()[0].key(), "rates[0].burst");
/// # Ok::<_, hedgerow::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "Lets a request start when there is room for it: one queue for concurrency, rates and tokens."
)]
#[non_exhaustive]
pub struct AdmissionConfig {
    /// How many run at once, always the same number, 1 to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, no limit"))]
    pub concurrency: Option<u64>,
    /// How many run at once, by a policy that adapts. Instead of `concurrency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, no limit"))]
    pub limit: Option<LimitConfig>,
    /// How many of one key run at once, 1 to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, no limit"))]
    pub concurrency_per_key: Option<u64>,
    /// How much may start in a time: up to 4, taken together or not at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = Vec::<RateConfig>::new()))]
    pub rates: Vec<RateConfig>,
    /// Who of those that wait starts next, and who is given up.
    #[serde(skip_serializing_if = "QueueConfig::is_default")]
    #[schemars(extend("x-default" = "first come, first served, without those whose deadline has passed"))]
    pub queue: QueueConfig,
    /// How many wait at most, 0 to 10000000. 0: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::MAX_DEPTH))]
    pub max_depth: Option<u64>,
    /// How long one waits at most, up to 366 days. "0s": not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::MAX_WAIT))]
    pub max_wait: Option<ConfigDuration>,
    /// Where a request waits: in the "call", which can say what it asks, or until the layer is "ready",
    /// so that what stands above sees that it is not.
    pub waits_in: WaitsIn,
    /// What a request is counted under, "host", "path" or "header:NAME", in a stack of HTTP requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, all requests together"))]
    pub key: Option<String>,
    /// The header, "header:NAME", that says how much a request matters: high, normal, low or idle. What
    /// says anything else is normal. In a stack of HTTP requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, all are normal"))]
    pub priority: Option<String>,
    /// What a request takes of a rate of tokens: a number, or the header, "header:NAME", that says it
    /// in a stack of HTTP requests. A request whose header says no number takes 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::ASKED_COST))]
    pub cost: Option<CostConfig>,
    /// How the extra copies of a hedge are admitted: like any other, only if they need not wait now, or
    /// with a priority no higher than this.
    pub extras: ExtrasConfig,
    /// What an answer means in a stack of HTTP requests: by its status, by its `grpc-status`, or as a model
    /// provider has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "\"http\" in a stack of HTTP requests"))]
    pub protocol: Option<Protocol>,
}

/// Where a request waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum WaitsIn {
    /// In its response future: see [`AdmissionLayer`](crate::AdmissionLayer).
    #[default]
    Call,
    /// Before the call, in `poll_ready`: see [`ReadyAdmissionLayer`](crate::ReadyAdmissionLayer).
    Ready,
}

/// What a request takes of a rate of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum CostConfig {
    /// Always as much.
    Fixed(u64),
    /// What a header says, "header:NAME".
    Header(String),
}

/// How the extra copies of a hedge are admitted: see [`Extras`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ExtrasConfig {
    /// Like any other.
    #[default]
    Same,
    /// Only if they need not wait.
    NowOnly,
    /// Never before what is normal.
    Normal,
    /// After what is normal.
    Low,
    /// When nobody else waits.
    Idle,
}

impl AdmissionConfig {
    /// At most `limit` run at once.
    #[must_use]
    pub fn concurrency(limit: u64) -> Self {
        Self {
            concurrency: Some(limit),
            ..Self::default()
        }
    }

    /// The gate alone, for a layer in code: [`AdmissionLayer::new`](crate::AdmissionLayer::new).
    ///
    /// # Errors
    ///
    /// Every mistake at once. What is read off requests (`key`, `priority`, `cost`, `extras`,
    /// `protocol`), and `waits_in`, are said in code then: written here they are mistakes.
    pub fn build(&self) -> Result<Gate, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        self.check_alone(&mut mistakes);
        let built = self.assemble(&mut mistakes);
        mistakes.judge(built.map(|part| part.gate))
    }
}

impl Describe for AdmissionConfig {
    const NAME: &'static str = "admission";
}

impl From<ExtrasConfig> for Extras {
    fn from(extras: ExtrasConfig) -> Self {
        match extras {
            ExtrasConfig::Same => Self::Same,
            ExtrasConfig::NowOnly => Self::NowOnly,
            ExtrasConfig::Normal => Self::With(Priority::Normal),
            ExtrasConfig::Low => Self::With(Priority::Low),
            ExtrasConfig::Idle => Self::With(Priority::Idle),
        }
    }
}
