//! A backend that does as its requests say, on the paused clock, and calls in one line.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_batch::{Batch, Item};
use hedgerow_core::BoxError;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};

/// The backend's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down(pub(crate) u64);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "down {}", self.0)
    }
}

impl std::error::Error for Down {}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), Down>> + Send>>;
type Act<Req, Res> = Arc<dyn Fn(Batch<Req, Res>, usize) -> Work + Send + Sync>;

/// A backend that keeps a log.
pub(crate) struct Backend<Req, Res> {
    act: Act<Req, Res>,
    log: Arc<Mutex<Log<Req>>>,
}

struct Log<Req> {
    start: Instant,
    batches: Vec<(u64, Vec<Req>)>,
    alive: usize,
    most_alive: usize,
}

struct Alive<Req>(Arc<Mutex<Log<Req>>>);

impl<Req> Drop for Alive<Req> {
    fn drop(&mut self) {
        self.0.lock().alive -= 1;
    }
}

impl<Req: Clone + Send + 'static, Res: Send + 'static> Backend<Req, Res> {
    /// Does `act` with each batch and its number.
    pub(crate) fn new<F, W>(act: F) -> Self
    where
        F: Fn(Batch<Req, Res>, usize) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), Down>> + Send + 'static,
    {
        Self {
            act: Arc::new(move |batch, n| Box::pin(act(batch, n))),
            log: Arc::new(Mutex::new(Log {
                start: Instant::now(),
                batches: Vec::new(),
                alive: 0,
                most_alive: 0,
            })),
        }
    }

    /// The batches that came, each with the milliseconds since the backend was made.
    pub(crate) fn batches(&self) -> Vec<(u64, Vec<Req>)> {
        self.log.lock().batches.clone()
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        let log = self.log.lock();
        log.batches.iter().map(|(_, items)| items.len()).collect()
    }

    pub(crate) fn times(&self) -> Vec<u64> {
        self.log.lock().batches.iter().map(|(at, _)| *at).collect()
    }

    /// Batches that are neither done nor dropped.
    pub(crate) fn alive(&self) -> usize {
        self.log.lock().alive
    }

    pub(crate) fn most_alive(&self) -> usize {
        self.log.lock().most_alive
    }
}

/// Answers each number with its double, all at once after a time.
pub(crate) fn doubling(after: u64) -> Backend<u64, u64> {
    Backend::new(move |batch: Batch<u64, u64>, _| async move {
        if after > 0 {
            sleep(ms(after)).await;
        }
        for Item { request, reply, .. } in batch {
            reply.answer(request * 2);
        }
        Ok(())
    })
}

impl<Req, Res> Clone for Backend<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            act: self.act.clone(),
            log: self.log.clone(),
        }
    }
}

impl<Req: Clone + Send + 'static, Res: Send + 'static> Service<Batch<Req, Res>>
    for Backend<Req, Res>
{
    type Response = ();
    type Error = Down;
    type Future = Work;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch<Req, Res>) -> Work {
        let mut log = self.log.lock();
        let at = log.start.elapsed().as_millis() as u64;
        let n = log.batches.len();
        log.batches.push((at, batch.requests().cloned().collect()));
        log.alive += 1;
        log.most_alive = log.most_alive.max(log.alive);
        drop(log);
        let alive = Alive(self.log.clone());
        let work = (self.act)(batch, n);
        Box::pin(async move {
            let _alive = alive;
            work.await
        })
    }
}

/// Calls once; a virtual day at most.
pub(crate) async fn call<S, Req>(service: &S, request: Req) -> Result<S::Response, BoxError>
where
    S: Service<Req, Error = BoxError> + Clone,
{
    ends(service.clone().oneshot(request)).await
}

/// What ends within a virtual day.
#[track_caller]
pub(crate) fn ends<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match timeout(Duration::from_secs(86_400), work).await {
            Ok(output) => output,
            Err(_) => panic!("it never ended: {place}"),
        }
    }
}

/// Polls a future until it has nothing more to do now.
pub(crate) async fn settle<F: Future + Unpin>(work: &mut F) -> Option<F::Output> {
    for _ in 0..20 {
        if let Poll::Ready(output) = futures::poll!(&mut *work) {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
