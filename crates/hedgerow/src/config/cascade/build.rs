//! From a configured cascade to its plan, or every mistake.

use std::convert::Infallible;
use std::sync::Arc;

use hedgerow_hedge::{Cascade, CascadeBuilder, CascadeMistake, SpendCap, Tier};
use hedgerow_latency::Latency;
use hedgerow_retry::TimeoutLayer;

use super::plan::{CascadePlan, TierPlan};
use super::{CascadeConfig, TierConfig};
use crate::config::error::Mistakes;
use crate::config::hedge::{Host, Shared};
use crate::config::latency::ConfiguredLatency;

/// Looks at those tiers that could be read. `None` with a mistake.
pub(super) fn assemble(
    cascade: Option<&CascadeConfig>,
    tiers: &[Option<&TierConfig>],
    mistakes: &mut Mistakes,
) -> Option<CascadePlan> {
    check_names(tiers, mistakes);
    check_whole(cascade, tiers, mistakes);
    let plans = tiers.iter().enumerate().map(|(at, tier)| {
        let tier = (*tier)?;
        mistakes.within(&format!("tier[{at}]"), |mistakes| tier.assemble(mistakes))
    });
    // All of them: each has mistakes of its own to tell.
    let plans: Vec<_> = plans.collect();
    let tiers: Option<Arc<[TierPlan]>> = plans.into_iter().collect();
    let cascade = cascade.filter(|_| mistakes.is_empty())?;
    Some(CascadePlan {
        tiers: tiers?,
        timeout: cascade.total_timeout.get(),
        cap: cascade.cap(),
    })
}

fn check_names(tiers: &[Option<&TierConfig>], mistakes: &mut Mistakes) {
    let name_of = |at: usize| tiers[at].map(|tier| tier.name.as_str());
    for at in 0..tiers.len() {
        let Some(name) = name_of(at) else {
            continue;
        };
        let key = format!("tier[{at}].name");
        if name.is_empty() {
            mistakes.refuse(&key, name, "it is empty: write what it is, like \"small\"");
        } else if let Some(first) = (0..at).find(|&first| name_of(first) == Some(name)) {
            let problem =
                format!("tier[{first}] is called that already: write a name of its own for each");
            mistakes.refuse(&key, name, problem);
        }
    }
}

/// What the cascade itself says to these numbers: it is built around nothing, and its mistakes are
/// told of their keys.
fn check_whole(
    cascade: Option<&CascadeConfig>,
    tiers: &[Option<&TierConfig>],
    mistakes: &mut Mistakes,
) {
    let mut builder: CascadeBuilder<(), ()> = Cascade::builder().score(|()| 0.0);
    if let Some(timeout) = cascade.and_then(|cascade| cascade.total_timeout.get()) {
        builder = builder.timeout(timeout);
    }
    if let Some(cap) = cascade.and_then(CascadeConfig::cap) {
        builder = builder.spend_cap(cap);
    }
    for (at, tier) in tiers.iter().enumerate() {
        if let Some(tier) = tier {
            let nobody = tower::service_fn(async |()| Ok::<_, Infallible>(()));
            builder = builder.tier(tier.set(Tier::new(at.to_string(), nobody)));
        }
    }
    let Err(error) = builder.clone_requests().build() else {
        return;
    };
    for mistake in error.mistakes() {
        tell(mistake, cascade, tiers, mistakes);
    }
}

