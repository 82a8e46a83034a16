//! Everything that happens once a try has failed: whether there is another, the wait, its readiness.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, BoxError, Class, Deadline, Grant, Kind, cause_ref, quietly};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use crate::error::{DeadlineExceeded, StopReason, TimedOut};
use crate::event::RetryEvent;
use crate::future::{Output, Proj};
use crate::info::{TryInfo, TryOutcome};
use crate::layer::Settings;
use crate::policy::{Failure, Wait};
use crate::rules::Rules;
use crate::timer::{earlier, instant, poll_until};

/// Whatever the attempt's timeout is: nobody waits longer than this for a service that is not ready.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// What there is once a try has failed.
pub(crate) struct Later<S, Req, Res> {
    /// Every try that has ended.
    pub(crate) tries: Vec<TryInfo>,
    /// The last real result.
    pub(crate) kept: Option<Output<Res>>,
    /// When the current try was sent.
    pub(crate) sent: Instant,
    /// What the policy said before.
    last_wait: Option<Duration>,
    /// How many tries have failed since the server last said when to come back.
    since_pushback: u32,
    phase: Phase<S, Req>,
}

enum Phase<S, Req> {
    /// A try runs.
    Running,
    /// The timer is set to the end of the wait.
    Waiting(Next<Req>),
    /// A clone of the service is to get ready for the next try.
    Readying(S, Next<Req>),
}

/// A retry that is granted and not sent. Given up, its token goes back into the budget.
struct Next<Req> {
    request: Req,
    grant: Grant,
}

