//! The bench `batch-api`: a million rows through the mock of a Batch API, which stands in a process of its own.
//!
//! Each row is a call of the client, in a task of its own. As many are open at a time as one file holds; the others
//! are made as these are answered, which is the client's default. What is measured is the whole process, with its
//! callers. (`--open 100000` takes 260 to 290 MB, and misses the bar.) Beside it: what writing a row and reading
//! its answer takes a thread that does nothing else.

mod client;
mod memory;
mod server;
mod trip;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use self::server::Server;

/// Megabytes of memory that a million rows may take.
const MEGABYTES: f64 = 256.0;

/// What `batch-api` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rows in all
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,

    /// Rows that are open at a time
    #[arg(long, default_value_t = 50_000)]
    open: usize,

    /// Rows of a batch
    #[arg(long, default_value_t = 50_000)]
    batch: usize,

    /// Keep a journal
    #[arg(long)]
    journal: bool,

    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,

    /// Exit with 1 and a line for each bar that is missed
    #[arg(long)]
    check: bool,

    /// Be the API until the standard input ends
    #[arg(long, hide = true)]
    serve: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    rows: usize,
    open: usize,
    batch: usize,
    journal: bool,
    /// Batches that the API accepted.
    batches: u64,
    /// Rows that the API accepted, and those of them whose name it had accepted before.
    accepted: u64,
    accepted_again: u64,
    /// The most memory that this process had at any time.
    peak_megabytes: f64,
    rows_per_second: f64,
    /// Of the thread of the client: the API and the kernel are left out.
    rows_per_cpu_second: f64,
    /// Writing a line and reading one, and nothing else.
    round_trips_per_second: f64,
}

/// Runs the bench.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.serve {
        server::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let server = Server::start()?;
    let took = client::run(server.url(), options)?;
    let peak_megabytes = memory::peak_megabytes()?;
    let counts = server.end()?;
    let rows = options.rows;
    let report = Report {
        rows,
        open: options.open,
        batch: options.batch,
        journal: options.journal,
        batches: counts.batches,
        accepted: counts.rows,
        accepted_again: counts.rows_again,
        peak_megabytes,
        rows_per_second: rows as f64 / took.wall.as_secs_f64(),
        rows_per_cpu_second: rows as f64 / took.cpu.as_secs_f64(),
        round_trips_per_second: trip::per_second()?,
    };
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        report.write(&mut out)?;
    }
    let missed = report.missed();
    if options.check {
        for line in &missed {
            writeln!(out, "missed: {line}")?;
        }
    }
    Ok(match options.check && !missed.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

impl Report {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let journal = if self.journal { "with" } else { "without" };
        writeln!(
            out,
            "{} rows, {} open at a time, {} batches of up to {} rows, {journal} a journal\n",
            self.rows, self.open, self.batches, self.batch
        )?;
        writeln!(
            out,
            "memory at its peak     {:>10.1} MB",
            self.peak_megabytes
        )?;
        writeln!(out, "rows a second          {:>10.0}", self.rows_per_second)?;
        writeln!(
            out,
            "rows a CPU second      {:>10.0}",
            self.rows_per_cpu_second
        )?;
        let times = self.round_trips_per_second / self.rows_per_cpu_second;
        writeln!(
            out,
            "a serde round trip     {:>10.0} a second: {times:.1} times as many",
            self.round_trips_per_second
        )
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let rows = self.rows as u64;
        if (self.accepted, self.accepted_again) != (rows, 0) {
            let (accepted, again) = (self.accepted, self.accepted_again);
            missed.push(format!(
                "{accepted} rows were paid for, {again} of them twice; {rows} were asked"
            ));
        }
        if self.peak_megabytes > MEGABYTES {
            missed.push(format!(
                "{:.1} MB of memory; at most {MEGABYTES} are allowed",
                self.peak_megabytes
            ));
        }
        missed
    }
}
