//! From a configured retry to its layer.

use hedgerow_core::Budget;
use hedgerow_retry::{Exponential, Fixed, RetryLayer};

use super::{ConfiguredWaits, GateSource, RetryConfig};
use crate::config::assemble::Part;
use crate::config::budget::{BudgetConfig, BudgetName, told};
use crate::config::default;
use crate::config::error::Mistakes;
use crate::config::hedge::{Protocol, Shared, number};
use crate::config::member::{Given, Member};
use crate::config::order::Place;
use crate::config::time::ConfigDuration;

/// A retry, and what becomes of it among HTTP requests.
#[derive(Clone, Debug)]
pub(crate) struct RetryPart {
    pub(crate) layer: RetryLayer<ConfiguredWaits>,
    pub(crate) protocol: Option<Protocol>,
}

type Layer = RetryLayer<ConfiguredWaits>;

impl RetryConfig {
    /// The layer, or mistakes.
    pub(crate) fn assemble(&self, shared: &Shared, mistakes: &mut Mistakes) -> Option<Layer> {
        if let (Some(protocol), Some(problem)) = (self.protocol, shared.host.no_protocol()) {
            mistakes.refuse("protocol", protocol, problem);
        }
        let layer = self.waits(mistakes).map(RetryLayer::new);
        let layer = self.limited(layer, mistakes);
        let layer = self.gated(layer, shared, mistakes);
        let mut layer = self.paid(layer, shared, mistakes)?;
        if let Some(cap) = self.pushback_cap {
            layer = layer.pushback_cap(cap.get());
        }
        if self.timeouts_are_final {
            layer = layer.timeouts_are_final();
        }
        if self.forget_answers {
            layer = layer.forget_answers();
        }
        Some(layer)
    }

    fn waits(&self, mistakes: &mut Mistakes) -> Option<ConfiguredWaits> {
        let Some(wait) = self.wait else {
            let waits = self
                .doubling(mistakes)?
                .jitter(self.jitter.unwrap_or_default().into());
            return Some(ConfiguredWaits::Exponential(waits));
        };
        let written = [
            ("base", self.base.map(|base| base.to_string())),
            ("cap", self.cap.map(|cap| cap.to_string())),
            ("jitter", self.jitter.map(name_of)),
        ];
        for (key, value) in written {
            if let Some(value) = value {
                let problem =
                    format!("every wait is the same by wait = \"{wait}\": leave this out, or that");
                mistakes.refuse(key, value, problem);
            }
        }
        Some(ConfiguredWaits::Fixed(Fixed::new(wait.get())))
    }

    fn doubling(&self, mistakes: &mut Mistakes) -> Option<Exponential> {
        let base = self.base.unwrap_or(default::WAIT_BASE);
        let cap = self.cap.unwrap_or(default::WAIT_CAP);
        let tried = Exponential::try_new(base.get(), cap.get());
        // Which of them is wrong by itself; or else how they stand to each other.
        let alone = |time: ConfigDuration| Exponential::try_new(time.get(), time.get()).is_ok();
        let (key, value) = match (self.base, self.cap) {
            (Some(base), Some(cap)) if alone(base) && !alone(cap) => ("cap", cap),
            (None, Some(cap)) => ("cap", cap),
            _ => ("base", base),
        };
        if let Err(error) = &tried
            && let (Some(base), Some(cap)) = (self.base, self.cap)
            && !alone(base)
            && !alone(cap)
        {
            mistakes.refuse("base", base, error);
            mistakes.refuse("cap", cap, error);
            return None;
        }
        mistakes.attempt(key, value, tried)
    }