/// What a step brought.
enum Step<Res> {
    /// Go on.
    On,
    Pending,
    End(Output<Res>),
}

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    K: Rules<Req, S::Response, S::Error>,
{
    #[cold]
    #[inline(never)]
    pub(crate) fn first_failed(
        &mut self,
        cx: &mut Context<'_>,
        result: Result<S::Response, S::Error>,
        class: Class,
    ) -> Poll<Output<S::Response>> {
        match self.ended(result, class) {
            Step::End(output) => Poll::Ready(output),
            Step::On | Step::Pending => self.poll_later(cx),
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn first_timed_out(&mut self, cx: &mut Context<'_>) -> Poll<Output<S::Response>> {
        match self.time_over() {
            Step::End(output) => Poll::Ready(output),
            Step::On | Step::Pending => self.poll_later(cx),
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn poll_later(&mut self, cx: &mut Context<'_>) -> Poll<Output<S::Response>> {
        loop {
            let step = match self.later.get().map(|later| &later.phase) {
                Some(Phase::Running) => self.run(cx),
                Some(Phase::Waiting(_)) => self.wait(cx),
                Some(Phase::Readying(..)) => self.get_ready(cx),
                None => Step::Pending,
            };
            match step {
                Step::On => {}
                Step::Pending => return Poll::Pending,
                Step::End(output) => return Poll::Ready(output),
            }
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Step<S::Response> {
        let Some(current) = self.current.as_mut().as_pin_mut() else {
            panic!("a response future was polled after it was ready");
        };
        if let Poll::Ready(result) = Deadline::in_scope(*self.deadline, || current.poll(cx)) {
            let class = self.core.parts.judge(&result);
            return self.ended(result, class);
        }
        let mut limit = None;
        if self.timer.is_none() {
            limit = self.limit(self.sent());
        }
        match poll_until(self.timer.as_mut(), limit, cx) {
            Poll::Ready(()) => self.time_over(),
            Poll::Pending => Step::Pending,
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Step<S::Response> {
        // Without a timer there was nothing to wait for.
        if self.timer.is_some() && poll_until(self.timer.as_mut(), None, cx).is_pending() {
            return Step::Pending;
        }
        self.timer.set(None);
        let spare = self.core.spare();
        if let Some(later) = self.later.get_mut() {
            later.phase = match std::mem::replace(&mut later.phase, Phase::Running) {
                Phase::Waiting(next) => Phase::Readying(spare, next),
                other => other,
            };
        }
        Step::On
    }

    fn get_ready(&mut self, cx: &mut Context<'_>) -> Step<S::Response> {
        let deadline = *self.deadline;
        let Some(later) = self.later.get_mut() else {
            return Step::Pending;
        };
        let Phase::Readying(service, _) = &mut later.phase else {
            return Step::On;
        };
        match Deadline::in_scope(deadline, || service.poll_ready(cx)) {
            Poll::Ready(Ok(())) => self.send(),
            Poll::Ready(Err(error)) => {
                later.kept = Some(Err(error.into()));
                Step::End(self.give_up(Instant::now(), StopReason::NotReady))
            }
            Poll::Pending => {
                let mut until = None;
                if self.timer.is_none() {
                    let patience = self.core.parts.settings().attempt_timeout;
                    let patience = patience.map_or(MOST_PATIENCE, |after| after.min(MOST_PATIENCE));
                    until = earlier(instant(Instant::now(), patience), self.end());
                }
                if poll_until(self.timer.as_mut(), until, cx).is_pending() {
                    return Step::Pending;
                }
                let now = Instant::now();
                let reason = if self.has_passed(now) {
                    StopReason::Deadline
                } else {
                    StopReason::NotReady
                };
                Step::End(self.give_up(now, reason))
            }
        }
    }

    /// The clone is ready: the next try is sent, if it still fits.
    fn send(&mut self) -> Step<S::Response> {
        let now = Instant::now();
        self.timer.set(None);
        if let Err(reason) = self.fits(now, Duration::ZERO) {
            return Step::End(self.give_up(now, reason));
        }
        let deadline = *self.deadline;
        let Some(later) = self.later.get_mut() else {
            return Step::Pending;
        };
        let retry = later.tries.len() as u32;
        if let Phase::Readying(mut service, next) =
            std::mem::replace(&mut later.phase, Phase::Running)
        {
            next.grant.spend();
            later.sent = now;
            let parts = &self.core.parts;
            parts.settings().books.retried(retry == 1);
            let after = now.saturating_duration_since(*self.started);
            tracing::debug!(target: "hedgerow::retry", retry, ?after, "retry sent");
            if parts.tells() {
                parts.tell(&RetryEvent::Sent { retry, after });
            }
            let future = Deadline::in_scope(deadline, || service.call(next.request));
            self.current.set(Some(future));
        }
        Step::On
    }

    /// The current try has ended with `result`.
    fn ended(&mut self, result: Result<S::Response, S::Error>, class: Class) -> Step<S::Response> {
        let now = Instant::now();
        // Before anything else is done: it may hold a permit.
        self.current.set(None);
        self.timer.set(None);
        let result = result.map_err(Into::into);
        let class = refined(class, &result);
        let outcome = match (class, &result) {
            (Class::Success, _) => TryOutcome::Answered,
            (Class::TimedOut, _) => TryOutcome::TimedOut,
            (_, Ok(_)) => TryOutcome::Refused,
            (_, Err(_)) => TryOutcome::Failed,
        };
        self.note(now, outcome, class);
        if class == Class::Success {
            return Step::End(self.recover(now, result));
        }
        if let Some(later) = self.later.get_mut() {
            later.kept = Some(result);
        }
        self.decide(now, class)
    }

    /// The timer of the current try is over: it is dropped, and has timed out.
    fn time_over(&mut self) -> Step<S::Response> {
        let now = Instant::now();
        quietly(|| self.current.set(None));
        self.timer.set(None);
        self.note(now, TryOutcome::TimedOut, Class::TimedOut);
        if self.has_passed(now) {
            return Step::End(self.give_up(now, StopReason::Deadline));
        }
        self.decide(now, Class::TimedOut)
    }

    fn decide(&mut self, now: Instant, class: Class) -> Step<S::Response> {
        if let Err(reason) = self.plan(now, class) {
            return Step::End(self.give_up(now, reason));
        }
        let forgets = self.core.parts.settings().forgets_answers;
        if forgets
            && let Some(later) = self.later.get_mut()
            && let Some(Ok(_)) = &later.kept
        {
            later.kept = None;
        }
        Step::On
    }

    /// Grants the next try and begins the wait for it, or says why there is none.
    fn plan(&mut self, now: Instant, class: Class) -> Result<(), StopReason> {
        let parts = &self.core.parts;
        let settings = parts.settings();
        let Some(later) = self.later.get_mut() else {
            return Ok(());
        };
        let retry = later.tries.len() as u32;
        let is_final = matches!(class, Class::Fatal | Class::NoMore);
        if is_final || (class == Class::TimedOut && settings.timeouts_are_final) {
            return Err(StopReason::Final);
        }
        if retry >= settings.books.attempts() {
            return Err(StopReason::Attempts);
        }
        if self.copy.is_none() {
            return Err(StopReason::Unreplayable);
        }
        let pushback = match class {
            Class::Retryable { after } => after,
            Class::Success | Class::TimedOut | Class::NoMore | Class::Fatal => None,
        };
        later.since_pushback = if pushback.is_some() {
            0
        } else {
            later.since_pushback + 1
        };
        let failure = Failure {
            elapsed: now.saturating_duration_since(*self.started),
            last_wait: later.last_wait,
            since_pushback: later.since_pushback,
            ..Failure::new(retry, class)
        };
        let Wait::After(own) = parts.wait(&failure) else {
            return Err(StopReason::Policy);
        };
        later.last_wait = Some(own);
        let wait = pushback.map_or(own, |after| after.min(settings.pushback_cap));
        let until = instant(now, wait).ok_or(StopReason::Policy)?;
        self.fits(now, wait)?;
        let next = self.next(retry)?;
        if let Some(later) = self.later.get_mut() {
            later.phase = Phase::Waiting(next);
        }
        if !wait.is_zero() {
            self.timer.set(Some(sleep_until(until)));
        }
        tracing::debug!(target: "hedgerow::retry", retry, ?wait, "retry planned");
        let parts = &self.core.parts;
        if parts.tells() {
            parts.tell(&RetryEvent::Planned {
                retry,
                wait,
                pushback: pushback.is_some(),
            });
        }
        Ok(())
    }

    /// A granted and edited request for the next try.
    fn next(&mut self, retry: u32) -> Result<Next<Req>, StopReason> {
        let parts = &self.core.parts;
        let settings = parts.settings();
        let grant = settings.budget.try_grant(Kind::Retry);
        let grant = grant.ok_or(StopReason::Budget)?;
        let last = retry + 1 >= settings.books.attempts();
        let request = match self.copy.as_mut() {
            Some(copy) if !last => parts.copy(copy),
            _ => self.copy.take(),
        };
        let mut request = request.ok_or(StopReason::Unreplayable)?;
        if !parts.edit(&mut request, Attempt::new(retry)) {
            return Err(StopReason::Unreplayable);
        }
        Ok(Next { request, grant })
    }

    /// Whether a try that is sent `wait` from now can end before the deadline.
    fn fits(&self, now: Instant, wait: Duration) -> Result<(), StopReason> {
        let Some(deadline) = *self.deadline else {
            return Ok(());
        };
        let left = deadline.left(now.into_std());
        if left <= wait {
            return Err(StopReason::Deadline);
        }
        if self.core.parts.settings().usual() > Some(left - wait) {
            return Err(StopReason::Gate);
        }
        Ok(())
    }

    fn sent(&self) -> Instant {
        self.later.get().map_or(*self.started, |later| later.sent)
    }
}

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    pub(crate) fn has_passed(&self, now: Instant) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline.has_passed(now.into_std()))
    }

    /// Notes how the current try ended.
    pub(crate) fn note(&mut self, now: Instant, outcome: TryOutcome, class: Class) {
        let started = *self.started;
        let later = self.later.get_or_insert_with(|| Later {
            tries: Vec::new(),
            kept: None,
            sent: started,
            last_wait: None,
            since_pushback: 0,
            phase: Phase::Running,
        });
        let ended = TryInfo {
            index: later.tries.len() as u32,
            started: later.sent.saturating_duration_since(started),
            elapsed: now.saturating_duration_since(later.sent),
            outcome,
            class: Some(class),
        };
        later.tries.push(ended);
        let parts = &self.core.parts;
        if outcome == TryOutcome::TimedOut {
            parts.settings().books.timed_out();
        }
        if parts.tells() {
            parts.tell(&RetryEvent::TryEnded(ended));
        }
    }
}

impl<S, Req, Res> Later<S, Req, Res> {
    /// Gives back what is held for a try that will not be sent: a token, a permit.
    pub(crate) fn release(&mut self) {
        self.phase = Phase::Running;
    }
}

impl Settings {
    /// How long a try usually takes, if that is known.
    fn usual(&self) -> Option<Duration> {
        let latency = self.latency.as_ref()?;
        // The panic hook has reported it.
        catch_unwind(AssertUnwindSafe(|| latency.quantile(self.gate))).unwrap_or(None)
    }
}

/// What a result is worth, with what its error tells: a judge does not know the error's type.
fn refined<Res>(class: Class, result: &Output<Res>) -> Class {
    let (Class::Retryable { .. }, Err(error)) = (class, result) else {
        return class;
    };
    if let Some(exceeded) = cause_ref::<DeadlineExceeded>(&**error) {
        // Refused, not sent: the same deadline would refuse it again.
        return if exceeded.sent {
            Class::TimedOut
        } else {
            Class::Fatal
        };
    }
    if cause_ref::<TimedOut>(&**error).is_some() {
        return Class::TimedOut;
    }
    class
}
