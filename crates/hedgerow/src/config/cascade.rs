//! A cascade as it is configured.

mod build;
mod plan;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::plan::CascadePlan;
use super::default;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::hedge::HedgeConfig;
use super::latency::LatencyConfig;
use super::read::{self, Readable};
use super::stack::TotalTimeout;
use super::time::ConfigDuration;

/// Sends a request to the first of several services, to the next one when that takes too long or is
/// not good enough: a [`Cascade`](crate::Cascade) as a file of its own.
///
/// What a file can say of it: its tiers with their names, delays, costs, thresholds and hedges, the
/// deadline, the spend cap. What it cannot is code: the services, handed in by the tiers' names, and
/// what an answer is worth.
///
/// # Examples
///
/// ```
/// use hedgerow::config::CascadeConfig;
/// use std::convert::Infallible;
/// use tower::{Service, ServiceExt, service_fn, util::BoxCloneSyncService};
///
/// let config = CascadeConfig::from_toml(r#"
///     total_timeout = "10s"
///     spend_cap = { per_100_calls = 50, depth = 100 }
///
///     [[tier]]
///     name = "cache"
///     cost = 0
///
///     [[tier]]
///     name = "origin"
///     after = "50ms"
///     cost = 5
///     hedge = { strategy = "fixed", delay = "100ms" }
/// "#)?;
/// let plan = config.build()?;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn run(plan: hedgerow::config::CascadePlan) -> Result<(), hedgerow::BoxError> {
/// let cache = service_fn(async |id: u64| if id < 10 { Ok(id) } else { Err("not cached") });
/// let origin = service_fn(async |id: u64| Ok::<_, Infallible>(id));
/// let services = [
///     ("cache", BoxCloneSyncService::new(cache.map_err(hedgerow::BoxError::from))),
///     ("origin", BoxCloneSyncService::new(origin.map_err(hedgerow::BoxError::from))),
/// ];
/// let mut cascade = plan.clone_requests(services)?.build()?;
/// assert_eq!(cascade.ready().await?.call(42).await?, 42);
/// assert_eq!(cascade.handle().stats().cost, 5.0);
/// # Ok(()) }
/// # run(plan)?;
/// # Ok::<_, hedgerow::BoxError>(())
/// ```
///
/// # Order
///
/// It is no part of a [`StackConfig`](super::StackConfig): a stack stands around *one* client, which
/// both of its ways in take, and a file that held a cascade would be half ignored by every program
/// that hands a single client in. The cascade is the client: `stack.clone_requests()?.layer(cascade)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "Sends a request to the first of several services, to the next one when that takes too long or is not good enough."
)]
#[non_exhaustive]
pub struct CascadeConfig {
    /// How long a call may take in all; "none" for no limit. When it is over, the best refused answer
    /// returns, if there is one.
    pub total_timeout: TotalTimeout,
    /// What the tiers beyond the first may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, a call costs at most the sum of its tiers"))]
    pub spend_cap: Option<SpendCapConfig>,
    /// The tiers in the order of preference, 1 to 16.
    #[serde(rename = "tier")]
    pub tiers: Vec<TierConfig>,
}

/// One tier of a [`CascadeConfig`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "One of the services that a request may be sent to.")]
#[non_exhaustive]
pub struct TierConfig {
    /// What it is called, its own in the cascade: its service is handed in under this name.
    pub name: String,
    /// When it starts if there is no acceptable answer, counted from the call's start: ascending from
    /// tier to tier, and none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::tier_after()))]
    pub after: Option<ConfigDuration>,
    /// What one call to it costs, in units of your own, 0 to 1000000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::TIER_COST))]
    pub cost: Option<f64>,
    /// The least score of an answer that is good enough. Needs a score, which is code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, whatever the judge takes is"))]
    pub threshold: Option<f64>,
    /// How long an attempt of this tier may take: each of its copies by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, as long as the call"))]
    pub attempt_timeout: Option<ConfigDuration>,
    /// Hedges this tier: the keys of a layer of kind "hedge", but for `key` and `protocol`. Each copy
    /// costs what the tier costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, one attempt a call"))]
    pub hedge: Option<Box<HedgeConfig>>,
    /// Records how long each attempt of this tier takes, for its hedge to share and for you.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, nothing is recorded but what the hedge does"))]
    pub latency: Option<LatencyConfig>,
}

/// What the tiers beyond the first may cost: see [`SpendCap`](crate::SpendCap).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
#[non_exhaustive]
pub struct SpendCapConfig {
    /// Cost units per 100 calls, 0 to 1000000000.
    pub per_100_calls: f64,
    /// Cost units at once, 0 to 1000000000, and no less than any of these tiers costs.
    pub depth: f64,
}

impl CascadeConfig {
    /// A cascade of these tiers, in the order of preference.
    pub fn new(tiers: impl IntoIterator<Item = TierConfig>) -> Self {
        Self {
            tiers: tiers.into_iter().collect(),
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

    /// Writes it as TOML: what was set.
    ///
    /// # Errors
    ///
    /// If it cannot be built: then a file may not be able to say it.
    pub fn to_toml(&self) -> Result<String, ConfigErrors> {
        self.build()?;
        let text = toml::to_string(self).map_err(|error| ConfigErrors::one("", error))?;
        Self::from_toml(&text)?;
        Ok(text)
    }

    /// Builds what does not depend on the services: hedges, latencies, the spend cap.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn build(&self) -> Result<CascadePlan, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let tiers: Vec<_> = self.tiers.iter().map(Some).collect();
        let built = build::assemble(Some(self), &tiers, &mut mistakes);
        mistakes.judge(built)
    }
}

impl TierConfig {
    /// A tier of this name, with the defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

impl SpendCapConfig {
    /// A cap of so many cost units per 100 calls, and so many at once.
    #[must_use]
    pub const fn new(per_100_calls: f64, depth: f64) -> Self {
        Self {
            per_100_calls,
            depth,
        }
    }
}

impl Readable for CascadeConfig {
    fn read(root: Value, mistakes: &mut Mistakes) -> Option<Self> {
        let list = ("tier", "write each tier as a table [[tier]] with a `name`");
        let (read, tiers) = read::with_list::<Self, _>(root, &Self::schema(), list, mistakes);
        let tiers: Vec<Option<TierConfig>> = tiers?;
        let looked_at: Vec<_> = tiers.iter().map(Option::as_ref).collect();
        build::assemble(read.as_ref(), &looked_at, mistakes);
        Some(Self {
            tiers: tiers.into_iter().collect::<Option<_>>()?,
            ..read?
        })
    }
}

impl Describe for CascadeConfig {
    const NAME: &'static str = "cascade";
}

impl Describe for TierConfig {
    const NAME: &'static str = "tier";
}
