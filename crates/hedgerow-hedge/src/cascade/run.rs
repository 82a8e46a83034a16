//! One call: which tier starts when, and what ends it.
//!
//! At every wake the tiers that were started are polled in declared order, then those that are due
//! are started and polled, in the same order. So of two that are acceptable in one poll the earlier
//! tier wins, and no tier is started in a poll that has an answer already.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, quietly};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::cascade::event::{CascadeEvent, SkipReason};
use crate::cascade::hedges::counting;
use crate::cascade::service::{Core, Verdict};
use crate::cascade::spend::Charge;
use crate::cascade::tier::{Answering, TierService};
use crate::future::FAR;
use crate::info::{AttemptInfo, Outcome};
use crate::plain::Loss;

pub(super) struct Run<Req, Res> {
    pub(super) core: Arc<Core<Req, Res>>,
    pub(super) started: Instant,
    /// What further tiers are sent; `None` if the request may be sent only once.
    pub(super) copy: Option<Req>,
    first: Runner<Req, Res>,
    /// Those whose turn came, in declared order.
    rest: Vec<Runner<Req, Res>>,
    /// The best answer whose score was too low.
    pub(super) best: Option<Best<Res>>,
    /// What was brought so far that is no answer, and what lost.
    pub(super) losses: Vec<Loss<(), BoxError>>,
    pub(super) wants_info: bool,
    pub(super) ended: bool,
}

pub(super) struct Best<Res> {
    pub(super) tier: usize,
    score: f64,
    pub(super) answer: Res,
}

/// One tier of a call.
pub(super) struct Runner<Req, Res> {
    pub(super) stage: Stage<Req, Res>,
    pub(super) quality: Option<f64>,
    pub(super) hedges: u32,
}

pub(super) enum Stage<Req, Res> {
    /// Granted, not sent: left when its own clone of the service is ready. Given up, what it was
    /// granted goes back.
    Waiting {
        since: Duration,
        service: TierService<Req, Res>,
        request: Req,
        charge: Option<Charge>,
    },
    /// Sent: left when it is done. Without a future its service panicked as it was called.
    Running {
        since: Instant,
        future: Option<Answering<Res>>,
    },
    /// Final: it was sent, and is over.
    Ended {
        started: Duration,
        elapsed: Duration,
        outcome: Outcome,
    },
    /// Final: it was not sent.
    Skipped,
}

/// What ends a call.
pub(super) enum End<Res> {
    Answered(usize, Res),
    Fatal(usize, Result<Res, BoxError>),
    /// Nothing is left to be started, and nothing runs.
    Exhausted,
    TimedOut(Duration),
}

impl<Req, Res> Run<Req, Res> {
    pub(super) fn new(
        core: Arc<Core<Req, Res>>,
        (copy, first): (Option<Req>, Answering<Res>),
        started: Instant,
        wants_info: bool,
    ) -> Self {
        let run = Self {
            core,
            started,
            copy,
            first: Runner::new(Stage::Running {
                since: started,
                future: Some(first),
            }),
            rest: Vec::new(),
            best: None,
            losses: Vec::new(),
            wants_info,
            ended: false,
        };
        run.tell_started(0, Duration::ZERO);
        run
    }

    /// Those whose turn came, in declared order.
    pub(super) fn runners(&self) -> impl Iterator<Item = &Runner<Req, Res>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub(super) fn runner(&mut self, at: usize) -> &mut Runner<Req, Res> {
        match at.checked_sub(1) {
            None => &mut self.first,
            Some(at) => &mut self.rest[at],
        }
    }

    /// The tier whose turn comes next.
    pub(super) fn next(&self) -> usize {
        self.rest.len() + 1
    }

