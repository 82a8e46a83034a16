//! A stack, told from the outside in.

use std::fmt;

use serde_json::Value;

use super::admission::AdmissionConfig;
use super::bodies::{IdempotentPathsConfig, ReplayBodyConfig};
use super::budget::told;
use super::cache::CacheConfig;
use super::coalesce::CoalesceConfig;
use super::deadline::DeadlineConfig;
use super::describe::{Describe, Description};
use super::drain::DrainConfig;
use super::error::Mistakes;
use super::first::AwaitFirstConfig;
use super::hedge::{HedgeConfig, LatencySource, Shared, Strategy};
use super::latency::LatencyConfig;
use super::order::Warning;
use super::receive_deadline::ReceiveDeadlineConfig;
use super::retry::RetryConfig;
use super::send_deadline::SendDeadlineConfig;
use super::stack::{LayerConfig, StackConfig};
use super::time::ConfigDuration;
use super::timeout::TimeoutConfig;

/// A stack, told from the outside in: what [`StackConfig::explain`] makes. Displays as text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The total timeout, and then each layer.
    pub layers: Vec<Explained>,
    /// Every rule of order that is broken.
    pub warnings: Vec<Warning>,
}

/// One layer with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// What it is called.
    pub kind: &'static str,
    /// What holds, in the order of the keys.
    pub options: Vec<Setting>,
}

/// An option as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Its value, as it would be written.
    pub value: String,
    /// Whether it is what holds if nothing is written.
    pub is_default: bool,
}

impl StackConfig {
    /// The layers from the outside in with their options, and a warning for every rule of order that
    /// is broken.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let total = serde_json::to_value(self.total_timeout).unwrap_or_default();
        let stack = Explained {
            kind: Self::NAME,
            options: vec![Setting {
                key: "total_timeout".to_owned(),
                value: total.to_string(),
                is_default: self.total_timeout == Self::default().total_timeout,
            }],
        };
        let layers = self.layers.iter().map(LayerConfig::explain);
        Explanation {
            layers: std::iter::once(stack).chain(layers).collect(),
            warnings: self.warnings(),
        }
    }
}

impl LayerConfig {
    /// What it is called in a file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.member().kind()
    }

    /// Every kind of layer, described, from the outside in as they are meant to stand.
    #[must_use]
    pub fn describe_all() -> Vec<Description> {
        vec![
            LatencyConfig::describe(),
            ReceiveDeadlineConfig::describe(),
            DeadlineConfig::describe(),
            TimeoutConfig::describe(),
            IdempotentPathsConfig::describe(),
            ReplayBodyConfig::describe(),
            CacheConfig::describe(),
            CoalesceConfig::describe(),
            RetryConfig::describe(),
            HedgeConfig::describe(),
            DrainConfig::describe(),
            AdmissionConfig::describe(),
            SendDeadlineConfig::describe(),
            AwaitFirstConfig::describe(),
        ]
    }

    fn explain(&self) -> Explained {
        let written = serde_json::to_value(self).unwrap_or_default();
        let options = self
            .member()
            .description()
            .keys
            .into_iter()
            .filter_map(|key| {
                let default = key.default.unwrap_or_default();
                let derived = self.member().holds(&key.key, &default)?;
                let value = written.get(&key.key).map(|value| match value {
                    // With what is not written of it.
                    Value::Object(_) => derived.clone(),
                    value => value.to_string(),
                });
                Some(Setting {
                    is_default: value.as_ref().is_none_or(|value| *value == default),
                    value: value.unwrap_or(derived),
                    key: key.key,
                })
            });
        Explained {
            kind: self.kind(),
            options: options.collect(),
        }
    }
}

impl HedgeConfig {
    /// What holds if this key is not written; `None` if it says nothing in this hedge.
    pub(super) fn key_holds(&self, key: &str, default: &str) -> Option<String> {
        let backoff = self.strategy == Strategy::Backoff;
        let off = self.strategy == Strategy::Off;
        let silent = match key {
            "strategy" => false,
            "max_hedges" | "budget" | "ready" | "observe_only" if off => true,
            "protocol" => self.protocol.is_none(),
            "key" | "max_keys" => self.key.is_none(),
            "window" => self.latency == LatencySource::Shared,
            key => !self.strategy.reads(key),
        };
        if silent {
            return None;
        }
        let shared = Shared::made_up();
        let layer = self.assemble(&shared, &mut Mistakes::default());
        let Some(handle) = layer.map(|layer| layer.handle()) else {
            return Some(default.to_owned());
        };
        Some(match key {
            "max_hedges" => handle.max_hedges().to_string(),
            "window" => handle.latency().window_size().to_string(),
            "budget" => told(handle.budget()),
            "min" if backoff => quoted(super::default::backoff().min),
            "max" if backoff => quoted(super::default::backoff().max),
            "min" => quoted(super::default::learnt_min()),
            "max" => "no limit".to_owned(),
            "delays" => {
                let arms: Vec<_> = super::default::arms().into_iter().map(quoted).collect();
                format!("[{}]", arms.join(","))
            }
            _ => default.to_owned(),
        })
    }
}

fn quoted(duration: ConfigDuration) -> String {
    format!("\"{duration}\"")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.layers.iter().enumerate() {
            match at.checked_sub(1) {
                None => writeln!(f, "{}", layer.kind)?,
                Some(at) => writeln!(f, "layer[{at}] {}", layer.kind)?,
            }
            for option in &layer.options {
                let by_default = if option.is_default { "  # default" } else { "" };
                writeln!(f, "    {} = {}{by_default}", option.key, option.value)?;
            }
        }
        writeln!(f, "client")?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
