//! The strategies by their names, and the policies that they become.

use std::collections::BTreeSet;
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, LatencyView};
use hedgerow_hedge::policy::{
    Adaptive, Backoff, BackoffConfig, Fixed, Off, Parallel, Percentile, Schedule,
};
use hedgerow_hedge::{Delay, HedgeLayer, HedgePolicy, Sample, Stateful};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DEFAULT_PERCENTILE, HedgeConfig, number};
use crate::config::default;
use crate::config::error::Mistakes;
use crate::config::time::ConfigDuration;

/// When a hedge sends its copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum Strategy {
    /// Never.
    Off,
    /// After a fixed delay.
    Fixed,
    /// After a percentile of the attempts' latency.
    #[default]
    Percentile,
    /// At stated delays.
    Schedule,
    /// All at once.
    Parallel,
    /// After whichever of several delays costs least, learnt.
    Adaptive,
    /// After a delay that each call makes shorter or longer.
    Backoff,
}

/// The policy of a configured hedge: one of those that ship.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConfiguredPolicy {
    /// Never hedges.
    Off(Off),
    /// After a fixed delay.
    Fixed(Fixed),
    /// After a percentile.
    Percentile(Percentile),
    /// At stated delays.
    Schedule(Schedule),
    /// All at once.
    Parallel(Parallel),
    /// After the best of several delays. It is large.
    Adaptive(Box<Adaptive>),
    /// After a delay that adapts.
    Backoff(Backoff),
}

impl Strategy {
    /// Each of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Off,
        Self::Fixed,
        Self::Percentile,
        Self::Schedule,
        Self::Parallel,
        Self::Adaptive,
        Self::Backoff,
    ];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Fixed => "fixed",
            Self::Percentile => "percentile",
            Self::Schedule => "schedule",
            Self::Parallel => "parallel",
            Self::Adaptive => "adaptive",
            Self::Backoff => "backoff",
        }
    }

    /// The keys that it alone, or not every other, reads.
    pub(crate) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Off => &[],
            Self::Fixed => &["delay"],
            Self::Percentile => &["percentile", "initial", "min", "max"],
            Self::Schedule => &["delays"],
            Self::Parallel => &["copies"],
            Self::Adaptive => &["delays", "price", "forgetting"],
            Self::Backoff => &["base", "min", "max"],
        }
    }

    /// Whether this strategy reads the key; true for keys that belong to none.
    pub(crate) fn reads(self, key: &str) -> bool {
        self.keys().contains(&key) || !Self::ALL.iter().any(|other| other.keys().contains(&key))
    }
}

impl HedgeConfig {
    /// Keys of other strategies: with "off" they may stay.
    pub(super) fn check_strategy(&self, mistakes: &mut Mistakes) {
        if self.strategy == Strategy::Off {
            return;
        }
        let written = serde_json::to_value(self).unwrap_or_default();
        let keys: BTreeSet<_> = Strategy::ALL.iter().flat_map(|s| s.keys()).collect();
        for key in keys {
            let Some(value) = written.get(key).filter(|_| !self.strategy.reads(key)) else {
                continue;
            };
            let this = self.strategy.name();
            let readers: Vec<_> = Strategy::ALL
                .iter()
                .filter(|other| other.keys().contains(key))
                .map(|other| format!("strategy = {:?}", other.name()))
                .collect();
            let readers = readers.join(" or ");
            let problem =
                format!("the strategy {this:?} does not read it: leave it out, or write {readers}");
            mistakes.refuse(key, value, problem);
        }
    }

    pub(super) fn of_strategy(
        &self,
        mistakes: &mut Mistakes,
    ) -> Option<HedgeLayer<ConfiguredPolicy>> {
        // The constructor knows the defaults of its strategy: here the policy is put into its layer.
        match self.strategy {
            Strategy::Off => Some(HedgeLayer::off().map_policy(ConfiguredPolicy::Off)),
            Strategy::Fixed => {
                let policy = self
                    .delay
                    .map_or_else(Fixed::default, |d| Fixed::new(d.get()));
                Some(HedgeLayer::new(policy).map_policy(ConfiguredPolicy::Fixed))
            }
            Strategy::Percentile => self.of_percentile(mistakes),
            Strategy::Schedule => {
                let Some(delays) = &self.delays else {
                    mistakes.say(
                        "delays",
                        "it is missing: write one delay per copy, like [\"50ms\", \"200ms\"]",
                    );
                    return None;
                };
                let tried = HedgeLayer::try_schedule(delays.iter().map(|delay| delay.get()));
                let layer = mistakes.attempt("delays", delays, tried)?;
                Some(layer.map_policy(ConfiguredPolicy::Schedule))
            }
            Strategy::Parallel => {
                let Some(copies) = self.copies else {
                    mistakes.say(
                        "copies",
                        "it is missing: write how many copies are sent at once, like 2",
                    );
                    return None;
                };
                let tried = HedgeLayer::try_parallel(number(copies));
                let layer = mistakes.attempt("copies", copies, tried)?;
                Some(layer.map_policy(ConfiguredPolicy::Parallel))
            }
            Strategy::Adaptive => self.of_adaptive(mistakes),
            Strategy::Backoff => self.of_backoff(mistakes),
        }
    }

