//! Answers in memory, as they are.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hedgerow_core::{Answer, or_panic};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::{Entry, Got, Store, StoreError, StoreStats};
use crate::clock::Stamp;
use crate::error::CacheBuildError;

/// Fewer than this per shard, and a shard evicts long before all of them are full.
const LEAST_PER_SHARD: u64 = 256;
const MOST_SHARDS: usize = 16;
const MAX_ENTRIES: u64 = 1 << 32;
const MAX_BYTES: u64 = 1 << 46;
/// How many are remembered that are gone, for each that is there.
const GHOSTS: f64 = 0.25;
/// What entries are expected to weigh, where only bytes are bounded.
const USUAL_BYTES: u64 = 1_024;

/// Keeps answers in memory, typed, within entries or bytes: a hit is a clone.
///
/// What is asked for often stays, and a scan of things that are asked for once drives nothing out. Clones
/// share everything.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{CacheLayer, MemoryStore};
///
/// let few = MemoryStore::<u64, String>::entries(10_000);
/// // At most 64 MiB, of texts that own what they weigh.
/// let light = MemoryStore::<u64, String>::bytes(64 << 20, |_, text| text.capacity());
/// # let _ = (few, light);
/// ```
///
/// # Units
///
/// Of bytes: what the function says an answer owns on the heap, and what the store adds for its tables, so
/// that all of it stays within the bound. Measured by `tests/memory` under values from 1 B to 1 MB.
///
/// # Cost
///
/// A hit takes a lock for reading and clones the answer; it allocates nothing itself. Entries are spread
/// over up to 16 shards, each with a lock and an even share of the bound; small stores have one.
///
/// # Source
///
/// The crate `quick_cache` (Clock-PRO, S3-FIFO): moka takes sixteen times as many instructions for a hit (the bench
/// `overhead`), and kept less of three zipf traces (the bench `keys`).
pub struct MemoryStore<K, V> {
    inner: Arc<Inner<K, V>>,
}

type Engine<K, V> = Cache<K, Entry<V>, Weigh<K, V>, DefaultHashBuilder, Evictions>;

struct Inner<K, V> {
    cache: Engine<K, V>,
    weigh: Weigh<K, V>,
    bound: u64,
    evicted: Arc<AtomicU64>,
    expired: AtomicU64,
    counts_bytes: bool,
}

type Bytes<K, V> = dyn Fn(&K, &V) -> usize + Send + Sync;

/// What an entry weighs: one, or its bytes.
struct Weigh<K, V>(Option<Arc<Bytes<K, V>>>);

/// What the tables take for an entry: its place, which may be one of twice as many, one for its ghost, and
/// its place in the index.
const fn overhead<K, V>() -> u64 {
    3 * place::<K, V>() + 32
}

const fn place<K, V>() -> u64 {
    (size_of::<K>() + size_of::<Entry<V>>() + 24) as u64
}

/// Counts what is evicted.
#[derive(Clone)]
struct Evictions(Arc<AtomicU64>);

impl<K, V> MemoryStore<K, V>
where
    K: Eq + Hash,
    V: Clone,
{
    /// At most `n` entries, 1 to 4,294,967,296, whatever they weigh.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_entries`](Self::try_entries) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn entries(n: u64) -> Self {
        or_panic(Self::try_entries(n))
    }

    /// Like [`entries`](Self::entries), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] if `n` is out of range.
    pub fn try_entries(n: u64) -> Result<Self, CacheBuildError> {
        CacheBuildError::bound("a bound of entries", n, 1, MAX_ENTRIES)?;
        Ok(Self::new(n, n, Weigh(None)))
    }

    /// At most `max` bytes, 1,024 to 70,368,744,177,664, of what `weigh` says that an answer and its key own
    /// on the heap, and what the store adds to it.
    ///
    /// An entry that is larger than its shard's share alone is not stored.
    ///
    /// # Panics
    ///
    /// If `max` is out of range: [`try_bytes`](Self::try_bytes) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn bytes<W>(max: u64, weigh: W) -> Self
    where
        W: Fn(&K, &V) -> usize + Send + Sync + 'static,
    {
        or_panic(Self::try_bytes(max, weigh))
    }

    /// Like [`bytes`](Self::bytes), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] if `max` is out of range.
    pub fn try_bytes<W>(max: u64, weigh: W) -> Result<Self, CacheBuildError>
    where
        W: Fn(&K, &V) -> usize + Send + Sync + 'static,
    {
        CacheBuildError::bound("a bound of bytes", max, 1_024, MAX_BYTES)?;
        let likely = (max / (USUAL_BYTES + overhead::<K, V>())).max(1);
        Ok(Self::new(max, likely, Weigh(Some(Arc::new(weigh)))))
    }

    fn new(bound: u64, likely: u64, weigh: Weigh<K, V>) -> Self {
        let counts_bytes = weigh.0.is_some();
        // A large answer has to fit into one shard: a store of bytes has fewer of them.
        let per_shard = if counts_bytes {
            64 * LEAST_PER_SHARD
        } else {
            LEAST_PER_SHARD
        };
        let shards = (likely / per_shard).clamp(1, MOST_SHARDS as u64) as usize;
        let likely = likely.min(1 << 24);
        // What is remembered of entries that are gone takes a place too, and weighs nothing.
        let ghosts = if counts_bytes {
            (likely as f64 * GHOSTS) as u64 * (2 * place::<K, V>() + 16)
        } else {
            0
        };
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(likely as usize)
            .ghost_allocation(GHOSTS)
            .weight_capacity(bound - ghosts.min(bound / 2))
            .build()
            .expect("both capacities are set");
        let evictions = Evictions(Arc::default());
        Self {
            inner: Arc::new(Inner {
                evicted: evictions.0.clone(),
                cache: Cache::with_options(
                    options,
                    weigh.clone(),
                    DefaultHashBuilder::default(),
                    evictions,
                ),
                weigh,
                bound,
                expired: AtomicU64::new(0),
                counts_bytes,
            }),
        }
    }
}

