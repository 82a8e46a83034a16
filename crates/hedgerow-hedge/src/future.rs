//! The response future: one attempt, until a second one is needed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, Class};
use pin_project::{pin_project, pinned_drop};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::event::{AllLost, HedgeEvent};
use crate::info::{AttemptInfo, Attempts, Outcome, WinnerInfo};
use crate::policy::{Delay, Sample};
use crate::race::Race;
use crate::rules::Rules;
use crate::service::Core;

/// The response future of [`Hedge`](crate::Hedge).
///
/// Holds every attempt of the call: dropping it drops them all, at once.
///
/// # Panics
///
/// When polled again after it was ready, and when it has to wait outside of a tokio runtime with
/// the time driver enabled.
#[pin_project(project = Proj, PinnedDrop)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    pub(crate) core: Arc<Core<S, K>>,
    /// What extra attempts are copied from, `None` if there can be none.
    pub(crate) copy: Option<Req>,
    pub(crate) started: Instant,
    /// `None` once it is finished.
    #[pin]
    pub(crate) primary: Option<S::Future>,
    #[pin]
    pub(crate) timer: Option<Sleep>,
    pub(crate) next: Next,
    /// Whether the call is in the books.
    pub(crate) ended: bool,
    /// Present once an extra attempt is at stake.
    pub(crate) race: Slot<Race<S, Req>>,
}

/// A box that may be there. On the quiet path it never is, and dropping it is one comparison.
pub(crate) struct Slot<T>(Option<Box<T>>);

impl<T> Slot<T> {
    #[inline]
    pub(crate) const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn take(&mut self) -> Option<Box<T>> {
        self.0.take()
    }

    pub(crate) fn put(&mut self, full: Box<T>) {
        self.0 = Some(full);
    }
}

impl<T> Drop for Slot<T> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn discard<T>(full: Box<T>) {
            drop(full);
        }
        if let Some(full) = self.0.take() {
            discard(full);
        }
    }
}

/// What is known about the next extra attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The policy has not been asked yet.
    Unasked,
    /// The timer is set to its moment.
    Armed,
    /// There will be none.
    Off,
}

/// Why a call leaves the quiet path.
pub(crate) enum Turn<Res, E> {
    /// The timer says that an extra attempt is due, this long after the start.
    Due(Duration),
    /// The primary has lost.
    PrimaryLost(Result<Res, E>, Class),
    /// A race is under way already.
    Racing,
}

impl<S, K, Req> ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    #[inline]
    pub(crate) fn new(
        core: Arc<Core<S, K>>,
        copy: Option<Req>,
        started: Instant,
        primary: S::Future,
    ) -> Self {
        Self {
            core,
            copy,
            started,
            primary: Some(primary),
            timer: None,
            next: Next::Unasked,
            ended: false,
            race: Slot(None),
        }
    }
}

