//! Instructions per call, counted by callgrind in a child of this program.
//!
//! Two children make a different number of calls; their difference has neither the start of the
//! program in it nor the making of the layer. What happens now and then (a refresh of quantiles, a
//! rotation of a window) is in it.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, ensure};
use parking_lot::Mutex;

use crate::case::Case;

/// Calls of the shorter and of the longer child.
pub(crate) const CALLS: [u64; 2] = [20_000, 120_000];

/// How to get what is missing.
pub(crate) const INSTALL: &str = "valgrind is not installed, so no instructions are counted; \
                                  on Debian: apt-get install --no-install-recommends valgrind";

/// Whether valgrind is there.
pub(crate) fn available() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Instructions per call of each case, as many children at a time as there are cores.
pub(crate) fn per_call(cases: &[Case]) -> anyhow::Result<Vec<f64>> {
    let jobs: Vec<(Case, u64)> = cases
        .iter()
        .flat_map(|&case| CALLS.map(|calls| (case, calls)))
        .collect();
    let next = AtomicUsize::new(0);
    let totals = Mutex::new(vec![0_u64; jobs.len()]);
    let work = || -> anyhow::Result<()> {
        loop {
            let mine = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(case, calls)) = jobs.get(mine) else {
                return Ok(());
            };
            let counted = count(case, calls).with_context(|| format!("counting {case}"))?;
            totals.lock()[mine] = counted;
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker returns its errors"))
    })?;
    let [short, long] = CALLS;
    let difference = |totals: &[u64]| (totals[1] - totals[0]) as f64 / (long - short) as f64;
    Ok(totals.into_inner().chunks(2).map(difference).collect())
}

/// All instructions of a child that makes `calls` calls.
fn count(case: Case, calls: u64) -> anyhow::Result<u64> {
    let program = std::env::current_exe().context("finding this program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["overhead", "--child", &case.to_string()])
        .args(["--calls", &calls.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("starting valgrind")?;
    collected(&output)
}

/// The count in what valgrind said.
pub(crate) fn collected(output: &Output) -> anyhow::Result<u64> {
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed:\n{told}");
    told.lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok())
        .with_context(|| format!("no count in what valgrind said:\n{told}"))
}
