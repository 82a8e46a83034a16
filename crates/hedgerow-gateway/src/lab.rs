//! `hedgerow lab`: policies on workloads, in virtual time, beside what could be reached at all.

mod measure;
mod report;
mod check;
mod draw;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use self::measure::Plan;
use self::report::Figures;
use crate::cli::LabArgs;
use crate::output;

/// Why a lab ended without its result.
#[derive(Debug, Error)]
pub(crate) enum LabError {
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot write to `{}`: {source}; write a folder that may be written to, with --out", .path.display())]
    Picture { path: PathBuf, source: io::Error },
    #[error("cannot write the result to stdout: {0}")]
    Output(io::Error),
    #[error("{0} of the bars were missed")]
    Missed(usize),
}

impl LabError {
    /// 2 if something that was written has to be changed.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Picture { .. } => 2,
            Self::Runtime(_) | Self::Output(_) | Self::Missed(_) => 1,
        }
    }
}

/// Runs the lab from the first trial to the last line.
pub(crate) fn run(args: &LabArgs) -> Result<(), LabError> {
    if args.check {
        return check::run();
    }
    let plans: Vec<Plan<'_>> = args
        .workloads
        .iter()
        .flat_map(|workload| {
            args.policies.iter().flat_map(move |policy| {
                let budgets = if policy.has_budget() {
                    &args.budgets[..]
                } else {
                    &[crate::cli::Allowance::Own]
                };
                budgets.iter().map(move |&allowance| Plan {
                    workload,
                    policy,
                    allowance,
                    calls: args.calls,
                    seeds: args.seeds,
                })
            })
        })
        .collect();
    let (rows, pace) = measure::all(&plans).map_err(LabError::Runtime)?;
    output::tell(&format!("{pace}\n"));
    let figures: Vec<Figures> = rows.iter().map(Figures::of).collect();
    let mut text = if args.json {
        report::json(&figures)
    } else if args.csv {
        report::csv(&figures)
    } else {
        report::table(&figures, &args.workloads)
    };
    if let Some(folder) = &args.out {
        let drawn = draw::all(folder, &args.workloads, &rows, &figures)?;
        if args.json || args.csv {
            output::tell(&drawn);
        } else {
            text.push('\n');
            text.push_str(&drawn);
        }
    }
    output::print(&text).map_err(LabError::Output)
}
