//! What the hedge layer promises: the row of each feature stands in ARCHITECTURE.md.

mod support;

mod budget;
mod cancel;
mod contract;
mod drops;
mod events;
mod http;
mod keys;
mod losers;
mod model;
mod observe;
mod policies;
mod race;
mod readiness;
mod regressions;
mod saved;
mod stacks;
mod statistics;
mod stats;
mod telemetry;
mod validation;
