//! How a call ends: alone, in a race, with every attempt lost, or left by its caller.
//!
//! Each way books every attempt, tells exactly one terminal event, and leaves nothing behind.

use std::time::Duration;

use hedgerow_core::{Attempt, Class, quietly};
use tokio::time::Instant;
use tower_service::Service;

use crate::event::HedgeEvent;
use crate::extra::Extra;
use crate::future::{Next, Proj};
use crate::info::{AttemptInfo, Attempts, Outcome, WinnerInfo};
use crate::policy::{CallEnd, KeyState, Sample};
use crate::race::{Outputs, Race};
use crate::rules::Rules;

/// What a judged result makes of its attempt.
pub(crate) fn outcome_of<Res, E>(result: &Result<Res, E>, class: Class) -> Outcome {
    match (class, result) {
        (Class::Success, _) => Outcome::Won,
        (Class::TimedOut, _) => Outcome::TimedOut,
        (_, Ok(_)) => Outcome::Refused,
        (_, Err(_)) => Outcome::Failed,
    }
}

/// Books how one attempt ended for the key of its call.
#[cold]
#[inline(never)]
fn settle_key<Req>(key: &(dyn KeyState<Req> + 'static), sample: &Sample) {
    sample.record_into(key.latency());
    key.observe(sample);
}

/// Tells traces how a call ended: as the attempt did whose result the caller got.
#[inline]
fn trace_end(elapsed: Duration, outcome: Outcome) {
    tracing::trace!(target: "hedgerow::hedge", ?elapsed, %outcome, "call ended");
}

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    /// `attempt` ends the call with `result`.
    pub(crate) fn end(
        &mut self,
        race: &mut Race<S, Req>,
        attempt: Attempt,
        mut result: Outputs<S, Req>,
        class: Class,
    ) -> Outputs<S, Req> {
        let now = Instant::now();
        let outcome = outcome_of(&result, class);
        let elapsed = now.saturating_duration_since(*self.started);
        let ran = race.age(attempt, *self.started, now);
        race.set_ended(attempt, (ran, outcome));
        self.tell_lost(race, CallEnd::None);
        self.settle(Sample::new(now.into_std(), attempt, ran, outcome).ending(race.call_end()));
        if attempt == Attempt::PRIMARY {
            self.primary.set(None);
        }
        let mut info = Attempt::discard_losers(|| self.close(now, race, Outcome::Lost));
        trace_end(elapsed, outcome);
        info.index = attempt.index();
        info.hedge_won = attempt.is_extra() && outcome == Outcome::Won;
        info.started = elapsed.saturating_sub(ran);
        let rules = &self.core.parts;
        let books = &rules.settings().books;
        if outcome != Outcome::Won {
            books.failed();
        } else if info.hedge_won {
            books.won_by_extra(elapsed);
            tracing::debug!(target: "hedgerow::hedge", %attempt, ?elapsed, "hedge won");
        }
        if let Ok(response) = &mut result
            && rules.informs(info.hedged)
        {
            rules.inform(response, info.clone());
        }
        if rules.tells() {
            rules.tell(&if outcome == Outcome::Won {
                HedgeEvent::Won(info)
            } else {
                HedgeEvent::Fatal(info)
            });
        }
        result
    }

    /// Nothing is left to send: the caller gets the primary's own result.
    pub(crate) fn end_all_lost(&mut self, race: &mut Race<S, Req>) -> Outputs<S, Req> {
        let now = Instant::now();
        let mut result = race
            .primary
            .take()
            .expect("nothing runs, so the primary has ended, and it has not won");
        let rules = &self.core.parts;
        if rules.wants_losses() {
            let mut results = vec![(Attempt::PRIMARY, &result)];
            results.extend(
                race.losses
                    .iter()
                    .map(|(attempt, result)| (*attempt, result)),
            );
            rules.all_lost(&results);
        }
        // Whoever lost last ended it.
        self.tell_lost(race, race.call_end());
        let info = self.close(now, race, Outcome::Lost);
        trace_end(info.elapsed, info.attempts[0].outcome);
        let rules = &self.core.parts;
        rules.settings().books.failed();
        tracing::debug!(
            target: "hedgerow::hedge",
            attempts = info.attempts.len(),
            elapsed = ?info.elapsed,
            "every attempt lost"
        );
        if let Ok(response) = &mut result
            && rules.informs(info.hedged)
        {
            rules.inform(response, info.clone());
        }
        if rules.tells() {
            rules.tell(&HedgeEvent::AllLost(info));
        }
        result
    }
}

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    /// The primary ended the call, and no other attempt was ever at stake.
    #[inline]
    pub(crate) fn end_alone(
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
        let sample = Sample::new(now.into_std(), Attempt::PRIMARY, elapsed, outcome);
        self.settle(sample.ending(CallEnd::Alone));
        if *self.next == Next::Watched {
            self.imagine(
                elapsed,
                outcome,
                matches!(class, Class::Fatal | Class::NoMore),
            );
        }
        if outcome != Outcome::Won {
            rules.settings().books.failed();
            if class != Class::Fatal && rules.wants_losses() {
                rules.all_lost(&[(Attempt::PRIMARY, &result)]);
            }
        }
        let informs = rules.informs(false) && result.is_ok();
        trace_end(elapsed, outcome);
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
                    Class::Retryable { .. } | Class::NoMore | Class::TimedOut => {
                        HedgeEvent::AllLost(info)
                    }
                });
            }
        }
        result
    }

    /// Books how one attempt ended: into the histogram, and to the policy.
    #[inline]
    pub(crate) fn settle(&self, sample: Sample) {
        let rules = &self.core.parts;
        let settings = rules.settings();
        if settings.records {
            sample.record_into(&settings.latency);
        }
        match &self.key {
            None => rules.observe(&sample),
            Some(key) => settle_key(&**key, &sample),
        }
    }

    /// Books an attempt that lost. The policy is told of it when it is known whether the call ended
    /// with it: before the next sample, at the latest at the end of the call.
    pub(crate) fn settle_lost(&self, race: &mut Race<S, Req>, sample: Sample) {
        self.tell_lost(race, CallEnd::None);
        let settings = self.core.parts.settings();
        if settings.records {
            sample.record_into(&settings.latency);
        }
        if let Some(key) = &self.key {
            sample.record_into(key.latency());
        }
        race.last_lost = Some(sample);
    }

    fn tell_lost(&self, race: &mut Race<S, Req>, call: CallEnd) {
        let Some(sample) = race.last_lost.take() else {
            return;
        };
        let sample = sample.ending(call);
        match &self.key {
            None => self.core.parts.observe(&sample),
            Some(key) => key.observe(&sample),
        }
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
    pub(crate) fn cancel(&mut self) {
        let now = Instant::now();
        let mut race = self.race.take().unwrap_or_default();
        if *self.next == Next::Watched {
            let elapsed = now.saturating_duration_since(*self.started);
            self.imagine(elapsed, Outcome::Cancelled, false);
        }
        let info = self.close(now, &mut race, Outcome::Cancelled);
        trace_end(info.elapsed, Outcome::Cancelled);
        self.core.parts.settings().books.cancelled();
        if self.core.parts.tells() {
            self.core.parts.tell(&HedgeEvent::Cancelled(info));
        }
    }

    /// Books every attempt that still runs as `unfinished`, drops it, and tells what became of all.
    pub(crate) fn close(
        &mut self,
        now: Instant,
        race: &mut Race<S, Req>,
        unfinished: Outcome,
    ) -> WinnerInfo {
        let elapsed = now.saturating_duration_since(*self.started);
        self.tell_lost(race, CallEnd::None);
        if self.primary.is_some() {
            quietly(|| self.primary.set(None));
            race.primary_ended = Some((elapsed, unfinished));
            self.cancelled(now, Attempt::PRIMARY, elapsed, unfinished);
        }
        self.timer.set(None);
        *self.ended = true;
        for extra in &mut race.extras {
            quietly(|| extra.stop());
            // Also one that was sent and panicked.
            if let (Some(sent), None) = (extra.sent, extra.ended) {
                let age = now.saturating_duration_since(sent);
                extra.ended = Some((age, unfinished));
                self.cancelled(now, extra.attempt, age, unfinished);
            }
        }
        race.describe(*self.started, elapsed, self.core.parts.strategy())
    }

    fn cancelled(&self, now: Instant, attempt: Attempt, age: Duration, outcome: Outcome) {
        self.settle(Sample::new(now.into_std(), attempt, age, outcome));
        if self.core.parts.tells() {
            self.core
                .parts
                .tell(&HedgeEvent::AttemptCancelled { attempt, age });
        }
    }
}

