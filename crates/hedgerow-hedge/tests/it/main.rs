//! What the hedge layer promises: the row of each feature stands in ARCHITECTURE.md.

mod support;

mod budget;
mod cancel;
mod contract;
mod events;
mod http;
mod losers;
mod model;
mod policies;
mod race;
mod readiness;
mod regressions;
mod stacks;
mod statistics;
mod stats;
mod validation;
