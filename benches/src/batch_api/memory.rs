//! What this process holds.

use std::fs;

use anyhow::Context as _;

/// The most memory that this process has had resident, as Linux keeps it.
pub(super) fn peak_megabytes() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("only Linux tells")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kilobytes: f64 = kilobytes.context("VmHWM")?.trim().parse()?;
    Ok(kilobytes / 1024.0)
}
