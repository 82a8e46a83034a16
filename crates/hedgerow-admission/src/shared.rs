//! What all holders of a gate share, and the lock around the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use hedgerow_core::Recorder;
use hedgerow_latency::Latency;

use crate::ask::Ask;
use crate::error::{Overloaded, ShedReason};
use crate::event::{AdmissionEvent, Happened};
use crate::ledger::Decision;
use crate::limit::{LimitPolicy, Outcome, Sample};
use crate::plain::{Pass, Plain};
use crate::pool::Verdict;
use crate::queue::{Closed, Ended, Entered, Grant, Id, Kind, Looked, Rules, State, Wakes};
use crate::review::Review;
use crate::story::{Moment, Story};
use crate::sync::Mutex;

/// Where the limit comes from.
pub(crate) enum Limit {
    /// A number, or `usize::MAX` for none.
    Number(AtomicUsize),
    /// A policy, and the number that it is overridden by.
    Policy(Arc<dyn LimitPolicy>, AtomicUsize),
}

pub(crate) type Told = Option<Arc<dyn Recorder<AdmissionEvent> + Send + Sync>>;

/// A gate.
pub(crate) struct Shared<T> {
    pub(crate) state: Mutex<State>,
    pub(crate) rules: Rules,
    pub(crate) limit: Limit,
    pub(crate) recorder: Told,
    pub(crate) resources: Arc<[T]>,
    /// Whether somebody waits, as the lock left it last.
    pub(crate) crowded: Arc<AtomicBool>,
    /// Waits that were more than nothing.
    pub(crate) waits: Latency,
    pub(crate) plain: Plain,
    /// Nobody wants to know how a request ended.
    pub(crate) light: bool,
    pub(crate) ids: AtomicU64,
}

/// One that was admitted.
pub(crate) struct Admitted {
    pub(crate) grant: Grant,
    /// When, if anybody wants to know.
    pub(crate) at: Option<Instant>,
    pub(crate) story: Option<Box<Story>>,
}

/// One that ran, at its end.
pub(crate) struct Ending<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) at: Option<Instant>,
    pub(crate) story: Option<&'a Story>,
    pub(crate) review: Review,
    /// Whether anything was sent: if not, all that was reserved is given back.
    pub(crate) sent: bool,
}

/// One that came.
pub(crate) enum Came {
    Admitted(Admitted),
    Waits {
        id: Id,
        arrived: Instant,
        story: Option<Box<Story>>,
        /// When it must look again, if it looks after the clock.
        due: Option<Instant>,
    },
    Refused(Overloaded),
}

impl Admitted {
    /// Whether a place, and something of one rate, is all it has.
    #[inline]
    pub(crate) fn is_plain(&self, rules: &Rules) -> bool {
        let Self { grant, story, .. } = self;
        let bare = grant.key.is_none() && grant.resource.is_none() && story.is_none();
        bare && rules.rates.len() <= 1
    }

    /// The plain part of it.
    #[inline]
    pub(crate) const fn pass(&self) -> Pass {
        Pass {
            at: self.at,
            word: self.grant.receipt.0[0],
            cost: self.grant.cost,
        }
    }
}

impl Limit {
    /// `None` from a policy that panics: the limit that it said last holds.
    #[inline]
    pub(crate) fn now(&self) -> Option<usize> {
        match self {
            Self::Number(number) => Some(number.load(Ordering::Acquire)),
            Self::Policy(policy, set) => match set.load(Ordering::Acquire) {
                usize::MAX => catch_unwind(AssertUnwindSafe(|| policy.limit())).ok(),
                number => Some(number),
            },
        }
    }

    pub(crate) fn learner(&self) -> Option<&Arc<dyn LimitPolicy>> {
        match self {
            Self::Policy(policy, _) if policy.learns() => Some(policy),
            _ => None,
        }
    }
}

