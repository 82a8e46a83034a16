//! `hedgerow demo`: the same load with and without hedging.

mod stack;
mod measure;
mod report;

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use hedgerow_sim::{BindError, Load, LoadError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thiserror::Error;

use self::measure::{Bench, Outcome, stream};
use crate::cli::DemoArgs;
use crate::output::{self, tell};

const PICTURE: &str = "hedgerow-demo.svg";

/// Why a demo ended without its result.
#[derive(Debug, Error)]
pub(crate) enum DemoError {
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("--port {port} leaves no room for {servers} ports from there: write 1 to {most}, or 0")]
    NoRoom { port: u16, servers: u16, most: u16 },
    #[error("--port: {error}{}", because(error))]
    Bind {
        #[from]
        error: BindError,
    },
    #[error(
        "cannot write the picture to `{}`: {source}; write the name of a file in a folder that \
         exists and may be written to, with --out", .path.display()
    )]
    Picture { path: PathBuf, source: io::Error },
    #[error(
        "`{policy}` is measured in the lab alone: write it there, as in \
         hedgerow lab --policies '{policy}'"
    )]
    LabOnly { policy: String },
    #[error("every call with `{policy}` failed, the first of them so: {first}")]
    AllFailed { policy: String, first: String },
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot write the result to stdout: {0}")]
    Output(io::Error),
}

impl DemoError {
    /// 2 if something that was written has to be changed.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Load(_)
            | Self::NoRoom { .. }
            | Self::Bind { .. }
            | Self::Picture { .. }
            | Self::LabOnly { .. } => 2,
            Self::AllFailed { .. } | Self::Runtime(_) | Self::Output(_) => 1,
        }
    }
}

/// Runs the demo from the first call to the last line.
pub(crate) fn run(args: &DemoArgs) -> Result<(), DemoError> {
    for policy in args.chosen_policies().iter() {
        if policy.is_of_the_lab() {
            return Err(DemoError::LabOnly {
                policy: policy.written().to_owned(),
            });
        }
    }
    let path = args.out.clone().unwrap_or_else(default_picture);
    check_writable(&path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(DemoError::Runtime)?;
    let outcomes = runtime.block_on(measure_all(args))?;
    let picture = report::picture(args, &outcomes);
    fs::write(&path, picture).map_err(|source| DemoError::Picture {
        path: path.clone(),
        source,
    })?;
    let drawn = format!("latency curves: {}\n", path.display());
    if args.json {
        tell(&drawn);
        output::print(&report::json(&outcomes)).map_err(DemoError::Output)
    } else {
        output::print(&(report::table(args, &outcomes) + &drawn)).map_err(DemoError::Output)
    }
}

async fn measure_all(args: &DemoArgs) -> Result<Vec<Outcome>, DemoError> {
    let load = Load::try_new(args.rate, args.calls)?.seed(stream(args.seed, 0));
    let bench = Bench {
        load,
        law: args.workload.clone(),
        seed: args.seed,
        port: args.port,
    };
    let policies = args.chosen_policies();
    let mut outcomes = Vec::with_capacity(policies.iter().len());
    for policy in policies.iter() {
        let bar = progress(args, policy.written());
        let outcome = bench.measure(policy, &bar).await;
        bar.finish_and_clear();
        let outcome = outcome?;
        for warning in report::warnings(&outcome) {
            tell(&format!("warning: {warning}\n"));
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// A bar on a terminal, one line of text elsewhere, nothing beside JSON.
fn progress(args: &DemoArgs, policy: &str) -> ProgressBar {
    if args.json {
        return ProgressBar::hidden();
    }
    if !io::stderr().is_terminal() {
        let seconds = args.calls as f64 / args.rate;
        tell(&format!("measuring {policy}: about {seconds:.0} s\n"));
        return ProgressBar::hidden();
    }
    let style = "{msg:20} {wide_bar} {pos}/{len} calls, {eta} left";
    let style = ProgressStyle::with_template(style).expect("the template is a constant");
    ProgressBar::with_draw_target(Some(args.calls), ProgressDrawTarget::stderr())
        .with_style(style)
        .with_message(policy.to_owned())
}

fn default_picture() -> PathBuf {
    let target = Path::new("target");
    if target.is_dir() {
        target.join(PICTURE)
    } else {
        PathBuf::from(PICTURE)
    }
}

/// Half a minute of measuring is not to end in a path that was wrong from the start.
fn check_writable(path: &Path) -> Result<(), DemoError> {
    let is_new = !path.exists();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|_| {
            if is_new {
                fs::remove_file(path)
            } else {
                Ok(())
            }
        })
        .map_err(|source| DemoError::Picture {
            path: path.to_owned(),
            source,
        })
}

fn because(error: &BindError) -> String {
    std::error::Error::source(error)
        .map(|source| format!(" ({source})"))
        .unwrap_or_default()
}
