//! The bench `batching`: 10,000 items at once through a backend that does nothing, a hundred a batch.
//!
//! Each item is a task. What a task takes that does nothing but wait once is counted as well, and taken off.
//! A CPU second is one that the thread was on a processor, whatever else the machine did meanwhile.

mod subject;

use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tokio::runtime::Runtime;

use self::subject::Subject;
use crate::{allocations, cpu, drive, instructions};

/// Items at once.
const ITEMS: u64 = 10_000;
/// Items a batch.
const SIZE: usize = 100;
/// Longer than anything here takes, and what a batch that is not full would wait for.
const LINGER: Duration = Duration::from_millis(5);
/// Rounds of the shorter and of the longer child.
const ROUNDS: [u64; 2] = [2, 12];
const TIMED_ROUNDS: usize = 31;

const INSTRUCTIONS: f64 = 1_800.0;
const ALLOCATIONS: f64 = 1.1;

/// What `batching` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,

    /// Count our own layer alone; exit with 1 and a line for each bar that is missed
    #[arg(long)]
    check: bool,

    /// Make the rounds of one subject, by its number, and measure nothing: what is run under valgrind
    #[arg(long, value_name = "SUBJECT", hide = true, conflicts_with_all = ["json", "check"])]
    child: Option<usize>,

    /// Rounds that the child makes
    #[arg(long, hide = true, requires = "child", default_value_t = 0)]
    rounds: u64,
}

/// What an item costs.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    #[serde(skip)]
    subject: Subject,
    /// Missing without valgrind.
    instructions: Option<f64>,
    allocations: f64,
    /// Items in a second of the thread's CPU time; missing when only what is gated is measured.
    items_per_cpu_second: Option<f64>,
    /// From the start of a round to the answer of an item, the driver's own taken off.
    added_p99_us: Option<f64>,
}

/// Runs the bench.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = drive::runtime()?;
    if let Some(&subject) = options.child.and_then(|at| Subject::ALL.get(at)) {
        let mut round = subject.rounds(&runtime);
        for _ in 0..options.rounds {
            round();
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = measure(&runtime, options.check)?;
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
    } else {
        table(&mut out, &rows)?;
    }
    if options.check {
        return check(&rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(runtime: &Runtime, only_gated: bool) -> anyhow::Result<Vec<Row>> {
    let subjects = Subject::ALL.into_iter().filter(|subject| {
        !only_gated || matches!(subject, Subject::Driver | Subject::Ours | Subject::OursIdle)
    });
    let counts = instructions::available();
    let mut rows = Vec::new();
    for subject in subjects {
        let (time, p99) = if only_gated {
            (None, None)
        } else {
            let (ns, p99) = timed(runtime, subject)?;
            (Some(ns), Some(p99))
        };
        rows.push((
            subject,
            counted(subject, counts)?,
            allocated(runtime, subject),
            time,
            p99,
        ));
    }
    let Some(&(_, base_instructions, base_allocations, base_time, base_p99)) = rows.first() else {
        return Ok(Vec::new());
    };
    let over = |cost: Option<f64>, base: Option<f64>| Some(cost? - base?);
    let of = |(subject, counted, allocated, time, p99): (Subject, _, f64, _, _)| {
        let is_driver = subject == Subject::Driver;
        let ns = if is_driver {
            time
        } else {
            over(time, base_time)
        };
        Row {
            name: subject.title(),
            subject,
            instructions: if is_driver {
                counted
            } else {
                over(counted, base_instructions)
            },
            allocations: if is_driver {
                allocated
            } else {
                allocated - base_allocations
            },
            items_per_cpu_second: ns.map(|ns| 1e9 / ns),
            added_p99_us: if is_driver { p99 } else { over(p99, base_p99) },
        }
    };
    Ok(rows.into_iter().map(of).collect())
}

/// Instructions an item, from two children that make a different number of rounds.
fn counted(subject: Subject, available: bool) -> anyhow::Result<Option<f64>> {
    if !available {
        return Ok(None);
    }
    let [short, long] = ROUNDS;
    let more = child(subject, long)? - child(subject, short)?;
    Ok(Some(more as f64 / ((long - short) * ITEMS) as f64))
}

/// All instructions of a child.
fn child(subject: Subject, rounds: u64) -> anyhow::Result<u64> {
    let program = std::env::current_exe().context("finding this program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["batching", "--child", &(subject as usize).to_string()])
        .args(["--rounds", &rounds.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("starting valgrind")?;
    instructions::collected(&output)
}

/// Allocations an item.
fn allocated(runtime: &Runtime, subject: Subject) -> f64 {
    let mut round = subject.rounds(runtime);
    for _ in 0..3 {
        round();
    }
    let rounds = 5;
    let count = allocations::during(|| {
        for _ in 0..rounds {
            round();
        }
    });
    count as f64 / (rounds * ITEMS) as f64
}

/// The CPU time of an item in ns, over all rounds, and the median of the rounds' 99th percentiles in µs.
fn timed(runtime: &Runtime, subject: Subject) -> anyhow::Result<(f64, f64)> {
    let mut round = subject.rounds(runtime);
    round();
    let before = cpu::of_this_thread()?;
    let p99s = (0..TIMED_ROUNDS).map(|_| round()).collect();
    let took = cpu::of_this_thread()? - before;
    let ns = took as f64 / (TIMED_ROUNDS as u64 * ITEMS) as f64;
    Ok((ns, crate::times::median(p99s)))
}

fn table(out: &mut impl Write, rows: &[Row]) -> anyhow::Result<()> {
    writeln!(
        out,
        "{ITEMS} items at once, at most {SIZE} a batch, a backend that does nothing; an item\n"
    )?;
    writeln!(
        out,
        "{:30}{:>14}{:>13}{:>22}{:>15}",
        "", "instructions", "allocations", "items a CPU second", "added p99, µs"
    )?;
    let figure =
        |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.0}"));
    for row in rows {
        writeln!(
            out,
            "{:30}{:>14}{:>13.2}{:>22}{:>15}",
            row.name,
            figure(row.instructions),
            row.allocations,
            figure(row.items_per_cpu_second),
            figure(row.added_p99_us),
        )?;
    }
    Ok(())
}

fn check(rows: &[Row]) -> anyhow::Result<ExitCode> {
    let mut err = io::stderr().lock();
    let mut code = ExitCode::SUCCESS;
    if !instructions::available() {
        writeln!(err, "{}", instructions::INSTALL)?;
    }
    for row in rows {
        if row.subject == Subject::Driver {
            continue;
        }
        for (what, at_most, measured) in [
            ("instructions an item", INSTRUCTIONS, row.instructions),
            ("allocations an item", ALLOCATIONS, Some(row.allocations)),
        ] {
            if measured.is_none_or(|measured| measured > at_most) {
                code = ExitCode::FAILURE;
                writeln!(
                    err,
                    "missed: {}: {what}: {measured:?}, at most {at_most}",
                    row.name
                )?;
            }
        }
    }
    Ok(code)
}