impl<S, K, Req> Future for ResponseFuture<S, K, Req>
where
    S: Service<Req> + Clone,
    S::Response: 'static,
    S::Error: 'static,
    K: Rules<Req, S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if this.race.is_some() {
            return this.poll_race(cx, Turn::Racing);
        }
        let Some(primary) = this.primary.as_mut().as_pin_mut() else {
            panic!("a response future was polled after it was ready");
        };
        if let Poll::Ready(result) = primary.poll(cx) {
            let class = this.core.parts.judge(&result);
            let ends = matches!(class, Class::Success | Class::Fatal) || this.copy.is_none();
            if ends {
                return Poll::Ready(this.end_alone(result, class));
            }
            return this.poll_race(cx, Turn::PrimaryLost(result, class));
        }
        match *this.next {
            Next::Off => Poll::Pending,
            Next::Unasked => match this.ask_first(cx) {
                Poll::Ready(delay) => this.poll_race(cx, Turn::Due(delay)),
                Poll::Pending => Poll::Pending,
            },
            Next::Armed => match this.poll_timer(cx) {
                Poll::Ready(delay) => this.poll_race(cx, Turn::Due(delay)),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    /// The primary is pending for the first time: when would an extra attempt be due?
    #[inline]
    fn ask_first(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let asked = self.copy.as_ref().map_or(Delay::Never, |copy| {
            self.core.parts.delay(copy, Attempt::new(1))
        });
        match asked {
            Delay::After(Duration::ZERO) => Poll::Ready(Duration::ZERO),
            Delay::After(delay) if self.arm(delay) => self.poll_timer(cx),
            Delay::After(_) | Delay::Never => {
                *self.next = Next::Off;
                Poll::Pending
            }
        }
    }

    /// Sets the timer to `delay` after the call's start; false if that is beyond all time.
    #[inline]
    pub(crate) fn arm(&mut self, delay: Duration) -> bool {
        let Some(deadline) = self.started.checked_add(delay) else {
            return false;
        };
        self.timer.set(Some(sleep_until(deadline)));
        *self.next = Next::Armed;
        true
    }

    /// Ready with the delay it was armed with, counted from the call's start.
    #[inline]
    pub(crate) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(mut timer) = self.timer.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(timer.deadline().saturating_duration_since(*self.started))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// The primary ended the call, and no other attempt was ever at stake.
    #[inline]
    fn end_alone(
        &mut self,
        mut result: Result<S::Response, S::Error>,
        class: Class,
    ) -> Result<S::Response, S::Error> {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(*self.started);
        let outcome = outcome_of(&result, class);
        self.primary.set(None);
        *self.ended = true;
        let rules = &self.core.parts;
        self.settle(now, Attempt::PRIMARY, elapsed, outcome);
        if outcome != Outcome::Won {
            rules.settings().books.failed();
        }
        let informs = rules.informs(false) && result.is_ok();
        if rules.tells() || informs {
            let info = self.info_alone(elapsed, outcome);
            if let Ok(response) = &mut result
                && informs
            {
                rules.inform(response, info.clone());
            }
            if rules.tells() {
                rules.tell(&match class {
                    Class::Success => HedgeEvent::Won(info),
                    Class::Fatal => HedgeEvent::Fatal(info),
                    Class::Retryable { .. } | Class::TimedOut => HedgeEvent::AllLost(AllLost {
                        info,
                        losses: Vec::new(),
                    }),
                });
            }
        }
        result
    }

    /// Books how one attempt ended: into the histogram, and to the policy.
    #[inline]
    pub(crate) fn settle(
        &self,
        now: Instant,
        attempt: Attempt,
        elapsed: Duration,
        outcome: Outcome,
    ) {
        let rules = &self.core.parts;
        let settings = rules.settings();
        let now = now.into_std();
        if settings.records && (outcome == Outcome::Won || outcome.is_censored()) {
            settings
                .latency
                .record_attempt(now, attempt, elapsed, outcome == Outcome::Won);
        }
        rules.observe(&Sample::new(now, attempt, elapsed, outcome));
    }

    fn info_alone(&self, elapsed: Duration, outcome: Outcome) -> WinnerInfo {
        WinnerInfo {
            index: 0,
            started: Duration::ZERO,
            elapsed,
            hedged: false,
            hedge_won: false,
            delay: None,
            cost: 1.0,
            strategy: self.core.parts.strategy(),
            attempts: Attempts::one(AttemptInfo {
                attempt: Attempt::PRIMARY,
                started: Duration::ZERO,
                elapsed,
                outcome,
            }),
        }
    }

    /// The caller left before the end.
    #[cold]
    #[inline(never)]
    fn cancel(&mut self) {
        let now = Instant::now();
        let mut race = self.race.take().unwrap_or_default();
        let info = self.close(now, &mut race, Outcome::Cancelled);
        self.core.parts.settings().books.cancelled();
        if self.core.parts.tells() {
            self.core.parts.tell(&HedgeEvent::Cancelled(info));
        }
    }
}

/// What a judged result makes of its attempt.
pub(crate) fn outcome_of<Res, E>(result: &Result<Res, E>, class: Class) -> Outcome {
    match (class, result) {
        (Class::Success, _) => Outcome::Won,
        (Class::TimedOut, _) => Outcome::TimedOut,
        (_, Ok(_)) => Outcome::Refused,
        (_, Err(_)) => Outcome::Failed,
    }
}

#[pinned_drop]
impl<S, K, Req> PinnedDrop for ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        if !self.ended {
            self.project().cancel();
        }
    }
}

impl<S, K, Req> fmt::Debug for ResponseFuture<S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("started", &self.started)
            .field("next", &self.next)
            .field("racing", &self.race.is_some())
            .finish_non_exhaustive()
    }
}
