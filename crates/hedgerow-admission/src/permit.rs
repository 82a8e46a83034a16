//! The right to run, and waiting for it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project::{pin_project, pinned_drop};
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::ask::Ask;
use crate::error::{Overloaded, ShedReason};
use crate::ledger::{Decision, Later};
use crate::limit::Outcome;
use crate::pool::Verdict;
use crate::queue::{Id, Kind, Looked};
use crate::review::Review;
use crate::shared::{Admitted, Came, Shared, Story};

/// The right to run. It is given back when it is dropped.
///
/// Whoever knows how the work ended says so ([`finish`](Self::finish)): a permit that is just dropped
/// counts as answered, or as cancelled while its thread panics. What a rate of tokens reserved is
/// settled to what was [`used`](Self::used), and given back if the work was not answered.
#[must_use = "the permit is given back at once if it is not held"]
pub struct Permit<T = ()> {
    shared: Arc<Shared<T>>,
    admitted: Admitted,
    used: Option<u64>,
    verdict: Verdict,
    outcome: Option<Outcome>,
    /// Whether anything was sent with it.
    sent: bool,
}

/// Waiting for a [`Permit`]: see [`Gate::permit`](crate::Gate::permit).
///
/// It joins the queue when it is first polled. Dropping it leaves the queue; a permit that was granted
/// meanwhile goes to the next. It has to be polled while it waits: one that is held without being polled
/// may hold up others, as with every fair queue.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct Admission<T = ()> {
    ask: Option<Ask>,
    shared: Arc<Shared<T>>,
    #[pin]
    waiting: Option<Waiting<T>>,
    token: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// A place in the queue.
#[pin_project(PinnedDrop)]
pub(crate) struct Waiting<T> {
    shared: Arc<Shared<T>>,
    /// `None` when it has left the queue.
    id: Option<Id>,
    arrived: Instant,
    story: Option<Box<Story>>,
    asking: Option<Later<Decision>>,
    #[pin]
    alarm: Option<Sleep>,
    /// When the alarm is set to ring.
    rings: Option<Instant>,
}

/// One that came: admitted, waiting or refused.
pub(crate) enum Arrival<T> {
    Permit(Permit<T>),
    Waiting(Waiting<T>),
    Refused(Overloaded),
}

impl<T> Arrival<T> {
    /// One comes.
    pub(crate) fn new(shared: &Arc<Shared<T>>, ask: Ask, kind: Kind) -> Self {
        match shared.enter(ask, kind) {
            Came::Admitted(admitted) => Self::Permit(Permit::new(shared.clone(), admitted)),
            Came::Refused(refused) => Self::Refused(refused),
            Came::Waits { id, arrived, story } => Self::Waiting(Waiting {
                shared: shared.clone(),
                id: Some(id),
                arrived,
                story,
                asking: None,
                alarm: None,
                rings: None,
            }),
        }
    }
}

impl<T> Permit<T> {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared<T>>, admitted: Admitted) -> Self {
        Self {
            shared,
            admitted,
            used: None,
            verdict: Verdict::Keep,
            outcome: None,
            sent: true,
        }
    }

    /// The resource that the pool gave; without a pool `()`.
    #[must_use]
    pub fn resource(&self) -> &T {
        let at = self.admitted.grant.resource.unwrap_or(0);
        &self.shared.resources[at as usize]
    }

    /// Which resource of the pool it is, in the order in which they were written.
    #[must_use]
    pub fn resource_index(&self) -> Option<usize> {
        self.admitted.grant.resource.map(|at| at as usize)
    }

    /// What a rate of tokens reserved.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.admitted.grant.cost
    }

    /// What was used of a rate of tokens: it is settled to that at the end, however it ends.
    pub fn used(&mut self, tokens: u64) {
        self.used = Some(tokens);
    }

    /// Leaves the resource alone for a time, and ends: "429 Too Many Requests".
    pub fn cool_down(mut self, time: Duration) {
        self.verdict = Verdict::Cool(time);
        self.finish(Outcome::Refused);
    }

    /// Leaves the resource alone until it is revived, and ends: "401 Unauthorized".
    pub fn kill(mut self) {
        self.verdict = Verdict::Kill;
        self.finish(Outcome::Failed);
    }

    /// Ends with this outcome.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// Runs a future with the permit, and ends with its outcome: answered if it is `Ok`, refused if it
    /// is an error, cancelled if it is dropped.
    pub fn run<Res, E, F>(mut self, work: F) -> impl Future<Output = Result<Res, E>>
    where
        F: Future<Output = Result<Res, E>>,
    {
        // Now: it may be dropped before it is polled.
        self.outcome = Some(Outcome::Cancelled);
        async move {
            let mut permit = self;
            let result = work.await;
            permit.outcome = Some(match &result {
                Ok(_) => Outcome::Answered,
                Err(_) => Outcome::Refused,
            });
            result
        }
    }

    /// Sets whether anything is sent with it: if not, a drop gives back all that was reserved.
    #[inline]
    pub(crate) fn set_sent(&mut self, sent: bool) {
        self.sent = sent;
    }

    /// Sets how it counts if it is dropped.
    #[inline]
    pub(crate) fn set(&mut self, review: Review) {
        self.outcome = Some(review.outcome);
        self.used = review.used;
        self.verdict = review.verdict;
    }
}

