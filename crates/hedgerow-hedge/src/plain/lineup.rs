//! Where the candidates of a race come from.

use std::fmt;
use std::time::Duration;

use hedgerow_core::Attempt;

use crate::rules::Sealed;

/// A future in a race, and when it starts.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::{Candidate, race};
/// use std::time::Duration;
///
/// async fn ask(model: &str) -> Result<String, std::io::Error> {
///     Ok(format!("{model} says hello"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let won = race([
///     Candidate::from(ask("large")),
///     Candidate::new(ask("small")).after(Duration::from_millis(250)),
/// ])
/// .await?;
/// assert_eq!(won.value, "large says hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct Candidate<F> {
    pub(super) future: F,
    pub(super) delay: Duration,
}

impl<F> Candidate<F> {
    /// A candidate that starts at once.
    #[must_use]
    pub const fn new(future: F) -> Self {
        Self {
            future,
            delay: Duration::ZERO,
        }
    }

    /// Starts it `delay` after the race, whose start is its first poll. Defaults to zero, at once.
    ///
    /// There are no negative delays: a `Duration` cannot be one. If everything that was started
    /// has failed, it starts sooner.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

impl<F> From<F> for Candidate<F> {
    fn from(future: F) -> Self {
        Self::new(future)
    }
}

/// What [`race`](crate::race) takes: a future, or a [`Candidate`] that says when it starts.
pub trait IntoCandidate {
    /// The future that is raced.
    type Future: Future;

    /// The candidate.
    fn into_candidate(self) -> Candidate<Self::Future>;
}

impl<F: Future> IntoCandidate for F {
    type Future = F;

    fn into_candidate(self) -> Candidate<F> {
        Candidate::new(self)
    }
}

impl<F: Future> IntoCandidate for Candidate<F> {
    type Future = F;

    fn into_candidate(self) -> Self {
        self
    }
}

/// Where a [`Race`](crate::Race) takes its attempts from: [`Given`], [`Each`] or [`Copies`].
///
/// Implemented by these alone.
pub trait Lineup: Sealed {
    /// One attempt.
    type Future: Future<Output = Result<Self::Value, Self::Error>>;
    /// Its answer.
    type Value;
    /// Its error.
    type Error;

    /// The attempt with this index, once.
    #[doc(hidden)]
    fn start(&mut self, attempt: Attempt) -> Option<Self::Future>;

    /// Drops what has not been started.
    #[doc(hidden)]
    fn clear(&mut self);
}

/// Futures that were given: the lineup of [`race`](crate::race).
pub struct Given<F> {
    pub(super) waiting: Vec<Option<F>>,
}

/// Items, and a function that makes an attempt of one: the lineup of
/// [`race_candidates`](crate::race_candidates).
pub struct Each<X, R> {
    pub(super) waiting: Vec<Option<X>>,
    pub(super) run: R,
}

/// A function that makes one more attempt: the lineup of [`hedge`](fn@crate::hedge).
pub struct Copies<R> {
    pub(super) run: R,
}

// === impl Lineup ===

impl<F> Sealed for Given<F> {}

impl<F, T, E> Lineup for Given<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Future = F;
    type Value = T;
    type Error = E;

    fn start(&mut self, attempt: Attempt) -> Option<F> {
        take(&mut self.waiting, attempt)
    }

    fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl<X, R> Sealed for Each<X, R> {}

impl<X, R, F, T, E> Lineup for Each<X, R>
where
    R: FnMut(X) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Future = F;
    type Value = T;
    type Error = E;

    fn start(&mut self, attempt: Attempt) -> Option<F> {
        take(&mut self.waiting, attempt).map(&mut self.run)
    }

    fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl<R> Sealed for Copies<R> {}

impl<R, F, T, E> Lineup for Copies<R>
where
    R: FnMut(Attempt) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Future = F;
    type Value = T;
    type Error = E;

    fn start(&mut self, attempt: Attempt) -> Option<F> {
        Some((self.run)(attempt))
    }

    fn clear(&mut self) {}
}

fn take<X>(waiting: &mut [Option<X>], attempt: Attempt) -> Option<X> {
    waiting.get_mut(attempt.index() as usize)?.take()
}

// === impl Debug ===

impl<F> fmt::Debug for Candidate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Given<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

impl<X, R> fmt::Debug for Each<X, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Each")
    }
}

impl<R> fmt::Debug for Copies<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Copies")
    }
}
