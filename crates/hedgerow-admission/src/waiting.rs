//! Waiting in the queue: the place that one has there, and the future of a permit.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::ask::Ask;
use crate::error::{Overloaded, ShedReason};
use crate::ledger::{Decision, Later};
use crate::permit::Permit;
use crate::queue::{Id, Kind, Looked};
use crate::shared::{Admitted, Came, Shared};
use crate::story::Story;

/// A place in the queue. Whoever has it leaves the queue ([`leave`](Self::leave)) before dropping it.
pub(crate) struct Wait {
    /// `None` when it has left the queue.
    id: Option<Id>,
    arrived: Instant,
    rare: Option<Box<Rare>>,
}

/// What few of those who wait have.
#[derive(Default)]
struct Rare {
    story: Option<Box<Story>>,
    /// What the ledger answers, and until when it is waited for.
    asking: Option<(Later<Decision>, Option<Instant>)>,
    /// Of the one who looks after the clock for all.
    alarm: Option<Pin<Box<Sleep>>>,
    /// When the alarm is set to ring.
    rings: Option<Instant>,
}

/// One that joins the queue: admitted or refused at once, or waiting.
pub(crate) enum Joined {
    At(Result<Admitted, Overloaded>),
    Waits(Wait),
}

impl Wait {
    /// One joins the queue, or is admitted or refused where it would.
    #[inline]
    pub(crate) fn join<T>(
        shared: &Shared<T>,
        ask: Ask,
        kind: Kind,
        cx: &mut Context<'_>,
    ) -> Joined {
        match shared.enter(ask, kind, cx.waker()) {
            Came::Admitted(admitted) => Joined::At(Ok(admitted)),
            Came::Refused(refused) => Joined::At(Err(refused)),
            Came::Waits {
                id,
                arrived,
                story,
                due,
            } => {
                let mut wait = Self {
                    id: Some(id),
                    arrived,
                    rare: None,
                };
                if story.is_some() {
                    wait.rare().story = story;
                }
                // A distant ledger may have to be asked at once.
                if (!shared.rules.quiet || wait.has_rung(due, cx))
                    && let Poll::Ready(result) = wait.poll(shared, cx)
                {
                    return Joined::At(result);
                }
                Joined::Waits(wait)
            }
        }
    }

