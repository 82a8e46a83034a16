//! Where answers are kept.

mod codec;
#[cfg(feature = "disk")]
mod disk;
mod encoded;
mod error;
mod memory;
mod tiered;
mod writes;

use std::sync::Arc;

use hedgerow_core::Answer;

pub use self::codec::{Codec, Json};
#[cfg(feature = "disk")]
pub use self::disk::{DiskBuilder, DiskError, DiskStore};
pub use self::encoded::{ByteStore, Encoded};
pub use self::error::StoreError;
pub use self::memory::MemoryStore;
pub use self::tiered::Tiered;
use crate::clock::Stamp;

/// An answer, and until when it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<V> {
    /// The answer.
    pub value: V,
    /// When it was stored.
    pub stored: Stamp,
    /// Until when it is as good as a new one.
    pub fresh_until: Stamp,
    /// Until when it is kept at all: a stale answer may still do better than none.
    pub keep_until: Stamp,
}

/// What a store says of an entry that was asked for.
pub type Got<V> = Result<Option<Entry<V>>, StoreError>;

/// Keeps entries by their keys, within bounds.
///
/// # Contract
///
/// * **Acknowledged is durable.** When what [`put`](Self::put) returned says `Ok`, the entry is as safe as
///   this store makes it: for one on disk it survives `kill -9`.
/// * **A put goes on by itself.** It has begun when `put` returns; dropping the acknowledgement does not
///   undo it.
/// * **Whole or not at all.** What [`get`](Self::get) brings is an entry that was put under that very key,
///   unchanged, or an error, or nothing. Never one whose `keep_until` is not after the `now` of the question.
/// * **Read your writes.** A `get` that is called after a `put` was acknowledged sees it, or a later one, or
///   nothing if it was evicted.
/// * **Bounded**, with an eviction counted in [`stats`](Self::stats).
///
/// A store reads no clock: `now` is told. `store_contract`, with the feature `testing`, checks all this.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{Entry, MemoryStore, Stamp, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hedgerow_cache::StoreError> {
/// let store = MemoryStore::entries(1_000);
/// let at = Stamp::from_millis;
/// let entry = Entry { value: "answer", stored: at(0), fresh_until: at(10), keep_until: at(30) };
/// store.put("key", entry).wait().await?;
/// assert_eq!(store.get(&"key", at(29)).wait().await?, Some(entry));
/// assert_eq!(store.get(&"key", at(30)).wait().await?, None);
/// # Ok(()) }
/// ```
pub trait Store: Send + Sync {
    /// What entries are found by.
    type Key;
    /// What they hold.
    type Value;

    /// The entry of `key`, if there is one that is to be kept beyond `now`.
    fn get(&self, key: &Self::Key, now: Stamp) -> Answer<Got<Self::Value>>;

    /// Stores an entry, in place of the one that there is. The answer is the acknowledgement.
    fn put(&self, key: Self::Key, entry: Entry<Self::Value>) -> Answer<Result<(), StoreError>>;

    /// Stores an entry behind the caller, who waits for nothing. Defaults to a [`put`](Self::put) whose
    /// acknowledgement is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if more is to be stored than the store keeps up with: the entry is lost.
    fn offer(&self, key: Self::Key, entry: Entry<Self::Value>) -> Result<(), StoreError> {
        match self.put(key, entry) {
            Answer::Now(put) => put,
            Answer::Later(_) => Ok(()),
        }
    }

    /// Forgets the entry of `key`, if there is one.
    fn remove(&self, key: &Self::Key) -> Answer<Result<(), StoreError>>;

    /// How full it is.
    fn stats(&self) -> StoreStats;
}

/// How full a store is, and what it had to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Entries in it, those included that nobody has noticed to be out of date.
    pub entries: u64,
    /// What they weigh, in bytes, if it counts them.
    pub bytes: u64,
    /// Entries that were given up for others since it was made.
    pub evicted: u64,
    /// Entries that were given up because their time was over.
    pub expired: u64,
    /// Entries that were never stored, because more came than it keeps up with.
    pub lost: u64,
}

impl<V> Entry<V> {
    /// Whether it is as good as a new one. One that was stored further in the future than it lives, because a
    /// clock was set back since, is none: it would be fresh until then.
    #[inline]
    pub(crate) fn is_fresh(&self, now: Stamp) -> bool {
        self.fresh_until > now
            && (self.stored <= now || self.stored.since(now) <= self.fresh_until.since(self.stored))
    }

    /// The same entry of something else.
    pub fn map<W>(self, change: impl FnOnce(V) -> W) -> Entry<W> {
        Entry {
            value: change(self.value),
            stored: self.stored,
            fresh_until: self.fresh_until,
            keep_until: self.keep_until,
        }
    }
}

impl<T: Store + ?Sized> Store for Arc<T> {
    type Key = T::Key;
    type Value = T::Value;

    #[inline]
    fn get(&self, key: &T::Key, now: Stamp) -> Answer<Got<T::Value>> {
        (**self).get(key, now)
    }

    fn put(&self, key: T::Key, entry: Entry<T::Value>) -> Answer<Result<(), StoreError>> {
        (**self).put(key, entry)
    }

    fn offer(&self, key: T::Key, entry: Entry<T::Value>) -> Result<(), StoreError> {
        (**self).offer(key, entry)
    }

    fn remove(&self, key: &T::Key) -> Answer<Result<(), StoreError>> {
        (**self).remove(key)
    }

    fn stats(&self) -> StoreStats {
        (**self).stats()
    }
}