/// Of its key, in the words of a file. Tiers are called by their numbers.
fn tell(
    mistake: &CascadeMistake,
    cascade: Option<&CascadeConfig>,
    tiers: &[Option<&TierConfig>],
    mistakes: &mut Mistakes,
) {
    let all = tiers.len();
    let mut of = |at: &str, key: &str, problem: String| {
        let tier = at.parse().ok().and_then(|at: usize| tiers[at]);
        let value = tier.and_then(|tier| serde_json::to_value(tier).ok()?.get(key).cloned());
        mistakes.refuse(&format!("tier[{at}].{key}"), value, problem);
    };
    match mistake {
        // Those that could not be read were told.
        CascadeMistake::NoTiers if all > 0 => {}
        CascadeMistake::NoTiers => mistakes.say(
            "tier",
            "a cascade without tiers answers nothing: write at least one table [[tier]]",
        ),
        CascadeMistake::TooManyTiers(_) => mistakes.say("tier", mistake),
        CascadeMistake::FirstTierDelayed { name, .. } if &**name != "0" => {}
        CascadeMistake::FirstTierDelayed { name, .. } => {
            let problem = "a call starts with its first tier: leave it out";
            of(name, "after", problem.to_owned());
        }
        CascadeMistake::DelaysGoBack { name, before, .. } => {
            let problem = format!(
                "a tier before it starts at {before:?}: write the delays from the call's start, in \
                 ascending order"
            );
            of(name, "after", problem);
        }
        CascadeMistake::Cost { name, .. } => {
            of(
                name,
                "cost",
                "write cost units from 0 to 1000000000".to_owned(),
            );
        }
        CascadeMistake::Threshold { name, .. } => {
            let problem = "write a finite score, or leave it out to take any";
            of(name, "threshold", problem.to_owned());
        }
        CascadeMistake::BeyondDepth { name, cost, depth } => {
            let problem = format!(
                "it could never start, because the spend cap holds at most {depth}: write a depth \
                 of at least {cost}, or leave the tier out"
            );
            of(name, "cost", problem);
        }
        CascadeMistake::ZeroTimeout => {
            let problem =
                "nothing can be answered in no time: write a time above zero, or \"none\"";
            let value = cascade.map(|cascade| cascade.total_timeout);
            mistakes.refuse("total_timeout", value, problem);
        }
        CascadeMistake::SpendCap { .. } => {
            let value = cascade.map(|cascade| cascade.spend_cap);
            let problem = "write cost units from 0 to 1000000000 for each";
            mistakes.refuse("spend_cap", value, problem);
        }
        // Names are looked at above, and a score is code.
        other => mistakes.say("tier", other),
    }
}

impl CascadeConfig {
    fn cap(&self) -> Option<SpendCap> {
        let cap = self.spend_cap?;
        Some(SpendCap::new(cap.per_100_calls, cap.depth))
    }
}

impl TierConfig {
    /// A tier with what is written here.
    pub(super) fn set<Req, Res>(&self, mut tier: Tier<Req, Res>) -> Tier<Req, Res> {
        if let Some(after) = self.after {
            tier = tier.after(after.get());
        }
        if let Some(cost) = self.cost {
            tier = tier.cost(cost);
        }
        if let Some(threshold) = self.threshold {
            tier = tier.threshold(threshold);
        }
        tier
    }

    fn assemble(&self, mistakes: &mut Mistakes) -> Option<TierPlan> {
        let timeout = self.attempt_timeout.map(|after| {
            if after.get().is_zero() {
                let problem = "nothing can be answered in no time: write a time above zero, or \
                               leave it out";
                mistakes.refuse("attempt_timeout", after, problem);
                return None;
            }
            Some(TimeoutLayer::new(after.get()))
        });
        let latency = self
            .latency
            .map(|latency| mistakes.within("latency", |mistakes| latency.assemble(mistakes)));
        let hedge = self.hedge.as_ref().map(|hedge| {
            // Where it is broken, as if it were not.
            let handle = |layer: &Option<ConfiguredLatency>| {
                layer
                    .as_ref()
                    .map_or_else(Latency::new, |layer| layer.handle())
            };
            let shared = Shared {
                latency: latency.as_ref().map(handle),
                budget: None,
                host: Host::Tier,
            };
            mistakes.within("hedge", |mistakes| hedge.assemble(&shared, mistakes))
        });
        Some(TierPlan {
            config: Self {
                hedge: None,
                ..self.clone()
            },
            timeout: some(timeout)?,
            latency: some(latency)?,
            hedge: some(hedge)?,
        })
    }
}

/// What was to be built, was.
fn some<T>(wanted: Option<Option<T>>) -> Option<Option<T>> {
    match wanted {
        None => Some(None),
        Some(None) => None,
        Some(built) => Some(built),
    }
}
