//! A small quick store over a large slow one.

use std::hash::Hash;
use std::sync::Arc;

use hedgerow_core::Answer;

use super::writes::{Seen, Writes};
use super::{Entry, Got, Store, StoreError, StoreStats};
use crate::clock::Stamp;

/// Asks a near store first and a far one then: memory over a disk, or over Redis.
///
/// What the far one brings is put into the near one, unless its key was written meanwhile. What is stored goes
/// into both, and is acknowledged by the far one. An error of the near one is no error: the far one has the
/// word. Clones share both.
///
/// # Examples
///
/// ```no_run
/// # #[cfg(feature = "disk")] {
/// use hedgerow_cache::{ByteStore, DiskStore, MemoryStore, Tiered};
///
/// # fn open() -> Result<(), hedgerow_cache::DiskError> {
/// let disk = DiskStore::open("answers.redb")?.of::<u64, String>();
/// let store = Tiered::new(MemoryStore::<u64, String>::entries(10_000), disk);
/// # let _ = store; Ok(()) } }
/// ```
#[derive(Clone, Debug)]
pub struct Tiered<N, F> {
    near: N,
    far: Arc<F>,
    writes: Writes,
}

impl<N, F> Tiered<N, F> {
    /// `near` over `far`.
    #[must_use]
    pub fn new(near: N, far: F) -> Self {
        Self {
            near,
            far: Arc::new(far),
            writes: Writes::new(),
        }
    }

    /// The store that is asked first.
    #[must_use]
    pub const fn near(&self) -> &N {
        &self.near
    }

    /// The store that has the word.
    #[must_use]
    pub fn far(&self) -> &F {
        &self.far
    }
}

impl<N, F> Store for Tiered<N, F>
where
    N: Store + Clone + 'static,
    F: Store<Key = N::Key, Value = N::Value> + 'static,
    N::Key: Clone + Hash + Send + Sync + 'static,
    N::Value: Clone + Send + 'static,
{
    type Key = N::Key;
    type Value = N::Value;

    fn get(&self, key: &N::Key, now: Stamp) -> Answer<Got<N::Value>> {
        let near = match self.near.get(key, now) {
            Answer::Now(Ok(Some(entry))) => return Answer::Now(Ok(Some(entry))),
            Answer::Now(_) => None,
            Answer::Later(later) => Some(later),
        };
        let fill = Fill {
            near: self.near.clone(),
            seen: self.writes.look(key),
            key: key.clone(),
        };
        if near.is_none() {
            match self.far.get(key, now) {
                Answer::Now(got) => return Answer::Now(fill.with(got)),
                Answer::Later(far) => {
                    return Answer::Later(Box::pin(async move { fill.with(far.await) }));
                }
            }
        }
        let far = self.far.clone();
        Answer::Later(Box::pin(async move {
            if let Some(near) = near
                && let Ok(Some(entry)) = near.await
            {
                return Ok(Some(entry));
            }
            let got = far.get(&fill.key, now).wait().await;
            fill.with(got)
        }))
    }

    fn put(&self, key: N::Key, entry: Entry<N::Value>) -> Answer<Result<(), StoreError>> {
        let writing = self.writes.begin(&key);
        let _ = self.near.offer(key.clone(), entry.clone());
        writing.until(self.far.put(key, entry))
    }

    fn offer(&self, key: N::Key, entry: Entry<N::Value>) -> Result<(), StoreError> {
        let _writing = self.writes.begin(&key);
        let _ = self.near.offer(key.clone(), entry.clone());
        self.far.offer(key, entry)
    }

    fn remove(&self, key: &N::Key) -> Answer<Result<(), StoreError>> {
        let writing = self.writes.begin(key);
        match self.near.remove(key) {
            Answer::Now(_) => writing.until(self.far.remove(key)),
            Answer::Later(near) => {
                let (far, key) = (self.far.clone(), key.clone());
                Answer::Later(Box::pin(async move {
                    let _writing = writing;
                    let near = near.await;
                    far.remove(&key).wait().await.and(near)
                }))
            }
        }
    }

    /// Those of the far store; evictions and losses of both.
    fn stats(&self) -> StoreStats {
        let (near, mut both) = (self.near.stats(), self.far.stats());
        both.evicted += near.evicted;
        both.lost += near.lost;
        both
    }
}

/// The way of what the far store says into the near one.
struct Fill<N: Store> {
    near: N,
    key: N::Key,
    seen: Seen,
}

impl<N> Fill<N>
where
    N: Store,
    N::Key: Clone,
    N::Value: Clone,
{
    fn with(self, got: Got<N::Value>) -> Got<N::Value> {
        let Self { near, key, seen } = self;
        if let Ok(Some(entry)) = &got {
            seen.unless_written(|| drop(near.offer(key, entry.clone())));
        }
        got
    }
}
