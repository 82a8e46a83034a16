//! Answers in a store that knows bytes alone.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hedgerow_core::Answer;

use super::{Codec, Entry, Got, Json, Store, StoreError, StoreStats};
use crate::clock::Stamp;
use crate::key::{Digest, Digestible};

/// A store of bytes by digests: one on disk, or far away.
pub trait ByteStore: Store<Key = Digest, Value = Vec<u8>> {
    /// Answers of this type, carried as JSON by serde.
    fn of<K: Digestible, V>(self) -> Encoded<Self, Json<V>, K>
    where
        Self: Sized,
        Json<V>: Codec<Value = V>,
    {
        Encoded::new(self, Json::new())
    }

    /// Answers, carried by `codec`.
    fn by<K: Digestible, C: Codec>(self, codec: C) -> Encoded<Self, C, K>
    where
        Self: Sized,
    {
        Encoded::new(self, codec)
    }
}

impl<T: Store<Key = Digest, Value = Vec<u8>> + ?Sized> ByteStore for T {}

/// Answers in a store of bytes, behind a [`Codec`]. Clones share the store.
pub struct Encoded<B, C, K> {
    parts: Arc<(B, C)>,
    keys: PhantomData<fn(K)>,
}

impl<B, C, K> Encoded<B, C, K> {
    /// Puts `codec` in front of `store`.
    #[must_use]
    pub fn new(store: B, codec: C) -> Self {
        Self {
            parts: Arc::new((store, codec)),
            keys: PhantomData,
        }
    }

    /// The store of bytes.
    #[must_use]
    pub fn get_ref(&self) -> &B {
        &self.parts.0
    }
}

impl<B, C, K> Store for Encoded<B, C, K>
where
    B: ByteStore,
    C: Codec + 'static,
    C::Value: Send,
    B: 'static,
    K: Digestible,
{
    type Key = K;
    type Value = C::Value;

    fn get(&self, key: &K, now: Stamp) -> Answer<Got<C::Value>> {
        match self.parts.0.get(&key.digest(), now) {
            Answer::Now(got) => Answer::Now(decode(&self.parts.1, got)),
            Answer::Later(later) => {
                let parts = self.parts.clone();
                Answer::Later(Box::pin(async move { decode(&parts.1, later.await) }))
            }
        }
    }

    fn put(&self, key: K, entry: Entry<C::Value>) -> Answer<Result<(), StoreError>> {
        match encode(&self.parts.1, entry) {
            Ok(entry) => self.parts.0.put(key.digest(), entry),
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn offer(&self, key: K, entry: Entry<C::Value>) -> Result<(), StoreError> {
        let entry = encode(&self.parts.1, entry)?;
        self.parts.0.offer(key.digest(), entry)
    }

    fn remove(&self, key: &K) -> Answer<Result<(), StoreError>> {
        self.parts.0.remove(&key.digest())
    }

    fn stats(&self) -> StoreStats {
        self.parts.0.stats()
    }
}

/// A codec is the user's: one that panics has said nothing.
fn decode<C: Codec>(codec: &C, got: Got<Vec<u8>>) -> Got<C::Value> {
    let Some(entry) = got? else {
        return Ok(None);
    };
    let decoded = catch_unwind(AssertUnwindSafe(|| codec.decode(&entry.value)));
    let value = decoded
        .map_err(|_| panicked())?
        .map_err(StoreError::Codec)?;
    Ok(Some(entry.map(|_| value)))
}

fn encode<C: Codec>(codec: &C, entry: Entry<C::Value>) -> Result<Entry<Vec<u8>>, StoreError> {
    let encoded = catch_unwind(AssertUnwindSafe(|| codec.encode(&entry.value)));
    let bytes = encoded
        .map_err(|_| panicked())?
        .map_err(StoreError::Codec)?;
    Ok(entry.map(|_| bytes))
}

fn panicked() -> StoreError {
    StoreError::Codec("the codec panicked".into())
}

impl<B, C, K> Clone for Encoded<B, C, K> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            keys: PhantomData,
        }
    }
}

impl<B: fmt::Debug, C: fmt::Debug, K> fmt::Debug for Encoded<B, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoded").field(&self.parts).finish()
    }
}