    /// Looks what has become of it.
    pub(crate) fn poll<T>(
        &mut self,
        shared: &Shared<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Admitted, Overloaded>> {
        loop {
            let Some(id) = self.id else {
                return Poll::Pending;
            };
            if let Some(rare) = &mut self.rare
                && rare.asking.is_some()
            {
                let decision = ready!(rare.poll_answer(cx));
                shared.answered(id, decision);
            }
            match shared.look(id, cx.waker()) {
                Looked::Granted(grant, at) => {
                    self.id = None;
                    let story = self.story();
                    return Poll::Ready(Ok(shared.admitted(grant, at, self.arrived, story)));
                }
                Looked::Refused(refused) => {
                    self.id = None;
                    let story = self.story();
                    shared.refused(refused, story);
                    return Poll::Ready(Err(refused));
                }
                Looked::Ask(answer, until) => self.rare().asking = Some((answer, until)),
                Looked::Waits(due) => {
                    if !self.has_rung(due, cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(Box::default)
    }

    fn story(&mut self) -> Option<Box<Story>> {
        self.rare.as_mut().and_then(|rare| rare.story.take())
    }

    /// Sets the alarm, if there has to be one; whether it has rung.
    #[inline]
    fn has_rung(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> bool {
        due.is_some_and(|due| self.rare().has_rung(due, cx))
    }

    /// It leaves the queue by itself.
    pub(crate) fn leave<T>(&mut self, shared: &Shared<T>) {
        if let Some(id) = self.id.take() {
            let story = self.story();
            shared.leave(id, self.arrived, story);
        }
    }

    /// It leaves because it was told to.
    fn cancel<T>(mut self, shared: &Shared<T>) -> Overloaded {
        match self.id.take() {
            Some(id) => {
                let story = self.story();
                shared.cancel(id, self.arrived, story)
            }
            None => shared.refuse(ShedReason::Cancelled),
        }
    }
}

impl Rare {
    /// What the ledger answers; that it failed, if the time is over before.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Decision> {
        let Some((answer, until)) = &mut self.asking else {
            return Poll::Ready(Decision::Failed);
        };
        let until = *until;
        let mut decision = answer.as_mut().poll(cx);
        if decision.is_pending() && until.is_some_and(|until| self.has_rung(until, cx)) {
            decision = Poll::Ready(Decision::Failed);
        }
        if decision.is_ready() {
            self.asking = None;
        }
        decision
    }

    fn has_rung(&mut self, due: Instant, cx: &mut Context<'_>) -> bool {
        if self.rings != Some(due) {
            self.rings = Some(due);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(due.into()),
                None => self.alarm = Some(Box::pin(sleep_until(due.into()))),
            }
        }
        let rung = match &mut self.alarm {
            Some(alarm) => alarm.as_mut().poll(cx).is_ready(),
            None => false,
        };
        if rung {
            self.rings = None;
        }
        rung
    }
}

/// A place in the queue that is left when it is dropped.
pub(crate) struct Waiting<T> {
    shared: Arc<Shared<T>>,
    /// `None` when it was told to leave.
    wait: Option<Wait>,
}

/// One that came: admitted or refused at once, or waiting.
pub(crate) enum Arrival<T> {
    At(Result<Permit<T>, Overloaded>),
    Waits(Waiting<T>),
}

impl<T> Waiting<T> {
    /// One joins the queue, or gets its permit or its refusal where it would.
    pub(crate) fn join(
        shared: &Arc<Shared<T>>,
        ask: Ask,
        kind: Kind,
        cx: &mut Context<'_>,
    ) -> Arrival<T> {
        match Wait::join(shared, ask, kind, cx) {
            Joined::At(result) => {
                Arrival::At(result.map(|admitted| Permit::new(shared.clone(), admitted)))
            }
            Joined::Waits(wait) => Arrival::Waits(Self {
                shared: shared.clone(),
                wait: Some(wait),
            }),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit<T>, Overloaded>> {
        let Some(wait) = &mut self.wait else {
            return Poll::Pending;
        };
        let result = ready!(wait.poll(&self.shared, cx));
        Poll::Ready(result.map(|admitted| Permit::new(self.shared.clone(), admitted)))
    }

    fn cancel(mut self) -> Overloaded {
        match self.wait.take() {
            Some(wait) => wait.cancel(&self.shared),
            None => self.shared.refuse(ShedReason::Cancelled),
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.leave(&self.shared);
        }
    }
}

/// Waiting for a [`Permit`]: see [`Gate::permit`](crate::Gate::permit).
///
/// It joins the queue when it is first polled. Dropping it leaves the queue; a permit that was granted
/// meanwhile goes to the next. It has to be polled while it waits: one that is held without being polled
/// may hold up others, as with every fair queue.
#[must_use = "futures do nothing unless polled"]
pub struct Admission<T = ()> {
    ask: Option<Ask>,
    shared: Arc<Shared<T>>,
    waiting: Option<Waiting<T>>,
    token: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
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
        let this = self.get_mut();
        if let Some(token) = &mut this.token
            && token.as_mut().poll(cx).is_ready()
        {
            this.ask = None;
            return Poll::Ready(Err(match this.waiting.take() {
                Some(waiting) => waiting.cancel(),
                None => this.shared.refuse(ShedReason::Cancelled),
            }));
        }
        if let Some(ask) = this.ask.take() {
            return match Waiting::join(&this.shared, ask, Kind::Request, cx) {
                Arrival::At(result) => Poll::Ready(result),
                Arrival::Waits(waiting) => {
                    this.waiting = Some(waiting);
                    Poll::Pending
                }
            };
        }
        let waiting = this.waiting.as_mut();
        let result = ready!(waiting.expect("polled after it was ready").poll(cx));
        this.waiting = None;
        Poll::Ready(result)
    }
}

impl<T> fmt::Debug for Admission<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("waiting", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}
