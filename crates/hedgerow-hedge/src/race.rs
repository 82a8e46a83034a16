//! The race: everything that happens once a call may need more than its primary.
//!
//! Attempts are polled in their order at every wake, so of two that are ready at once the lowest
//! index wins. There are at most 65.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, Class, Kind, quietly};
use tokio::time::{Instant, sleep};
use tower_service::Service;

use crate::ending::outcome_of;
use crate::event::HedgeEvent;
use crate::extra::{Extra, Step};
use crate::future::{FAR, Next, Proj, Turn};
use crate::info::Outcome;
use crate::layer::HedgeReady;
use crate::policy::{Delay, Follow, Sample};
use crate::rules::Rules;

/// Whatever the policy's delay is: nobody waits longer than this for a service that is not ready while
/// nothing else runs.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// What an attempt brings.
pub(crate) type Outputs<S, Req> = Result<<S as Service<Req>>::Response, <S as Service<Req>>::Error>;

pub(crate) struct Race<S, Req>
where
    S: Service<Req>,
{
    pub(crate) extras: Vec<Extra<S, Req>>,
    /// The primary's own result, once it has lost.
    pub(crate) primary: Option<Outputs<S, Req>>,
    /// How long the primary ran and how it ended, once it has.
    pub(crate) primary_ended: Option<(Duration, Outcome)>,
    /// What extra attempts brought that lost, if the judge wants to see it.
    pub(crate) losses: Vec<(Attempt, Outputs<S, Req>)>,
    /// What lost last, until the policy is told of it.
    pub(crate) last_lost: Option<Sample>,
    /// The policy's delay for the attempt that it was asked about last.
    delay: Duration,
    /// The next extra attempt keeps its time also when nothing runs.
    keeps_time: bool,
    /// What lost asks to be left alone for a while: nothing is sent ahead of its time.
    asked_to_wait: bool,
    /// The timer counts the patience of extras that wait while nothing runs.
    giving_up: bool,
}

