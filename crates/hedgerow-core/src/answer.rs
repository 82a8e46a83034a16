//! What is asked of somebody who may be in this process, or far away.

use std::fmt;
use std::pin::Pin;

/// An answer that comes.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An answer that is there, or comes.
///
/// What a layer asks of a ledger, a store or a leader: one in this process answers at once and
/// allocates nothing, a distant one makes its own caller wait and nobody else.
#[must_use = "an answer that comes later must be awaited"]
pub enum Answer<T> {
    /// It is there.
    Now(T),
    /// It comes.
    Later(Later<T>),
}

impl<T> Answer<T> {
    /// The answer, when it is there.
    pub async fn wait(self) -> T {
        match self {
            Self::Now(answer) => answer,
            Self::Later(later) => later.await,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}
