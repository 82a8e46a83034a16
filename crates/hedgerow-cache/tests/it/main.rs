//! What the crate promises, one file a subject.

mod support;

mod cache;
mod coalesce;
mod disk;
mod keys;
mod samples;
mod stores;
mod coalesce_failures;
mod coalesce_leaders;
