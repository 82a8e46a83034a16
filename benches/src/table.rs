//! A report as a table.

use std::io::{self, Write};

use crate::instructions::{CALLS, INSTALL};
use crate::report::{Cost, Report, Row};

/// Writes everything that `report` holds.
pub(crate) fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "Per call, over the bare service; 16-byte request; no hedge fires.\n"
    )?;
    writeln!(
        out,
        "{:39} {:>6} | {:^31} | {:^31}",
        "", "future", "ready at once", "pending once"
    )?;
    let columns = format!("{:>7} {:>6} {:>6} {:>9}", "instr", "allocs", "bytes", "ns");
    writeln!(out, "{:39} {:>6} | {columns} | {columns}", "", "bytes")?;
    for row in &report.rows {
        write_row(out, row)?;
    }
    write_row(out, &report.bare)?;
    writeln!(out, "(the last row is in absolute figures)")?;
    if report.rows.iter().any(fires) {
        writeln!(
            out,
            "! a hedge fired here, so the row shows more than it should"
        )?;
    }
    writeln!(out)?;
    let [short, long] = CALLS;
    match report.instructions_by {
        Some(counter) => writeln!(
            out,
            "Instructions by {counter}: a run of {long} calls less one of {short}."
        )?,
        None => writeln!(out, "{INSTALL}")?,
    }
    if !report.recording.is_empty() {
        write_recording(out, report)?;
    }
    writeln!(
        out,
        "\nA stream of tokens through a whole stack: {:.3} allocations a chunk.",
        report.allocations_per_chunk
    )?;
    writeln!(out)?;
    for verdict in &report.bars {
        writeln!(out, "{verdict}")?;
    }
    Ok(())
}

fn write_row(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    writeln!(
        out,
        "{:39} {:>6} | {} | {}",
        row.name,
        row.future_bytes,
        cells(row.ready),
        cells(row.pending_once)
    )
}

fn fires(row: &Row) -> bool {
    let costs = [row.ready, row.pending_once];
    costs.iter().flatten().any(|cost| cost.extra_percent > 0.0)
}

fn cells(cost: Option<Cost>) -> String {
    let Some(cost) = cost else {
        return format!("{:>7} {:>6} {:>6} {:>9}", "-", "-", "-", "-");
    };
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    let mark = if cost.extra_percent > 0.0 { "!" } else { "" };
    format!(
        "{:>7} {:>6} {:>6.0} {:>9}",
        number(cost.instructions),
        format!("{:.1}{mark}", cost.allocations),
        cost.allocated_bytes,
        number(cost.ns)
    )
}

fn write_recording(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "\n{:39} {:>15} {:>24}",
        "ns to record one latency", "alone", "each of two threads"
    )?;
    for row in &report.recording {
        writeln!(
            out,
            "{:39} {:>7.1} ({:>4.2} x) {:>16.1} ({:>4.2} x)",
            row.name, row.alone_ns, row.alone_ratio, row.two_threads_ns, row.two_threads_ratio
        )?;
    }
    writeln!(
        out,
        "Two threads want two free cores: if they take turns, a lock looks better than it is."
    )
}
