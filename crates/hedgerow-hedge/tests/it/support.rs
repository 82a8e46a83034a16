//! A scripted backend on the paused clock, and a call in one line.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::Attempt;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};

/// What an attempt does: how long it takes, and how it ends.
pub(crate) type Script =
    dyn Fn(Attempt) -> (Duration, Result<&'static str, &'static str>) + Send + Sync;

/// A service that plays a script by the attempt's index and keeps a log.
#[derive(Clone)]
pub(crate) struct Backend {
    script: Arc<Script>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    sent: Vec<(Attempt, Instant)>,
    alive: usize,
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An attempt that answers `"primary"` or `"hedge"` after so many milliseconds.
pub(crate) fn answers(
    attempt: Attempt,
    after: u64,
) -> (Duration, Result<&'static str, &'static str>) {
    (
        ms(after),
        Ok(if attempt.is_extra() {
            "hedge"
        } else {
            "primary"
        }),
    )
}

/// Where made-up instants begin.
pub(crate) fn any_moment() -> std::time::Instant {
    Instant::now().into_std()
}

impl Backend {
    pub(crate) fn new(
        script: impl Fn(Attempt) -> (Duration, Result<&'static str, &'static str>)
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            script: Arc::new(script),
            log: Arc::default(),
        }
    }

    /// The primary and each extra attempt take so many milliseconds; all answer.
    pub(crate) fn taking(times: &'static [u64]) -> Self {
        Self::new(move |attempt| answers(attempt, times[attempt.index() as usize % times.len()]))
    }

    /// How many attempts were sent.
    pub(crate) fn sent(&self) -> usize {
        self.log.lock().sent.len()
    }

    /// When each attempt was sent, counted from the first.
    pub(crate) fn times(&self) -> Vec<Duration> {
        let log = self.log.lock();
        log.sent.iter().map(|(_, at)| *at - log.sent[0].1).collect()
    }

    /// How many attempts are neither finished nor dropped.
    pub(crate) fn alive(&self) -> usize {
        self.log.lock().alive
    }
}

impl Service<u64> for Backend {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<&'static str, &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Self::Future {
        struct Alive(Arc<Mutex<Log>>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.lock().alive -= 1;
            }
        }
        let attempt = Attempt::current();
        let mut log = self.log.lock();
        log.sent.push((attempt, Instant::now()));
        log.alive += 1;
        drop(log);
        let alive = Alive(self.log.clone());
        let (after, result) = (self.script)(attempt);
        Box::pin(async move {
            let _alive = alive;
            if !after.is_zero() {
                sleep(after).await;
            }
            result
        })
    }
}

/// Calls once; the result, and how long it took.
pub(crate) async fn call<S>(service: S) -> (Result<S::Response, S::Error>, Duration)
where
    S: Service<u64>,
{
    let start = Instant::now();
    let result = service.oneshot(1).await;
    (result, start.elapsed())
}