    pub(super) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }

    /// Runs the call on. Whoever gets an end hands it to [`end`](Self::end).
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
    ) -> Poll<End<Res>> {
        assert!(
            !self.ended,
            "a response future was polled after it was ready"
        );
        for at in 0..self.next() {
            if let Some(end) = self.poll_one(cx, at) {
                return Poll::Ready(end);
            }
        }
        let mut reached = self.started.elapsed();
        loop {
            if let Some(after) = self.core.timeout.filter(|after| *after <= reached) {
                return Poll::Ready(End::TimedOut(after));
            }
            let next = self.core.rungs.get(self.next());
            let idle = !self.runners().any(Runner::is_busy);
            match next.map(|rung| rung.after) {
                Some(after) if after <= reached || idle => {
                    if let Some(end) = self.launch(cx, reached) {
                        return Poll::Ready(end);
                    }
                    continue;
                }
                None if idle => return Poll::Ready(End::Exhausted),
                next => {
                    let moments = [next, self.core.timeout];
                    let moment = moments.into_iter().flatten().min().unwrap_or(FAR);
                    if self.poll_timer(cx, timer.as_mut(), moment).is_pending() {
                        return Poll::Pending;
                    }
                    reached = moment.max(self.started.elapsed());
                }
            }
        }
    }

    /// Arms the timer, unless the moment is beyond all time.
    fn poll_timer(
        &self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
        moment: Duration,
    ) -> Poll<()> {
        let start = Some(self.started).filter(|_| moment < FAR);
        let Some(deadline) = start.and_then(|start| start.checked_add(moment)) else {
            timer.set(None);
            return Poll::Pending;
        };
        if timer.as_ref().as_pin_ref().map(|t| t.deadline()) != Some(deadline) {
            timer.set(Some(sleep_until(deadline)));
        }
        timer
            .as_pin_mut()
            .map_or(Poll::Pending, |timer| timer.poll(cx))
    }

    /// The next tier's turn: it is sent, waits for its service, or is skipped for good.
    fn launch(&mut self, cx: &mut Context<'_>, since: Duration) -> Option<End<Res>> {
        let at = self.next();
        // Should anything here panic, the tier is over.
        self.rest.push(Runner::new(Stage::Skipped));
        let core = self.core.clone();
        let rung = &core.rungs[at];
        if self.copy.is_none() {
            self.skipped(at, SkipReason::Unreplayable);
            return None;
        }
        let granted = core.cap.as_ref().map(|cap| cap.try_charge(rung.cost));
        let Some(charge) = granted.map_or(Some(None), |charge| charge.map(Some)) else {
            self.skipped(at, SkipReason::Denied);
            return None;
        };
        let last = at + 1 == core.rungs.len();
        let request = if last {
            self.copy.take()
        } else {
            self.copy.as_mut().and_then(|copy| core.copy(copy))
        };
        let Some(request) = request else {
            drop(charge);
            self.skipped(at, SkipReason::Unreplayable);
            return None;
        };
        self.runner(at).stage = Stage::Waiting {
            since,
            service: rung.spare(),
            request,
            charge,
        };
        self.poll_one(cx, at)
    }

    /// Polls a tier, first for its readiness, and judges what it brings.
    fn poll_one(&mut self, cx: &mut Context<'_>, at: usize) -> Option<End<Res>> {
        if let Stage::Waiting { service, since, .. } = &mut self.runner(at).stage {
            match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => self.send(at),
                Poll::Ready(Err(error)) => {
                    let since = *since;
                    self.unavailable(at, since, error);
                    return None;
                }
                Poll::Pending => return None,
            }
        }
        let runner = self.runner(at);
        let Stage::Running {
            since,
            future: Some(future),
        } = &mut runner.stage
        else {
            return None;
        };
        let since = *since;
        match counting(&mut runner.hedges, || future.as_mut().poll(cx)) {
            Poll::Ready(result) => self.settle(at, since, result),
            Poll::Pending => None,
        }
    }

    fn send(&mut self, at: usize) {
        let now = Instant::now();
        let stage = Stage::Running {
            since: now,
            future: None,
        };
        // Should the call panic, it was sent.
        let waiting = std::mem::replace(&mut self.runner(at).stage, stage);
        self.tell_started(at, self.since_start(now));
        let Stage::Waiting {
            mut service,
            request,
            charge,
            ..
        } = waiting
        else {
            return;
        };
        if let Some(charge) = charge {
            charge.spend();
        }
        let called = service.call(request);
        if let Stage::Running { future, .. } = &mut self.runner(at).stage {
            *future = Some(called);
        }
    }

    /// Its service failed before it could be sent.
    fn unavailable(&mut self, at: usize, since: Duration, error: BoxError) {
        let waiting = std::mem::replace(&mut self.runner(at).stage, Stage::Skipped);
        quietly(|| drop(waiting));
        let info = AttemptInfo {
            attempt: Attempt::new(at as u32),
            started: since,
            elapsed: self.started.elapsed().saturating_sub(since),
            outcome: Outcome::Failed,
        };
        self.lost(info, Err(error));
        self.skipped(at, SkipReason::Unavailable);
    }

    /// A tier is done: is its result the end?
    fn settle(
        &mut self,
        at: usize,
        since: Instant,
        result: Result<Res, BoxError>,
    ) -> Option<End<Res>> {
        let now = Instant::now();
        let (verdict, outcome, quality) = self.core.judge(at, &result);
        let (started, elapsed) = (
            self.since_start(since),
            now.saturating_duration_since(since),
        );
        let runner = self.runner(at);
        runner.quality = quality;
        let ended = Stage::Ended {
            started,
            elapsed,
            outcome,
        };
        // Before anything else is started: it may hold a permit.
        let finished = std::mem::replace(&mut runner.stage, ended);
        quietly(|| drop(finished));
        self.tell_tier(at, CascadeEvent::TierDone);
        let info = AttemptInfo {
            attempt: Attempt::new(at as u32),
            started,
            elapsed,
            outcome,
        };
        match (verdict, result) {
            (Verdict::Passed, Ok(answer)) => return Some(End::Answered(at, answer)),
            (Verdict::Final, result) => return Some(End::Fatal(at, result)),
            (Verdict::Below(score), Ok(answer)) => {
                self.lost(info, Ok(()));
                self.offer(Best {
                    tier: at,
                    score,
                    answer,
                });
            }
            (_, result) => {
                let result = result.map(|refused| quietly(|| drop(refused)));
                self.lost(info, result);
            }
        }
        None
    }

    /// Keeps the better one of the best answer so far and this one.
    fn offer(&mut self, new: Best<Res>) {
        let better = self.best.as_ref().is_none_or(|best| new.beats(best));
        let lesser = if better {
            self.best.replace(new)
        } else {
            Some(new)
        };
        quietly(|| drop(lesser));
    }
}

impl<Res> Best<Res> {
    /// NaN ranks lowest; of equals the tier that was declared first.
    fn beats(&self, other: &Self) -> bool {
        match (self.score.is_nan(), other.score.is_nan()) {
            (false, true) => true,
            (true, false) => false,
            (true, true) => self.tier < other.tier,
            (false, false) => {
                self.score > other.score || (self.score == other.score && self.tier < other.tier)
            }
        }
    }
}

impl<Req, Res> Runner<Req, Res> {
    fn new(stage: Stage<Req, Res>) -> Self {
        Self {
            stage,
            quality: None,
            hedges: 0,
        }
    }

    /// Whether it may still bring something.
    fn is_busy(&self) -> bool {
        matches!(
            self.stage,
            Stage::Waiting { .. }
                | Stage::Running {
                    future: Some(_),
                    ..
                }
        )
    }
}

impl<Req, Res> fmt::Debug for Run<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("started", &self.started)
            .field("tiers", &self.next())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
