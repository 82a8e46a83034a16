//! A race: its settings, and the future.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hedgerow_core::{Classify, OkWins, Recorder, quietly};
use pin_project::{pin_project, pinned_drop};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::event::HedgeEvent;
use crate::info::WinnerInfo;
use crate::losers::{Losers, OnLosers};
use crate::plain::course::Course;
use crate::plain::error::{ArgumentError, MAX_CANDIDATES, RaceError, RaceErrorKind};
use crate::plain::lineup::{Each, Lineup};

/// A race that was set up by [`race`](fn@crate::race),
/// [`race_candidates`](crate::race_candidates) or [`hedge`](fn@crate::hedge): awaited, it gives the
/// first acceptable answer.
///
/// It is the future itself, so it can be boxed, joined, selected and raced again. It starts when it
/// is polled for the first time, and is `Send` if what it runs is.
///
/// # Events
///
/// [`HedgeEvent`]s to the recorders: `Fired` for every attempt but index 0,
/// `AttemptCancelled`, and one terminal event: `Won`, `Fatal`, `AllLost`, or `Cancelled` if the
/// caller left, the token was cancelled or the time was over. A race that was refused or never
/// polled tells nothing. [`WinnerInfo::strategy`] is `race`, `candidates` or `hedge`; its `attempts`
/// lack a candidate that was never started, even if that is the first one. `tracing` events under
/// the target `hedgerow::hedge` (debug: started, won, without a winner).
///
/// # Panics
///
/// When polled again after it was ready; when it has to wait for a delay or a timeout outside of a
/// tokio runtime with the time driver enabled; and when an attempt panics, in which case dropping
/// the race still drops and tells all.
#[pin_project(PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct Race<L, J = OkWins, Rec = ()>
where
    L: Lineup,
    Rec: Recorder<HedgeEvent>,
{
    /// `None` once it is over. Apart, because a type with a drop cannot be taken to pieces.
    course: Option<Course<L, J, Rec>>,
    #[pin]
    timer: Option<Sleep>,
    #[pin]
    cancelled: Option<WaitForCancellationFutureOwned>,
}

/// The answer that won a race, and what became of all attempts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Won<T> {
    /// The answer.
    pub value: T,
    /// Who won, when, and every attempt's times. The clean-up of losers is not in them.
    pub info: WinnerInfo,
}

impl<T> Won<T> {
    pub(super) const fn new(value: T, info: WinnerInfo) -> Self {
        Self { value, info }
    }

    /// The answer alone.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<L: Lineup> Race<L> {
    pub(super) fn new(
        strategy: &'static str,
        lineup: L,
        delays: impl IntoIterator<Item = Duration>,
        refused: Option<RaceErrorKind>,
    ) -> Self {
        Self::of(Some(Course::new(strategy, lineup, delays, refused)))
    }
}

