//! What goes wrong: in building a layer, and with an item.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::BoxError;

/// A setting that makes no sense, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchBuildError {
    /// Batches of nothing, or larger than any memory.
    #[error("batches of at most {0} items are out of range: write 1 to 1000000")]
    MaxSize(usize),
    /// A weight that nothing fits into.
    #[error(
        "batches of at most the weight 0 hold nothing: write 1 or more, or leave the weight out"
    )]
    MaxWeight,
    /// A queue of nothing, or larger than any memory.
    #[error("a queue of at most {0} items is out of range: write 1 to 100000000")]
    MaxQueued(usize),
    /// No batch in flight, or more than any backend takes.
    #[error("{0} batches in flight are out of range: write 1 (one after the other) to 100000")]
    MaxInFlight(usize),
    /// A preferred size that no batch can have.
    #[error(
        "a preferred size of {size} is out of range: write 1 to the largest size, which is {max}"
    )]
    Preferred {
        /// The size.
        size: usize,
        /// The largest that a batch may have.
        max: usize,
    },
    /// A timeout of nothing.
    #[error("nothing can be answered in {0:?}: write a time above zero, or leave the timeout out")]
    Timeout(Duration),
    /// A cost of a dispatch that is none.
    #[error(
        "a dispatch that costs {0:?} is out of range: write up to 1 h, or leave it out to learn it"
    )]
    Cost(Duration),
    /// A prefix of names that exporters cannot carry.
    #[error(
        "names cannot begin with {0:?}: write letters, digits, `_`, `:` and `.`, first a letter"
    )]
    Prefix(String),
}

/// Why an item got no answer of its own.
///
/// An error that the backend gave to this item alone is not among them: it comes as it is, boxed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BatchError {
    /// The whole batch failed; the source is the backend's error, which its items share.
    Failed {
        /// How many items the batch had.
        size: usize,
        /// The backend's error.
        source: SharedError,
    },
    /// The backend said that the batch is done, and has not answered this item.
    MissingAnswer {
        /// How many items the batch had.
        size: usize,
    },
    /// The backend answered another request in this one's place.
    WrongAnswer,
    /// The backend panicked.
    Panicked {
        /// How many items the batch had.
        size: usize,
    },
    /// The batch took longer than the layer's timeout.
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The item's deadline passed before it was sent.
    DeadlineExceeded {
        /// How long it had waited.
        waited: Duration,
    },
    /// The layer was aborted, or the runtime of its task was shut down.
    Aborted,
    /// The layer takes no requests any more.
    Closed,
    /// The service was called without having been made ready, and its queue was full.
    NotReady,
    /// The service was made ready outside of a tokio runtime.
    NoRuntime,
}

/// An error that several items share.
#[derive(Clone)]
pub struct SharedError(Arc<BoxError>);

impl SharedError {
    pub(crate) fn new(error: BoxError) -> Self {
        Self(Arc::new(error))
    }

    /// The error itself.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &**self.0
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { size, .. } => write!(f, "a batch of {size} failed"),
            Self::MissingAnswer { size } => {
                write!(f, "no answer for this item in a batch of {size}")
            }
            Self::WrongAnswer => f.write_str("the answer in this item's place is for another one"),
            Self::Panicked { size } => write!(f, "the backend panicked on a batch of {size}"),
            Self::TimedOut { after } => write!(f, "the batch was not done within {after:?}"),
            Self::DeadlineExceeded { waited } => {
                write!(
                    f,
                    "the deadline passed after {waited:?} in the queue: not sent"
                )
            }
            Self::Aborted => f.write_str("the batching layer was aborted"),
            Self::Closed => f.write_str("the batching layer is closed"),
            Self::NotReady => {
                f.write_str("called without having been made ready, and the queue is full")
            }
            Self::NoRuntime => f.write_str("batching needs a tokio runtime around poll_ready"),
        }
    }
}

impl Error for BatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { source, .. } => Some(source.get_ref()),
            _ => None,
        }
    }
}

/// What it shows is the error's own.
impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Its source is the error itself, so that `cause_ref` finds it.
impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.get_ref())
    }
}
