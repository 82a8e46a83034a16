//! What cannot be measured, or not told apart, is refused before the first trial.

use std::time::Duration;

use hedgerow::config::ConfigDuration;
use hedgerow_sim::Scenario;

use super::measure::Plan;
use super::queues::QueuePlan;
use super::{LabError, of_calls, scale, stack};
use crate::cli::LabArgs;
use crate::policy::{Policy, Strategy};

/// Calls of all rows together, each of which is kept: 16 bytes, twice for a moment.
pub(super) const MOST_CALLS: u64 = 100_000_000;
/// A hundred times as long is as far as a timer looks ahead.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 24 * 3_600);
/// The longest arm of an adaptive policy is an hour of its time.
const LONGEST_ARM: Duration = Duration::from_secs(36);

/// Refuses what the lab cannot do with these policies and workloads.
pub(super) fn all(args: &LabArgs, policies: &[&Policy]) -> Result<(), LabError> {
    names(&args.workloads)?;
    classes(args, policies)?;
    policies.iter().copied().try_for_each(durations)
}

/// Refuses more calls than can be kept.
pub(super) fn too_many(plans: &[Plan<'_>], queues: &[QueuePlan<'_>]) -> Result<(), LabError> {
    let plans = plans
        .iter()
        .map(|plan| plan.calls as f64 * plan.seeds as f64);
    let queues = queues
        .iter()
        .map(|plan| plan.congestion.expected_calls() * plan.seeds as f64);
    let calls: f64 = plans.chain(queues).sum();
    if calls > MOST_CALLS as f64 {
        return Err(LabError::TooMany { calls });
    }
    Ok(())
}

/// Refuses a second workload of the same name.
fn names(workloads: &[Scenario]) -> Result<(), LabError> {
    let names: Vec<&str> = workloads.iter().map(Scenario::name).collect();
    let again = (1..names.len()).find(|&at| names[..at].contains(&names[at]));
    match again {
        Some(at) => Err(LabError::TwiceNamed(names[at].to_owned())),
        None => Ok(()),
    }
}

/// Refuses durations that the lab's time has no room for.
fn durations(policy: &Policy) -> Result<(), LabError> {
    let too_long = |duration: Duration, at_most: Duration| {
        LabError::TooLong(format!(
            "in `{}`, {} is too long for the lab, whose time is {} times as long: write at most {}",
            policy.written(),
            ConfigDuration::from(duration),
            stack::SCALE,
            ConfigDuration::from(at_most),
        ))
    };
    let within = |delays: &[Duration], at_most: Duration| {
        let longest = delays.iter().copied().find(|delay| *delay > at_most);
        longest.map_or(Ok(()), |delay| Err(too_long(delay, at_most)))
    };
    let of = |strategy: &Strategy| match strategy {
        Strategy::Fixed(delay) => within(&[*delay], LONGEST),
        Strategy::Schedule(delays) | Strategy::Workload(delays) => within(delays, LONGEST),
        Strategy::Adaptive(Some(delays)) => within(delays, LONGEST_ARM),
        Strategy::Stack(config) => scale::in_virtual_time(config)
            .map(drop)
            .map_err(|problem| LabError::TooLong(format!("`{}`: {problem}", policy.written()))),
        Strategy::None
        | Strategy::Off
        | Strategy::FixedAt(_)
        | Strategy::Percentile(_)
        | Strategy::Class(_)
        | Strategy::Key(_)
        | Strategy::Parallel(_)
        | Strategy::Adaptive(None)
        | Strategy::Backoff
        | Strategy::Retry(_)
        | Strategy::Tower(_) => Ok(()),
    };
    match policy.strategy() {
        Strategy::Key(inner) => of(inner),
        strategy => of(strategy),
    }
}

/// Refuses delays by class that the workload has no classes for.
fn classes(args: &LabArgs, policies: &[&Policy]) -> Result<(), LabError> {
    for scenario in &args.workloads {
        let classes = of_calls(scenario).map_or(0, |workload| workload.classes().len());
        for policy in policies {
            let Strategy::Workload(delays) = policy.strategy() else {
                continue;
            };
            if delays.len() != classes.max(1) {
                return Err(LabError::Classes {
                    policy: policy.written().to_owned(),
                    delays: delays.len(),
                    workload: scenario.name().to_owned(),
                    classes,
                });
            }
        }
    }
    Ok(())
}
