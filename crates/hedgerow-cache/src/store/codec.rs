//! From answers to bytes and back.

use std::fmt;
use std::marker::PhantomData;

use hedgerow_core::BoxError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Turns an answer into bytes, and those into the same answer.
///
/// [`Json`] for whatever serde can carry; `HttpCodec`, with the feature `http`, for HTTP answers.
pub trait Codec: Send + Sync {
    /// What it carries.
    type Value;

    /// The bytes of a value.
    ///
    /// # Errors
    ///
    /// If it has none.
    fn encode(&self, value: &Self::Value) -> Result<Vec<u8>, BoxError>;

    /// The value of these bytes.
    ///
    /// # Errors
    ///
    /// If there is no such value.
    fn decode(&self, bytes: &[u8]) -> Result<Self::Value, BoxError>;
}

/// Carries a value as JSON, by serde.
///
/// A value that JSON cannot hold (a map with keys that are no text, a float that is no number) is not
/// stored.
pub struct Json<V>(PhantomData<fn() -> V>);

impl<V> Json<V> {
    /// Carries values of this type.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V: Serialize + DeserializeOwned> Codec for Json<V> {
    type Value = V;

    fn encode(&self, value: &V) -> Result<Vec<u8>, BoxError> {
        serde_json::to_vec(value).map_err(Into::into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        serde_json::from_slice(bytes).map_err(Into::into)
    }
}

impl<V> Default for Json<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Clone for Json<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Json<V> {}

impl<V> fmt::Debug for Json<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}
