//! The `hedgerow` command.
//!
//! `hedgerow demo` shows on this machine, over real sockets, what hedging does to tail latency;
//! `hedgerow lab` measures policies on workloads in virtual time, beside what could be reached;
//! `hedgerow serve` is a gateway in front of OpenAI- and Anthropic-compatible upstreams.
//!
//! It exits with 0 when it did what was asked, with 2 when something that was written has to be
//! changed (the error says what), and with 1 when it failed for any other reason.

mod cli;
mod policy;
mod output;
mod demo;
mod lab;
mod serving;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let outcome = match command {
        Command::Demo(args) => {
            demo::run(&args).map_err(|error| (error.to_string(), error.exit_code()))
        }
        Command::Lab(args) => {
            lab::run(&args).map_err(|error| (error.to_string(), error.exit_code()))
        }
        Command::Serve(args) => serving::serve(&args.source).map_err(|error| serving::told(&error)),
        Command::Check(args) => serving::check(&args.file).map_err(|error| serving::told(&error)),
        Command::Explain(args) => {
            serving::explain(&args.source).map_err(|error| serving::told(&error))
        }
        Command::Schema => serving::schema().map_err(|error| serving::told(&error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((error, code)) => {
            output::tell(&format!("error: {error}\n"));
            ExitCode::from(code)
        }
    }
}
