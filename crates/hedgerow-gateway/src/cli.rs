//! What can be written on the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use hedgerow::Budget;
use hedgerow_gateway::KeyStyle;
use hedgerow_sim::{Law, Load, Scenario};

use crate::policy::{Policies, Policy};

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
    Lab(LabArgs),
    Serve(ServeArgs),
    Check(FileArgs),
    Explain(ExplainArgs),
    /// Prints the JSON schema of a gateway's file.
    Schema,
}

/// Serves an OpenAI- and Anthropic-compatible API in front of one upstream or several, with hedging,
/// retries, deadlines and admission in between.
///
/// Point an SDK's base URL at it. SIGHUP, and a change of the file, take what is written then, without
/// dropping a request; SIGTERM and SIGINT let running answers end.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) source: Source,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("from").required(true))]
pub(crate) struct Source {
    /// The file with everything: see `hedgerow schema`, and `hedgerow explain`.
    #[arg(long, value_name = "FILE", group = "from", conflicts_with_all = ["key_style", "key_env"])]
    pub(crate) config: Option<PathBuf>,

    /// Without a file: the address of the one upstream, with its /v1, as an SDK is told it. One that
    /// does not end in /v1 gets the client's whole path behind it, with the /v1.
    #[arg(long, value_name = "URL", group = "from")]
    pub(crate) upstream: Option<String>,

    /// How the key is sent to it: authorization, `x_api_key`, `api_key`, client (what the client has sent is
    /// passed on) or none.
    #[arg(long, value_name = "STYLE", requires = "upstream", value_parser = key_style)]
    pub(crate) key_style: Option<KeyStyle>,

    /// The environment variable with the key [default: `OPENAI_API_KEY`, or
    /// `ANTHROPIC_API_KEY` for `x_api_key`].
    #[arg(long, value_name = "NAME", requires = "upstream")]
    pub(crate) key_env: Option<String>,

    /// Where to listen, instead of what the file says [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
}

/// Says whether a gateway's file can be served: every mistake at once, with its line.
///
/// Served from here: the environment has to hold the keys that the file names.
#[derive(Clone, Debug, Args)]
pub(crate) struct FileArgs {
    /// The file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Prints the layers that each route gets, from the outside in, with what holds by default, and warnings.
///
/// As for `check`, the environment has to hold the keys that the file names.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) source: Source,
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
    /// parallel(2), schedule(50ms,100ms), adaptive, backoff. Each has its default budget of extra
    /// calls.
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

/// Measures policies on workloads in virtual time: the real layers, no network, no waiting.
///
/// Prints what each policy does to the latency and what it costs (extra: attempts beyond one a call;
/// worst 1k: the same over the worst 1,000 calls in a row), beside the best that any policy could do
/// at that cost (limit) and how far above it this one is (gap). The latencies are a workload's own
/// milliseconds; 100,000 calls take well under a second.
///
/// Of a congestion (w9) it prints which share of the calls was answered in time, before, in and after a
/// pulse of too many calls.
#[derive(Clone, Debug, Args)]
pub(crate) struct LabArgs {
    /// Workloads to measure, separated by commas: w0, w1, w2, w3, w4, w7 (regimes), w8 (a wave), w9
    /// (queues), w10 (classes), or a file that describes one of yours: take one below
    /// crates/hedgerow-sim/workloads as a pattern.
    #[arg(long = "workload", value_name = "LIST", value_delimiter = ',', value_parser = workload)]
    #[arg(default_value = "w1,w2,w3,w4")]
    pub(crate) workloads: Vec<Scenario>,

