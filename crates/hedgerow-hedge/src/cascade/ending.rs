//! How a call ends: answered, with the best there is, without an answer, or left by its caller.
//!
//! Each way drops everything, books every tier, tells exactly one terminal event, and leaves nothing
//! behind.

use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, quietly};

use crate::cascade::event::{CascadeEvent, SkipReason};
use crate::cascade::handle::{How, Told};
use crate::cascade::info::{CascadeInfo, TierInfo};
use crate::cascade::run::{End, Run, Stage};
use crate::info::{AttemptInfo, Attempts, Outcome};
use crate::plain::{Loss, RaceError, RaceErrorKind, Story};

/// What a call gives, with what became of it if that was asked for.
pub(super) type Ended<Res> = Result<(Res, Option<CascadeInfo>), BoxError>;

impl<Req, Res> Run<Req, Res> {
    /// What ends the call, with everything that still runs dropped, and what is left over.
    pub(super) fn end(&mut self, end: End<Res>) -> Ended<Res> {
        let ended = self.ended_by(end);
        self.clear();
        ended
    }

    /// Drops what nobody gets: should that panic, it is not to take the answer along.
    fn clear(&mut self) {
        let (best, copy) = (self.best.take(), self.copy.take());
        quietly(|| drop(best));
        quietly(|| drop(copy));
        for loss in std::mem::take(&mut self.losses) {
            quietly(|| drop(loss));
        }
    }

    fn ended_by(&mut self, end: End<Res>) -> Ended<Res> {
        match end {
            End::Answered(at, answer) => {
                let info = self.close(How::Answered, Some(at), Outcome::Lost);
                Ok(self.inform(answer, info))
            }
            End::Fatal(at, Ok(answer)) => {
                let info = self.close(How::Fatal, Some(at), Outcome::Lost);
                Ok(self.inform(answer, info))
            }
            End::Fatal(at, Err(error)) => {
                let index = at as u32;
                let elapsed = self.started.elapsed();
                self.lose(at, error);
                self.close(How::Fatal, None, Outcome::Lost);
                Err(self.error(RaceErrorKind::Fatal { index }, elapsed))
            }
            End::Exhausted => self.best_or(RaceErrorKind::AllLost, How::AllFailed),
            End::TimedOut(after) => self.best_or(RaceErrorKind::TimedOut { after }, How::TimedOut),
        }
    }

    /// The best answer there is, or this error.
    fn best_or(&mut self, kind: RaceErrorKind, how: How) -> Ended<Res> {
        let elapsed = self.started.elapsed();
        if let Some(best) = self.best.take() {
            let info = self.close(How::Best, Some(best.tier), Outcome::TimedOut);
            return Ok(self.inform(best.answer, info));
        }
        self.close(how, None, Outcome::TimedOut);
        Err(self.error(kind, elapsed))
    }

    /// Keeps the error of a tier that has ended.
    fn lose(&mut self, at: usize, error: BoxError) {
        if let Stage::Ended {
            started,
            elapsed,
            outcome,
        } = self.runner(at).stage
        {
            let info = AttemptInfo {
                attempt: Attempt::new(at as u32),
                started,
                elapsed,
                outcome,
            };
            self.lost(info, Err(error));
        }
    }

    /// Keeps what a tier brought that is no answer.
    pub(super) fn lost(&mut self, info: AttemptInfo, result: Result<(), BoxError>) {
        let rung = &self.core.rungs[info.attempt.index() as usize];
        let name = Some(rung.name.clone());
        self.losses.push(Loss { info, name, result });
    }

    fn inform(&self, mut answer: Res, info: Option<CascadeInfo>) -> (Res, Option<CascadeInfo>) {
        if let (Some(inform), Some(info)) = (&self.core.inform, &info) {
            quietly(|| inform(&mut answer, info));
        }
        (answer, info)
    }

    /// Drops whatever the call still holds, books and tells what became of all. `tier` is the one
    /// whose answer the caller gets.
    fn close(&mut self, how: How, tier: Option<usize>, unfinished: Outcome) -> Option<CascadeInfo> {
        self.ended = true;
        let elapsed = self.started.elapsed();
        let dropped = if unfinished == Outcome::Lost {
            Attempt::discard_losers(|| self.drop_running(elapsed, unfinished))
        } else {
            self.drop_running(elapsed, unfinished)
        };
        self.book(how, elapsed, tier.is_some());
        for at in dropped {
            self.tell_tier(
                at,
                match unfinished {
                    Outcome::TimedOut => CascadeEvent::TierTimedOut,
                    _ => CascadeEvent::TierCancelled,
                },
            );
        }
        tracing::debug!(target: "hedgerow::cascade", ?how, ?tier, ?elapsed, "call ended");
        let asked = self.wants_info || (self.core.inform.is_some() && tier.is_some());
        let told = Told::new(&self.core.told);
        if !asked && !told.listens() {
            return None;
        }
        let info = self.info(how, tier, elapsed);
        told.tell(|| how.event(info.clone()));
        asked.then_some(info)
    }

