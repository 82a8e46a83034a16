//! What sends a request again: hedges, retries, and what they need outside of them.

use super::{LayerConfig, Place, Warn, is_on};
use crate::config::budget::{BudgetConfig, BudgetName};
use crate::config::hedge::{HedgeConfig, LatencySource};
use crate::config::retry::{GateSource, RetryConfig};

impl Place<'_> {
    pub(in crate::config) fn retry(&self, config: &RetryConfig, warn: &mut Warn<'_>) {
        if !config.is_on() {
            return;
        }
        if let Some(outer) = self.outside(LayerConfig::retries) {
            warn(format!(
                "two retries multiply their tries, and the one at layer[{outer}] retries already: \
                 leave one out"
            ));
        }
        if let Some(hedge) = self.outside(LayerConfig::hedges) {
            warn(format!(
                "it is to be outside of the hedge at layer[{hedge}], each copy of which waits and \
                 retries by itself as it stands"
            ));
        }
        if config.latency == GateSource::Shared {
            self.shared_latencies(warn);
        }
        if let Some(after) = config.attempt_timeout {
            self.beyond_total("attempt_timeout", after.get(), warn);
        }
        if let Some(after) = config.deadline {
            self.beyond_total("deadline", after.get(), warn);
        }
        if let (Some(one), Some(all)) = (config.attempt_timeout, config.deadline)
            && one >= all
        {
            warn(format!(
                "attempt_timeout = \"{one}\" never fires, because deadline ends the call after {all}: \
                 write a shorter one"
            ));
        }
    }

    pub(in crate::config) fn hedge(&self, config: &HedgeConfig, warn: &mut Warn<'_>) {
        if !is_on(config) {
            return;
        }
        match (config.latency, self.inside(LayerConfig::is_latency)) {
            (LatencySource::Shared, _) if config.key.is_some() => warn(String::from(
                "each key reads a histogram of its own, so no call reads the shared one: write latency = \
                 \"own\", or leave the key out",
            )),
            (LatencySource::Shared, _) => self.shared_latencies(warn),
            // With a key the latency layer's histogram is for whoever asks it.
            (LatencySource::Own, Some(_)) if config.key.is_some() => {}
            (LatencySource::Own, Some(beneath)) => warn(format!(
                "each attempt is recorded twice, here and at layer[{beneath}]: write latency = \
                 \"shared\""
            )),
            (LatencySource::Own, None) => {
                if let Some(queue) = self.inside(LayerConfig::is_admission) {
                    warn(format!(
                        "its latencies count the wait in the queue at layer[{queue}]: put a layer of \
                         kind \"latency\" beneath that, and write latency = \"shared\""
                    ));
                }
            }
        }
        let shares = config.budget == Some(BudgetConfig::Named(BudgetName::Shared));
        if let Some(outer) = self.outside(LayerConfig::hedges).filter(|_| !shares) {
            warn(format!(
                "two hedges multiply their copies, and this one has a budget beside that of \
                 layer[{outer}]: write budget = \"shared\", or leave one out"
            ));
        }
    }

    /// Shared latencies are those of attempts.
    fn shared_latencies(&self, warn: &mut Warn<'_>) {
        if self.inside(LayerConfig::is_latency).is_some() {
            return;
        }
        if let Some(outside) = self.outside(LayerConfig::is_latency) {
            warn(format!(
                "it reads the latencies of whole calls, which layer[{outside}] records outside of it: \
                 put the latency layer beneath it"
            ));
        }
    }

    pub(in crate::config) fn replay_body(&self, warn: &mut Warn<'_>) {
        let again = |layer: &LayerConfig| layer.is_hedge() || layer.retries();
        if let Some(at) = self.outside.iter().position(again) {
            let kind = self.outside[at].kind();
            warn(format!(
                "it is to be outside of the {kind} at layer[{at}], which sends a request with a body \
                 only once as it stands"
            ));
        }
        if let Some(first) = self.outside.iter().position(LayerConfig::keeps_bodies) {
            warn(format!(
                "the body was already kept, or found too large, at layer[{first}]: leave one out"
            ));
        }
    }

    pub(in crate::config) fn idempotent_paths(&self, warn: &mut Warn<'_>) {
        let again = |layer: &LayerConfig| layer.is_hedge() || layer.retries();
        let reads = |layer: &LayerConfig| again(layer) || layer.keeps_bodies();
        if let Some(at) = self.outside.iter().position(reads) {
            let kind = self.outside[at].kind();
            warn(format!(
                "it is to be outside of the {kind} at layer[{at}], which has asked already whether \
                 the request may be sent twice"
            ));
        }
        let all = &self.stack.layers;
        if let Some(at) = all.iter().position(again)
            && !all.iter().any(LayerConfig::keeps_bodies)
        {
            let kind = all[at].kind();
            warn(format!(
                "a {kind} sends a request with a body only once, unless there is a replay_body \
                 outside of it: add one beneath this layer"
            ));
        }
    }

    pub(in crate::config) fn await_first(&self, warn: &mut Warn<'_>) {
        let counts =
            |layer: &LayerConfig| layer.sends_again() || layer.is_latency() || layer.is_admission();
        if let Some(at) = self.inside(counts) {
            let kind = self.stack.layers[at].kind();
            warn(format!(
                "it is to be inside of the {kind} at layer[{at}], to which an answer counts with its \
                 head as it stands"
            ));
        }
        let awaits = |layer: &LayerConfig| matches!(layer, LayerConfig::AwaitFirst(_));
        if let Some(outer) = self.outside(awaits) {
            warn(format!(
                "layer[{outer}] waits for the first of the same answers: leave one out"
            ));
        }
    }

    pub(in crate::config) fn send_deadline(&self, warn: &mut Warn<'_>) {
        let sets = |layer: &LayerConfig| {
            matches!(
                layer,
                LayerConfig::Deadline(_) | LayerConfig::ReceiveDeadline(_)
            )
        };
        let plans = |layer: &LayerConfig| match layer {
            LayerConfig::Retry(retry) => retry.deadline.is_some(),
            layer => sets(layer),
        };
        let known = self.stack.total_timeout.get().is_some() || self.outside(plans).is_some();
        if !known {
            warn(String::from(
                "no layer outside of it sets a deadline, so there is none to tell: put a layer of kind \
                 \"deadline\" outside, or leave it out",
            ));
        }
        let spends = |layer: &LayerConfig| layer.sends_again() || layer.is_admission();
        if let Some(at) = self.inside(spends) {
            let kind = self.stack.layers[at].kind();
            warn(format!(
                "it is to be inside of the {kind} at layer[{at}], whose waits are not taken off as it \
                 stands"
            ));
        }
    }
}
