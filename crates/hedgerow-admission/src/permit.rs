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
use crate::plain::Pass;
use crate::pool::Verdict;
use crate::queue::{Grant, Id, Kind, Looked};
use crate::review::Review;
use crate::shared::{Admitted, Came, Ending, Shared};
use crate::story::Story;

/// The right to run. It is given back when it is dropped.
///
/// Whoever knows how the work ended says so ([`finish`](Self::finish)): a permit that is just dropped
/// counts as answered, or as cancelled while its thread panics. What a rate of tokens reserved is
/// settled to what was [`used`](Self::used), and given back if the work was not answered.
#[must_use = "the permit is given back at once if it is not held"]
pub struct Permit<T = ()> {
    shared: Arc<Shared<T>>,
    /// When it was given, if anybody wants to know.
    at: Option<Instant>,
    /// The word of the receipt for the first rate.
    word: u64,
    cost: u64,
    /// What most permits do not have.
    more: Option<Box<More>>,
    /// How it ends if it is dropped.
    end: End,
    /// Whether anything was sent with it.
    sent: bool,
}

/// A key, a resource, several rates, a story, or what was used.
struct More {
    grant: Grant,
    story: Option<Box<Story>>,
    used: Option<u64>,
    verdict: Verdict,
}

/// How a permit ends if it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Answered, or cancelled while its thread panics.
    Unsaid,
    Said(Outcome),
    /// It has ended.
    Over,
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
    /// Of the one who looks after the clock for all.
    alarm: Option<Pin<Box<Sleep>>>,
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
    /// The permit of one that was admitted.
    pub(crate) fn new(shared: Arc<Shared<T>>, admitted: Admitted) -> Self {
        let Admitted { grant, at, story } = admitted;
        let plain = grant.key.is_none() && grant.resource.is_none() && story.is_none();
        let word = grant.receipt.0[0];
        let cost = grant.cost;
        let more = (!plain || shared.rules.rates.len() > 1).then(|| {
            Box::new(More {
                grant,
                story,
                used: None,
                verdict: Verdict::Keep,
            })
        });
        let mut permit = Self::plain(shared, Pass { at, word, cost });
        permit.more = more;
        permit
    }

    /// The permit of one that came the plain way.
    pub(crate) const fn plain(shared: Arc<Shared<T>>, pass: Pass) -> Self {
        let Pass { at, word, cost } = pass;
        Self {
            shared,
            at,
            word,
            cost,
            more: None,
            end: End::Unsaid,
            sent: true,
        }
    }

    fn grant(&self) -> Grant {
        Pass {
            at: self.at,
            word: self.word,
            cost: self.cost,
        }
        .grant()
    }

    fn more(&mut self) -> &mut More {
        let grant = self.grant();
        self.more.get_or_insert_with(|| {
            Box::new(More {
                grant,
                story: None,
                used: None,
                verdict: Verdict::Keep,
            })
        })
    }

    /// The resource that the pool gave; without a pool `()`.
    #[must_use]
    pub fn resource(&self) -> &T {
        &self.shared.resources[self.resource_index().unwrap_or(0)]
    }

    /// Which resource of the pool it is, in the order in which they were written.
    #[must_use]
    pub fn resource_index(&self) -> Option<usize> {
        let more = self.more.as_ref()?;
        more.grant.resource.map(|at| at as usize)
    }

    /// What a rate of tokens reserved.
    #[must_use]
    pub const fn reserved(&self) -> u64 {
        self.cost
    }

    /// What was used of a rate of tokens: it is settled to that at the end, however it ends.
    pub fn used(&mut self, tokens: u64) {
        self.more().used = Some(tokens);
    }

    /// Leaves the resource alone for a time, and ends: "429 Too Many Requests".
    pub fn cool_down(mut self, time: Duration) {
        self.more().verdict = Verdict::Cool(time);
        self.finish(Outcome::Refused);
    }

    /// Leaves the resource alone until it is revived, and ends: "401 Unauthorized".
    pub fn kill(mut self) {
        self.more().verdict = Verdict::Kill;
        self.finish(Outcome::Failed);
    }

    /// Ends with this outcome.
    pub fn finish(mut self, outcome: Outcome) {
        self.end = End::Said(outcome);
    }

    /// Runs a future with the permit, and ends with its outcome: answered if it is `Ok`, refused if it
    /// is an error, cancelled if it is dropped.
    pub fn run<Res, E, F>(mut self, work: F) -> impl Future<Output = Result<Res, E>>
    where
        F: Future<Output = Result<Res, E>>,
    {
        // Now: it may be dropped before it is polled.
        self.end = End::Said(Outcome::Cancelled);
        async move {
            let mut permit = self;
            let result = work.await;
            permit.end = End::Said(match &result {
                Ok(_) => Outcome::Answered,
                Err(_) => Outcome::Refused,
            });
            result
        }
    }

    /// From now on a drop is a caller that left.
    pub(crate) const fn leaves(&mut self) {
        self.end = End::Said(Outcome::Cancelled);
    }

    /// From now on a drop is a caller that left, and nothing is sent yet.
    pub(crate) fn unsent(mut self) -> Self {
        self.leaves();
        self.sent = false;
        self
    }

    /// Now something is sent.
    pub(crate) const fn set_sent(&mut self) {
        self.sent = true;
    }

    /// It ends with this.
    pub(crate) fn end(mut self, review: Review) {
        self.end_with(review);
    }

    fn end_with(&mut self, mut review: Review) {
        self.end = End::Over;
        if self.more.is_none() && self.sent {
            let Self { at, word, cost, .. } = *self;
            return self.shared.finish_pass(Pass { at, word, cost }, || review);
        }
        if let Some(more) = &self.more {
            review.used = review.used.or(more.used);
            if review.verdict == Verdict::Keep {
                review.verdict = more.verdict;
            }
        }
        let plain;
        let (grant, story) = match &self.more {
            Some(more) => (&more.grant, more.story.as_deref()),
            None => {
                plain = self.grant();
                (&plain, None)
            }
        };
        self.shared.finish(&Ending {
            grant,
            at: self.at,
            story,
            review,
            sent: self.sent,
        });
    }

    #[cold]
    fn end_by_drop(&mut self) {
        let outcome = match self.end {
            End::Over => return,
            End::Said(outcome) => outcome,
            End::Unsaid if std::thread::panicking() => Outcome::Cancelled,
            End::Unsaid => Outcome::Answered,
        };
        self.end_with(Review::of(outcome));
    }
}

impl<T> Drop for Permit<T> {
    #[inline]
    fn drop(&mut self) {
        if self.end != End::Over {
            self.end_by_drop();
        }
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
        let this = self.project();
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
                Looked::Granted(grant, at) => {
                    *this.id = None;
                    let story = this.story.take();
                    let admitted = this.shared.admitted(grant, at, *this.arrived, story);
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
                        match this.alarm {
                            Some(alarm) => alarm.as_mut().reset(due.into()),
                            None => *this.alarm = Some(Box::pin(sleep_until(due.into()))),
                        }
                    }
                    let Some(alarm) = this.alarm else {
                        return Poll::Pending;
                    };
                    ready!(alarm.as_mut().poll(cx));
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
            .field("reserved", &self.cost)
            .field("resource", &self.resource_index())
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
