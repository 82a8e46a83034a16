//! Answers in a file that survives `kill -9`.

mod build;
mod error;
mod file;
mod record;
mod threads;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use hedgerow_core::Answer;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

pub use self::build::DiskBuilder;
pub use self::error::DiskError;
use self::threads::{Ask, Deed, Shared};
use super::{Entry, Got, Store, StoreError, StoreStats};
use crate::clock::Stamp;
use crate::key::Digest;

/// Keeps bytes in one file: what was acknowledged is there after `kill -9`, whole.
///
/// [`of`](super::ByteStore::of) and [`by`](super::ByteStore::by) put a codec in front of it. Clones share the
/// file.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{ByteStore, CacheLayer, DiskStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answers.redb");
/// let disk = DiskStore::builder(&path).max_bytes(1 << 30).start_afresh_if_damaged().open()?;
/// let layer = CacheLayer::new(disk.of::<u64, String>()).key(|id: &u64| Some(*id));
/// # let _ = layer;
/// # Ok(()) }
/// ```
///
/// # One process
///
/// A file belongs to one process at a time; another one is refused at once ([`DiskError::InUse`]). Several
/// processes each have a file of their own, or share a store that is made for it (Redis).
///
/// # Bounds
///
/// [`max_bytes`](DiskBuilder::max_bytes) of what is stored, with what the indexes take; beyond it the entries
/// that were stored first go, however often they are asked for: to note each use would make a read a write.
/// Where use is to count, put a [`MemoryStore`](super::MemoryStore) in front ([`Tiered`](super::Tiered)), which
/// keeps what is asked for often. What is out of date goes with the next writes. The file itself is larger, about
/// twice at most; it shrinks only in [`compact`](Self::compact). The queue of writes is bounded
/// ([`max_waiting`](DiskBuilder::max_waiting)): what waits in it is found at once, an offer beyond it is lost and counted, a put waits for room,
/// and until it has that, dropping its acknowledgement undoes it.
///
/// # Damage
///
/// A file that cannot be read is refused when it is opened ([`DiskError::Damaged`]), or put aside
/// ([`start_afresh_if_damaged`](DiskBuilder::start_afresh_if_damaged)). Each entry has a checksum of its own:
/// one that does not hold is an error and never an answer.
///
/// # Readiness, clones and drop
///
/// Three threads: one writes, two read. Nothing of the file is touched on a caller's thread, and no runtime is
/// needed. The last handle waits, when it is dropped, until everything in the queue is written: some
/// milliseconds.
///
/// # Cost
///
/// One commit for all that waits at the time (a group commit): two `fsync`s, some milliseconds. A read is one
/// hand-over to a thread and back.
///
/// # Source
///
/// The crate `redb`, with its quick repair: a file that was not closed is opened by reading a bounded part
/// of it.
#[derive(Clone)]
pub struct DiskStore {
    shared: Arc<Shared>,
}

impl DiskStore {
    /// Opens a file, or makes it, with the bounds of [`DiskBuilder`].
    ///
    /// # Errors
    ///
    /// If another process has it, if it is damaged, or if the system refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DiskError> {
        Self::builder(path).open()
    }

    /// Sets bounds before a file is opened.
    pub fn builder(path: impl AsRef<Path>) -> DiskBuilder {
        DiskBuilder::new(path.as_ref())
    }

    fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Gives unused parts of the file back to the system. Reads and writes wait meanwhile, callers' threads
    /// do not.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub async fn compact(&self) -> Result<(), StoreError> {
        let (tell, told) = oneshot::channel();
        self.send(Deed::Compact(tell)).await?;
        told.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits until everything that was put or offered before is committed.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (tell, told) = oneshot::channel();
        self.send(Deed::Flush(tell)).await?;
        told.await.map_err(|_| StoreError::Closed)?
    }

    async fn send(&self, deed: Deed) -> Result<(), StoreError> {
        let place = self.shared.writes().reserve().await;
        self.shared
            .hand(place.map_err(|_| StoreError::Closed)?, deed);
        Ok(())
    }

    /// Hands a deed to the writer, or waits for room.
    fn deed(
        &self,
        deed: Deed,
        told: oneshot::Receiver<Result<(), StoreError>>,
    ) -> Answer<Result<(), StoreError>> {
        let waiting = match self.shared.writes().try_reserve() {
            Ok(place) => {
                self.shared.hand(place, deed);
                None
            }
            Err(TrySendError::Full(())) => Some((self.clone(), deed)),
            Err(TrySendError::Closed(())) => return Answer::Now(Err(StoreError::Closed)),
        };
        Answer::Later(Box::pin(async move {
            if let Some((store, deed)) = waiting {
                store.send(deed).await?;
            }
            told.await.map_err(|_| StoreError::Closed)?
        }))
    }
}

impl Store for DiskStore {
    type Key = Digest;
    type Value = Vec<u8>;

    fn get(&self, key: &Digest, now: Stamp) -> Answer<Got<Vec<u8>>> {
        if let Some(entry) = self.shared.waiting(key) {
            let there = entry.keep_until > now;
            return Answer::Now(Ok(there.then(|| (*entry).clone())));
        }
        let (tell, told) = oneshot::channel();
        let ask = Ask {
            key: *key,
            now,
            tell,
        };
        if let Err(error) = self.shared.ask(ask) {
            return Answer::Now(Err(error));
        }
        Answer::Later(Box::pin(async move {
            told.await.map_err(|_| StoreError::Closed)?
        }))
    }

    fn put(&self, key: Digest, entry: Entry<Vec<u8>>) -> Answer<Result<(), StoreError>> {
        let (tell, told) = oneshot::channel();
        self.deed(Deed::Put(key, Arc::new(entry), Some(tell)), told)
    }

    fn offer(&self, key: Digest, entry: Entry<Vec<u8>>) -> Result<(), StoreError> {
        let place = self.shared.writes().try_reserve();
        let place = place.map_err(|refused| match refused {
            TrySendError::Closed(()) => StoreError::Closed,
            TrySendError::Full(()) => self.shared.lost(),
        })?;
        self.shared
            .hand(place, Deed::Put(key, Arc::new(entry), None));
        Ok(())
    }

    fn remove(&self, key: &Digest) -> Answer<Result<(), StoreError>> {
        let (tell, told) = oneshot::channel();
        self.deed(Deed::Remove(*key, tell), told)
    }

    fn stats(&self) -> StoreStats {
        self.shared.stats()
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
