//! The course of a race: who starts when, who wins, and how it ends.
//!
//! At every wake all running attempts are polled in the order of their indices, then those that are
//! due are started and polled, in the same order. So of two that are ready in one poll the lowest
//! index wins, and nobody is started in a poll that has an answer already.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, Class, Classify, OkWins, Recorder, quietly};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::ending::outcome_of;
use crate::event::HedgeEvent;
use crate::future::FAR;
use crate::info::AttemptInfo;
use crate::plain::error::{Loss, RaceErrorKind};
use crate::plain::lineup::Lineup;

pub(super) struct Course<L: Lineup, J, Rec> {
    pub(super) strategy: &'static str,
    pub(super) timeout: Option<Duration>,
    pub(super) token: Option<CancellationToken>,
    pub(super) lineup: L,
    pub(super) runners: Vec<Runner<L::Future>>,
    pub(super) losses: Vec<Loss<L::Value, L::Error>>,
    pub(super) judge: J,
    pub(super) recorder: Rec,
    /// Why there will be no race.
    refused: Option<RaceErrorKind>,
    /// When it was polled for the first time.
    pub(super) started: Option<Instant>,
    pub(super) ended: bool,
}

pub(super) struct Runner<F> {
    /// From the race's start.
    delay: Duration,
    pub(super) stage: Stage<F>,
}

pub(super) enum Stage<F> {
    /// Left when its turn comes.
    Waiting,
    /// Left when it is ready, or dropped.
    Running { since: Instant, future: Pin<Box<F>> },
    /// Final: it was started.
    Ended(AttemptInfo),
    /// Final: it was never started, or what makes attempts panicked.
    Gone,
}

/// How a race ends.
pub(super) enum End<T> {
    Won(AttemptInfo, T),
    /// Its result is the last loss.
    Fatal(AttemptInfo),
    AllLost,
    TimedOut(Duration),
    Cancelled,
    Refused(RaceErrorKind),
}

impl<L: Lineup> Course<L, OkWins, ()> {
    pub(super) fn new(
        strategy: &'static str,
        lineup: L,
        delays: impl IntoIterator<Item = Duration>,
        refused: Option<RaceErrorKind>,
    ) -> Self {
        let mut course = Self {
            strategy,
            timeout: None,
            token: None,
            lineup,
            runners: Vec::new(),
            losses: Vec::new(),
            judge: OkWins,
            recorder: (),
            refused,
            started: None,
            ended: false,
        };
        course.set_delays(delays);
        course
    }
}

impl<L: Lineup, J, Rec> Course<L, J, Rec> {
    pub(super) fn candidates(&self) -> usize {
        self.runners.len()
    }

    pub(super) fn set_delays(&mut self, delays: impl IntoIterator<Item = Duration>) {
        let runner = |delay| Runner {
            delay,
            stage: Stage::Waiting,
        };
        self.runners = delays.into_iter().map(runner).collect();
    }

    /// The first reason stays.
    pub(super) fn refuse(&mut self, kind: RaceErrorKind) {
        self.refused.get_or_insert(kind);
    }

    pub(super) fn judged_by<K>(self, judge: K) -> Course<L, K, Rec> {
        Course {
            strategy: self.strategy,
            timeout: self.timeout,
            token: self.token,
            lineup: self.lineup,
            runners: self.runners,
            losses: self.losses,
            judge,
            recorder: self.recorder,
            refused: self.refused,
            started: self.started,
            ended: self.ended,
        }
    }

    pub(super) fn told_to<T>(self, recorder: T) -> Course<L, J, (Rec, T)> {
        Course {
            strategy: self.strategy,
            timeout: self.timeout,
            token: self.token,
            lineup: self.lineup,
            runners: self.runners,
            losses: self.losses,
            judge: self.judge,
            recorder: (self.recorder, recorder),
            refused: self.refused,
            started: self.started,
            ended: self.ended,
        }
    }

    /// How long the race has been on.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// The one whose turn comes next: by its delay, then by its index.
    fn next(&self) -> Option<usize> {
        let waiting = |at: &usize| matches!(self.runners[*at].stage, Stage::Waiting);
        let all = 0..self.runners.len();
        all.filter(waiting).min_by_key(|at| self.runners[*at].delay)
    }

    /// Whether everything that was started has ended, and something was.
    fn is_idle(&self) -> bool {
        let mut stages = self.runners.iter().map(|runner| &runner.stage);
        let waiting = |stage: &Stage<_>| matches!(stage, Stage::Waiting);
        !stages.clone().all(waiting) && !stages.any(|s| matches!(s, Stage::Running { .. }))
    }

    /// When, counted from the start, the next one is to start or the time is over.
    fn next_moment(&self) -> Duration {
        let next = self.next().map(|at| self.runners[at].delay);
        let moments = [next, self.timeout];
        moments.into_iter().flatten().min().unwrap_or(FAR)
    }

