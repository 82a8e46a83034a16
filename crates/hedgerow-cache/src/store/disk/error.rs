//! Why a file could not be opened.

use std::io;
use std::path::PathBuf;

use crate::error::CacheBuildError;

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// Another process, or another store in this one, has it.
    #[error(
        "{} is in use: a store's file belongs to one process at a time. Give each process a file of its own, \
         or let them share a store that is made for several, which is Redis (hedgerow-redis)",
        path.display()
    )]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It is no file of a store, or not a whole one.
    #[error(
        "{} is damaged, or no file of a store: {detail}. Restore it, or remove it, or open it with \
         start_afresh_if_damaged(), which puts it aside and begins an empty one",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// It was written by another version.
    #[error(
        "{} has format {found}, and this version reads {known}: let the version that wrote it go on with it, \
         or remove it",
        path.display()
    )]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What this version reads.
        known: u64,
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
    #[error(transparent)]
    Build(#[from] CacheBuildError),
}