impl<K, V> Store for MemoryStore<K, V>
where
    K: Clone + Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    type Key = K;
    type Value = V;

    #[inline]
    fn get(&self, key: &K, now: Stamp) -> Answer<Got<V>> {
        match self.inner.cache.get(key) {
            Some(entry) if entry.keep_until > now => Answer::Now(Ok(Some(entry))),
            None => Answer::Now(Ok(None)),
            Some(_) => {
                self.inner.expire(key, now);
                Answer::Now(Ok(None))
            }
        }
    }

    fn put(&self, key: K, entry: Entry<V>) -> Answer<Result<(), StoreError>> {
        Answer::Now(self.offer(key, entry))
    }

    fn offer(&self, key: K, entry: Entry<V>) -> Result<(), StoreError> {
        let bytes = self.inner.weigh.weight(&key, &entry);
        if bytes > self.inner.cache.shard_capacity() {
            // What there was is out of date.
            self.inner.cache.remove(&key);
            return Err(StoreError::TooLarge {
                bytes,
                bound: self.inner.bound,
            });
        }
        self.inner.cache.insert(key, entry);
        Ok(())
    }

    fn remove(&self, key: &K) -> Answer<Result<(), StoreError>> {
        self.inner.cache.remove(key);
        Answer::Now(Ok(()))
    }

    fn stats(&self) -> StoreStats {
        let inner = &*self.inner;
        StoreStats {
            entries: inner.cache.len() as u64,
            bytes: if inner.counts_bytes {
                inner.cache.weight()
            } else {
                0
            },
            evicted: inner.evicted.load(Ordering::Relaxed),
            expired: inner.expired.load(Ordering::Relaxed),
            lost: 0,
        }
    }
}

impl<K: Eq + Hash, V: Clone> Inner<K, V> {
    #[cold]
    fn expire(&self, key: &K, now: Stamp) {
        // A new one may have come since.
        let gone = self.cache.remove_if(key, |entry| entry.keep_until <= now);
        if gone.is_some() {
            self.expired.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<K, V> Weighter<K, Entry<V>> for Weigh<K, V> {
    #[inline]
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        match &self.0 {
            None => 1,
            Some(bytes) => (bytes(key, &entry.value) as u64).saturating_add(overhead::<K, V>()),
        }
    }
}

impl<K, V> Lifecycle<K, Entry<V>> for Evictions {
    /// What was given up, dropped when no lock is held: that is the user's code.
    type RequestState = Vec<(K, Entry<V>)>;

    fn on_evict(&self, gone: &mut Self::RequestState, key: K, entry: Entry<V>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        gone.push((key, entry));
    }
}

// === impl Clone and Debug: without bounds ===

impl<K, V> Clone for MemoryStore<K, V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<K, V> Clone for Weigh<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> fmt::Debug for MemoryStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.inner.counts_bytes {
            "bytes"
        } else {
            "entries"
        };
        f.debug_struct("MemoryStore")
            .field(unit, &self.inner.bound)
            .finish_non_exhaustive()
    }
}
