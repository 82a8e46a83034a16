//! How many run at once, by a policy that adapts.

use hedgerow_admission::{
    Aimd, AimdConfig, Elasticity, ElasticityConfig, Gradient, GradientConfig, LimitError,
    LimitPolicy, Vegas, VegasConfig,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::default;
use crate::config::describe::Describe;
use crate::config::error::Mistakes;
use crate::config::hedge::number;
use crate::config::time::ConfigDuration;

/// How many run at once, by a policy that adapts: see [`LimitPolicy`] for which one.
///
/// One that does not adapt is `concurrency`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "How many run at once, by a policy that adapts.")]
#[non_exhaustive]
pub struct LimitConfig {
    /// How the limit moves. One that never does is `concurrency`.
    pub policy: LimitName,
    /// The smallest limit, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::LIMIT_MIN))]
    pub min: Option<u64>,
    /// The limit it begins with, from `min` to `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::limit_initial()))]
    pub initial: Option<u64>,
    /// The largest limit, at most 1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::LIMIT_MAX))]
    pub max: Option<u64>,
    /// aimd: what remains of the limit when it falls, 0.1 to 0.99.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::BACKOFF))]
    pub backoff: Option<f64>,
    /// aimd: after how long an answer is too slow, at most 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, only refusals, timeouts and callers who gave up count"))]
    pub slow_after: Option<ConfigDuration>,
    /// aimd: which share of calls may be slow or time out before the limit falls, 0 to 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::TOLERATE))]
    pub tolerate: Option<f64>,
    /// vegas: the share of calls that may wait in the service before the limit stops rising, 0.01 to
    /// 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::ALPHA))]
    pub alpha: Option<f64>,
    /// vegas: the same before the limit falls, from `alpha` to 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::BETA))]
    pub beta: Option<f64>,
    /// gradient: how many times the latency without a queue is put up with, 1 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::TOLERANCE))]
    pub tolerance: Option<f64>,
    /// gradient: how many calls wait in the service, 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::STANDING))]
    pub standing: Option<f64>,
    /// gradient: the weight of a round's limit in the next one, 0.01 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::SMOOTHING))]
    pub smoothing: Option<f64>,
    /// elasticity: how much more gets done with a little more at once, where the limit is steered to,
    /// 0.05 to 0.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::TARGET))]
    pub target: Option<f64>,
}

/// How a limit moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum LimitName {
    /// Up by one while all is well, down by a share when it is not: see [`Aimd`].
    Aimd,
    /// To where a few calls wait in the service: see [`Vegas`].
    Vegas,
    /// By how much longer calls take than they should: see [`Gradient`].
    Gradient,
    /// To where more at once brings little more: see [`Elasticity`].
    Elasticity,
}

impl LimitName {
    const ALL: [Self; 4] = [Self::Aimd, Self::Vegas, Self::Gradient, Self::Elasticity];

    const fn name(self) -> &'static str {
        match self {
            Self::Aimd => "aimd",
            Self::Vegas => "vegas",
            Self::Gradient => "gradient",
            Self::Elasticity => "elasticity",
        }
    }

    /// The keys that it alone reads.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Aimd => &["backoff", "slow_after", "tolerate"],
            Self::Vegas => &["alpha", "beta"],
            Self::Gradient => &["tolerance", "standing", "smoothing"],
            Self::Elasticity => &["target"],
        }
    }

    /// Whose key this is, if it is one policy's.
    fn reader(key: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|name| name.keys().contains(&key))
    }
}

impl LimitConfig {
    /// The defaults of a policy.
    #[must_use]
    pub const fn new(policy: LimitName) -> Self {
        Self {
            policy,
            min: None,
            initial: None,
            max: None,
            backoff: None,
            slow_after: None,
            tolerate: None,
            alpha: None,
            beta: None,
            tolerance: None,
            standing: None,
            smoothing: None,
            target: None,
        }
    }

