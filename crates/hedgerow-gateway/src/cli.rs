//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use hedgerow_sim::{Law, Load};

use crate::policy::Policies;

/// Cuts the tail latency of any service, within a budget.
#[derive(Debug, Parser)]
#[command(name = "hedgerow", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
}

/// Shows what hedging does: the same load with and without it, over real HTTP on this machine.
///
/// Starts three HTTP servers on the loopback interface whose latencies follow a heavy-tailed law,
/// and calls them at a steady rate, once per policy. Prints the latencies and what they cost, and
/// draws the curves. Takes about 10 s a policy.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// The law that the servers' latencies follow: w0, w1, w2, w3 or w4.
    #[arg(long, value_name = "ID", default_value = "w4")]
    pub(crate) workload: Law,

    /// How many calls each policy is measured with.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = calls)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) calls: u64,

    /// Calls per second, sent whether or not earlier ones were answered.
    #[arg(long, value_name = "PER_SECOND", default_value = "1000", value_parser = rate)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) rate: f64,

    /// Seed of the latencies and of the gaps between calls, the same for every policy.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) seed: u64,

    /// The policies to compare, separated by commas: none, off, fixed(100ms), percentile(95),
    /// parallel(2), schedule(50ms,100ms). Each has its default budget of extra calls.
    #[arg(
        long,
        value_name = "LIST",
        default_value = "none,fixed(100ms),percentile(95)"
    )]
    pub(crate) policies: Policies,

    /// Measure none and percentile(95) only.
    #[arg(long, conflicts_with = "policies")]
    pub(crate) quick: bool,

    /// Where the picture goes [default: hedgerow-demo.svg, under target/ if there is one here].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Print the results as one line of JSON and nothing else on stdout.
    #[arg(long)]
    pub(crate) json: bool,

    /// First of three ports that the servers listen on; 0 for any three free ones.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) port: u16,
}

impl DemoArgs {
    /// The policies that are to be measured.
    pub(crate) fn chosen_policies(&self) -> Policies {
        if self.quick {
            Policies::quick()
        } else {
            self.policies.clone()
        }
    }
}

fn calls(written: &str) -> Result<u64, String> {
    let calls = written
        .parse()
        .map_err(|_| String::from("write a whole number from 1 to 10000000"))?;
    Load::try_new(1.0, calls).map_err(|error| error.to_string())?;
    Ok(calls)
}

fn rate(written: &str) -> Result<f64, String> {
    let rate = written
        .parse()
        .map_err(|_| String::from("write calls per second as a number, like 1000"))?;
    Load::try_new(rate, 1).map_err(|error| error.to_string())?;
    Ok(rate)
}
