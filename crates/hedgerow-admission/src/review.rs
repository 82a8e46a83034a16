//! What an answer says about the load, the cost and the resource.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hedgerow_core::{Class, Classify};

use crate::limit::Outcome;
use crate::pool::Verdict;

/// What the end of a call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Review {
    /// How it ended.
    pub outcome: Outcome,
    /// What was used of a rate of tokens, if that is known: it is settled to that.
    pub used: Option<u64>,
    /// What becomes of the pool's resource.
    pub verdict: Verdict,
}

impl Review {
    /// An end of this kind, of which nothing else is known.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            used: None,
            verdict: Verdict::Keep,
        }
    }
}

/// Looks at the result of a call.
pub trait Reviews<Res, E> {
    /// What it says.
    fn review(&self, result: &Result<Res, E>) -> Review;
}

/// By a judge ([`Classify`]): success is an answer, what may be tried again was refused, what timed out
/// timed out, anything else has failed. A pushback ("try again in 20 s") cools the pool's resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged<J>(pub(crate) J);

/// Also reads from an answer what it used. A panic in it leaves what was reserved.
#[derive(Clone, Copy)]
pub struct Settled<V, F>(pub(crate) V, pub(crate) F);

/// Also says what becomes of the pool's resource. A panic in it leaves the judge's word.
#[derive(Clone, Copy)]
pub struct Watched<V, F>(pub(crate) V, pub(crate) F);

// === impl Reviews ===

impl<Res, E, J: Classify<Res, E>> Reviews<Res, E> for Judged<J> {
    #[inline]
    fn review(&self, result: &Result<Res, E>) -> Review {
        let mut verdict = Verdict::Keep;
        let outcome = match self.0.classify(result) {
            Class::Success => Outcome::Answered,
            Class::Retryable { after } => {
                if let Some(after) = after.filter(|after| *after > Duration::ZERO) {
                    verdict = Verdict::Cool(after);
                }
                Outcome::Refused
            }
            Class::TimedOut => Outcome::TimedOut,
            Class::NoMore => Outcome::Refused,
            Class::Fatal => Outcome::Failed,
        };
        Review {
            verdict,
            ..Review::of(outcome)
        }
    }
}

impl<Res, E, V, F> Reviews<Res, E> for Settled<V, F>
where
    V: Reviews<Res, E>,
    F: Fn(&Res) -> Option<u64>,
{
    fn review(&self, result: &Result<Res, E>) -> Review {
        let mut review = self.0.review(result);
        if let Ok(answer) = result
            && let Ok(Some(used)) = catch_unwind(AssertUnwindSafe(|| (self.1)(answer)))
        {
            review.used = Some(used);
        }
        review
    }
}

impl<Res, E, V, F> Reviews<Res, E> for Watched<V, F>
where
    V: Reviews<Res, E>,
    F: Fn(&Result<Res, E>) -> Verdict,
{
    fn review(&self, result: &Result<Res, E>) -> Review {
        let mut review = self.0.review(result);
        match catch_unwind(AssertUnwindSafe(|| (self.1)(result))) {
            Ok(Verdict::Keep) | Err(_) => {}
            Ok(verdict) => review.verdict = verdict,
        }
        review
    }
}

impl<V, F> std::fmt::Debug for Settled<V, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settled")
    }
}

impl<V, F> std::fmt::Debug for Watched<V, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}
