//! What copies and retries may cost, as it is configured.

use hedgerow_core::Budget;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Mistakes;

/// What the copies of a hedge, or the retries of a retry, may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum BudgetConfig {
    /// A word: "unlimited" or "shared".
    Named(BudgetName),
    /// A share of the calls.
    Share(BudgetShare),
}

/// A budget that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum BudgetName {
    /// Every extra is paid.
    Unlimited,
    /// The budget of the nearest retry or hedge further out pays.
    Shared,
}

/// So many extras per 100 calls, and so many at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
#[non_exhaustive]
pub struct BudgetShare {
    /// Extras per 100 calls, 0 to 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "10; for a percentile 1.5 * (100 - p)"))]
    pub percent: Option<f64>,
    /// Extras at once, 0 to 1000000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = super::default::depth()))]
    pub depth: Option<u64>,
}

impl BudgetShare {
    /// So many extras per 100 calls, and so many at once.
    #[must_use]
    pub const fn new(percent: f64, depth: u64) -> Self {
        Self {
            percent: Some(percent),
            depth: Some(depth),
        }
    }

    /// The default budget with what is written here.
    pub(crate) fn over(self, default: &Budget, mistakes: &mut Mistakes) -> Option<Budget> {
        let budget = match self.percent {
            None => Some(default.twin()),
            Some(percent) => {
                mistakes.attempt("budget.percent", percent, Budget::try_percent(percent))
            }
        };
        let Some(depth) = self.depth else {
            return budget;
        };
        // Looked at whether the percentage is right or not. Beyond what there can be is as wrong as
        // the largest number.
        let place = budget.clone().unwrap_or_else(|| default.twin());
        let tried = place.try_depth(u32::try_from(depth).unwrap_or(u32::MAX));
        let deep = mistakes.attempt("budget.depth", depth, tried);
        budget.and(deep)
    }
}

/// As it would be written.
pub(crate) fn told(budget: &Budget) -> String {
    match (budget.per_100_calls(), budget.burst()) {
        (Some(percent), Some(depth)) => {
            // 1.5 * (100 - 99.9) is 0.15000000000000568 to a computer.
            format!("{{ percent = {}, depth = {depth} }}", rounded(percent))
        }
        _ => "\"unlimited\"".to_owned(),
    }
}

/// To nine digits, wherever they begin.
fn rounded(number: f64) -> f64 {
    format!("{number:.8e}").parse().unwrap_or(number)
}
