//! What the crate promises, one file a subject.

mod support;

mod cache;
mod coalesce;
mod disk;
mod kept_bodies;
mod keys;
mod prefetch;
mod samples;
mod shared_bodies;
mod stores;
mod telemetry;
mod wire;
mod coalesce_failures;
mod coalesce_leaders;
