//! What comes back.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use hedgerow_core::BoxError;

/// An answer, what it used, and what it took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Completed<T> {
    /// The answer: a text, or whatever the client makes.
    pub value: T,
    /// What it used, if that is known.
    pub usage: Option<Usage>,
    /// What it took.
    pub took: Took,
}

/// What an answer used: tokens in, tokens out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Of the request.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

/// What a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Took {
    /// How many tries were sent.
    pub attempts: u32,
    /// How long nothing was running: in the queue, and between tries.
    pub waited: Duration,
    /// How long the call took in all.
    pub elapsed: Duration,
}

/// A call that was not answered: what it took, and as its source why not.
#[derive(Debug)]
#[non_exhaustive]
pub struct CompleteError {
    /// What it took.
    pub took: Took,
    pub(super) source: BoxError,
}

/// Whoever asked has cancelled the call, by its `CancellationToken`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancelled;

impl Usage {
    /// So many tokens in, so many out.
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, output }
    }

    /// Both together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl CompleteError {
    /// Whether its token was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.source.is::<Cancelled>()
    }

    /// Why it was not answered: the client's error, or a layer's.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }
}

// === impl Display, Error ===

impl fmt::Display for CompleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Took {
            attempts, elapsed, ..
        } = self.took;
        let word = if attempts == 1 { "attempt" } else { "attempts" };
        write!(f, "no answer after {attempts} {word} in {elapsed:?}")
    }
}

impl Error for CompleteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled by its caller")
    }
}

impl Error for Cancelled {}
