//! How a race ends without a winner, and why arguments were refused.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::BoxError;

use crate::error::MAX_HEDGES;
use crate::info::{AttemptInfo, Attempts};

/// More candidates than this are no race any more.
pub(super) const MAX_CANDIDATES: usize = 1_024;

/// Arguments that make no sense, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// More candidates than a race takes.
    #[error(
        "a race takes at most {MAX_CANDIDATES} candidates: write fewer, or \
             buffered_by_completion(items, n, run) to work through many"
    )]
    TooManyCandidates,
    /// More delays than a hedge takes.
    #[error("a hedge takes at most {MAX_HEDGES} delays, one for each copy: write fewer")]
    TooManyDelays,
    /// A hedge whose delays do not ascend.
    #[error(
        "the delays go back from {before:?} to {after:?}: write them from the call's start, in \
         ascending order"
    )]
    UnorderedDelays {
        /// The delay before.
        before: Duration,
        /// The smaller one that follows it.
        after: Duration,
    },
    /// Not as many delays as candidates.
    #[error(
        "{delays} delays for {candidates} candidates: write one for each (Duration::ZERO starts \
         at once), or .stagger(delay)"
    )]
    Delays {
        /// How many delays there are.
        delays: usize,
        /// How many candidates there are.
        candidates: usize,
    },
    /// A pool that runs nothing.
    #[error("a pool of 0 runs nothing: write how many items may run at a time, at least 1")]
    NoRoom,
}

/// Why a race has no winner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RaceErrorKind {
    /// There was nobody to race.
    Empty,
    /// The arguments made no sense; nothing was started.
    Invalid(ArgumentError),
    /// Every attempt failed or was refused.
    AllLost,
    /// The judge called a result final, so that no other attempt could do better.
    Fatal {
        /// The attempt that brought it: its result is the [loss](RaceError::losses) of this index.
        index: u32,
    },
    /// The time allowed for the whole race was over.
    TimedOut {
        /// That time.
        after: Duration,
    },
    /// The token said that the answer is not wanted any more.
    Cancelled,
}

/// What an attempt brought that did not win: an error, or an answer that was refused.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Loss<T, E> {
    /// Which attempt, when it started, how long it took and how it ended.
    pub info: AttemptInfo,
    /// What its tier is called; `None` in a race, whose attempts have no names.
    pub name: Option<Arc<str>>,
    /// What it brought. An `Ok` is an answer that the judge refused.
    pub result: Result<T, E>,
}

impl<T, E> Loss<T, E> {
    /// The attempt's index: 0 for the primary or first candidate.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.info.attempt.index()
    }

    /// What the tier of a [`Cascade`](crate::Cascade) is called that brought this.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// When the attempt started, counted from the race's start.
    #[must_use]
    pub const fn started(&self) -> Duration {
        self.info.started
    }

    /// How long the attempt took, from its own start.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.info.elapsed
    }

    /// Its error, if it failed.
    #[must_use]
    pub const fn error(&self) -> Option<&E> {
        match &self.result {
            Ok(_) => None,
            Err(error) => Some(error),
        }
    }

    /// Its answer, if that was refused.
    #[must_use]
    pub const fn refused(&self) -> Option<&T> {
        match &self.result {
            Ok(answer) => Some(answer),
            Err(_) => None,
        }
    }
}

/// A race without a winner: why, after how long, and what each attempt brought.
///
/// Its `source()` is the primary's error (index 0); if that one did not fail, the first error by
/// index. For errors that are no [`Error`] by themselves, like [`BoxError`], `String` or anyhow's,
/// see [`boxed`](Self::boxed).
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::race;
/// use std::error::Error;
///
/// async fn ask(port: u16) -> Result<u16, std::io::Error> {
///     Err(std::io::Error::other(format!("nobody at {port}")))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = race([ask(1), ask(2)]).await.unwrap_err();
/// assert_eq!(error.losses().len(), 2);
/// assert_eq!(error.source().unwrap().to_string(), "nobody at 1");
/// assert!(error.to_string().starts_with("all 2 attempts lost after "));
/// # }
/// ```
pub struct RaceError<T, E> {
    // Boxed: what went well is not to carry room for it.
    story: Box<Story<T, E>>,
}

#[derive(Clone)]
pub(crate) struct Story<T, E> {
    pub(crate) kind: RaceErrorKind,
    pub(crate) elapsed: Duration,
    pub(crate) attempts: Attempts,
    /// In the order of their indices.
    pub(crate) losses: Vec<Loss<T, E>>,
    pub(crate) not_started: usize,
}

impl<T, E> RaceError<T, E> {
    pub(crate) fn new(mut story: Story<T, E>) -> Self {
        story.losses.sort_by_key(Loss::index);
        Self {
            story: Box::new(story),
        }
    }

    /// Why there is no winner.
    #[must_use]
    pub fn kind(&self) -> &RaceErrorKind {
        &self.story.kind
    }

