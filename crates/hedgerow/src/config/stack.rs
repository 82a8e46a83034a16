//! A whole stack as it is configured.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::admission::AdmissionConfig;
use super::assemble::{Files, assemble};
use super::bodies::{IdempotentPathsConfig, ReplayBodyConfig};
use super::cache::CacheConfig;
use super::coalesce::CoalesceConfig;
use super::deadline::DeadlineConfig;
use super::describe::Describe;
use super::drain::DrainConfig;
use super::error::{ConfigErrors, Mistakes};
use super::first::AwaitFirstConfig;
use super::hedge::HedgeConfig;
use super::latency::LatencyConfig;
use super::member::Member;
use super::read::{self, Readable};
use super::receive_deadline::ReceiveDeadlineConfig;
use super::retry::RetryConfig;
use super::send_deadline::SendDeadlineConfig;
use super::time::ConfigDuration;
use super::timeout::TimeoutConfig;

/// A stack of layers around a client, from the outside in.
///
/// # Examples
///
/// ```
/// use hedgerow::config::StackConfig;
/// use tower::{Layer, Service, ServiceExt};
///
/// let config = StackConfig::from_toml(r#"
///     total_timeout = "2s"
///
///     [[layer]]
///     kind = "hedge"
///     percentile = 99
///
///     [[layer]]
///     kind = "drain"
///     patience = "1s"
///     at_most = 64
/// "#)?;
/// assert!(config.warnings().is_empty());
/// let stack = config.build()?;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn run(stack: hedgerow::config::Stack) -> Result<(), hedgerow::BoxError> {
/// let client = tower::service_fn(async |id: u64| Ok::<_, std::io::Error>(id * 2));
/// let mut service = stack.clone_requests()?.layer(client);
/// assert_eq!(service.ready().await?.call(21).await?, 42);
/// # Ok(()) }
/// # run(stack)?;
/// # Ok::<_, hedgerow::BoxError>(())
/// ```
///
/// # Errors
///
/// Reading tells every mistake at once, each with its line, its key, what was written and what to
/// write:
///
/// ```
/// use hedgerow::config::StackConfig;
///
/// let errors = StackConfig::from_toml(r#"
/// [[layer]]
/// kind = "hedge"
/// percentile = 0.95
/// max_hedge = 2
/// "#).unwrap_err();
/// assert_eq!(errors.mistakes()[0].key(), "layer[0].percentile");
/// assert!(errors.mistakes()[0].problem().ends_with("did you mean 95?"));
/// assert!(errors.mistakes()[1].problem().contains("did you mean \"max_hedges\"?"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "A stack of layers around a client, from the outside in.")]
#[non_exhaustive]
pub struct StackConfig {
    /// How long a call may take in all: a deadline outside of every layer, which those beneath see;
    /// "none" for no limit.
    pub total_timeout: TotalTimeout,
    /// The layers, from the outside in.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerConfig>,
}

/// How long a call may take in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum TotalTimeout {
    /// No longer than this.
    After(ConfigDuration),
    /// As long as it takes.
    Named(NoTimeout),
}

/// A timeout that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum NoTimeout {
    /// As long as it takes.
    None,
}

/// How long a call of a configured stack may take if nothing else is written.
pub const DEFAULT_TOTAL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// One layer of a stack.
///
/// A new kind of layer is a file of its own, a variant and a line of `member` here, one in
/// `describe_all`, and how its service is put around another: the compiler names the places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(description = "One layer, named by its kind.")]
#[non_exhaustive]
pub enum LayerConfig {
    /// Records how long each attempt takes, or each call, for a hedge to read and for you.
    Latency(LatencyConfig),
    /// Hears how long the caller still waits, and tells every layer beneath.
    ReceiveDeadline(ReceiveDeadlineConfig),
    /// Ends a call when its time is over, and tells every layer beneath until when there is time.
    Deadline(DeadlineConfig),
    /// Gives up a call, or beneath a hedge an attempt, that takes longer.
    Timeout(TimeoutConfig),
    /// Lets requests to these paths be sent twice, whatever their method.
    IdempotentPaths(IdempotentPathsConfig),
    /// Keeps the body of a request, so that its copies can send it too.
    ReplayBody(ReplayBodyConfig),
    /// Answers from a store what was answered before, and stores what is answered.
    Cache(Box<CacheConfig>),
    /// Lets one call fly for all that ask the same at the same time.
    Coalesce(Box<CoalesceConfig>),
    /// Sends a request again when its try has failed, after a wait, within attempts, time and budget.
    Retry(Box<RetryConfig>),
    /// Sends another copy of a request that takes too long, and takes whichever answers first.
    Hedge(Box<HedgeConfig>),
    /// Lets attempts that lost a race finish in the background, instead of dropping them. Belongs right
    /// beneath a hedge.
    Drain(DrainConfig),
    /// Lets a request start when there is room for it: one queue for concurrency, rates and tokens.
    Admission(Box<AdmissionConfig>),
    /// Tells the server how long the caller still waits.
    SendDeadline(SendDeadlineConfig),
    /// Lets an answer count only once something has come of it.
    AwaitFirst(AwaitFirstConfig),
}

