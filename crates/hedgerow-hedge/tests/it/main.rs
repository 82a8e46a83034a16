//! What the hedge layer promises: the row of each feature stands in ARCHITECTURE.md.

mod support;

mod adaptive;
mod backoff;
mod budget;
mod cancel;
mod classes;
mod contract;
mod drops;
mod events;
mod http;
mod keys;
mod losers;
mod model;
mod observe;
mod plain_drop;
mod plain_hedge;
mod plain_hooks;
mod plain_model;
mod plain_pool;
mod plain_race;
mod plain_support;
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
mod workload;