    pub(super) fn assemble(&self, mistakes: &mut Mistakes) -> Option<Box<dyn LimitPolicy>> {
        let written = self.written();
        let mut fine = true;
        for (key, value) in &written {
            if let Some(reader) = LimitName::reader(key).filter(|reader| *reader != self.policy) {
                let problem = format!(
                    "the policy {:?} does not read it: leave it out, or write policy = {:?}",
                    self.policy.name(),
                    reader.name()
                );
                mistakes.refuse(key, value, problem);
                fine = false;
            }
        }
        // Each by itself first, so that one that is wrong does not hide another.
        for (key, value) in &written {
            let bounds = matches!(key.as_str(), "min" | "initial" | "max");
            if bounds || !self.policy.keys().contains(&key.as_str()) {
                continue;
            }
            let mut alone = Self::new(self.policy);
            alone.take(self, key);
            fine &= mistakes.attempt(key, value, alone.policy()).is_some();
        }
        let mut bounds = Self::new(self.policy);
        (bounds.min, bounds.initial, bounds.max) = (self.min, self.initial, self.max);
        if let Err(error) = bounds.policy() {
            let first = ["initial", "max", "min"].into_iter();
            let written = first
                .filter_map(|key| Some((key, written.get(key)?)))
                .next();
            let (key, value) = written.unwrap_or(("initial", &serde_json::Value::Null));
            mistakes.refuse(key, value, error);
            fine = false;
        }
        if !fine {
            return None;
        }
        // How they stand to each other, and to what is not written.
        let own = self.policy.keys().iter();
        let mut own = own.filter_map(|key| Some((*key, written.get(*key)?)));
        let (key, value) = own.next().unwrap_or(("policy", &serde_json::Value::Null));
        mistakes.attempt(key, value, self.policy())
    }

    fn written(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut written = serde_json::to_value(self).unwrap_or_default();
        let keys = written.as_object_mut().map(std::mem::take);
        let mut keys = keys.unwrap_or_default();
        keys.remove("policy");
        keys
    }

    /// Takes one setting over from `other`, and what it is compared with.
    fn take(&mut self, other: &Self, key: &str) {
        match key {
            "backoff" => self.backoff = other.backoff,
            "slow_after" => self.slow_after = other.slow_after,
            "tolerate" => self.tolerate = other.tolerate,
            "alpha" => {
                self.alpha = other.alpha;
                // Its upper end is told of `beta`.
                self.beta = Some(0.5);
            }
            "beta" => {
                let fine = other.alpha.filter(|alpha| (0.01..=0.5).contains(alpha));
                (self.alpha, self.beta) = (fine, other.beta);
            }
            "tolerance" => self.tolerance = other.tolerance,
            "standing" => self.standing = other.standing,
            "smoothing" => self.smoothing = other.smoothing,
            "target" => self.target = other.target,
            _ => {}
        }
    }

    fn policy(&self) -> Result<Box<dyn LimitPolicy>, LimitError> {
        let (min, initial) = (self.min.map(number), self.initial.map(number));
        let max = self.max.map(number);
        macro_rules! with {
            ($config:expr, $($set:ident = $value:expr),* $(,)?) => {{
                let mut config = $config;
                $(if let Some(value) = $value { config = config.$set(value); })*
                config
            }};
        }
        Ok(match self.policy {
            LimitName::Aimd => Box::new(Aimd::try_new(with!(
                AimdConfig::default(),
                min = min,
                initial = initial,
                max = max,
                backoff = self.backoff,
                slow_after = self.slow_after.map(ConfigDuration::get),
                tolerate = self.tolerate,
            ))?),
            LimitName::Vegas => Box::new(Vegas::try_new(with!(
                VegasConfig::default(),
                min = min,
                initial = initial,
                max = max,
                alpha = self.alpha,
                beta = self.beta,
            ))?),
            LimitName::Gradient => Box::new(Gradient::try_new(with!(
                GradientConfig::default(),
                min = min,
                initial = initial,
                max = max,
                tolerance = self.tolerance,
                queue = self.standing,
                smoothing = self.smoothing,
            ))?),
            LimitName::Elasticity => Box::new(Elasticity::try_new(with!(
                ElasticityConfig::default(),
                min = min,
                initial = initial,
                max = max,
                target = self.target,
            ))?),
        })
    }

    /// As it holds, with what is not written of it.
    pub(super) fn told(&self) -> String {
        let written = self.written();
        let mut all = vec![format!("policy = {:?}", self.policy.name())];
        for key in Self::describe().keys {
            if LimitName::reader(&key.key).is_some_and(|reader| reader != self.policy)
                || key.key == "policy"
            {
                continue;
            }
            let default = key.default.unwrap_or_default();
            let value = written.get(&key.key).map(ToString::to_string);
            match value {
                Some(value) => all.push(format!("{} = {value}", key.key)),
                // Told in words: nothing holds.
                None if key.key == "slow_after" => {}
                None => all.push(format!("{} = {default}", key.key)),
            }
        }
        format!("{{ {} }}", all.join(", "))
    }
}

impl Describe for LimitConfig {
    const NAME: &'static str = "limit";
}