    /// Arms the timer, unless the moment is beyond all time.
    fn poll_timer(
        &self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
        moment: Duration,
    ) -> Poll<()> {
        let start = self.started.filter(|_| moment < FAR);
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

    pub(super) fn since_start(&self, at: Instant) -> Duration {
        self.started
            .map_or(Duration::ZERO, |start| at.saturating_duration_since(start))
    }
}

impl<L, J, Rec> Course<L, J, Rec>
where
    L: Lineup,
    J: Classify<L::Value, L::Error>,
    Rec: Recorder<HedgeEvent>,
{
    /// Runs the race on. Whoever gets an end hands it to [`end`](Self::end).
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Option<Sleep>>,
        mut cancelled: Pin<&mut Option<WaitForCancellationFutureOwned>>,
    ) -> Poll<End<L::Value>> {
        if let Some(kind) = self.refused.take() {
            return Poll::Ready(End::Refused(kind));
        }
        if self.started.is_none() {
            self.started = Some(Instant::now());
            self.tell(|| HedgeEvent::Started);
        }
        if let Some(token) = self.token.take() {
            cancelled.set(Some(token.cancelled_owned()));
        }
        if let Some(cancelled) = cancelled.as_pin_mut()
            && cancelled.poll(cx).is_ready()
        {
            return Poll::Ready(End::Cancelled);
        }
        let mut reached = self.elapsed();
        if let Some(end) = self.poll_running(cx) {
            return Poll::Ready(end);
        }
        loop {
            if let Some(after) = self.timeout.filter(|after| *after <= reached) {
                return Poll::Ready(End::TimedOut(after));
            }
            if let Some(end) = self.start_due(cx, reached) {
                return Poll::Ready(end);
            }
            if self.is_idle() {
                let Some(at) = self.next() else {
                    return Poll::Ready(End::AllLost);
                };
                if let Some(end) = self.launch(cx, at) {
                    return Poll::Ready(end);
                }
                continue;
            }
            let moment = self.next_moment();
            if self.poll_timer(cx, timer.as_mut(), moment).is_pending() {
                return Poll::Pending;
            }
            reached = moment.max(self.elapsed());
        }
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<End<L::Value>> {
        (0..self.runners.len()).find_map(|at| self.poll_one(cx, at))
    }

    /// Starts whoever's moment has come.
    fn start_due(&mut self, cx: &mut Context<'_>, reached: Duration) -> Option<End<L::Value>> {
        (0..self.runners.len()).find_map(|at| {
            let runner = &self.runners[at];
            let due = matches!(runner.stage, Stage::Waiting) && runner.delay <= reached;
            due.then(|| self.launch(cx, at)).flatten()
        })
    }

    /// Starts a candidate and polls it for the first time.
    fn launch(&mut self, cx: &mut Context<'_>, at: usize) -> Option<End<L::Value>> {
        let attempt = Attempt::new(at as u32);
        let since = Instant::now();
        // Should this panic, it is not called again.
        self.runners[at].stage = Stage::Gone;
        let future = attempt.scope(|| self.lineup.start(attempt))?;
        self.runners[at].stage = Stage::Running {
            since,
            future: Box::pin(future),
        };
        let after = self.since_start(since);
        tracing::debug!(target: "hedgerow::hedge", %attempt, ?after, race = self.strategy, "attempt started");
        if attempt.is_extra() {
            self.tell(|| HedgeEvent::Fired { attempt, after });
        }
        self.poll_one(cx, at)
    }

    /// Polls an attempt if it runs, and judges what it brings.
    fn poll_one(&mut self, cx: &mut Context<'_>, at: usize) -> Option<End<L::Value>> {
        let attempt = Attempt::new(at as u32);
        let Stage::Running { since, future } = &mut self.runners[at].stage else {
            return None;
        };
        let Poll::Ready(result) = attempt.scope(|| future.as_mut().poll(cx)) else {
            return None;
        };
        let (since, now) = (*since, Instant::now());
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge.classify(&result)));
        let class = match judged.unwrap_or(Class::RETRYABLE) {
            // There is no value to return.
            Class::Success if result.is_err() => Class::Fatal,
            // What is not started yet must not be.
            Class::NoMore => Class::Fatal,
            class => class,
        };
        let info = AttemptInfo {
            attempt,
            started: self.since_start(since),
            elapsed: now.saturating_duration_since(since),
            outcome: outcome_of(&result, class),
        };
        // Before anything else is started: it may hold a permit.
        let finished = std::mem::replace(&mut self.runners[at].stage, Stage::Ended(info));
        quietly(|| attempt.scope(|| drop(finished)));
        match (class, result) {
            (Class::Success, Ok(value)) => Some(End::Won(info, value)),
            (class, result) => {
                self.losses.push(Loss {
                    info,
                    name: None,
                    result,
                });
                (class == Class::Fatal).then_some(End::Fatal(info))
            }
        }
    }
}
