//! From a configured hedge to its layer.

use hedgerow_core::Budget;
use hedgerow_hedge::HedgeLayer;
use hedgerow_hedge::policy::Fixed;
use hedgerow_latency::Latency;

use super::{ConfiguredPolicy, HedgeConfig, LatencySource, Strategy, number};
use crate::config::assemble::{HedgePart, Part};
use crate::config::budget::{BudgetConfig, BudgetName};
use crate::config::default;
use crate::config::error::Mistakes;
use crate::config::key::RequestKey;
use crate::config::member::{Given, Member};
use crate::config::order::Place;

/// What else stands around a hedge or a retry that it may share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) latency: Option<Latency>,
    pub(crate) budget: Option<Budget>,
    pub(crate) host: Host,
}

/// Where a hedge or a retry stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Host {
    /// By itself, to be put into a stack in code.
    #[default]
    Alone,
    /// In a stack.
    Stack,
    /// In a tier of a cascade.
    Tier,
}

impl Shared {
    /// Something of everything, to look at a layer alone.
    pub(crate) fn made_up() -> Self {
        Self {
            latency: Some(Latency::new()),
            budget: Some(default::budget()),
            host: Host::Stack,
        }
    }

    /// The budget that pays for a layer which has none of its own.
    pub(crate) fn paying(
        &self,
        written: &Option<BudgetConfig>,
        mistakes: &mut Mistakes,
    ) -> Option<Budget> {
        if self.budget.is_none() {
            let problem = "there is no retry and no hedge further out to share with: write a budget \
                           of its own, like { percent = 10, depth = 50 }";
            mistakes.refuse("budget", written, problem);
        }
        self.budget.clone()
    }
}

impl Host {
    /// Why there is no `key` here; `None` if there may be one.
    const fn no_key(self) -> Option<&'static str> {
        match self {
            Self::Alone => Some(
                "a layer alone does not know what its requests are: build a stack of HTTP \
                 requests, or write .key(f) in code",
            ),
            Self::Tier => Some(
                "a tier's hedge learns for all requests together: leave it out, or write the \
                 tier's .hedged(layer) in code",
            ),
            Self::Stack => None,
        }
    }

    /// Why there is no `protocol` here; `None` if there may be one.
    pub(crate) const fn no_protocol(self) -> Option<&'static str> {
        match self {
            Self::Alone => Some(
                "a layer alone does not know what its requests are: build a stack of HTTP \
                 requests, or write .http() or .grpc() in code",
            ),
            Self::Tier => Some(
                "a tier speaks what its cascade speaks: leave it out, and build the cascade with \
                 .http(services)",
            ),
            Self::Stack => None,
        }
    }

    /// Why there are no latencies to share.
    const fn no_latency(self) -> &'static str {
        match self {
            Self::Tier => {
                "the tier records no latencies to share: write `latency = {}` beside `hedge`, or \
                 \"own\""
            }
            Self::Alone | Self::Stack => {
                "there is no latency layer to share with: put a layer of kind \"latency\" \
                 beneath, or write \"own\""
            }
        }
    }
}

impl HedgeConfig {
    /// The layer, or mistakes.
    pub(crate) fn assemble(
        &self,
        shared: &Shared,
        mistakes: &mut Mistakes,
    ) -> Option<HedgeLayer<ConfiguredPolicy>> {
        self.check_keys(shared, mistakes);
        let layer = self.of_strategy(mistakes);
        let layer = self.limited(layer, mistakes);
        let layer = self.measured(layer, shared, mistakes);
        let layer = self.paid(layer, shared, mistakes)?;
        let layer = layer.ready(self.ready.into());
        Some(if self.observe_only {
            layer.observe_only()
        } else {
            layer
        })
    }

    /// Keys that have no meaning here.
    fn check_keys(&self, shared: &Shared, mistakes: &mut Mistakes) {
        self.check_strategy(mistakes);
        if let Some(key) = &self.key {
            mistakes.attempt("key", key, RequestKey::parse(key));
        }
        if let (Some(at_most), None) = (self.max_keys, &self.key) {
            mistakes.refuse(
                "max_keys",
                at_most,
                "there are no keys: write `key` too, or leave it out",
            );
        }
        if let Some(at_most) = self.max_keys {
            mistakes.attempt("max_keys", at_most, default::try_max_keys(at_most));
        }
        if let (Some(key), Some(problem)) = (&self.key, shared.host.no_key()) {
            mistakes.refuse("key", key, problem);
        }
        if let (Some(protocol), Some(problem)) = (self.protocol, shared.host.no_protocol()) {
            mistakes.refuse("protocol", protocol, problem);
        }
    }

