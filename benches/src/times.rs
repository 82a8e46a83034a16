//! Nanoseconds per call: all cases take turns, so that what the machine does meanwhile hits all.

use tokio::runtime::Runtime;

use crate::case::Case;
use crate::drive::{Runner, runner};

const ROUNDS: usize = 31;
const CALLS: u64 = 10_000;
/// Before the first round: more than the samples with which a percentile begins.
const WARM_UP: u64 = 5_000;

/// The median of each case.
pub(crate) fn per_call(runtime: &Runtime, cases: &[Case]) -> Vec<f64> {
    let mut runners: Vec<Runner<'_>> = cases.iter().map(|&case| runner(runtime, case)).collect();
    for run in &mut runners {
        run(WARM_UP);
    }
    let mut rounds = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for (run, taken) in runners.iter_mut().zip(&mut rounds) {
            taken.push(run(CALLS));
        }
    }
    rounds.into_iter().map(median).collect()
}

/// The middle of `values`.
///
/// # Panics
///
/// If there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_slow_round() {
        assert_eq!(median(vec![3.0, 1.0, 1e9, 2.0, 2.5]), 2.5);
    }
}
