//! `hedgerow lab`: policies on workloads, in virtual time, beside what could be reached at all.

mod ground;
mod stack;
mod retrying;
mod scale;
mod refuse;
mod pool;
mod measure;
mod queues;
mod report;
mod check;
mod draw;

use std::io;
use std::path::PathBuf;

use hedgerow_sim::{Congestion, Scenario, Workload};
use thiserror::Error;

use self::measure::Plan;
use self::queues::QueuePlan;
use self::report::Figures;
use crate::cli::{Allowance, LabArgs};
use crate::output;
use crate::policy::Policy;

/// Why a lab ended without its result.
#[derive(Debug, Error)]
pub(crate) enum LabError {
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot write to `{}`: {source}; write a folder that may be written to, with --out", .path.display())]
    Picture { path: PathBuf, source: io::Error },
    #[error("cannot write the result to stdout: {0}")]
    Output(io::Error),
    #[error(
        "`{policy}` names {delays} delays, and {workload} has {classes} classes: write one delay for each \
         class of the workload, or one alone where there are none"
    )]
    Classes {
        policy: String,
        delays: usize,
        workload: String,
        classes: usize,
    },
    #[error(
        "two workloads are called `{0}`, and rows and pictures are told apart by it: write it once, or give a \
         file another name"
    )]
    TwiceNamed(String),
    #[error("{0}")]
    TooLong(String),
    #[error(
        "{calls:.0} calls in all rows are too many to keep: write fewer --calls or --seeds, workloads or \
         policies, up to {} calls in all",
        refuse::MOST_CALLS
    )]
    TooMany { calls: f64 },
    #[error("{0} of the bars were missed")]
    Missed(usize),
}

impl LabError {
    /// 2 if something that was written has to be changed.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Picture { .. }
            | Self::Classes { .. }
            | Self::TwiceNamed(_)
            | Self::TooLong(_)
            | Self::TooMany { .. } => 2,
            Self::Runtime(_) | Self::Output(_) | Self::Missed(_) => 1,
        }
    }
}

/// Runs the lab from the first trial to the last line.
pub(crate) fn run(args: &LabArgs) -> Result<(), LabError> {
    if args.check {
        return check::run();
    }
    let policies: Vec<&Policy> = args.policies.iter().chain(&args.stacks).collect();
    let workloads: Vec<&Workload> = args.workloads.iter().filter_map(of_calls).collect();
    refuse::all(args, &policies)?;
    let (plans, queue_plans) = (plans(args, &policies), queue_plans(args, &policies));
    refuse::too_many(&plans, &queue_plans)?;
    let (rows, pace) = measure::all(&plans).map_err(LabError::Runtime)?;
    let (queues, queues_pace) = queues::all(&queue_plans).map_err(LabError::Runtime)?;
    output::tell(&format!(
        "{}\n",
        [pace, queues_pace].into_iter().sum::<measure::Pace>()
    ));
    let figures = Figures::all(&rows);
    let mut text = if args.json {
        report::json(&figures, &queues)
    } else if args.csv {
        report::csv(&figures, &queues)
    } else {
        report::table(&figures, &queues, &args.workloads)
    };
    if let Some(folder) = &args.out {
        let drawn = draw::all(folder, &workloads, &rows, &figures)?;
        if args.json || args.csv {
            output::tell(&drawn);
        } else if !drawn.is_empty() {
            text.push('\n');
            text.push_str(&drawn);
        }
    }
    output::print(&text).map_err(LabError::Output)
}

fn of_calls(scenario: &Scenario) -> Option<&Workload> {
    match scenario {
        Scenario::Calls(workload) => Some(workload),
        Scenario::Congestion(_) => None,
    }
}

/// Every policy with every budget that it can have.
fn stacks<'a>(
    args: &'a LabArgs,
    policies: &[&'a Policy],
) -> impl Iterator<Item = (&'a Policy, Allowance)> {
    policies.iter().flat_map(|&policy| {
        let budgets = if policy.has_budget() {
            &args.budgets[..]
        } else {
            &[Allowance::Own]
        };
        budgets.iter().map(move |&allowance| (policy, allowance))
    })
}

fn plans<'a>(args: &'a LabArgs, policies: &[&'a Policy]) -> Vec<Plan<'a>> {
    let workloads = args.workloads.iter().filter_map(of_calls);
    let plans = workloads.flat_map(|workload| {
        stacks(args, policies).map(move |(policy, allowance)| Plan {
            workload,
            policy,
            allowance,
            calls: args.calls,
            seeds: args.seeds,
        })
    });
    plans.collect()
}

fn queue_plans<'a>(args: &'a LabArgs, policies: &[&'a Policy]) -> Vec<QueuePlan<'a>> {
    let congestions = args.workloads.iter().filter_map(|scenario| match scenario {
        Scenario::Calls(_) => None,
        Scenario::Congestion(congestion) => Some(congestion),
    });
    let plan = |congestion: &'a Congestion, policy, allowance, cancellation| QueuePlan {
        congestion,
        policy,
        allowance,
        cancellation,
        seeds: args.seeds,
    };
    let mut plans = Vec::new();
    for congestion in congestions {
        for (policy, allowance) in stacks(args, policies) {
            for &cancellation in args.cancellation.variants() {
                plans.push(plan(congestion, policy, allowance, cancellation));
            }
        }
    }
    plans
}
