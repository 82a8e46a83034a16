//! The coalescer as it is configured.

use hedgerow_cache::{
    CoalesceLayer, HttpKey, KeptBodies, Local, OnFailure, SharedBodies, StoreLead,
};
use hedgerow_core::Budget;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assemble::Part;
use super::budget::{BudgetConfig, BudgetName, told};
use super::cache::ConfiguredCache;
use super::default;
use super::describe::Describe;
use super::error::{ConfigErrors, Mistakes};
use super::hedge::Protocol;
use super::http_key::HttpKeyConfig;
use super::member::{Given, Member};
use super::order::Place;
use super::store::ConfiguredStore;

/// Lets one call fly for all that ask the same at the same time.
///
/// See [`CoalesceLayer`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(description = "Lets one call fly for all that ask the same at the same time.")]
#[non_exhaustive]
pub struct CoalesceConfig {
    /// What makes two requests the same, and for whom. With the key of a cache it also looks into that one's
    /// store before it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "that of the cache outside of it"))]
    pub key: Option<HttpKeyConfig>,
    /// What becomes of those that followed a call which failed: each may try once more, or all share the
    /// failure.
    pub on_failure: OnFailureName,
    /// What second tries may cost: a table, or "unlimited".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "10 percent of depth 50"))]
    pub budget: Option<BudgetConfig>,
    /// How many calls may be under way that others could join; beyond that each is made for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::FLIGHTS))]
    pub max_flights: Option<u64>,
    /// How many bytes of an answer are kept for slow readers and for those who come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = default::BEHIND_BYTES))]
    pub behind_bytes: Option<u64>,
    /// What counts as an answer: by its status, by its `grpc-status`, or as a model provider has it.
    #[schemars(extend("default" = "http"))]
    pub protocol: Protocol,
}

/// What becomes of those that followed a call which failed: see [`OnFailure`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[non_exhaustive]
pub enum OnFailureName {
    /// Each may try once more, within the budget.
    #[default]
    TryOnceMore,
    /// All get the failure.
    Share,
}

/// A coalescer of a configured stack.
pub type ConfiguredCoalescer = CoalesceLayer<HttpKey, Local, SharedBodies<Protocol>>;

/// A coalescer, and the store that it looks into.
#[derive(Clone, Debug)]
pub(crate) struct CoalescePart {
    pub(crate) layer: ConfiguredCoalescer,
    pub(crate) lead: Option<StoreLead<ConfiguredStore, KeptBodies<Protocol>>>,
}

/// The cache that stands outside of a coalescer.
#[derive(Clone, Debug, Default)]
pub(crate) enum Outer {
    #[default]
    None,
    /// It has mistakes of its own.
    Broken,
    There(Box<(HttpKeyConfig, ConfiguredCache)>),
}

impl CoalesceConfig {
    /// A coalescer with a key of its own.
    #[must_use]
    pub fn new(key: HttpKeyConfig) -> Self {
        Self {
            key: Some(key),
            ..Self::default()
        }
    }

    /// The layer alone.
    ///
    /// # Errors
    ///
    /// Every mistake at once. A missing `key` is one, because there is no cache whose key it could have.
    pub fn build(&self) -> Result<ConfiguredCoalescer, ConfigErrors> {
        let mut mistakes = Mistakes::default();
        let built = self.assemble(&Outer::None, &mut mistakes);
        mistakes.judge(built.map(|part| part.layer))
    }

    fn assemble(&self, outer: &Outer, mistakes: &mut Mistakes) -> Option<CoalescePart> {
        let (key, lead) = match (&self.key, outer) {
            (Some(key), _) => {
                let key = mistakes.within("key", |mistakes| key.assemble(mistakes));
                (key, None)
            }
            (None, Outer::There(cache)) => {
                let key = cache.0.assemble(&mut Mistakes::default());
                (key, Some(cache.1.lead()))
            }
            (None, Outer::Broken) => (None, None),
            (None, Outer::None) => {
                mistakes.say(
                    "key",
                    "missing, and there is no cache outside of it whose key it could have: write one, like \
                     key = { tenant = \"header:authorization\" }",
                );
                (None, None)
            }
        };
        let bodies = self.bodies(mistakes);
        let budget = self.paid(mistakes);
        let flights = self.max_flights.map(|n| {
            let number = usize::try_from(n).unwrap_or(usize::MAX);
            let stand_in = CoalesceLayer::new(()).try_max_flights(number);
            mistakes.attempt("max_flights", n, stand_in).map(|_| number)
        });
        let mut layer = CoalesceLayer::new(key?)
            .share(bodies?)
            .on_failure(match self.on_failure {
                OnFailureName::TryOnceMore => OnFailure::TryOnceMore,
                OnFailureName::Share => OnFailure::Share,
            });
        if let Some(flights) = flights {
            layer = layer.max_flights(flights?);
        }
        if let Some(budget) = budget? {
            layer = layer.budget(budget);
        }
        Some(CoalescePart { layer, lead })
    }

    fn bodies(&self, mistakes: &mut Mistakes) -> Option<SharedBodies<Protocol>> {
        let mut bodies = SharedBodies::new();
        if let Some(bytes) = self.behind_bytes {
            if bytes > i64::MAX as u64 {
                // Nor can a file hold it.
                mistakes.refuse("behind_bytes", bytes, "write at most 9223372036854775807");
                return None;
            }
            let number = usize::try_from(bytes).unwrap_or(usize::MAX);
            bodies = mistakes.attempt("behind_bytes", bytes, bodies.try_behind(number))?;
        }
        Some(bodies.accept(self.protocol))
    }

    /// The budget, if one is written; `None` with a mistake.
    fn paid(&self, mistakes: &mut Mistakes) -> Option<Option<Budget>> {
        match &self.budget {
            None => Some(None),
            Some(BudgetConfig::Named(BudgetName::Unlimited)) => Some(Some(Budget::unlimited())),
            Some(BudgetConfig::Named(BudgetName::Shared)) => {
                let problem = "it stands outside of every retry and hedge, whose budgets those are: write a \
                               table, or leave it out";
                mistakes.refuse("budget", "shared", problem);
                None
            }
            Some(BudgetConfig::Share(share)) => {
                let default = CoalesceLayer::new(()).handle();
                share.over(default.budget(), mistakes).map(Some)
            }
        }
    }
}

impl Describe for CoalesceConfig {
    const NAME: &'static str = "coalesce";
}

impl Member for CoalesceConfig {
    fn part(&self, given: &Given, mistakes: &mut Mistakes) -> Option<Part> {
        let part = self.assemble(&given.cache, mistakes)?;
        Some(Part::Coalesce(Box::new(part)))
    }

    fn warn(&self, place: &Place<'_>, warn: &mut dyn FnMut(String)) {
        place.coalesce(self, warn);
    }

    fn holds(&self, key: &str, default: &str) -> Option<String> {
        if self.on_failure == OnFailureName::Share && key == "budget" {
            return None;
        }
        Some(match (key, &self.key) {
            ("key", Some(key)) => key.told(),
            ("budget", _) => {
                let budget = self.paid(&mut Mistakes::default()).flatten();
                let budget =
                    budget.unwrap_or_else(|| CoalesceLayer::new(()).handle().budget().twin());
                told(&budget)
            }
            _ => default.to_owned(),
        })
    }
}