impl<S, Req> Default for Race<S, Req>
where
    S: Service<Req>,
{
    fn default() -> Self {
        Self {
            extras: Vec::new(),
            primary: None,
            primary_ended: None,
            losses: Vec::new(),
            last_lost: None,
            delay: Duration::ZERO,
            keeps_time: false,
            asked_to_wait: false,
            giving_up: false,
        }
    }
}

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req> + Clone,
    K: Rules<Req, S::Response, S::Error>,
{
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_race(
        &mut self,
        cx: &mut Context<'_>,
        turn: Turn<S::Response, S::Error>,
    ) -> Poll<Outputs<S, Req>> {
        let mut race = self
            .race
            .take()
            .unwrap_or_else(|| Box::new(self.new_race()));
        // The race goes back also when somebody's service panics: what was sent stays in the books.
        let polled = catch_unwind(AssertUnwindSafe(|| self.step(&mut race, cx, turn)));
        match polled {
            Ok(Poll::Ready(result)) => {
                // With what lost: it is not to take the answer along.
                quietly(|| drop(race));
                Poll::Ready(result)
            }
            Ok(Poll::Pending) => {
                self.race.put(race);
                Poll::Pending
            }
            Err(panic) => {
                self.race.put(race);
                resume_unwind(panic)
            }
        }
    }

    /// A race that knows what the quiet path has asked.
    fn new_race(&self) -> Race<S, Req> {
        let armed = self.timer.as_ref().as_pin_ref();
        Race {
            delay: match (*self.next, armed) {
                (Next::Armed, Some(timer)) => {
                    timer.deadline().saturating_duration_since(*self.started)
                }
                _ => FAR,
            },
            ..Race::default()
        }
    }

    fn step(
        &mut self,
        race: &mut Race<S, Req>,
        cx: &mut Context<'_>,
        turn: Turn<S::Response, S::Error>,
    ) -> Poll<Outputs<S, Req>> {
        match turn {
            Turn::Due(delay) => {
                race.delay = delay;
                self.fire(race);
            }
            Turn::PrimaryLost(result, class) => self.primary_lost(race, result, class),
            Turn::Racing => {
                if let Some(primary) = self.primary.as_mut().as_pin_mut()
                    && let Poll::Ready(result) = primary.poll(cx)
                {
                    let class = self.core.parts.judge(&result);
                    if matches!(class, Class::Success | Class::Fatal) {
                        return Poll::Ready(self.end(race, Attempt::PRIMARY, result, class));
                    }
                    self.primary_lost(race, result, class);
                }
            }
        }
        loop {
            if let Some((attempt, result, class)) = self.poll_extras(race, cx) {
                return Poll::Ready(self.end(race, attempt, result, class));
            }
            if self.is_due(race, cx) && self.fire(race) {
                continue;
            }
            if self.primary.is_some() || race.extras.iter().any(Extra::is_running) {
                return Poll::Pending;
            }
            // Nothing runs: whoever waits gets its patience, and then the next is sent now.
            if race.extras.iter().any(Extra::is_waiting) {
                if !self.gives_up(race, cx) {
                    return Poll::Pending;
                }
            } else if race.keeps_time {
                // Not armed, its time is beyond all time.
                if *self.next == Next::Armed {
                    return Poll::Pending;
                }
            } else if self.may_follow(race) && self.fire(race) {
                continue;
            }
            return Poll::Ready(self.end_all_lost(race));
        }
    }

    fn primary_lost(&mut self, race: &mut Race<S, Req>, result: Outputs<S, Req>, class: Class) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(*self.started);
        let outcome = outcome_of(&result, class);
        // Before anything else is sent: it may hold a permit.
        self.primary.set(None);
        let sample = Sample::new(now.into_std(), Attempt::PRIMARY, elapsed, outcome);
        self.settle_lost(race, sample);
        race.primary_ended = Some((elapsed, outcome));
        race.primary = Some(result);
        self.follow(race, elapsed, class);
    }

    /// What the loss of an attempt, when the call was `elapsed` old, means to the next one.
    fn follow(&mut self, race: &mut Race<S, Req>, elapsed: Duration, class: Class) {
        if class == Class::NoMore {
            self.timer.set(None);
            *self.next = Next::Off;
            self.copy.take();
            // Granted and not sent.
            for extra in race.extras.iter_mut().filter(|extra| extra.is_waiting()) {
                extra.stop();
            }
            return;
        }
        if let Class::Retryable { after: Some(after) } = class {
            race.asked_to_wait |= !after.is_zero();
        }
        let Follow::After(wait) = self.core.parts.follow(class) else {
            return;
        };
        if *self.next == Next::Unasked {
            self.ask(race);
        }
        if *self.next != Next::Off {
            self.timer.set(None);
            *self.next = Next::Asked;
            race.delay = elapsed.saturating_add(wait);
            race.keeps_time = true;
        }
    }

    /// Polls every extra attempt; the first one whose result ends the call.
    fn poll_extras(
        &mut self,
        race: &mut Race<S, Req>,
        cx: &mut Context<'_>,
    ) -> Option<(Attempt, Outputs<S, Req>, Class)> {
        for at in 0..race.extras.len() {
            loop {
                match race.extras[at].poll(cx) {
                    Step::Sent => {
                        self.sent(race, at);
                        continue;
                    }
                    Step::Finished(result) => {
                        let class = self.core.parts.judge(&result);
                        if matches!(class, Class::Success | Class::Fatal) {
                            return Some((race.extras[at].attempt, result, class));
                        }
                        self.extra_lost(race, at, result, class);
                    }
                    Step::Unavailable(error) => {
                        if self.core.parts.wants_losses() {
                            race.losses.push((race.extras[at].attempt, Err(error)));
                        }
                    }
                    Step::NotReady => {
                        if self.core.parts.settings().ready == HedgeReady::NowOnly {
                            self.not_ready(&mut race.extras[at]);
                        }
                    }
                    Step::Pending => {}
                }
                break;
            }
        }
        None
    }

    fn sent(&mut self, race: &mut Race<S, Req>, at: usize) {
        let first = race.extras.iter().filter(|e| e.sent.is_some()).count() == 1;
        let extra = &race.extras[at];
        let after = extra.sent.map_or(Duration::ZERO, |t| {
            t.saturating_duration_since(*self.started)
        });
        let attempt = extra.attempt;
        if race.giving_up {
            race.giving_up = false;
            self.timer.set(None);
        }
        let rules = &self.core.parts;
        rules.settings().books.fired(first);
        tracing::debug!(target: "hedgerow::hedge", %attempt, ?after, "hedge fired");
        if rules.tells() {
            rules.tell(&HedgeEvent::Fired { attempt, after });
        }
    }

    fn extra_lost(
        &mut self,
        race: &mut Race<S, Req>,
        at: usize,
        result: Outputs<S, Req>,
        class: Class,
    ) {
        let now = Instant::now();
        let outcome = outcome_of(&result, class);
        let extra = &mut race.extras[at];
        let elapsed = extra
            .sent
            .map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent));
        extra.ended = Some((elapsed, outcome));
        let sample = Sample::new(now.into_std(), extra.attempt, elapsed, outcome);
        self.settle_lost(race, sample);
        if self.core.parts.wants_losses() {
            race.losses.push((race.extras[at].attempt, result));
        }
        self.follow(race, now.saturating_duration_since(*self.started), class);
    }

    /// Gives up an extra attempt that was never sent.
    fn not_ready(&self, extra: &mut Extra<S, Req>) {
        extra.stop();
        let rules = &self.core.parts;
        rules.settings().books.not_ready();
        if rules.tells() {
            rules.tell(&HedgeEvent::NotReady {
                attempt: extra.attempt,
                after: self.started.elapsed(),
            });
        }
    }

    /// Whether the moment of the next extra attempt has come; asks and arms the timer if need be.
    fn is_due(&mut self, race: &mut Race<S, Req>, cx: &mut Context<'_>) -> bool {
        if race.giving_up {
            return false;
        }
        if *self.next == Next::Unasked {
            self.ask(race);
        }
        if *self.next == Next::Asked {
            if race.delay <= self.started.elapsed() {
                return true;
            }
            self.arm(race.delay);
        }
        if *self.next != Next::Armed {
            return false;
        }
        match self.poll_timer(cx) {
            Poll::Ready(delay) => {
                race.delay = delay;
                true
            }
            Poll::Pending => false,
        }
    }

    /// Asks the policy about the next extra attempt.
    fn ask(&mut self, race: &mut Race<S, Req>) {
        let attempt = race.next();
        let rules = &self.core.parts;
        let asked = match self.copy.as_ref() {
            Some(copy) if attempt.index() <= rules.settings().books.max_hedges() => {
                rules.delay(self.key.as_deref(), copy, attempt)
            }
            _ => Delay::Never,
        };
        *self.next = match asked {
            Delay::After(delay) => {
                race.delay = delay;
                Next::Asked
            }
            Delay::AfterLast(gap) => {
                race.delay = self.started.elapsed().saturating_add(gap);
                Next::Asked
            }
            Delay::Never => Next::Off,
        };
    }

    /// Everything has failed: may the next extra attempt be sent ahead of its time? Not where the service has
    /// asked to wait: who retries keeps to it.
    fn may_follow(&mut self, race: &mut Race<S, Req>) -> bool {
        if race.asked_to_wait {
            return false;
        }
        if *self.next == Next::Unasked {
            self.ask(race);
        }
        *self.next != Next::Off
    }

    /// Grants the next extra attempt, or switches further ones off for this call.
    fn fire(&mut self, race: &mut Race<S, Req>) -> bool {
        race.giving_up = false;
        race.keeps_time = false;
        self.timer.set(None);
        *self.next = Next::Off;
        let attempt = race.next();
        let rules = &self.core.parts;
        let settings = rules.settings();
        let Some(grant) = settings.budget.try_grant(Kind::Hedge) else {
            settings.books.denied();
            tracing::debug!(target: "hedgerow::hedge", %attempt, "hedge denied by the budget");
            if rules.tells() {
                rules.tell(&HedgeEvent::Denied {
                    attempt,
                    after: self.started.elapsed(),
                });
            }
            return false;
        };
        let last = attempt.index() >= settings.books.max_hedges();
        let request = match self.copy.as_mut() {
            Some(copy) if !last => rules.copy(copy),
            _ => self.copy.take(),
        };
        let edited =
            request.and_then(|mut request| rules.edit(&mut request, attempt).then_some(request));
        let Some(request) = edited else {
            return false;
        };
        let waiting = (self.core.spare(), request, grant);
        race.extras.push(Extra::new(attempt, race.delay, waiting));
        *self.next = Next::Unasked;
        true
    }

    /// Nothing runs and an extra attempt waits: true once its patience is over and it is dropped.
    fn gives_up(&mut self, race: &mut Race<S, Req>, cx: &mut Context<'_>) -> bool {
        if !race.giving_up {
            race.giving_up = true;
            // The timer is needed for something else now.
            if *self.next == Next::Armed {
                *self.next = Next::Asked;
            }
            let waiting = race.extras.iter().filter(|e| e.is_waiting());
            let patience = waiting.map(|e| e.patience).max().unwrap_or_default();
            let patience = patience.min(MOST_PATIENCE);
            self.timer.set(Some(sleep(patience)));
        }
        if self.poll_timer(cx).is_pending() {
            return false;
        }
        race.giving_up = false;
        self.timer.set(None);
        *self.next = Next::Off;
        for extra in race.extras.iter_mut().filter(|e| e.is_waiting()) {
            self.not_ready(extra);
        }
        true
    }
}

impl<S, Req> Race<S, Req>
where
    S: Service<Req>,
{
    /// The extra attempt whose turn is next.
    fn next(&self) -> Attempt {
        Attempt::new(self.extras.len() as u32 + 1)
    }
}