impl<L, J, Rec> Race<L, J, Rec>
where
    L: Lineup,
    Rec: Recorder<HedgeEvent>,
{
    fn of(course: Option<Course<L, J, Rec>>) -> Self {
        Self {
            course,
            timer: None,
            cancelled: None,
        }
    }

    pub(super) fn refuse(&mut self, kind: RaceErrorKind) {
        if let Some(course) = &mut self.course {
            course.refuse(kind);
        }
    }

    fn set(mut self, change: impl FnOnce(&mut Course<L, J, Rec>)) -> Self {
        if let Some(course) = &mut self.course {
            change(course);
        }
        self
    }

    /// Sets who judges answers. Defaults to: every `Ok` wins, every `Err` loses.
    ///
    /// A [`Classify`]: a function from `&Result<T, E>` to [`Class`](hedgerow_core::Class), or
    /// [`accept_if`](hedgerow_core::accept_if) of a predicate on the answer. Closures name their
    /// argument's type. A refused answer keeps the race waiting, and is handed back in the
    /// [`RaceError`] if nobody wins. A judge that panics refuses. An `Err` that the judge calls
    /// [`Success`](hedgerow_core::Class::Success) ends the race like a
    /// [`Fatal`](hedgerow_core::Class::Fatal) one: there is no value to return.
    pub fn accept<K>(mut self, judge: K) -> Race<L, K, Rec>
    where
        K: Classify<L::Value, L::Error>,
    {
        Race::of(self.course.take().map(|course| course.judged_by(judge)))
    }

    /// Ends the race after `total`, counted from its first poll, also while it waits to start
    /// somebody. Defaults to no limit.
    ///
    /// The error then is [`RaceErrorKind::TimedOut`]. An answer that is ready in the same poll still
    /// wins. A time of zero starts nothing.
    pub fn timeout(self, total: Duration) -> Self {
        self.set(|course| course.timeout = Some(total))
    }

    /// Ends the race when `token` is cancelled, at once, also while it waits to start somebody.
    ///
    /// The error then is [`RaceErrorKind::Cancelled`], even if an answer is ready in the same poll.
    /// A token that is cancelled already starts nothing. A later token replaces this one.
    pub fn cancel_on(self, token: CancellationToken) -> Self {
        self.set(|course| course.token = Some(token))
    }

    /// Shows the losers to `f` when a race ends in which more than one attempt was sent: who won,
    /// who did not, how old they are and how they ended.
    ///
    /// Also when nobody won and when the caller left. Told after the losers were dropped. If `f`
    /// panics, nothing else is lost.
    pub fn on_losers<F>(self, f: F) -> Race<L, J, (Rec, OnLosers<F>)>
    where
        F: Fn(&Losers<'_>),
    {
        self.recorder(OnLosers::new(f))
    }

    /// Tells every event to `f`, besides whoever is told already. If it panics, its own event is
    /// lost and nothing else.
    pub fn on_event<F>(self, f: F) -> Race<L, J, (Rec, F)>
    where
        F: Fn(&HedgeEvent),
    {
        self.recorder(f)
    }

    /// Tells every event to `recorder`, besides whoever is told already.
    pub fn recorder<T>(mut self, recorder: T) -> Race<L, J, (Rec, T)>
    where
        T: Recorder<HedgeEvent>,
    {
        Race::of(self.course.take().map(|course| course.told_to(recorder)))
    }
}

impl<X, R, J, Rec> Race<Each<X, R>, J, Rec>
where
    Each<X, R>: Lineup,
    Rec: Recorder<HedgeEvent>,
{
    /// Starts each candidate at its own delay from the race's start, in any order; zero is at once.
    ///
    /// One delay for each candidate: another number is refused in the first poll, with
    /// [`ArgumentError::Delays`].
    pub fn delays(self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.set(|course| {
            let delays: Vec<_> = delays.into_iter().take(MAX_CANDIDATES + 1).collect();
            let (delays_len, candidates) = (delays.len(), course.candidates());
            if delays_len == candidates {
                course.set_delays(delays);
            } else {
                course.refuse(RaceErrorKind::Invalid(ArgumentError::Delays {
                    delays: delays_len,
                    candidates,
                }));
            }
        })
    }

    /// Starts the candidates one after the other, `each` apart, the first one at once.
    pub fn stagger(self, each: Duration) -> Self {
        self.set(|course| {
            let delay = |at| each.checked_mul(at).unwrap_or(Duration::MAX);
            course.set_delays((0..course.candidates() as u32).map(delay));
        })
    }
}

impl<L, J, Rec> Future for Race<L, J, Rec>
where
    L: Lineup,
    J: Classify<L::Value, L::Error>,
    Rec: Recorder<HedgeEvent>,
{
    type Output = Result<Won<L::Value>, RaceError<L::Value, L::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(course) = this.course.as_mut() else {
            panic!("a race was polled after it was ready");
        };
        let timer = this.timer.as_mut();
        let end = ready!(course.poll(cx, timer, this.cancelled.as_mut()));
        let result = course.end(end);
        this.timer.set(None);
        this.cancelled.set(None);
        let course = this.course.take();
        // Judge, recorders and factory go with it: nothing of theirs is to take the answer along.
        quietly(|| drop(course));
        Poll::Ready(result)
    }
}

#[pinned_drop]
impl<L, J, Rec> PinnedDrop for Race<L, J, Rec>
where
    L: Lineup,
    Rec: Recorder<HedgeEvent>,
{
    fn drop(self: Pin<&mut Self>) {
        if let Some(course) = self.project().course {
            course.leave();
        }
    }
}

impl<L, J, Rec> fmt::Debug for Race<L, J, Rec>
where
    L: Lineup,
    Rec: Recorder<HedgeEvent>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut race = f.debug_struct("Race");
        if let Some(course) = &self.course {
            race.field("strategy", &course.strategy)
                .field("candidates", &course.candidates())
                .field("timeout", &course.timeout);
        }
        race.finish_non_exhaustive()
    }
}
