//! Opening a file.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, StorageError};

use super::DiskStore;
use super::error::DiskError;
use super::file::{File, Opened};
use super::threads::Shared;
use crate::error::CacheBuildError;

const DEFAULT_BYTES: u64 = 1 << 30;
const LEAST_BYTES: u64 = 1 << 16;
const MOST_BYTES: u64 = 1 << 44;
const DEFAULT_WAITING: usize = 4_096;
const MOST_WAITING: u64 = 1 << 24;
const DEFAULT_MEMORY: usize = 32 << 20;

/// The bounds of a [`DiskStore`], before its file is opened.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct DiskBuilder {
    path: PathBuf,
    max_bytes: u64,
    max_waiting: usize,
    memory: usize,
    afresh: bool,
}

impl DiskBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            max_bytes: DEFAULT_BYTES,
            max_waiting: DEFAULT_WAITING,
            memory: DEFAULT_MEMORY,
            afresh: false,
        }
    }

    /// Sets how much is stored at most, with what the indexes take: 64 KiB to 16 TiB. Defaults to 1 GiB.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many writes may wait at most, 1 to 16,777,216. Defaults to 4,096.
    pub const fn max_waiting(mut self, writes: usize) -> Self {
        self.max_waiting = writes;
        self
    }

    /// Sets how many bytes of the file are held in memory at most. Defaults to 32 MiB.
    pub const fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Puts a file aside that is damaged, as `NAME.damaged`, and begins an empty one. Defaults to refusing it.
    ///
    /// One that was put aside earlier is overwritten.
    pub const fn start_afresh_if_damaged(mut self) -> Self {
        self.afresh = true;
        self
    }

    /// Looks whether the bounds are in range, and touches no file.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] if one is not.
    pub fn check(&self) -> Result<(), CacheBuildError> {
        CacheBuildError::bound("a bound of bytes", self.max_bytes, LEAST_BYTES, MOST_BYTES)?;
        let waiting = self.max_waiting as u64;
        CacheBuildError::bound("a bound of waiting writes", waiting, 1, MOST_WAITING)
    }

    /// Opens the file, or makes it. An empty file is a new one.
    ///
    /// # Errors
    ///
    /// If a bound is out of range, another process has the file, it is damaged, or the system refuses.
    pub fn open(self) -> Result<DiskStore, DiskError> {
        self.check()?;
        let opened = match self.read() {
            Err(DiskError::Damaged { detail, .. }) if self.afresh => {
                let aside = self.aside();
                tracing::warn!(
                    target: "hedgerow::cache", file = %self.path.display(), aside = %aside.display(), detail,
                    "a damaged store was put aside"
                );
                fs::rename(&self.path, &aside).map_err(|source| self.io(source))?;
                self.read()?
            }
            other => other?,
        };
        let shared = Shared::start(opened, self.max_waiting).map_err(|source| self.io(source))?;
        Ok(DiskStore::new(shared))
    }

    fn aside(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".damaged");
        name.into()
    }

    fn io(&self, source: io::Error) -> DiskError {
        DiskError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn read(&self) -> Result<Opened, DiskError> {
        let path = || self.path.clone();
        let damaged = |detail: String| DiskError::Damaged {
            path: path(),
            detail,
        };
        // What reads the file takes some damage for its own mistake, and panics.
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_cache_size(self.memory)
                .create(&self.path)
                .map_err(|error| self.refusal(error))?;
            File::new(database, self.max_bytes, &self.path)
        }));
        match tried {
            Ok(opened) => opened,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text =
                    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Err(damaged(
                    text.unwrap_or_else(|| "it makes no sense".to_owned()),
                ))
            }
        }
    }

    fn refusal(&self, error: DatabaseError) -> DiskError {
        let path = self.path.clone();
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                DiskError::InUse { path }
            }
            DatabaseError::Storage(StorageError::Io(source)) if !is_damage(&source) => {
                DiskError::Io { path, source }
            }
            other => DiskError::Damaged {
                path,
                detail: other.to_string(),
            },
        }
    }
}

/// Whether the system is fine, and what it read is not.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