impl<S, Req> Race<S, Req>
where
    S: Service<Req>,
{
    fn extra(&mut self, attempt: Attempt) -> Option<&mut Extra<S, Req>> {
        let at = attempt.index().checked_sub(1)?;
        self.extras.get_mut(at as usize)
    }

    /// What the end of the call is to the attempt that ends it.
    fn call_end(&self) -> CallEnd {
        if self.extras.iter().any(|extra| extra.sent.is_some()) {
            CallEnd::Hedged
        } else {
            CallEnd::Alone
        }
    }

    /// How long `attempt` has been running.
    fn age(&mut self, attempt: Attempt, call: Instant, now: Instant) -> Duration {
        let sent = self.extra(attempt).and_then(|extra| extra.sent);
        now.saturating_duration_since(sent.unwrap_or(call))
    }

    fn set_ended(&mut self, attempt: Attempt, ended: (Duration, Outcome)) {
        match self.extra(attempt) {
            Some(extra) => extra.ended = Some(ended),
            None => self.primary_ended = Some(ended),
        }
    }

    fn describe(&self, call: Instant, elapsed: Duration, strategy: &'static str) -> WinnerInfo {
        let (ran, outcome) = self.primary_ended.unwrap_or((elapsed, Outcome::Cancelled));
        let primary = AttemptInfo {
            attempt: Attempt::PRIMARY,
            started: Duration::ZERO,
            elapsed: ran,
            outcome,
        };
        let mut attempts = vec![primary];
        attempts.extend(self.extras.iter().filter_map(|extra| extra.info(call)));
        WinnerInfo {
            index: 0,
            started: Duration::ZERO,
            elapsed,
            hedged: attempts.len() > 1,
            hedge_won: false,
            delay: attempts.get(1).map(|first| first.started),
            cost: attempts.len() as f64,
            strategy,
            attempts: Attempts::many(attempts),
        }
    }
}
