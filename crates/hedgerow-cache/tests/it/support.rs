//! A scripted backend on the paused clock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::Service;

/// What a call does: how long it takes, and how it ends. `None` never ends.
pub(crate) type Act = (Option<u64>, Result<&'static str, Down>);

/// The backend's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down(pub(crate) u32);

/// A service that plays a script by the number of the call, and keeps a log. It answers with the word of
/// the script, the request and the number of the call.
#[derive(Clone)]
pub(crate) struct Backend {
    script: Arc<dyn Fn(usize) -> Act + Send + Sync>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    sent: Vec<Instant>,
    requests: Vec<u64>,
    alive: usize,
}

pub(crate) type Reply = (&'static str, u64, usize);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn ok(after: u64) -> Act {
    (Some(after), Ok("answer"))
}

pub(crate) const fn down(after: u64) -> Act {
    (Some(after), Err(Down(503)))
}

pub(crate) const NEVER: Act = (None, Ok("never"));

impl Backend {
    pub(crate) fn new(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            log: Arc::default(),
        }
    }

    /// One act a call; the last one is repeated.
    pub(crate) fn of(acts: &[Act]) -> Self {
        let acts = acts.to_vec();
        Self::new(move |n| acts[n.min(acts.len() - 1)])
    }

    /// How many calls came.
    pub(crate) fn sent(&self) -> usize {
        self.log.lock().sent.len()
    }

    pub(crate) fn requests(&self) -> Vec<u64> {
        self.log.lock().requests.clone()
    }

    /// How many calls are neither finished nor dropped.
    pub(crate) fn alive(&self) -> usize {
        self.log.lock().alive
    }
}

impl Service<u64> for Backend {
    type Response = Reply;
    type Error = Down;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Down>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        struct Alive(Arc<Mutex<Log>>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.lock().alive -= 1;
            }
        }
        let mut log = self.log.lock();
        let n = log.sent.len();
        log.sent.push(Instant::now());
        log.requests.push(request);
        log.alive += 1;
        drop(log);
        let alive = Alive(self.log.clone());
        let (after, result) = (self.script)(n);
        Box::pin(async move {
            let _alive = alive;
            match after {
                None => std::future::pending().await,
                Some(0) => {}
                Some(after) => sleep(ms(after)).await,
            }
            result.map(|word| (word, request, n))
        })
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "down {}", self.0)
    }
}

impl std::error::Error for Down {}

/// Whether this is the backend's own error, however deep it was boxed.
pub(crate) fn is_down(error: &hedgerow_core::BoxError) -> bool {
    hedgerow_core::cause_ref(&**error) == Some(&Down(503))
}