impl LayerConfig {
    /// As the stack deals with it.
    pub(crate) fn member(&self) -> &dyn Member {
        match self {
            Self::Latency(config) => config,
            Self::ReceiveDeadline(config) => config,
            Self::Deadline(config) => config,
            Self::Timeout(config) => config,
            Self::IdempotentPaths(config) => config,
            Self::ReplayBody(config) => config,
            Self::Cache(config) => &**config,
            Self::Coalesce(config) => &**config,
            Self::Retry(config) => &**config,
            Self::Hedge(config) => &**config,
            Self::Drain(config) => config,
            Self::Admission(config) => &**config,
            Self::SendDeadline(config) => config,
            Self::AwaitFirst(config) => config,
        }
    }
}

impl TotalTimeout {
    /// The time, if there is a limit.
    #[must_use]
    pub const fn get(self) -> Option<std::time::Duration> {
        match self {
            Self::After(after) => Some(after.get()),
            Self::Named(NoTimeout::None) => None,
        }
    }
}

/// 30 s.
impl Default for TotalTimeout {
    fn default() -> Self {
        Self::After(DEFAULT_TOTAL_TIMEOUT.into())
    }
}

impl StackConfig {
    /// A stack of these layers, from the outside in.
    pub fn new(layers: impl IntoIterator<Item = LayerConfig>) -> Self {
        Self {
            layers: layers.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Reads TOML, and looks whether it can be built.
    ///
    /// # Errors
    ///
    /// Every mistake at once: of syntax, or else of keys, types and values.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        read::toml(text)
    }

    /// Reads JSON of the same shape, and looks whether it can be built.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml); of syntax the first mistake alone.
    pub fn from_json(text: &str) -> Result<Self, ConfigErrors> {
        read::json(text)
    }

    /// Reads a file: JSON if its name ends in `.json`, TOML otherwise.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml), and if the file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        read::file(path.as_ref())
    }

    /// Writes it as TOML: what was set, and the strategy and the like.
    ///
    /// # Errors
    ///
    /// If it cannot be built, or not be read again: a number that no file can say, in a hedge that is
    /// off.
    pub fn to_toml(&self) -> Result<String, ConfigErrors> {
        self.check()?;
        let text = toml::to_string(self).map_err(|error| ConfigErrors::one("", error))?;
        Self::from_toml(&text)?;
        Ok(text)
    }
}

impl Readable for StackConfig {
    fn read(root: Value, mistakes: &mut Mistakes) -> Option<Self> {
        let hint = "write each layer as a table [[layer]] with a `kind`";
        let list = ("layer", hint);
        let (read, layers) = read::with_list::<Self, _>(root, &Self::schema(), list, mistakes);
        let layers: Vec<Option<LayerConfig>> = layers?;
        let looked_at: Vec<_> = layers.iter().map(Option::as_ref).collect();
        let total = read.as_ref().map(|read| read.total_timeout);
        assemble(total, &looked_at, Files::Closed, mistakes);
        Some(Self {
            layers: layers.into_iter().collect::<Option<_>>()?,
            ..read?
        })
    }
}

impl Describe for StackConfig {
    const NAME: &'static str = "stack";
}

impl From<LatencyConfig> for LayerConfig {
    fn from(config: LatencyConfig) -> Self {
        Self::Latency(config)
    }
}

impl From<TimeoutConfig> for LayerConfig {
    fn from(config: TimeoutConfig) -> Self {
        Self::Timeout(config)
    }
}

impl From<DeadlineConfig> for LayerConfig {
    fn from(config: DeadlineConfig) -> Self {
        Self::Deadline(config)
    }
}

impl From<RetryConfig> for LayerConfig {
    fn from(config: RetryConfig) -> Self {
        Self::Retry(Box::new(config))
    }
}

impl From<AdmissionConfig> for LayerConfig {
    fn from(config: AdmissionConfig) -> Self {
        Self::Admission(Box::new(config))
    }
}

impl From<CacheConfig> for LayerConfig {
    fn from(config: CacheConfig) -> Self {
        Self::Cache(Box::new(config))
    }
}

impl From<CoalesceConfig> for LayerConfig {
    fn from(config: CoalesceConfig) -> Self {
        Self::Coalesce(Box::new(config))
    }
}

impl From<IdempotentPathsConfig> for LayerConfig {
    fn from(config: IdempotentPathsConfig) -> Self {
        Self::IdempotentPaths(config)
    }
}

impl From<ReplayBodyConfig> for LayerConfig {
    fn from(config: ReplayBodyConfig) -> Self {
        Self::ReplayBody(config)
    }
}

impl From<HedgeConfig> for LayerConfig {
    fn from(config: HedgeConfig) -> Self {
        Self::Hedge(Box::new(config))
    }
}

impl From<DrainConfig> for LayerConfig {
    fn from(config: DrainConfig) -> Self {
        Self::Drain(config)
    }
}

impl From<ReceiveDeadlineConfig> for LayerConfig {
    fn from(config: ReceiveDeadlineConfig) -> Self {
        Self::ReceiveDeadline(config)
    }
}

impl From<SendDeadlineConfig> for LayerConfig {
    fn from(config: SendDeadlineConfig) -> Self {
        Self::SendDeadline(config)
    }
}

impl From<AwaitFirstConfig> for LayerConfig {
    fn from(config: AwaitFirstConfig) -> Self {
        Self::AwaitFirst(config)
    }
}