pub(crate) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<T> Shared<T> {
    /// A limit that changed after it was read, and before the lock was taken, would be missed by those
    /// who wait: whoever raised it saw nobody, or a place that was still taken.
    #[inline]
    pub(crate) fn catch_up(&self, read: Option<usize>, waiting: usize) {
        if waiting > 0 && self.limit.now() != read {
            self.reconsider();
        }
    }

    /// One who comes only if it need not wait.
    pub(crate) fn enter_at_once(&self, ask: &Ask) -> Option<Admitted> {
        let limit = self.limit.now();
        let now = clock();
        let (grant, moment) = {
            let mut state = self.state.lock();
            state.told(limit);
            let grant = state.enter_at_once(&self.rules, ask, now)?;
            (grant, state.moment())
        };
        let story = self.story(ask);
        self.tell(story.as_deref(), Happened::Started, moment, Duration::ZERO);
        Some(Admitted {
            grant,
            at: Some(now),
            story,
        })
    }

    /// One comes, and is woken when something becomes of it.
    pub(crate) fn enter(&self, ask: Ask, kind: Kind, waker: &Waker) -> Came {
        let now = clock();
        let limit = self.limit.now();
        let story = self.story(&ask);
        let mut wakes = Wakes::default();
        let (entered, moment) = {
            let mut state = self.state.lock();
            state.told(limit);
            let entered = state.enter(&self.rules, ask, kind, waker, now, &mut wakes);
            (entered, state.moment())
        };
        wakes.wake();
        self.catch_up(limit, moment.queued);
        match entered {
            Entered::Granted(grant) => {
                self.tell(story.as_deref(), Happened::Started, moment, Duration::ZERO);
                Came::Admitted(Admitted {
                    grant,
                    at: Some(now),
                    story,
                })
            }
            Entered::Waits(id, due) => {
                self.tell(story.as_deref(), Happened::Queued, moment, Duration::ZERO);
                Came::Waits {
                    id,
                    arrived: now,
                    story,
                    due,
                }
            }
            Entered::Refused(refused) => {
                let shed = Happened::Shed(refused.reason);
                self.tell(story.as_deref(), shed, moment, Duration::ZERO);
                Came::Refused(refused)
            }
        }
    }

    /// One is refused before it could ask.
    pub(crate) fn refuse(&self, reason: ShedReason) -> Overloaded {
        let story = self.story(&Ask::new());
        let (refused, moment) = {
            let mut state = self.state.lock();
            state.counts.entered += 1;
            let refused = state.overloaded(reason, Duration::ZERO, clock());
            (refused, state.moment())
        };
        self.tell(
            story.as_deref(),
            Happened::Shed(reason),
            moment,
            Duration::ZERO,
        );
        refused
    }

    /// A waiter looks what has become of it.
    pub(crate) fn look(&self, id: Id, waker: &Waker) -> Looked {
        let own = self.state.lock().look_at_own(id);
        own.unwrap_or_else(|| self.look_around(id, waker))
    }

    /// One that waits on looks whether that has to be so.
    fn look_around(&self, id: Id, waker: &Waker) -> Looked {
        let limit = self.limit.now();
        let mut wakes = Wakes::default();
        let (looked, waiting) = {
            let mut state = self.state.lock();
            state.told(limit);
            let looked = state.look(&self.rules, id, waker, clock, &mut wakes);
            (looked, state.waiting)
        };
        wakes.wake();
        self.catch_up(limit, waiting);
        looked
    }

    /// The ledger has answered a waiter.
    pub(crate) fn answered(&self, id: Id, decision: Decision) {
        let limit = self.limit.now();
        let waiting = self.with(|shared, state, now, wakes| {
            state.told(limit);
            state.answered(&shared.rules, id, decision, now, wakes);
            state.waiting
        });
        self.catch_up(limit, waiting);
    }

    /// A waiter has got its place.
    pub(crate) fn admitted(
        &self,
        grant: Grant,
        now: Instant,
        arrived: Instant,
        mut story: Option<Box<Story>>,
    ) -> Admitted {
        let waited = now.saturating_duration_since(arrived);
        self.waits.record(waited);
        if let Some(story) = &mut story {
            story.waited = waited;
            let moment = self.state.lock().moment();
            self.tell(Some(story), Happened::Started, moment, Duration::ZERO);
        }
        Admitted {
            grant,
            at: Some(now),
            story,
        }
    }

    /// A waiter has seen that it was refused.
    pub(crate) fn refused(&self, refused: Overloaded, story: Option<Box<Story>>) {
        if let Some(mut story) = story {
            story.waited = refused.waited;
            let moment = self.state.lock().moment();
            let shed = Happened::Shed(refused.reason);
            self.tell(Some(&story), shed, moment, Duration::ZERO);
        }
    }

    /// A waiter leaves by itself.
    pub(crate) fn leave(&self, id: Id, arrived: Instant, story: Option<Box<Story>>) {
        let limit = self.limit.now();
        let (ended, moment, now) = self.with(|shared, state, now, wakes| {
            state.told(limit);
            let ended = state.leave(&shared.rules, id, now, wakes);
            (ended, state.moment(), now)
        });
        self.catch_up(limit, moment.queued);
        if let Some(mut story) = story {
            story.waited = now.saturating_duration_since(arrived);
            let happened = match ended {
                Ended::Aborted => Happened::AbortedWaiting,
                Ended::Refused(refused) => Happened::Shed(refused.reason),
            };
            self.tell(Some(&story), happened, moment, Duration::ZERO);
        }
    }

    /// A waiter leaves because it was told to.
    pub(crate) fn cancel(&self, id: Id, arrived: Instant, story: Option<Box<Story>>) -> Overloaded {
        let (depth, limit) = {
            let state = self.state.lock();
            (state.waiting, state.limit)
        };
        self.leave(id, arrived, story);
        Overloaded {
            reason: ShedReason::Cancelled,
            depth,
            limit: (limit < usize::MAX).then_some(limit),
            waited: clock().saturating_duration_since(arrived),
            retry_after: None,
        }
    }

    /// One that ran has ended.
    pub(crate) fn finish(&self, ended: &Ending<'_>) {
        let learner = self.limit.learner();
        let Ending { grant, review, .. } = ended;
        let mut now = None;
        let judged = review.verdict != Verdict::Keep;
        if self.rules.settles || learner.is_some() || ended.story.is_some() || judged {
            let at = clock();
            now = Some(at);
            if self.rules.settles && ended.sent {
                self.settle(grant, review.outcome, review.used, at);
            }
        }
        if !ended.sent {
            let at = *now.get_or_insert_with(clock);
            self.rules.refund(grant, at, false);
        }
        let limit = self.limit.now();
        let mut wakes = Wakes::default();
        let (before, moment) = {
            let mut state = self.state.lock();
            state.told(limit);
            let before = state.moment();
            if state.waiting > 0 && now.is_none() {
                now = Some(clock());
            }
            if let (Some(resource), Some(at)) = (grant.resource, now)
                && let Some(places) = &mut state.places
            {
                places.judge(resource, review.verdict, at);
            }
            state.end(&self.rules, grant, now, false, &mut wakes);
            (before, state.moment())
        };
        wakes.wake();
        self.catch_up(limit, moment.queued);
        if let Some(now) = now {
            self.learn(ended, now, (before, moment));
        }
    }

    /// What was reserved of the rates is settled.
    fn settle(&self, grant: &Grant, outcome: Outcome, used: Option<u64>, now: Instant) {
        let used = match (outcome, used) {
            (_, Some(used)) => used,
            (Outcome::Answered, None) => grant.cost,
            _ => return self.rules.refund(grant, now, true),
        };
        let claim = self.rules.claim(grant.key.as_ref(), grant.cost, now);
        self.rules.ledger.settle(&claim, grant.receipt, used);
    }

    /// The policy and the recorder are told of an end.
    fn learn(&self, ended: &Ending<'_>, now: Instant, (before, moment): (Moment, Moment)) {
        let outcome = ended.review.outcome;
        let ran = ended
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if let Some(policy) = self.limit.learner() {
            let sample = Sample::new(now, ran, outcome, before.active, before.queued);
            // Its panic costs it this sample.
            let _ = catch_unwind(AssertUnwindSafe(|| policy.observe(&sample)));
            self.catch_up(Some(moment.limit), moment.queued);
        }
        let finished = Happened::Finished(outcome);
        self.tell(ended.story, finished, moment, ran);
    }

    /// The limit, a rate or a resource has changed.
    pub(crate) fn reconsider(&self) {
        // More than once if the limit changes meanwhile; not for ever, for one that always does.
        for _ in 0..8 {
            let limit = self.limit.now();
            let waiting = self.with(|shared, state, now, wakes| {
                state.told(limit);
                state.reconsider(&shared.rules, now, wakes);
                state.waiting
            });
            if waiting == 0 || self.limit.now() == limit {
                return;
            }
        }
    }

    pub(crate) fn close(&self, how: Closed) {
        self.with(|_, state, now, wakes| {
            state.closed = how;
            if how == Closed::Yes {
                state.refuse_all(now, wakes);
            }
        });
    }

    /// Does something under the lock, and wakes whom it says after it.
    pub(crate) fn with<R>(
        &self,
        act: impl FnOnce(&Self, &mut State, Instant, &mut Wakes) -> R,
    ) -> R {
        let now = clock();
        let mut wakes = Wakes::default();
        let result = act(self, &mut self.state.lock(), now, &mut wakes);
        wakes.wake();
        result
    }
}