    fn limited(
        &self,
        layer: Option<HedgeLayer<ConfiguredPolicy>>,
        mistakes: &mut Mistakes,
    ) -> Option<HedgeLayer<ConfiguredPolicy>> {
        let Some(n) = self.max_hedges else {
            return layer;
        };
        // Off may keep the number for the day on which it is switched on.
        let off = self.strategy == Strategy::Off;
        let place = layer.clone().filter(|_| !off).unwrap_or_else(scratch);
        let limited = mistakes
            .attempt("max_hedges", n, place.try_max_hedges(number(n)))
            .filter(|_| self.agree_on_copies(n, mistakes) && self.all_are_sent(n, mistakes));
        if off { layer } else { layer.and(limited) }
    }

    /// Whether `copies` and `max_hedges`, if both are written, say the same.
    fn agree_on_copies(&self, max_hedges: u64, mistakes: &mut Mistakes) -> bool {
        let Some(copies) = self.copies.filter(|_| self.strategy == Strategy::Parallel) else {
            return true;
        };
        // What is out of range was told.
        let agree = copies == max_hedges.saturating_add(1) || !(1..=65).contains(&copies);
        if !agree {
            let problem = format!(
                "copies = {copies} says how many are sent at once, the first one counted: leave this out"
            );
            mistakes.refuse("max_hedges", max_hedges, problem);
        }
        agree
    }

    /// Whether `max_hedges` leaves no delay of a schedule without its copy.
    fn all_are_sent(&self, max_hedges: u64, mistakes: &mut Mistakes) -> bool {
        let delays = self.delays.as_ref();
        let count = delays
            .filter(|_| self.strategy == Strategy::Schedule)
            .map_or(0, Vec::len) as u64;
        // What is out of range was told.
        let all = count <= max_hedges || max_hedges == 0 || count > MAX_HEDGES;
        if !all {
            let problem = format!(
                "the schedule has {count} delays, and those beyond {max_hedges} are never used: leave this \
                 out, or write fewer delays"
            );
            mistakes.refuse("max_hedges", max_hedges, problem);
        }
        all
    }

    fn measured(
        &self,
        layer: Option<HedgeLayer<ConfiguredPolicy>>,
        shared: &Shared,
        mistakes: &mut Mistakes,
    ) -> Option<HedgeLayer<ConfiguredPolicy>> {
        if self.latency == LatencySource::Shared {
            if let Some(half) = self.window {
                let problem = "the latencies are shared: write the window of the latency layer, or leave it out";
                mistakes.refuse("window", half, problem);
            }
            let Some(latency) = &shared.latency else {
                mistakes.refuse("latency", self.latency, shared.host.no_latency());
                return None;
            };
            return layer.map(|layer| layer.latency(latency.clone()));
        }
        let Some(half) = self.window else {
            return layer;
        };
        let place = layer.clone().unwrap_or_else(scratch);
        let windowed = mistakes.attempt("window", half, place.try_window(half));
        layer.and(windowed)
    }

    fn paid(
        &self,
        layer: Option<HedgeLayer<ConfiguredPolicy>>,
        shared: &Shared,
        mistakes: &mut Mistakes,
    ) -> Option<HedgeLayer<ConfiguredPolicy>> {
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
}

impl Member for HedgeConfig {
    fn part(&self, given: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        let layer = self.assemble(&given.shared, mistakes)?;
        // What is wrong with it was told.
        let key = self.key.as_deref();
        let key = key.and_then(|key| RequestKey::parse(key).ok());
        Some(Part::Hedge(Box::new(HedgePart {
            layer,
            protocol: self.protocol,
            key,
            max_keys: self.max_keys.map_or_else(default::max_keys, number),
        })))
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.hedge(self, warn);
    }

    fn holds(&self, key: &str, default: &str) -> Option<String> {
        self.key_holds(key, default)
    }
}

/// As many copies as a call may send besides the first.
const MAX_HEDGES: u64 = 64;

/// A layer to try settings on when there is none.
fn scratch() -> HedgeLayer<ConfiguredPolicy> {
    HedgeLayer::new(ConfiguredPolicy::Fixed(Fixed::default()))
}