    /// Whether the total timeout ended the race.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.story.kind, RaceErrorKind::TimedOut { .. })
    }

    /// Whether the cancellation token ended the race.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.story.kind, RaceErrorKind::Cancelled)
    }

    /// How long the race took, without the clean-up of what it dropped.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.story.elapsed
    }

    /// What was brought, in the order of the attempts' indices: errors and refused answers.
    #[must_use]
    pub fn losses(&self) -> &[Loss<T, E>] {
        &self.story.losses
    }

    /// Like [`losses`](Self::losses), by value.
    #[must_use]
    pub fn into_losses(self) -> Vec<Loss<T, E>> {
        self.story.losses
    }

    /// Every attempt that was started, in the order of the indices: also those that were still
    /// running.
    #[must_use]
    pub fn attempts(&self) -> &Attempts {
        &self.story.attempts
    }

    /// The attempts that were still running when the race ended, and were dropped.
    pub fn still_running(&self) -> impl Iterator<Item = &AttemptInfo> {
        self.story.attempts.iter().filter(|attempt| {
            let index = attempt.attempt.index();
            let found = self.story.losses.binary_search_by_key(&index, Loss::index);
            found.is_err()
        })
    }

    /// How many attempts were never started.
    #[must_use]
    pub fn not_started(&self) -> usize {
        self.story.not_started
    }

    /// Boxes an error whose own errors are no [`Error`] but can become one.
    ///
    /// The box holds a [`BoxedRaceError`]; its `source()` is the same error as ever, so
    /// [`cause_ref`](hedgerow_core::cause_ref) finds either. Refused answers are dropped: they need
    /// not be `Send`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hedgerow_core::{BoxError, cause_ref};
    /// use hedgerow_hedge::{BoxedRaceError, race};
    ///
    /// async fn ask() -> Result<u16, BoxError> {
    ///     Err(Box::new(std::fmt::Error))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error: BoxError = race([ask()]).await.unwrap_err().boxed();
    /// assert!(cause_ref::<std::fmt::Error>(&*error).is_some());
    /// let race = cause_ref::<BoxedRaceError>(&*error).unwrap();
    /// assert!(!race.get_ref().is_timeout());
    /// # }
    /// ```
    #[must_use]
    pub fn boxed(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        let story = *self.story;
        let loss = |loss: Loss<T, E>| Loss {
            info: loss.info,
            name: loss.name,
            result: loss.result.map(drop).map_err(Into::into),
        };
        Box::new(BoxedRaceError(RaceError::new(Story {
            kind: story.kind,
            elapsed: story.elapsed,
            attempts: story.attempts,
            losses: story.losses.into_iter().map(loss).collect(),
            not_started: story.not_started,
        })))
    }

    /// The primary's error; if it did not fail, the first one by index.
    fn cause(&self) -> Option<&E> {
        self.story.losses.iter().find_map(Loss::error)
    }

    /// `: 2 failed, 1 refused, 1 still running, 3 not started`.
    fn fmt_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let losses = &self.story.losses;
        let failed = losses.iter().filter(|loss| loss.result.is_err()).count();
        let counts = [
            (failed, "failed"),
            (losses.len() - failed, "refused"),
            (self.story.attempts.len() - losses.len(), "still running"),
            (self.story.not_started, "not started"),
        ];
        let mut before = ": ";
        for (count, what) in counts {
            if count > 0 {
                write!(f, "{before}{count} {what}")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

/// A [`RaceError`] whose errors were boxed and whose refused answers were dropped: what
/// [`RaceError::boxed`] makes.
pub struct BoxedRaceError(RaceError<(), BoxError>);

impl BoxedRaceError {
    /// What became of the race.
    #[must_use]
    pub const fn get_ref(&self) -> &RaceError<(), BoxError> {
        &self.0
    }
}

// === impl Error ===

impl<T, E: Error + 'static> Error for RaceError<T, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().map(|error| error as _)
    }
}

impl Error for BoxedRaceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause().map(|error| &**error as _)
    }
}

// === impl fmt ===

impl<T, E> fmt::Display for RaceError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = self.story.elapsed;
        match &self.story.kind {
            RaceErrorKind::Empty => {
                return f.write_str("nothing to race: write at least one candidate");
            }
            RaceErrorKind::Invalid(error) => return error.fmt(f),
            RaceErrorKind::AllLost => match self.story.attempts.len() {
                1 => write!(f, "the only attempt lost after {elapsed:?}")?,
                n => write!(f, "all {n} attempts lost after {elapsed:?}")?,
            },
            RaceErrorKind::Fatal { index } => {
                write!(
                    f,
                    "attempt {index} ended the race for good after {elapsed:?}"
                )?;
            }
            RaceErrorKind::TimedOut { after } => write!(f, "no accepted answer within {after:?}")?,
            RaceErrorKind::Cancelled => write!(f, "cancelled after {elapsed:?}")?,
        }
        self.fmt_counts(f)
    }
}

/// Refused answers are shown as such, without their contents.
impl<T, E: fmt::Debug> fmt::Debug for RaceError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaceError")
            .field("kind", &self.story.kind)
            .field("elapsed", &self.story.elapsed)
            .field("losses", &self.story.losses)
            .field("attempts", &self.story.attempts)
            .field("not_started", &self.story.not_started)
            .finish()
    }
}

impl<T, E: fmt::Debug> fmt::Debug for Loss<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut loss = f.debug_struct("Loss");
        if let Some(name) = &self.name {
            loss.field("name", name);
        }
        loss.field("info", &self.info);
        match &self.result {
            Ok(_) => loss.finish_non_exhaustive(),
            Err(error) => loss.field("error", error).finish(),
        }
    }
}

impl fmt::Display for BoxedRaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BoxedRaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
