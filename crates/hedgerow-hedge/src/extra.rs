//! One extra attempt: first it waits for its own service to be ready, then it runs.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{Attempt, Grant};
use tokio::time::Instant;
use tower_service::Service;

use crate::info::{AttemptInfo, Outcome};

pub(crate) struct Extra<S, Req>
where
    S: Service<Req>,
{
    pub(crate) attempt: Attempt,
    /// The policy's delay for it: how long it may wait for readiness when nothing else runs.
    pub(crate) patience: Duration,
    /// When it was sent.
    pub(crate) sent: Option<Instant>,
    /// How long it ran and how it ended, once it has.
    pub(crate) ended: Option<(Duration, Outcome)>,
    state: State<S, Req>,
}

enum State<S, Req>
where
    S: Service<Req>,
{
    /// Granted, not sent: its own clone of the service is not ready yet. Given up, its token goes
    /// back into the budget.
    Waiting(S, Req, Grant),
    /// Sent.
    Running(Pin<Box<S::Future>>),
    /// Ended, or given up.
    Over,
}

/// What a poll of an extra attempt brought.
pub(crate) enum Step<Res, E> {
    Pending,
    /// It was sent by this poll, and has not been polled since.
    Sent,
    /// It is not ready and still waits.
    NotReady,
    /// Its service failed before it could be sent.
    Unavailable(E),
    Finished(Result<Res, E>),
}

impl<S, Req> Extra<S, Req>
where
    S: Service<Req>,
{
    pub(crate) fn new(
        attempt: Attempt,
        patience: Duration,
        (service, request, grant): (S, Req, Grant),
    ) -> Self {
        Self {
            attempt,
            patience,
            sent: None,
            ended: None,
            state: State::Waiting(service, request, grant),
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(..))
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// Drops whatever it holds. What it was sent stays in the books.
    pub(crate) fn stop(&mut self) {
        self.state = State::Over;
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Step<S::Response, S::Error> {
        match &mut self.state {
            State::Waiting(service, ..) => match self.attempt.scope(|| service.poll_ready(cx)) {
                Poll::Ready(Ok(())) => {
                    self.send();
                    Step::Sent
                }
                Poll::Ready(Err(error)) => {
                    self.stop();
                    Step::Unavailable(error)
                }
                Poll::Pending => Step::NotReady,
            },
            State::Running(future) => {
                match self.attempt.scope(|| future.as_mut().poll(cx)) {
                    Poll::Ready(result) => {
                        // Before anything else is sent: it may hold a permit.
                        self.stop();
                        Step::Finished(result)
                    }
                    Poll::Pending => Step::Pending,
                }
            }
            State::Over => Step::Pending,
        }
    }

    fn send(&mut self) {
        if let State::Waiting(mut service, request, grant) =
            std::mem::replace(&mut self.state, State::Over)
        {
            grant.spend();
            self.sent = Some(Instant::now());
            let future = self.attempt.scope(|| service.call(request));
            self.state = State::Running(Box::pin(future));
        }
    }

    /// Its entry in the books, if it was sent and has ended.
    pub(crate) fn info(&self, call: Instant) -> Option<AttemptInfo> {
        let (elapsed, outcome) = self.ended?;
        Some(AttemptInfo {
            attempt: self.attempt,
            started: self.sent?.saturating_duration_since(call),
            elapsed,
            outcome,
        })
    }
}
