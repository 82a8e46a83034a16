//! Allocations per call, by a counting global allocator.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;

use crate::case::Case;
use crate::drive::runner;
use crate::inner::Echo;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Made first, so that what is allocated once is not counted.
const WARM_UP: u64 = 20_000;
/// Enough that quantiles are refreshed and windows rotated meanwhile.
const CALLS: u64 = 500_000;

/// What one call allocates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocations {
    /// Allocations and reallocations.
    pub(crate) count: f64,
    pub(crate) bytes: f64,
    /// Extra copies that were sent, in percent of the calls.
    pub(crate) extra_percent: f64,
}

/// Counts a case's allocations.
pub(crate) fn per_call(runtime: &Runtime, case: Case) -> Allocations {
    let mut run = runner(runtime, case);
    run(WARM_UP);
    // An empty portion allocates its task; a full one the same and its calls.
    let (empty_count, empty_bytes) = portion(&mut run, 0);
    let arrived = Echo::arrived();
    let (count, bytes) = portion(&mut run, CALLS);
    // A cache keeps calls from it.
    let extras = (Echo::arrived() - arrived).saturating_sub(CALLS);
    let each = |full: usize, empty: usize| (full as f64 - empty as f64) / CALLS as f64;
    Allocations {
        count: each(count, empty_count),
        bytes: each(bytes, empty_bytes),
        extra_percent: 100.0 * extras as f64 / CALLS as f64,
    }
}

fn portion(run: &mut dyn FnMut(u64) -> f64, calls: u64) -> (usize, usize) {
    let mut bytes = 0;
    let count = counted(|| run(calls), &mut bytes);
    (count, bytes)
}

/// Allocations and reallocations while `run` runs.
pub(crate) fn during(run: impl FnOnce()) -> usize {
    counted(run, &mut 0)
}

fn counted<T>(run: impl FnOnce() -> T, bytes: &mut usize) -> usize {
    let region = Region::new(ALLOCATOR);
    run();
    let change = region.change();
    *bytes = change.bytes_allocated;
    change.allocations + change.reallocations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_counted() {
        let region = Region::new(ALLOCATOR);
        let bytes = std::hint::black_box(vec![1_u8; 1_000]);
        let change = region.change();
        // Other tests run beside this one and may allocate as well.
        assert!(change.allocations >= 1 && change.bytes_allocated >= bytes.len());
    }
}
