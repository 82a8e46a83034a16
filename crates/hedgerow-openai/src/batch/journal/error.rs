//! Why a journal could not be opened.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a journal could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process, or another client in this one, has it.
    #[error(
        "{} is in use: a journal belongs to one client at a time. Give each client a file of its own",
        path.display()
    )]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It is no journal, or not a whole one.
    #[error(
        "{} is damaged, or no journal: {detail}. Restore it; or open it with start_afresh_if_damaged(), which puts \
         it aside and begins an empty one: what is open at the API is then found by nobody",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// It was written by another version.
    #[error("{} has format {found}, and this version reads {known}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What this version reads.
        known: u64,
    },
    /// Its batches are at another API.
    #[error(
        "{} is the journal of {found}, and this client sends to {now}: give each API a journal of its own",
        path.display()
    )]
    Upstream {
        /// Which file.
        path: PathBuf,
        /// Where its batches are.
        found: String,
        /// Where this client sends to.
        now: String,
    },
    /// The system refused.
    #[error("{} cannot be opened", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A bound makes no sense.
    #[error("a journal of {bytes} bytes holds nothing: write 65536 or more")]
    Bound {
        /// What was said.
        bytes: u64,
    },
}