    /// Drops every tier that waits or runs; those that were sent, in declared order.
    fn drop_running(&mut self, elapsed: Duration, unfinished: Outcome) -> Vec<usize> {
        let mut dropped = Vec::new();
        for at in 0..self.next() {
            let (stage, sent) = match self.runner(at).stage {
                Stage::Waiting { .. } => (Stage::Skipped, false),
                Stage::Running { since, .. } => {
                    let started = self.since_start(since);
                    let ended = Stage::Ended {
                        started,
                        elapsed: elapsed.saturating_sub(started),
                        outcome: unfinished,
                    };
                    (ended, true)
                }
                Stage::Ended { .. } | Stage::Skipped => continue,
            };
            let running = std::mem::replace(&mut self.runner(at).stage, stage);
            quietly(|| drop(running));
            if sent {
                dropped.push(at);
            }
        }
        dropped
    }

    fn book(&self, how: How, elapsed: Duration, answered: bool) {
        let tiers = self.runners().zip(&self.core.rungs).map(|(runner, rung)| {
            let outcome = match runner.stage {
                Stage::Ended { outcome, .. } => Some(outcome),
                _ => None,
            };
            (outcome, runner.hedges, rung.cost)
        });
        self.core.books.book(how, (elapsed, answered), tiers);
    }

    fn info(&self, how: How, tier: Option<usize>, elapsed: Duration) -> CascadeInfo {
        let attempts: Vec<TierInfo> = (0..self.next())
            .filter_map(|at| self.tier_info(at))
            .collect();
        let of = attempts.iter().find(|info| Some(info.tier) == tier);
        CascadeInfo {
            tier,
            name: of.map(|info| info.name.clone()),
            accepted: how == How::Answered,
            started: of.map_or(Duration::ZERO, |info| info.started),
            elapsed,
            hedges: attempts.iter().map(|info| info.hedges).sum(),
            cost: attempts.iter().map(|info| info.cost).sum(),
            quality: of.and_then(|info| info.quality),
            attempts,
        }
    }

    /// A tier that was sent and is over.
    fn tier_info(&self, at: usize) -> Option<TierInfo> {
        let runner = self.runners().nth(at)?;
        let Stage::Ended {
            started,
            elapsed,
            outcome,
        } = runner.stage
        else {
            return None;
        };
        let rung = &self.core.rungs[at];
        Some(TierInfo {
            tier: at,
            name: rung.name.clone(),
            started,
            elapsed,
            outcome,
            quality: runner.quality,
            hedges: runner.hedges,
            cost: rung.cost * f64::from(1 + runner.hedges),
        })
    }

    fn error(&mut self, kind: RaceErrorKind, elapsed: Duration) -> BoxError {
        let losses = std::mem::take(&mut self.losses);
        let sent = (0..self.next()).filter_map(|at| {
            let info = self.tier_info(at)?;
            Some(AttemptInfo {
                attempt: Attempt::new(at as u32),
                started: info.started,
                elapsed: info.elapsed,
                outcome: info.outcome,
            })
        });
        let mut attempts: Vec<AttemptInfo> = sent.collect();
        // Those that failed before they were sent.
        for Loss { info, .. } in &losses {
            if !attempts.contains(info) {
                attempts.push(*info);
            }
        }
        attempts.sort_by_key(|info| info.attempt);
        RaceError::new(Story {
            kind,
            elapsed,
            not_started: self.core.rungs.len() - attempts.len(),
            attempts: Attempts::of(attempts.into_iter()),
            losses,
        })
        .boxed()
    }

    // === what is told on the way ===

    pub(super) fn tell_started(&self, at: usize, after: Duration) {
        let name = &self.core.rungs[at].name;
        tracing::debug!(target: "hedgerow::cascade", tier = at, %name, ?after, "tier started");
        Told::new(&self.core.told).tell(|| CascadeEvent::TierStarted {
            tier: at,
            name: name.clone(),
            after,
        });
    }

    pub(super) fn skipped(&self, at: usize, reason: SkipReason) {
        let name = &self.core.rungs[at].name;
        tracing::debug!(target: "hedgerow::cascade", tier = at, %name, ?reason, "tier skipped");
        Told::new(&self.core.told).tell(|| CascadeEvent::Skipped {
            tier: at,
            name: name.clone(),
            after: self.started.elapsed(),
            reason,
        });
    }

    pub(super) fn tell_tier(&self, at: usize, event: impl FnOnce(TierInfo) -> CascadeEvent) {
        let told = Told::new(&self.core.told);
        let traced = tracing::enabled!(target: "hedgerow::cascade", tracing::Level::DEBUG);
        if !traced && !told.listens() {
            return;
        }
        let Some(info) = self.tier_info(at) else {
            return;
        };
        tracing::debug!(
            target: "hedgerow::cascade",
            tier = at,
            name = %info.name,
            outcome = %info.outcome,
            elapsed = ?info.elapsed,
            quality = info.quality,
            "tier over"
        );
        told.tell(|| event(info));
    }
}

impl<Req, Res> Drop for Run<Req, Res> {
    /// The caller left.
    fn drop(&mut self) {
        if !self.ended {
            self.close(How::Cancelled, None, Outcome::Cancelled);
            self.clear();
        }
    }
}
