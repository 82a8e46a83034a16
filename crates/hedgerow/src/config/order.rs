//! The rules of order, and which of them a stack breaks.

mod time;
mod copies;
mod measures;
mod places;
mod caching;

use std::fmt;

use super::hedge::{HedgeConfig, Strategy};
use super::retry::RetryConfig;
use super::stack::{LayerConfig, StackConfig};

/// A rule of order that a stack breaks, or what a layer means in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The layer, like `layer[1]`.
    pub layer: String,
    /// What it is called, like `drain`.
    pub kind: &'static str,
    /// What does not work as it stands, and what to write.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.layer, self.kind, self.text)
    }
}

impl StackConfig {
    /// Every rule of order that this stack breaks. It can be built all the same.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let mut warn = |text: String| {
                warnings.push(Warning {
                    layer: format!("layer[{at}]"),
                    kind: layer.kind(),
                    text,
                });
            };
            let place = Place {
                stack: self,
                outside: &self.layers[..at],
                inside: &self.layers[at + 1..],
            };
            layer.member().warn(&place, &mut warn);
        }
        warnings
    }
}

/// A layer's place in its stack.
pub(crate) struct Place<'a> {
    stack: &'a StackConfig,
    outside: &'a [LayerConfig],
    inside: &'a [LayerConfig],
}

/// Told what is wrong.
type Warn<'a> = dyn FnMut(String) + 'a;

impl Place<'_> {
    /// The nearest such layer outside.
    fn outside(&self, is: impl Fn(&LayerConfig) -> bool) -> Option<usize> {
        self.outside.iter().rposition(is)
    }

    /// The nearest such layer inside.
    fn inside(&self, is: impl Fn(&LayerConfig) -> bool) -> Option<usize> {
        let beneath = self.inside.iter().position(is)?;
        Some(self.outside.len() + 1 + beneath)
    }

    /// The nearest hedge outside.
    fn hedge_outside(&self) -> Option<usize> {
        self.outside(LayerConfig::is_hedge)
    }
}

impl LayerConfig {
    fn is_hedge(&self) -> bool {
        matches!(self, Self::Hedge(_))
    }

    /// One that sends copies.
    fn hedges(&self) -> bool {
        matches!(self, Self::Hedge(config) if is_on(config))
    }

    /// One that sends anything again.
    fn retries(&self) -> bool {
        matches!(self, Self::Retry(config) if RetryConfig::is_on(config))
    }

    /// One that sends a request more than once.
    fn sends_again(&self) -> bool {
        self.hedges() || self.retries()
    }

    fn is_latency(&self) -> bool {
        matches!(self, Self::Latency(_))
    }

    fn is_admission(&self) -> bool {
        matches!(self, Self::Admission(_))
    }

    fn keeps_bodies(&self) -> bool {
        matches!(self, Self::ReplayBody(_))
    }
}

fn is_on(config: &HedgeConfig) -> bool {
    config.strategy != Strategy::Off
}
