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

use crate::policy::{Delay, KeyState};
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
    /// What is known of the request's key, if the layer has keys.
    pub(crate) key: Option<Arc<dyn KeyState<Req>>>,
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

/// Thirty years: no timer is set to what is further away.
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// What is known about the next extra attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The policy has not been asked yet.
    Unasked,
    /// The policy has named its moment, but no timer is set to it: it may be beyond all time, or
    /// the timer is needed for something else.
    Asked,
    /// The timer is set to its moment.
    Armed,
    /// There will be none.
    Off,
    /// There will be none, but what would have been is told at the end.
    Watched,
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
        (copy, key): (Option<Req>, Option<Arc<dyn KeyState<Req>>>),
        next: Next,
        started: Instant,
        primary: S::Future,
    ) -> Self {
        Self {
            core,
            copy,
            key,
            started,
            primary: Some(primary),
            timer: None,
            next,
            ended: false,
            race: Slot(None),
        }
    }
}

impl<S, K, Req> Future for ResponseFuture<S, K, Req>
where
    S: Service<Req> + Clone,
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
            let ends = matches!(class, Class::Success | Class::Fatal | Class::NoMore)
                || this.copy.is_none()
                || *this.next == Next::Watched;
            if ends {
                return Poll::Ready(this.end_alone(result, class));
            }
            return this.poll_race(cx, Turn::PrimaryLost(result, class));
        }
        match *this.next {
            Next::Off | Next::Asked | Next::Watched => Poll::Pending,
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
            self.core
                .parts
                .delay(self.key.as_deref(), copy, Attempt::new(1))
        });
        match asked {
            Delay::After(Duration::ZERO) | Delay::AfterLast(Duration::ZERO) => {
                Poll::Ready(Duration::ZERO)
            }
            // None was sent before it but the primary.
            Delay::After(delay) | Delay::AfterLast(delay) => {
                self.arm(delay);
                self.poll_timer(cx)
            }
            Delay::Never => {
                *self.next = Next::Off;
                Poll::Pending
            }
        }
    }

    /// Sets the timer to `delay` after the call's start, unless that is beyond all time.
    #[inline]
    pub(crate) fn arm(&mut self, delay: Duration) {
        *self.next = Next::Asked;
        if delay < FAR
            && let Some(deadline) = self.started.checked_add(delay)
        {
            self.timer.set(Some(sleep_until(deadline)));
            *self.next = Next::Armed;
        }
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
