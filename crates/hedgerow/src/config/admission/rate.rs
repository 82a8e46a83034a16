//! How much may start in a time.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hedgerow_admission::{BuildError, Gate, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::describe::Describe;
use crate::config::error::Mistakes;
use crate::config::time::ConfigDuration;

/// How much may start in a time: so many requests, so many tokens, or one every so often. See [`Rate`].
///
/// Exactly one of `requests`, `tokens` and `spacing` is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    description = "How much may start in a time: so many requests, so many tokens, or one every so often."
)]
#[non_exhaustive]
pub struct RateConfig {
    /// So many requests in each `per`, 1 to 1000000000000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, one of requests, tokens and spacing is written"))]
    pub requests: Option<u64>,
    /// So many tokens in each `per`, 1 to 1000000000000000: what requests cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, one of requests, tokens and spacing is written"))]
    pub tokens: Option<u64>,
    /// One request each time, never closer, up to 366 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, one of requests, tokens and spacing is written"))]
    pub spacing: Option<ConfigDuration>,
    /// The time that brings as many, up to 366 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none, to be written for requests and tokens"))]
    pub per: Option<ConfigDuration>,
    /// How many may start at once after a pause, 1 to 1000000000000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "as many as in each time"))]
    pub burst: Option<u64>,
    /// Whether each key has this rate for itself. Requests without a key share one.
    pub per_key: bool,
    /// What it is called, if two would otherwise say the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "what it says, like \"500 requests per 1m\""))]
    pub name: Option<String>,
}

impl RateConfig {
    /// So many requests in each `per`.
    #[must_use]
    pub fn requests(limit: u64, per: ConfigDuration) -> Self {
        Self {
            requests: Some(limit),
            per: Some(per),
            ..Self::default()
        }
    }

    /// So many tokens in each `per`.
    #[must_use]
    pub fn tokens(limit: u64, per: ConfigDuration) -> Self {
        Self {
            tokens: Some(limit),
            per: Some(per),
            ..Self::default()
        }
    }

    /// One request each `spacing`, never closer.
    #[must_use]
    pub fn spacing(spacing: ConfigDuration) -> Self {
        Self {
            spacing: Some(spacing),
            ..Self::default()
        }
    }

    pub(super) fn assemble(&self, mistakes: &mut Mistakes) -> Option<Rate> {
        let rate = self.plain(mistakes)?;
        // The burst is looked at by itself.
        let plain = mistakes.attempt(self.key(), self.value(), checked(rate));
        let rate = match self.burst {
            None => plain,
            Some(burst) => {
                // Beside a limit that is fine, so that what is refused is the burst.
                let one = Rate::requests(1, std::time::Duration::from_secs(1));
                let fine = mistakes.attempt("burst", burst, checked(one.burst(burst)));
                fine.and(plain).map(|rate| rate.burst(burst))
            }
        }?;
        let rate = if self.per_key { rate.per_key() } else { rate };
        Some(match &self.name {
            Some(name) => rate.named(kept(name)),
            None => rate,
        })
    }

    /// Without burst, key and name; `None` with a mistake.
    fn plain(&self, mistakes: &mut Mistakes) -> Option<Rate> {
        let write = "write one of `requests`, `tokens` and `spacing`";
        match (self.requests, self.tokens, self.spacing) {
            (None, None, None) => {
                mistakes.say("", format_args!("the rate says nothing: {write}"));
                None
            }
            (None, None, Some(spacing)) => {
                if let Some(per) = self.per {
                    let problem =
                        format!("spacing = \"{spacing}\" says how long by itself: leave this out");
                    mistakes.refuse("per", per, problem);
                    return None;
                }
                Some(Rate::spacing(spacing.get()))
            }
            (Some(limit), None, None) => Some(Rate::requests(limit, self.period(mistakes)?)),
            (None, Some(limit), None) => Some(Rate::tokens(limit, self.period(mistakes)?)),
            _ => {
                mistakes.say(
                    "",
                    format_args!(
                        "the rate counts more than one thing: {write}, and another rate for another"
                    ),
                );
                None
            }
        }
    }

    fn period(&self, mistakes: &mut Mistakes) -> Option<std::time::Duration> {
        let Some(per) = self.per else {
            mistakes.say(
                "per",
                "it is missing: write the time that brings as many, like \"1m\"",
            );
            return None;
        };
        let any = Rate::requests(1, per.get());
        mistakes.attempt("per", per, checked(any))?;
        Some(per.get())
    }

    const fn key(&self) -> &'static str {
        match (self.requests, self.tokens) {
            (Some(_), _) => "requests",
            (_, Some(_)) => "tokens",
            _ => "spacing",
        }
    }

    fn value(&self) -> serde_json::Value {
        let written = serde_json::to_value(self).unwrap_or_default();
        written.get(self.key()).cloned().unwrap_or_default()
    }
}

/// What a gate says to a rate.
fn checked(rate: Rate) -> Result<Rate, BuildError> {
    let gate = Gate::builder().rate(rate.clone());
    match gate.mistakes().into_iter().next() {
        Some(mistake) => Err(mistake),
        None => Ok(rate),
    }
}

/// A name that outlives every gate. Each is kept once, however often a file is read.
fn kept(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(Box::from(name));
    names.insert(name);
    name
}

impl Describe for RateConfig {
    const NAME: &'static str = "rate";
}
