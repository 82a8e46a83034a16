//! The `hedgerow` command.
//!
//! `hedgerow demo` shows on this machine, over real sockets, what hedging does to tail latency.
//!
//! It exits with 0 when it did what was asked, with 2 when something that was written has to be
//! changed (the error says what), and with 1 when it failed for any other reason.

mod cli;
mod policy;
mod demo;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let outcome = match command {
        Command::Demo(args) => demo::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
