//! The benches of the workspace: `cargo run --release -p hedgerow-benches -- overhead`.

mod inner;
mod floor;
mod caches;
mod case;
mod drive;
mod instructions;
mod allocations;
mod sizes;
mod times;
mod cpu;
mod recording;
mod posting;
mod stream;
mod report;
mod bars;
mod table;
mod lone;
mod overhead;
mod saturated;
#[cfg(feature = "batching")]
mod batching;
#[cfg(feature = "batch-api")]
mod batch_api;
mod keys;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "The benches of hedgerow", version)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// What a hedge costs when it does not fire, beside other hedges and the floor.
    Overhead(overhead::Options),
    /// What a limit costs when nearly every call waits, beside tower's.
    Saturated(saturated::Options),
    /// What the ready-made keys of a cache cost, and how engines of memory stores keep a trace.
    Keys(keys::Options),
    /// What batching costs an item, beside other batchers.
    #[cfg(feature = "batching")]
    Batching(batching::Options),
    /// What a million rows through a Batch API take: memory, and time beside a round trip through serde.
    #[cfg(feature = "batch-api")]
    BatchApi(batch_api::Options),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().bench {
        Bench::Overhead(options) => overhead::run(&options),
        Bench::Saturated(options) => saturated::run(&options),
        Bench::Keys(options) => keys::run(&options),
        #[cfg(feature = "batching")]
        Bench::Batching(options) => batching::run(&options),
        #[cfg(feature = "batch-api")]
        Bench::BatchApi(options) => batch_api::run(&options),
    }
}
