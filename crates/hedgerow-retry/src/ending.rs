//! How a call ends: answered, given up, refused, or left by its caller.
//!
//! Each way books the call, tells exactly one terminal event, and leaves nothing behind.

use std::task::Poll;
use std::time::Duration;

use hedgerow_core::{Class, quietly};
use tokio::time::Instant;
use tower_service::Service;

use crate::error::{Cause, DeadlineExceeded, RetryExhausted, StopReason, TimedOut};
use crate::event::RetryEvent;
use crate::future::{Output, Proj};
use crate::info::{RetryInfo, Tries, TryInfo, TryOutcome};
use crate::rules::Rules;

impl<S, K, Req> Proj<'_, S, K, Req>
where
    S: Service<Req>,
    K: Rules<Req, S::Response, S::Error>,
{
    /// The first try was answered.
    #[inline]
    pub(crate) fn succeed(&mut self, result: Output<S::Response>) -> Output<S::Response> {
        *self.ended = true;
        // At once: it may hold a permit, and somebody may keep this future.
        self.current.set(None);
        if self.core.parts.tells() {
            self.tell_success();
        }
        result
    }

    #[cold]
    #[inline(never)]
    fn tell_success(&self) {
        let elapsed = self.started.elapsed();
        let only = TryInfo {
            index: 0,
            started: Duration::ZERO,
            elapsed,
            outcome: TryOutcome::Answered,
            class: Some(Class::Success),
        };
        let parts = &self.core.parts;
        parts.tell(&RetryEvent::TryEnded(only));
        parts.tell(&RetryEvent::Succeeded(RetryInfo {
            elapsed,
            tries: Tries::one(only),
        }));
    }

    /// A later try was answered.
    pub(crate) fn recover(
        &mut self,
        now: Instant,
        result: Output<S::Response>,
    ) -> Output<S::Response> {
        *self.ended = true;
        let info = self.info(now);
        let parts = &self.core.parts;
        parts.settings().books.recovered();
        if parts.tells() {
            parts.tell(&RetryEvent::Succeeded(info));
        }
        result
    }

    /// No further try: the caller gets the last real result, or an error that tells of all tries.
    pub(crate) fn give_up(&mut self, now: Instant, reason: StopReason) -> Output<S::Response> {
        *self.ended = true;
        self.timer.set(None);
        if let Some(later) = self.later.get_mut() {
            quietly(|| later.release());
        }
        let exhausted = RetryExhausted {
            info: self.info(now),
            source: self.cause(now, reason),
            reason,
        };
        let retry = exhausted.info.tries.len() as u32;
        let parts = &self.core.parts;
        parts.settings().books.failed(reason);
        tracing::debug!(target: "hedgerow::retry", retry, %reason, "call failed");
        if parts.tells() {
            if retry > 0 && reason != StopReason::Final {
                parts.tell(&RetryEvent::Denied { retry, reason });
            }
            parts.tell(&RetryEvent::Failed(exhausted.clone()));
        }
        let kept = self.later.get_mut().and_then(|later| later.kept.take());
        kept.unwrap_or_else(|| Err(exhausted.into()))
    }

    /// Why there is no real result, should there be none.
    fn cause(&self, now: Instant, reason: StopReason) -> Option<Cause> {
        let tries = self.later.get().map_or(&[][..], |later| &later.tries[..]);
        if let (StopReason::Deadline, Some(deadline)) = (reason, *self.deadline) {
            let overdue = now.into_std().saturating_duration_since(deadline.instant());
            return Some(Cause::Deadline(DeadlineExceeded {
                after: now.saturating_duration_since(*self.started),
                overdue,
                sent: !tries.is_empty(),
            }));
        }
        let last = tries.last()?;
        let after = self.core.parts.settings().attempt_timeout?;
        (last.outcome == TryOutcome::TimedOut).then_some(Cause::TimedOut(TimedOut { after }))
    }

    /// The deadline had passed before the call: nothing was sent.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&mut self) -> Poll<Output<S::Response>> {
        if *self.ended {
            panic!("a response future was polled after it was ready");
        }
        Poll::Ready(self.give_up(Instant::now(), StopReason::Deadline))
    }

    /// The caller leaves.
    #[cold]
    #[inline(never)]
    pub(crate) fn cancel(&mut self) {
        *self.ended = true;
        let parts = &self.core.parts;
        parts.settings().books.cancelled();
        if !parts.tells() {
            return;
        }
        let now = Instant::now();
        let mut tries = self
            .later
            .get()
            .map_or_else(Vec::new, |later| later.tries.clone());
        if self.current.is_some() {
            let sent = self.later.get().map_or(*self.started, |later| later.sent);
            tries.push(TryInfo {
                index: tries.len() as u32,
                started: sent.saturating_duration_since(*self.started),
                elapsed: now.saturating_duration_since(sent),
                outcome: TryOutcome::Cancelled,
                class: None,
            });
        }
        parts.tell(&RetryEvent::Cancelled(RetryInfo {
            elapsed: now.saturating_duration_since(*self.started),
            tries: Tries::many(tries),
        }));
    }

    fn info(&self, now: Instant) -> RetryInfo {
        let tries = self
            .later
            .get()
            .map_or_else(Vec::new, |later| later.tries.clone());
        RetryInfo {
            elapsed: now.saturating_duration_since(*self.started),
            tries: Tries::many(tries),
        }
    }
}
