//! What became of a call to a cascade, and of each of its tiers.

use std::sync::Arc;
use std::time::Duration;

use crate::info::Outcome;

/// One tier of a call that is over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TierInfo {
    /// Which tier: 0 for the first.
    pub tier: usize,
    /// Its name.
    pub name: Arc<str>,
    /// When it was sent, counted from the call's start.
    pub started: Duration,
    /// How long it ran, from its own start.
    pub elapsed: Duration,
    /// How it ended. The best of refused answers stays [`Outcome::Refused`].
    pub outcome: Outcome,
    /// The score of its answer, if it was scored.
    pub quality: Option<f64>,
    /// Copies that its hedge layer sent: see [`Tier::hedged`](crate::Tier::hedged).
    pub hedges: u32,
    /// What it cost: the tier's cost, and the same again for each of its hedges.
    pub cost: f64,
}

/// What became of a call to a [`Cascade`](crate::Cascade): which tier answered, when, how well, and
/// what it cost.
///
/// Times end when the answer is there; what is dropped then is not in them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CascadeInfo {
    /// The tier whose answer the caller got: 0 for the first. `None` if there was none.
    pub tier: Option<usize>,
    /// That tier's name.
    pub name: Option<Arc<str>>,
    /// Whether the answer was good enough. False for the best of refused answers.
    pub accepted: bool,
    /// When that tier was sent, counted from the call's start; zero without an answer.
    pub started: Duration,
    /// How long the whole call took.
    pub elapsed: Duration,
    /// Copies that the hedge layers of all tiers sent.
    pub hedges: u32,
    /// What the call cost: every tier that was sent, answered or not, with its hedges.
    pub cost: f64,
    /// The score of the answer, if it was scored.
    pub quality: Option<f64>,
    /// Every tier that was sent, in declared order.
    pub attempts: Vec<TierInfo>,
}

/// An answer with what became of its call: what [`Cascade::informed`](crate::Cascade::informed)
/// gives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Informed<Res> {
    /// The answer.
    pub value: Res,
    /// Where it came from, and what it cost.
    pub info: CascadeInfo,
}
