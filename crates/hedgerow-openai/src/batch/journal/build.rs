//! Opening a journal.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hedgerow::crates::cache::Clock;
use redb::{Database, DatabaseError, StorageError};

use super::Journal;
use super::error::JournalError;
use super::file::File;
use crate::batch::keeper::Found;

const DEFAULT_BYTES: u64 = 4 << 30;
const LEAST_BYTES: u64 = 1 << 16;
const DEFAULT_MEMORY: usize = 16 << 20;
const DEFAULT_KEEP: Duration = Duration::from_secs(7 * 86_400);

/// A journal, before its file is opened.
///
/// # What it promises
///
/// A row stands in the journal before its file is uploaded, and its batch's name right after it is made. After
/// `kill -9`, the next client with the same journal goes on: it asks for the batches that were open, and their
/// answers go to whoever asks for the same content, each once. Nothing is uploaded or made again.
///
/// There is one window: between the moment at which the API has made a batch and the moment at which its name
/// is on the disk. A batch carries its journal's name for it in its metadata (`hedgerow_batch`), and the next
/// client looks for that before it makes the batch again. What is left of the window is an API that shows a
/// batch in its list later than that, or has no list: its rows would be paid twice. Each request to make a batch has the same
/// `idempotency-key`, which closes that too where an API knows of it; if two batches show up after all, one of
/// them is cancelled.
///
/// An answer that was given out stays for [`keep_answered`](crate::batch::BatchClientBuilder::keep_answered), and is
/// given out once more after a kill within that time: nobody knows whether its first caller could still use
/// it. After [`close`](crate::batch::BatchClient::close) it is gone.
///
/// # Bounds
///
/// [`max_bytes`](Self::max_bytes) of rows and answers. Beyond it, answers that nobody asked for go, the oldest
/// first; if there are none, rows are refused. The file is larger, about twice at most; it is compacted when
/// it is opened.
///
/// # Damage
///
/// A file that cannot be read is refused, or put aside
/// ([`start_afresh_if_damaged`](Self::start_afresh_if_damaged)). Each entry has a checksum.
///
/// # Cost
///
/// Two `fsync`s for all that waits at the time. A batch takes three or four, and one for each 512 answers. In
/// memory are about a hundred bytes for each row.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before the client is built"]
pub struct JournalBuilder {
    path: PathBuf,
    max_bytes: u64,
    memory: usize,
    keep: Duration,
    afresh: bool,
}

impl JournalBuilder {
    /// A journal in this file, which is made if it is not there.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            max_bytes: DEFAULT_BYTES,
            memory: DEFAULT_MEMORY,
            keep: DEFAULT_KEEP,
            afresh: false,
        }
    }

    /// Sets how many bytes of rows and answers it holds at most, 64 KiB or more. Defaults to 4 GiB.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many bytes of the file are held in memory at most. Defaults to 16 MiB.
    pub const fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Sets how old an answer that nobody asked for may be when the journal is opened. Defaults to 7 days.
    pub const fn keep_unclaimed(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }

    /// Puts a file aside that is damaged, as `NAME.damaged`, and begins an empty one. Defaults to refusing it.
    ///
    /// What was open at the API is then found by nobody. One that was put aside earlier is overwritten.
    pub const fn start_afresh_if_damaged(mut self) -> Self {
        self.afresh = true;
        self
    }

    /// Also tells the name of the journal, and the number of the next batch.
    pub(in crate::batch) fn open(
        &self,
        upstream: &str,
    ) -> Result<(Journal, Found, String, u64), JournalError> {
        if self.max_bytes < LEAST_BYTES {
            let bytes = self.max_bytes;
            return Err(JournalError::Bound { bytes });
        }
        let (file, found) = match self.read(upstream) {
            Err(JournalError::Damaged { detail, .. }) if self.afresh => {
                let aside = self.aside();
                tracing::warn!(
                    target: "hedgerow::batch", file = %self.path.display(), aside = %aside.display(), detail,
                    "a damaged journal was put aside"
                );
                fs::rename(&self.path, &aside).map_err(|source| self.io(source))?;
                self.read(upstream)?
            }
            other => other?,
        };
        let (name, first) = (file.name(), file.next_seq());
        let journal = Journal::start(file).map_err(|source| self.io(source))?;
        Ok((journal, found, name, first))
    }

    fn aside(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".damaged");
        name.into()
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn read(&self, upstream: &str) -> Result<(File, Found), JournalError> {
        // What reads the file takes some damage for its own mistake, and panics.
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_cache_size(self.memory)
                .create(&self.path)
                .map_err(|error| self.refusal(error))?;
            let file = File::open(database, &self.path, upstream, self.max_bytes)?;
            let oldest = Clock::new().now().as_millis();
            let oldest = oldest.saturating_sub(self.keep.as_millis() as u64);
            let found = file
                .find(oldest)
                .map_err(|error| self.damaged(error.to_string()))?;
            Ok((file, found))
        }));
        tried.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(self.damaged(text.unwrap_or("it makes no sense").to_owned()))
        })
    }

    fn damaged(&self, detail: String) -> JournalError {
        JournalError::Damaged {
            path: self.path.clone(),
            detail,
        }
    }

    fn refusal(&self, error: DatabaseError) -> JournalError {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                JournalError::InUse {
                    path: self.path.clone(),
                }
            }
            DatabaseError::Storage(StorageError::Io(source)) if !is_damage(&source) => {
                self.io(source)
            }
            other => self.damaged(other.to_string()),
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