    fn limited(&self, layer: Option<Layer>, mistakes: &mut Mistakes) -> Option<Layer> {
        // A setting is looked at whether those before it are right or not.
        let mut whole = layer.is_some();
        let mut place = layer.unwrap_or_else(scratch);
        if let Some(n) = self.attempts {
            let tried = place.clone().try_attempts(number(n));
            let tried = mistakes.attempt("attempts", n, tried);
            whole &= tried.is_some();
            place = tried.unwrap_or(place);
        }
        if let Some(after) = self.attempt_timeout {
            let tried = place.clone().try_attempt_timeout(after.get());
            let tried = mistakes.attempt("attempt_timeout", after, tried);
            whole &= tried.is_some();
            place = tried.unwrap_or(place);
        }
        if let Some(after) = self.deadline {
            let tried = place.clone().try_deadline(after.get());
            let tried = mistakes.attempt("deadline", after, tried);
            whole &= tried.is_some();
            place = tried.unwrap_or(place);
        }
        whole.then_some(place)
    }

    fn gated(
        &self,
        layer: Option<Layer>,
        shared: &Shared,
        mistakes: &mut Mistakes,
    ) -> Option<Layer> {
        let mut layer = layer;
        if let Some(p) = self.gate_percentile {
            if self.latency == GateSource::None {
                let problem =
                    "no latencies are read: write latency = \"shared\" too, or leave it out";
                mistakes.refuse("gate_percentile", p, problem);
            } else {
                let place = layer.clone().unwrap_or_else(scratch);
                let tried = mistakes.attempt("gate_percentile", p, place.try_gate_percentile(p));
                layer = layer.and(tried);
            }
        }
        if self.latency == GateSource::None {
            return layer;
        }
        let Some(latency) = &shared.latency else {
            let problem = "there is no latency layer to share with: put a layer of kind \"latency\" \
                           beneath, or write \"none\"";
            mistakes.refuse("latency", self.latency, problem);
            return None;
        };
        layer.map(|layer| layer.latency(latency.clone()))
    }

    fn paid(
        &self,
        layer: Option<Layer>,
        shared: &Shared,
        mistakes: &mut Mistakes,
    ) -> Option<Layer> {
        match &self.budget {
            None => layer,
            Some(BudgetConfig::Named(BudgetName::Unlimited)) => {
                layer.map(|layer| layer.budget(Budget::unlimited()))
            }
            Some(BudgetConfig::Named(BudgetName::Shared)) => {
                let budget = shared.paying(&self.budget, mistakes)?;
                layer.map(|layer| layer.share_budget(budget))
            }
            Some(BudgetConfig::Share(share)) => {
                let place = layer.clone().unwrap_or_else(scratch);
                let budget = share.over(place.handle().budget(), mistakes);
                Some(layer?.budget(budget?))
            }
        }
    }

    /// What holds if this key is not written; `None` if it says nothing in this retry.
    fn key_holds(&self, key: &str, default: &str) -> Option<String> {
        let silent = match key {
            "attempts" => false,
            _ if !self.is_on() && !matches!(key, "attempt_timeout" | "deadline") => true,
            "base" | "cap" | "jitter" => self.wait.is_some(),
            "wait" => self.wait.is_none(),
            "gate_percentile" => self.latency == GateSource::None,
            "protocol" => self.protocol.is_none(),
            _ => false,
        };
        if silent {
            return None;
        }
        if key != "budget" {
            return Some(default.to_owned());
        }
        let shared = Shared::made_up();
        let layer = self.assemble(&shared, &mut Mistakes::default());
        Some(layer.map_or_else(|| default.to_owned(), |layer| told(layer.handle().budget())))
    }
}

impl Member for RetryConfig {
    fn part(&self, given: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        let layer = self.assemble(&given.shared, mistakes)?;
        let protocol = self.protocol;
        Some(Part::Retry(Box::new(RetryPart { layer, protocol })))
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.retry(self, warn);
    }

    fn holds(&self, key: &str, default: &str) -> Option<String> {
        self.key_holds(key, default)
    }
}

fn name_of(jitter: super::JitterConfig) -> String {
    let name = serde_json::to_value(jitter).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// A layer to try settings on when there is none.
fn scratch() -> Layer {
    RetryLayer::new(ConfiguredWaits::Fixed(Fixed::new(
        std::time::Duration::ZERO,
    )))
}
