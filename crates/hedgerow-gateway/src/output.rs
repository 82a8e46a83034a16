//! What a command says, to stdout and to stderr.

use std::io::{self, Write};

/// To stdout. A reader who has left (a closed pipe) has seen enough.
pub(crate) fn print(text: &str) -> Result<(), io::Error> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// To stderr, where nobody may be listening.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
