//! What a finished attempt is worth.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::attempt::Attempt;

/// What a finished attempt is worth to the call.
///
/// One word for every layer. To a hedge or a race [`Success`](Self::Success) *wins*,
/// [`Retryable`](Self::Retryable) and [`TimedOut`](Self::TimedOut) *lose* (others may still win) and
/// [`Fatal`](Self::Fatal) is *terminal*: it is given back at once, because no other attempt could
/// do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An answer. It wins the race and ends the retries.
    Success,
    /// Not an answer, but another attempt may bring one.
    Retryable {
        /// How long the server asked to be left alone (`Retry-After`,
        /// `grpc-retry-pushback-ms`), if it did.
        after: Option<Duration>,
    },
    /// Nothing was heard in the time allowed. Retryable; as a latency it is a sample that was cut
    /// off ("took longer than this"), where other failures tell nothing about latency.
    TimedOut,
    /// A failure after which the server wants no further attempt. To a retry it is final; a race still
    /// awaits the attempts that are under way, and sends none.
    NoMore,
    /// A final refusal: another attempt would end the same way.
    Fatal,
}

impl Class {
    /// Retryable, without a word from the server on when.
    pub const RETRYABLE: Self = Self::Retryable { after: None };
}

/// Tells what a finished attempt is worth.
///
/// Implemented for functions and closures. A closure must name its argument's type, because the
/// layer that takes it does not know it yet; a plain `fn` reads best. A closure that panics counts
/// as [`Class::RETRYABLE`]: the answer it could not judge is refused.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{Class, Classify};
///
/// fn judge(result: &Result<u16, std::io::Error>) -> Class {
///     match result {
///         Ok(500..) => Class::RETRYABLE,
///         Ok(_) => Class::Success,
///         Err(_) => Class::RETRYABLE,
///     }
/// }
/// assert_eq!(judge.classify(&Ok(200)), Class::Success);
/// ```
pub trait Classify<Res, E> {
    /// Tells what `result` is worth.
    fn classify(&self, result: &Result<Res, E>) -> Class;

    /// Whether results that lost are to be kept for [`all_lost`](Self::all_lost). Defaults to no.
    #[inline]
    fn wants_losses(&self) -> bool {
        false
    }

    /// Is shown every result of a call that got no accepted one, in the order of the attempts.
    ///
    /// For a log of what really happened: the caller gets the primary's result alone.
    fn all_lost(&self, results: &[(Attempt, &Result<Res, E>)]) {
        let _ = results;
    }
}

/// `Ok` is an answer, `Err` is not. The default of every layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct OkWins;

/// Takes an answer only if `accept` says so; errors lose.
///
/// The predicate names its argument's type. One that panics refuses.
///
/// # Examples
///
/// ```
/// use hedgerow_core::{Class, Classify, accept_if};
///
/// let long_enough = accept_if(|text: &String| text.len() > 3);
/// let short: Result<String, ()> = Ok("no".into());
/// assert_eq!(long_enough.classify(&short), Class::RETRYABLE);
/// ```
pub const fn accept_if<F>(accept: F) -> AcceptIf<F> {
    AcceptIf(accept)
}

/// The classifier that [`accept_if`] makes.
#[derive(Clone, Copy)]
pub struct AcceptIf<F>(F);

// === impl Classify ===

impl<Res, E> Classify<Res, E> for OkWins {
    #[inline]
    fn classify(&self, result: &Result<Res, E>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(_) => Class::RETRYABLE,
        }
    }
}

impl<Res, E, F> Classify<Res, E> for F
where
    F: Fn(&Result<Res, E>) -> Class,
{
    fn classify(&self, result: &Result<Res, E>) -> Class {
        catch_unwind(AssertUnwindSafe(|| self(result))).unwrap_or(Class::RETRYABLE)
    }
}

impl<Res, E, F> Classify<Res, E> for AcceptIf<F>
where
    F: Fn(&Res) -> bool,
{
    fn classify(&self, result: &Result<Res, E>) -> Class {
        let Ok(answer) = result else {
            return Class::RETRYABLE;
        };
        match catch_unwind(AssertUnwindSafe(|| (self.0)(answer))) {
            Ok(true) => Class::Success,
            Ok(false) | Err(_) => Class::RETRYABLE,
        }
    }
}

impl<F> std::fmt::Debug for AcceptIf<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AcceptIf")
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Classify, OkWins, accept_if};

    #[test]
    fn an_error_is_not_an_answer() {
        let failed: Result<(), &str> = Err("no");
        assert_eq!(OkWins.classify(&failed), Class::RETRYABLE);
        assert_eq!(OkWins.classify(&Ok::<_, ()>(1)), Class::Success);
    }

    #[test]
    fn a_panicking_predicate_is_a_rejection() {
        let judge = accept_if(|_: &u8| panic!("on purpose"));
        assert_eq!(judge.classify(&Ok::<u8, ()>(1)), Class::RETRYABLE);
        let judge = |_: &Result<u8, ()>| -> Class { panic!("on purpose") };
        assert_eq!(judge.classify(&Ok(1)), Class::RETRYABLE);
    }
}
