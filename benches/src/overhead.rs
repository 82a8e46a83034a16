//! The bench `overhead`: what a hedge costs when it does not fire.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use tokio::runtime::Runtime;

use crate::case::{Case, Pace, Subject};
use crate::recording::{Book, Recorded};
use crate::report::{Cost, RecordingRow, Report, Row};
use crate::{allocations, bars, drive, instructions, recording, sizes, stream, table, times};

/// What `overhead` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print one JSON document instead of tables
    #[arg(long)]
    json: bool,

    /// Measure only what has a bar and is repeatable (instructions, allocations, sizes of our own
    /// layers); exit with 1 and a line for each bar that is missed
    #[arg(long)]
    check: bool,

    /// Make the calls of one case and measure nothing: what is run under valgrind
    #[arg(long, value_name = "CASE", hide = true, conflicts_with_all = ["json", "check"])]
    child: Option<Case>,

    /// Calls that the child makes
    #[arg(long, hide = true, requires = "child", default_value_t = 0)]
    calls: u64,
}

/// Runs the bench.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = drive::runtime()?;
    if let Some(case) = options.child {
        let mut run = drive::runner(&runtime, case);
        run(options.calls);
        return Ok(ExitCode::SUCCESS);
    }
    let report = measure(&runtime, options.check)?;
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        table::write(&mut out, &report)?;
    }
    if !options.check {
        return Ok(ExitCode::SUCCESS);
    }
    let mut missed = report
        .bars
        .iter()
        .filter(|verdict| verdict.gated && !verdict.met)
        .peekable();
    let code = match missed.peek() {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    };
    let mut err = io::stderr().lock();
    if report.instructions_by.is_none() {
        writeln!(err, "{}", instructions::INSTALL)?;
    }
    for verdict in missed {
        writeln!(err, "{verdict}")?;
    }
    Ok(code)
}

fn measure(runtime: &Runtime, only_gated: bool) -> anyhow::Result<Report> {
    let subjects: Vec<Subject> = Subject::ALL
        .into_iter()
        .filter(|subject| {
            let judged = Subject::OURS.contains(subject) || bars::is_peer(*subject);
            !only_gated || *subject == Subject::Bare || judged
        })
        .collect();
    let cases: Vec<Case> = subjects
        .iter()
        .flat_map(|&subject| Pace::ALL.map(|pace| Case { subject, pace }))
        .filter(|case| case.subject.meets(case.pace))
        .collect();
    // Times first, while no child runs beside them.
    let (ns, recorded) = if only_gated {
        (None, Vec::new())
    } else {
        (
            Some(times::per_call(runtime, &cases)),
            recording::measure()?,
        )
    };
    let counted = if instructions::available() {
        Some(instructions::per_call(&cases)?)
    } else {
        None
    };
    let costs: Vec<(Case, Cost)> = cases
        .iter()
        .enumerate()
        .map(|(at, &case)| {
            let pick = |figures: &Option<Vec<f64>>| figures.as_ref().map(|figures| figures[at]);
            let allocated = allocations::per_call(runtime, case);
            (case, Cost::new(pick(&counted), allocated, pick(&ns)))
        })
        .collect();
    let mut rows = subjects
        .iter()
        .map(|&subject| row(runtime, subject, &costs));
    let bare = rows.next().expect("the bare service comes first");
    let rows: Vec<Row> = rows.map(|row| row.over(&bare)).collect();
    let recording = recording_rows(&recorded);
    let allocations_per_chunk = stream::allocations_per_chunk(runtime);
    let mut verdicts = bars::judge(&rows, &recording);
    verdicts.push(bars::of_chunks(allocations_per_chunk));
    Ok(Report {
        instructions_by: counted.is_some().then_some("callgrind"),
        bare,
        rows,
        recording,
        allocations_per_chunk,
        bars: verdicts,
    })
}

fn row(runtime: &Runtime, subject: Subject, costs: &[(Case, Cost)]) -> Row {
    let _entered = runtime.enter();
    let cost = |pace: Pace| {
        let case = Case { subject, pace };
        costs
            .iter()
            .find(|(of, _)| *of == case)
            .map(|(_, cost)| *cost)
    };
    let case = Case {
        subject,
        pace: Pace::PendingOnce,
    };
    Row {
        name: subject.title(),
        subject,
        future_bytes: sizes::future_bytes(case) as i64,
        ready: cost(Pace::Ready),
        // A hit asks nobody who could be pending: the difference of the two would be that of a service that is
        // not asked.
        pending_once: cost(Pace::PendingOnce).filter(|_| subject.asks_the_service()),
    }
}

fn recording_rows(recorded: &[Recorded]) -> Vec<RecordingRow> {
    let mutex = recorded.iter().find(|row| row.book == Book::StdMutex);
    let Some(&mutex) = mutex else {
        return Vec::new();
    };
    recorded
        .iter()
        .map(|&row| RecordingRow::new(row, mutex))
        .collect()
}
