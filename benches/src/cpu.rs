//! What a thread has spent on a processor.

use std::fs;

use anyhow::Context as _;

/// What this thread has spent on a processor so far, in nanoseconds. It lags behind by a tick of the kernel's at
/// most: what is measured by it takes many of them.
pub(crate) fn of_this_thread() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")
        .context("reading /proc, which Linux has")?;
    let first = text.split_whitespace().next().unwrap_or("0");
    first.parse().context("the first figure of schedstat")
}
