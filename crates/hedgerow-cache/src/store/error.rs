//! What goes wrong in a store.

use hedgerow_core::BoxError;

/// A store could not do what was asked of it. The caches count that, and let the call go on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// More is to be stored than it keeps up with.
    #[error("the store's queue is full: {waiting} entries wait to be written")]
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// It was closed.
    #[error("the store is closed")]
    Closed,
    /// An entry alone is larger than all that it may hold.
    #[error("an entry of {bytes} bytes does not fit into a store of {bound}")]
    TooLarge {
        /// What the entry weighs.
        bytes: u64,
        /// What the store may hold.
        bound: u64,
    },
    /// What it reads is not what was written.
    #[error("what is stored is damaged: {0}")]
    Damaged(String),
    /// A value could not be turned into bytes, or bytes into a value.
    #[error("a value could not be encoded or decoded")]
    Codec(#[source] BoxError),
    /// What keeps the entries failed.
    #[error("the store failed")]
    Failed(#[source] BoxError),
}
