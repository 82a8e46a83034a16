//! How a race ends: with a winner, without one, or left by its caller.
//!
//! Each way drops everything, tells exactly one terminal event, and leaves nothing behind.

use std::time::Duration;

use hedgerow_core::{Attempt, Classify, Recorder, quietly};

use crate::event::HedgeEvent;
use crate::info::{AttemptInfo, Attempts, Outcome, WinnerInfo};
use crate::plain::course::{Course, End, Runner, Stage};
use crate::plain::error::{Loss, RaceError, RaceErrorKind, Story};
use crate::plain::lineup::Lineup;
use crate::plain::race::Won;

/// What a race gives.
pub(super) type Result<L> = std::result::Result<
    Won<<L as Lineup>::Value>,
    RaceError<<L as Lineup>::Value, <L as Lineup>::Error>,
>;

impl<L, J, Rec> Course<L, J, Rec>
where
    L: Lineup,
    J: Classify<L::Value, L::Error>,
    Rec: Recorder<HedgeEvent>,
{
    /// What ends the race, with everything that still runs dropped.
    pub(super) fn end(&mut self, end: End<L::Value>) -> Result<L> {
        let elapsed = match &end {
            End::Won(info, _) | End::Fatal(info) => ended_at(info),
            End::AllLost => {
                let last = self.losses.iter().map(|loss| ended_at(&loss.info)).max();
                last.unwrap_or_else(|| self.elapsed())
            }
            _ => self.elapsed(),
        };
        let mut info = match &end {
            End::Won(..) | End::Fatal(_) => self.close(elapsed, Outcome::Lost),
            End::TimedOut(_) => self.close(elapsed, Outcome::TimedOut),
            _ => self.close(elapsed, Outcome::Cancelled),
        };
        if let End::Won(of, _) | End::Fatal(of) = &end {
            info.index = of.attempt.index();
            info.started = of.started;
        }
        let kind = match end {
            End::Won(of, value) => {
                info.hedge_won = of.attempt.is_extra();
                tracing::debug!(target: "hedgerow::hedge", attempt = %of.attempt, ?elapsed, race = self.strategy, "race won");
                self.tell(|| HedgeEvent::Won(info.clone()));
                return Ok(Won::new(value, info));
            }
            End::Fatal(of) => {
                self.tell(|| HedgeEvent::Fatal(info.clone()));
                let index = of.attempt.index();
                RaceErrorKind::Fatal { index }
            }
            End::AllLost => {
                self.show_losses();
                self.tell(|| HedgeEvent::AllLost(info.clone()));
                RaceErrorKind::AllLost
            }
            End::TimedOut(after) => {
                self.tell(|| HedgeEvent::Cancelled(info.clone()));
                RaceErrorKind::TimedOut { after }
            }
            End::Cancelled => {
                self.tell(|| HedgeEvent::Cancelled(info.clone()));
                RaceErrorKind::Cancelled
            }
            End::Refused(kind) => kind,
        };
        tracing::debug!(target: "hedgerow::hedge", ?kind, ?elapsed, race = self.strategy, "race without a winner");
        Err(self.error(kind, info))
    }

    /// Shows a judge that wants it what lost.
    fn show_losses(&mut self) {
        quietly(|| {
            if self.judge.wants_losses() {
                self.losses.sort_by_key(Loss::index);
                let results = self.losses.iter().map(|l| (l.info.attempt, &l.result));
                self.judge.all_lost(&results.collect::<Vec<_>>());
            }
        });
    }
}

impl<L, J, Rec> Course<L, J, Rec>
where
    L: Lineup,
    Rec: Recorder<HedgeEvent>,
{
    /// The caller left.
    #[cold]
    pub(super) fn leave(&mut self) {
        if self.started.is_some() && !self.ended {
            let info = self.close(self.elapsed(), Outcome::Cancelled);
            self.tell(|| HedgeEvent::Cancelled(info));
        }
    }

    /// Drops whatever the race still holds, and tells what became of all.
    fn close(&mut self, elapsed: Duration, unfinished: Outcome) -> WinnerInfo {
        self.ended = true;
        let dropped = if unfinished == Outcome::Lost {
            Attempt::discard_losers(|| self.drop_running(elapsed, unfinished))
        } else {
            self.drop_running(elapsed, unfinished)
        };
        // Not as losers: they never ran.
        quietly(|| self.lineup.clear());
        for info in dropped {
            let (attempt, age) = (info.attempt, info.elapsed);
            self.tell(|| HedgeEvent::AttemptCancelled { attempt, age });
        }
        self.info(elapsed)
    }

    /// Drops every attempt that runs.
    fn drop_running(&mut self, elapsed: Duration, unfinished: Outcome) -> Vec<AttemptInfo> {
        let mut dropped = Vec::new();
        for at in 0..self.runners.len() {
            let Stage::Running { since, .. } = self.runners[at].stage else {
                continue;
            };
            let attempt = Attempt::new(at as u32);
            let started = self.since_start(since);
            let info = AttemptInfo {
                attempt,
                started,
                elapsed: elapsed.saturating_sub(started),
                outcome: unfinished,
            };
            let running = std::mem::replace(&mut self.runners[at].stage, Stage::Ended(info));
            quietly(|| attempt.scope(|| drop(running)));
            dropped.push(info);
        }
        dropped
    }

    /// Tells an event; a recorder that panics loses it and nothing else.
    pub(super) fn tell(&self, event: impl FnOnce() -> HedgeEvent) {
        quietly(|| {
            if self.recorder.enabled() {
                self.recorder.record(&event());
            }
        });
    }
}

impl<L: Lineup, J, Rec> Course<L, J, Rec> {
    fn info(&self, elapsed: Duration) -> WinnerInfo {
        let ended = |runner: &Runner<L::Future>| match runner.stage {
            Stage::Ended(info) => Some(info),
            _ => None,
        };
        let attempts = Attempts::of(self.runners.iter().filter_map(ended));
        let extras = attempts.iter().filter(|a| a.attempt.is_extra());
        let delay = extras.map(|extra| extra.started).min();
        WinnerInfo {
            index: 0,
            started: Duration::ZERO,
            elapsed,
            hedged: delay.is_some(),
            hedge_won: false,
            delay,
            cost: attempts.len() as f64,
            strategy: self.strategy,
            attempts,
        }
    }

    fn error(&mut self, kind: RaceErrorKind, info: WinnerInfo) -> RaceError<L::Value, L::Error> {
        RaceError::new(Story {
            kind,
            elapsed: info.elapsed,
            not_started: self.runners.len() - info.attempts.len(),
            attempts: info.attempts,
            losses: std::mem::take(&mut self.losses),
        })
    }
}

/// Counted from the race's start.
fn ended_at(info: &AttemptInfo) -> Duration {
    info.started + info.elapsed
}
