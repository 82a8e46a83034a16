//! The rules of order, and which of them a stack breaks.

use std::fmt;

use super::assemble::shares_budget;
use super::hedge::{HedgeConfig, LatencySource, Strategy};
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

impl LayerConfig {
    fn is_hedge(&self) -> bool {
        matches!(self, Self::Hedge(_))
    }
}

/// A layer's place in its stack.
pub(crate) struct Place<'a> {
    stack: &'a StackConfig,
    outside: &'a [LayerConfig],
    inside: &'a [LayerConfig],
}

impl Place<'_> {
    /// The nearest hedge outside.
    fn hedge_outside(&self) -> Option<usize> {
        self.outside.iter().rposition(LayerConfig::is_hedge)
    }

    pub(super) fn timeout(&self, after: std::time::Duration, warn: &mut dyn FnMut(String)) {
        let total = self.stack.total_timeout.get();
        if let Some(total) = total.filter(|total| after >= *total) {
            warn(format!(
                "it never fires, because total_timeout ends the call after {total:?}: write a \
                 shorter time, or total_timeout = \"none\""
            ));
        }
        if let Some(hedge) = self.hedge_outside() {
            warn(format!(
                "inside of the hedge at layer[{hedge}] it is an attempt timeout, which bounds each \
                 attempt by itself: to bound the call put it outside of the hedge"
            ));
        }
    }

    pub(super) fn drain(&self, warn: &mut dyn FnMut(String)) {
        match self.outside.last() {
            Some(outside) if outside.is_hedge() => {}
            Some(outside) => warn(format!(
                "it is to be right beneath a hedge, and {} is between: what a layer between them \
                 drops or keeps is not drained as a loser",
                match self.hedge_outside() {
                    Some(_) => outside.kind(),
                    None => "no hedge is outside of it; nothing",
                }
            )),
            None => warn(String::from(
                "it is to be right beneath a hedge, and none is outside of it: it drains nothing",
            )),
        }
    }

    pub(super) fn replay_body(&self, warn: &mut dyn FnMut(String)) {
        if let Some(hedge) = self.hedge_outside() {
            warn(format!(
                "it is to be outside of the hedge at layer[{hedge}], which sends a request with a \
                 body only once as it stands"
            ));
        }
        let again = |layer: &LayerConfig| matches!(layer, LayerConfig::ReplayBody(_));
        if let Some(first) = self.outside.iter().position(again) {
            warn(format!(
                "the body was already kept, or found too large, at layer[{first}]: leave one out"
            ));
        }
    }

    pub(super) fn idempotent_paths(&self, warn: &mut dyn FnMut(String)) {
        let reads = |layer: &LayerConfig| {
            matches!(layer, LayerConfig::Hedge(_) | LayerConfig::ReplayBody(_))
        };
        if let Some(at) = self.outside.iter().position(reads) {
            let kind = self.outside[at].kind();
            warn(format!(
                "it is to be outside of the {kind} at layer[{at}], which has asked already whether \
                 the request may be sent twice"
            ));
        }
        let keeps = |layer: &LayerConfig| matches!(layer, LayerConfig::ReplayBody(_));
        let all = &self.stack.layers;
        if all.iter().any(LayerConfig::is_hedge) && !all.iter().any(keeps) {
            warn(String::from(
                "a hedge sends a request with a body only once, unless there is a replay_body \
                 outside of it: add one beneath this layer",
            ));
        }
    }

    pub(super) fn hedge(&self, config: &HedgeConfig, warn: &mut dyn FnMut(String)) {
        if config.strategy == Strategy::Off {
            return;
        }
        let latency = |layer: &LayerConfig| matches!(layer, LayerConfig::Latency(_));
        let beneath = self.inside.iter().position(latency);
        match (config.latency, beneath) {
            (LatencySource::Shared, _) if config.key.is_some() => warn(String::from(
                "each key reads a histogram of its own, so no call reads the shared one: write latency = \
                 \"own\", or leave the key out",
            )),
            (LatencySource::Shared, None) => {
                if let Some(outside) = self.outside.iter().rposition(latency) {
                    warn(format!(
                        "it reads the latencies of whole calls, which layer[{outside}] records \
                         outside of it: put the latency layer beneath the hedge"
                    ));
                }
            }
            // With a key the latency layer's histogram is for whoever asks it.
            (LatencySource::Own, Some(beneath)) if config.key.is_none() => warn(format!(
                "each attempt is recorded twice, here and at layer[{}]: write latency = \"shared\"",
                self.outside.len() + 1 + beneath
            )),
            _ => {}
        }
        let hedges = |layer: &LayerConfig| matches!(layer, LayerConfig::Hedge(config) if config.strategy != Strategy::Off);
        if let Some(outer) = self.outside.iter().rposition(hedges)
            && !shares_budget(config)
        {
            warn(format!(
                "two hedges multiply their copies, and this one has a budget beside that of \
                 layer[{outer}]: write budget = \"shared\", or leave one out"
            ));
        }
    }
}