    /// The policies to compare, separated by commas: none, off, fixed(100ms), percentile(95),
    /// parallel(2), schedule(50ms,100ms), adaptive, backoff; fixed(p95), a fixed delay at the true p95
    /// of the workload's attempts (of a congestion: as measured in its first phase); by the workload's
    /// classes class(percentile(95)), key(percentile(95)), key(adaptive), key(backoff) and
    /// workload(50ms,200ms), a delay for each; with w9's bars in mind three tries of 250 ms, hedged at
    /// 24.5 ms: retry(budgets), 10 % retries and 5 % hedges, retry(shared), 10 % together, retry(gated),
    /// behind a queue that lets large requests wait, and retry(naive), without any of it; and tower(95),
    /// tower's own hedge.
    #[arg(
        long,
        value_name = "LIST",
        default_value = "none,percentile(90),percentile(95),fixed(p95),tower(95)"
    )]
    pub(crate) policies: Policies,

    /// Stacks to measure beside the policies, separated by commas: TOML files of the guide's page
    /// `configuration`. Their durations are the workload's own; what has a meaning for HTTP requests
    /// alone is refused, and their budgets are those of the files.
    #[arg(long = "stack", value_name = "FILES", value_delimiter = ',', value_parser = stack)]
    pub(crate) stacks: Vec<Policy>,

    /// Budgets of extra calls, in percent, separated by commas; each policy is measured with each.
    /// `own` is the policy's default.
    #[arg(long = "budget", value_name = "LIST", value_delimiter = ',', value_parser = budget)]
    #[arg(default_value = "own")]
    pub(crate) budgets: Vec<Allowance>,

    /// Calls of each trial; of a fan-out, its leaves are counted. A congestion says itself how many it has.
    /// In all rows there may be 100 million.
    #[arg(long, value_name = "N", default_value = "100000", value_parser = calls)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) calls: u64,

    /// Trials of each combination, each with a seed of its own; their calls are pooled.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    #[arg(allow_negative_numbers = true)]
    pub(crate) seeds: u64,

    /// Of a congestion: whether an attempt that is dropped frees its replica, as a cancelled HTTP/2
    /// request does at a server that notices.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Cancellation::Both)]
    pub(crate) cancellation: Cancellation,

    /// Print the results as one line of JSON.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,

    /// Print the results as CSV.
    #[arg(long)]
    pub(crate) csv: bool,

    /// Folder for the pictures [default: none are drawn]. A congestion has none.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,

    /// Measure every bar that is set for the workloads and the policies, whatever else is asked for
    /// (57 million calls: about a minute of a core, spread over all that are free); exit with 1 if one is
    /// missed.
    #[arg(long, conflicts_with_all = ["json", "csv", "out"])]
    pub(crate) check: bool,
}

/// Whether dropped attempts free their replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cancellation {
    /// A row each.
    Both,
    /// They do.
    Yes,
    /// The work is done all the same.
    No,
}

impl Cancellation {
    pub(crate) const fn variants(self) -> &'static [bool] {
        match self {
            Self::Both => &[true, false],
            Self::Yes => &[true],
            Self::No => &[false],
        }
    }
}

/// What extra calls a policy is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Allowance {
    /// The policy's own default.
    Own,
    /// So many percent of the calls.
    Percent(f64),
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

fn workload(written: &str) -> Result<Scenario, String> {
    if let Some(scenario) = Scenario::named(written) {
        return Ok(scenario);
    }
    let path = PathBuf::from(written);
    if !path.exists() {
        let all = Scenario::all();
        let names: Vec<_> = all.iter().map(Scenario::name).collect();
        return Err(format!(
            "there is no workload and no file `{written}`: write one of {} or the name of a file",
            names.join(", ")
        ));
    }
    Scenario::read(&path).map_err(|error| error.to_string())
}

fn stack(written: &str) -> Result<Policy, String> {
    Policy::of_file(written).map_err(|error| error.to_string())
}

fn budget(written: &str) -> Result<Allowance, String> {
    if written.trim() == "own" {
        return Ok(Allowance::Own);
    }
    let percent: f64 = written
        .trim()
        .parse()
        .map_err(|_| String::from("write percents of the calls, like 2,5,10, or own"))?;
    Budget::try_percent(percent).map_err(|error| error.to_string())?;
    Ok(Allowance::Percent(percent))
}

fn key_style(written: &str) -> Result<KeyStyle, String> {
    let value = serde_json::Value::String(written.replace('-', "_"));
    serde_json::from_value(value)
        .map_err(|_| String::from("write one of authorization, x_api_key, api_key, client, none"))
}