    fn of_adaptive(&self, mistakes: &mut Mistakes) -> Option<HedgeLayer<ConfiguredPolicy>> {
        let mut policy = match &self.delays {
            None => Some(Adaptive::default()),
            Some(delays) => {
                let tried = Adaptive::try_new(delays.iter().map(|delay| delay.get()));
                mistakes.attempt("delays", delays, tried)
            }
        };
        if let Some(price) = self.price {
            policy = policy.map(|policy| policy.price(price.get()));
        }
        if let Some(rate) = self.forgetting {
            // Looked at whether the delays are right or not.
            let place = policy.clone().unwrap_or_default();
            let forgetful = mistakes.attempt("forgetting", rate, place.try_forgetting(rate));
            policy = policy.and(forgetful);
        }
        let adaptive = |policy| ConfiguredPolicy::Adaptive(Box::new(policy));
        policy.map(|policy| HedgeLayer::new(policy).map_policy(adaptive))
    }

    fn of_backoff(&self, mistakes: &mut Mistakes) -> Option<HedgeLayer<ConfiguredPolicy>> {
        let mut config = BackoffConfig::default();
        if let Some(base) = self.base {
            config = config.base(base.get());
        }
        if let Some(min) = self.min {
            config = config.min(min.get());
        }
        if let Some(max) = self.max {
            config = config.max(max.get());
        }
        let written = [("base", self.base), ("min", self.min), ("max", self.max)];
        let first = written.iter().find(|(_, value)| value.is_some());
        let (key, value) = first.copied().unwrap_or(("base", None));
        let tried = HedgeLayer::try_backoff(config);
        if let Err(error) = &tried {
            // Those that are wrong by themselves, each; or else how they stand to each other.
            let alone = |value: ConfigDuration| {
                BackoffConfig::default()
                    .min(value.get())
                    .base(value.get())
                    .max(value.get())
            };
            let wrong = written
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)));
            let wrong = wrong.filter(|(_, value)| HedgeLayer::try_backoff(alone(*value)).is_err());
            let wrong: Vec<_> = wrong.collect();
            for (key, value) in &wrong {
                mistakes.refuse(key, value, error);
            }
            if !wrong.is_empty() {
                return None;
            }
        }
        let layer = mistakes.attempt(key, value, tried)?;
        Some(layer.map_policy(ConfiguredPolicy::Backoff))
    }

    fn of_percentile(&self, mistakes: &mut Mistakes) -> Option<HedgeLayer<ConfiguredPolicy>> {
        let p = self.percentile.unwrap_or(DEFAULT_PERCENTILE);
        let layer = mistakes.attempt("percentile", p, HedgeLayer::try_percentile(p));
        // Looked at whether the percentile is right or not.
        if self.min.is_some() || self.max.is_some() {
            let min = self.min.unwrap_or_else(default::learnt_min).get();
            let max = self.max.map_or(Duration::MAX, ConfigDuration::get);
            let key = if self.min.is_some() { "min" } else { "max" };
            let value = self.min.or(self.max);
            let any = HedgeLayer::percentile(DEFAULT_PERCENTILE);
            mistakes.attempt(key, value, any.try_clamp(min, max))?;
            let layer = layer?.try_clamp(min, max).ok()?;
            return Some(self.begun(layer));
        }
        layer.map(|layer| self.begun(layer))
    }

    fn begun(&self, layer: HedgeLayer<Percentile>) -> HedgeLayer<ConfiguredPolicy> {
        let layer = match self.initial {
            Some(delay) => layer.initial(delay.get()),
            None => layer,
        };
        layer.map_policy(ConfiguredPolicy::Percentile)
    }
}

// === impl HedgePolicy, Stateful ===

impl ConfiguredPolicy {
    fn as_policy<Req>(&self) -> &dyn HedgePolicy<Req> {
        match self {
            Self::Off(policy) => policy,
            Self::Fixed(policy) => policy,
            Self::Percentile(policy) => policy,
            Self::Schedule(policy) => policy,
            Self::Parallel(policy) => policy,
            Self::Adaptive(policy) => &**policy,
            Self::Backoff(policy) => policy,
        }
    }

    fn as_stateful(&self) -> &dyn Stateful {
        match self {
            Self::Off(policy) => policy,
            Self::Fixed(policy) => policy,
            Self::Percentile(policy) => policy,
            Self::Schedule(policy) => policy,
            Self::Parallel(policy) => policy,
            Self::Adaptive(policy) => &**policy,
            Self::Backoff(policy) => policy,
        }
    }
}

impl<Req> HedgePolicy<Req> for ConfiguredPolicy {
    fn delay(&self, request: &Req, attempt: Attempt, latency: &dyn LatencyView) -> Delay {
        self.as_policy().delay(request, attempt, latency)
    }

    fn observe(&self, sample: &Sample) {
        self.as_policy::<Req>().observe(sample);
    }

    fn name(&self) -> &'static str {
        self.as_policy::<Req>().name()
    }
}

impl Stateful for ConfiguredPolicy {
    fn save(&self) -> Option<String> {
        self.as_stateful().save()
    }

    fn restore(&self, state: &str) -> Result<(), BoxError> {
        self.as_stateful().restore(state)
    }
}
