//! Running the binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// `hedgerow demo` with `arguments`, in a folder where it may leave its picture.
pub(crate) fn demo(arguments: &[&str]) -> Command {
    hedgerow("demo", arguments)
}

/// `hedgerow lab` with `arguments`, in the same folder.
pub(crate) fn lab(arguments: &[&str]) -> Command {
    hedgerow("lab", arguments)
}

pub(crate) fn hedgerow(subcommand: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command
        .arg(subcommand)
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir(scratch(""));
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    demo(arguments).output().expect("the binary starts")
}

/// A path that belongs to these tests alone.
pub(crate) fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the command writes UTF-8")
}