impl<T> Drop for Permit<T> {
    #[inline]
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or_else(|| {
            if std::thread::panicking() {
                Outcome::Cancelled
            } else {
                Outcome::Answered
            }
        });
        let review = Review {
            outcome,
            used: self.used,
            verdict: self.verdict,
        };
        self.shared.finish(&self.admitted, review, self.sent);
    }
}

impl<T> Admission<T> {
    pub(crate) const fn new(shared: Arc<Shared<T>>, ask: Ask) -> Self {
        Self {
            ask: Some(ask),
            shared,
            waiting: None,
            token: None,
        }
    }

    /// Refuses at once when `token` is cancelled, with [`ShedReason::Cancelled`].
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.token = Some(Box::pin(token.cancelled_owned()));
        self
    }
}

impl<T> Future for Admission<T> {
    type Output = Result<Permit<T>, Overloaded>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(token) = this.token
            && token.as_mut().poll(cx).is_ready()
        {
            let waited = this.waiting.as_mut().as_pin_mut().map(Waiting::cancel);
            this.waiting.set(None);
            *this.ask = None;
            return Poll::Ready(Err(
                waited.unwrap_or_else(|| this.shared.refuse(ShedReason::Cancelled))
            ));
        }
        if let Some(ask) = this.ask.take() {
            if let Some(admitted) = this.shared.enter_quietly(&ask) {
                return Poll::Ready(Ok(Permit::new(this.shared.clone(), admitted)));
            }
            match Arrival::new(this.shared, ask, Kind::Request) {
                Arrival::Permit(permit) => return Poll::Ready(Ok(permit)),
                Arrival::Refused(refused) => return Poll::Ready(Err(refused)),
                Arrival::Waiting(waiting) => this.waiting.set(Some(waiting)),
            }
        }
        let waiting = this.waiting.as_mut().as_pin_mut();
        let result = ready!(waiting.expect("polled after it was ready").poll(cx));
        this.waiting.set(None);
        Poll::Ready(result)
    }
}

impl<T> Waiting<T> {
    /// It gives up, because it was told to.
    fn cancel(self: Pin<&mut Self>) -> Overloaded {
        let this = self.project();
        let Some(id) = this.id.take() else {
            return this.shared.refuse(ShedReason::Cancelled);
        };
        this.shared.cancel(id, *this.arrived, this.story.take())
    }
}

impl<T> Future for Waiting<T> {
    type Output = Result<Permit<T>, Overloaded>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Some(id) = *this.id else {
                return Poll::Pending;
            };
            if let Some(answer) = this.asking {
                let decision = ready!(answer.as_mut().poll(cx));
                *this.asking = None;
                this.shared.answered(id, decision);
            }
            match this.shared.look(id, cx.waker()) {
                Looked::Granted(grant) => {
                    *this.id = None;
                    let admitted = this
                        .shared
                        .admitted(grant, *this.arrived, this.story.take());
                    return Poll::Ready(Ok(Permit::new(this.shared.clone(), admitted)));
                }
                Looked::Refused(refused) => {
                    *this.id = None;
                    this.shared.refused(refused, this.story.take());
                    return Poll::Ready(Err(refused));
                }
                Looked::Ask(answer) => *this.asking = Some(answer),
                Looked::Waits(None) => return Poll::Pending,
                Looked::Waits(Some(due)) => {
                    if *this.rings != Some(due) {
                        *this.rings = Some(due);
                        match this.alarm.as_mut().as_pin_mut() {
                            Some(alarm) => alarm.reset(due.into()),
                            None => this.alarm.set(Some(sleep_until(due.into()))),
                        }
                    }
                    let Some(alarm) = this.alarm.as_mut().as_pin_mut() else {
                        return Poll::Pending;
                    };
                    ready!(alarm.poll(cx));
                    *this.rings = None;
                }
            }
        }
    }
}

#[pinned_drop]
impl<T> PinnedDrop for Waiting<T> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(id) = this.id.take() {
            this.shared.leave(id, *this.arrived, this.story.take());
        }
    }
}

impl<T> fmt::Debug for Permit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("reserved", &self.admitted.grant.cost)
            .field("resource", &self.admitted.grant.resource)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Admission<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("waiting", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("arrived", &self.arrived)
            .finish_non_exhaustive()
    }
}
