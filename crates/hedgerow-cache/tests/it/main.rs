//! What the crate promises, one file a subject.

mod support;

mod cache;
mod coalesce;
mod coalesce_failures;
mod coalesce_leaders;
