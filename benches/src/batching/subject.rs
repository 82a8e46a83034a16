//! What is measured: our layer, other batchers, and the floor.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow::batch::Linger;
use hedgerow::{Batch, BatchLayer};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::{ITEMS, LINGER, SIZE};

/// A batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Futures that wait once: what all the others are counted over.
    Driver,
    /// `BatchLayer` with a strict linger, as the other batchers have it.
    Ours,
    /// `BatchLayer::idle()`.
    OursIdle,
    /// A vector behind a mutex, a oneshot for each item.
    Floor,
    /// `scuffle_batching::Batcher`.
    Scuffle,
    /// `tower_batch::Batch`: no answers, only "done".
    TowerBatch,
    /// `tower_batch_control::Batch`: the same, with weights.
    TowerBatchControl,
    /// `dataloader::non_cached::Loader`.
    DataLoader,
}

/// Makes a round of items; the 99th percentile of their answers in µs.
pub(crate) type Round<'a> = Box<dyn FnMut() -> f64 + 'a>;

impl Subject {
    pub(crate) const ALL: [Self; 8] = [
        Self::Driver,
        Self::Ours,
        Self::OursIdle,
        Self::Floor,
        Self::Scuffle,
        Self::TowerBatch,
        Self::TowerBatchControl,
        Self::DataLoader,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Driver => "the driver, taken off",
            Self::Ours => "BatchLayer, strict linger",
            Self::OursIdle => "BatchLayer::idle()",
            Self::Floor => "floor: a vector and oneshots",
            Self::Scuffle => "scuffle-batching",
            Self::TowerBatch => "tower-batch (no answers)",
            Self::TowerBatchControl => "tower-batch-control (no answers)",
            Self::DataLoader => "dataloader",
        }
    }

    /// Prepares its rounds.
    pub(crate) fn rounds(self, runtime: &Runtime) -> Round<'_> {
        let _inside = runtime.enter();
        match self {
            Self::Driver => rounds(runtime, |_| tokio::task::yield_now()),
            Self::Ours => {
                let policy = Linger::new(LINGER).strict();
                ours(runtime, BatchLayer::new(policy))
            }
            Self::OursIdle => ours(runtime, BatchLayer::idle()),
            Self::Floor => {
                let floor = Arc::new(Floor::default());
                rounds(runtime, move |n| floor.clone().call(n))
            }
            Self::Scuffle => {
                let batcher = scuffle_batching::Batcher::new(Nothing, SIZE, ITEMS as usize, LINGER);
                let batcher = Arc::new(batcher);
                rounds(runtime, move |n| {
                    let batcher = batcher.clone();
                    async move { batcher.execute(n).await }
                })
            }
            Self::TowerBatch => {
                let service = tower_batch::Batch::new(Nothing, SIZE, LINGER);
                rounds(runtime, move |n| call(service.clone(), n))
            }
            Self::TowerBatchControl => {
                let most = ITEMS as usize / SIZE;
                let service = tower_batch_control::Batch::new(Nothing, SIZE, most, LINGER);
                rounds(runtime, move |n| call(service.clone(), Weighed(n)))
            }
            Self::DataLoader => {
                let loader = dataloader::non_cached::Loader::new(Nothing);
                let loader = loader.with_max_batch_size(SIZE);
                rounds(runtime, move |n| {
                    let loader = loader.clone();
                    async move { loader.load(n).await }
                })
            }
        }
    }
}

fn ours(runtime: &Runtime, layer: BatchLayer<u64, u64>) -> Round<'_> {
    let layer = layer.max_size(SIZE).max_queued(2 * ITEMS as usize);
    let service = layer.layer(Nothing);
    rounds(runtime, move |n| call(service.clone(), n))
}

/// One call, of an instance that is made ready first.
async fn call<S, Req>(mut service: S, request: Req)
where
    S: Service<Req>,
{
    let _ = poll_fn(|cx| service.poll_ready(cx)).await;
    let _ = service.call(request).await;
}

/// Rounds of `ITEMS` tasks, each of which waits for its own future.
fn rounds<'a, M, F>(runtime: &'a Runtime, make: M) -> Round<'a>
where
    M: Fn(u64) -> F + 'a,
    F: Future<Output: Send> + Send + 'static,
{
    let mut took = Vec::with_capacity(ITEMS as usize);
    let mut tasks = Vec::with_capacity(ITEMS as usize);
    Box::new(move || {
        took.clear();
        let start = Instant::now();
        runtime.block_on(async {
            tasks.extend((0..ITEMS).map(|n| {
                let item = make(n);
                runtime.spawn(async move {
                    item.await;
                    start.elapsed()
                })
            }));
            for task in tasks.drain(..) {
                took.push(task.await.expect("no item panics"));
            }
        });
        took.sort_unstable();
        let p99 = took[took.len() * 99 / 100];
        p99.as_nanos() as f64 / 1_000.0
    })
}

/// A backend that answers with what it is given.
#[derive(Clone, Copy)]
struct Nothing;

impl Service<Batch<u64, u64>> for Nothing {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch<u64, u64>) -> Self::Future {
        for item in batch {
            item.reply.answer(item.request);
        }
        ready(Ok(()))
    }
}

impl scuffle_batching::BatchExecutor for Nothing {
    type Request = u64;
    type Response = u64;

    async fn execute(&self, requests: Vec<(u64, scuffle_batching::batch::BatchResponse<u64>)>) {
        for (request, reply) in requests {
            reply.send(request);
        }
    }
}

impl Service<tower_batch::BatchControl<u64>> for Nothing {
    type Response = ();
    type Error = tower::BoxError;
    type Future = Ready<Result<(), tower::BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), tower::BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: tower_batch::BatchControl<u64>) -> Self::Future {
        ready(Ok(()))
    }
}

/// A request of weight 1.
struct Weighed(#[expect(dead_code, reason = "the backend does nothing with it")] u64);

impl tower_batch_control::RequestWeight for Weighed {}

impl Service<tower_batch_control::BatchControl<Weighed>> for Nothing {
    type Response = ();
    type Error = tower::BoxError;
    type Future = Ready<Result<(), tower::BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), tower::BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: tower_batch_control::BatchControl<Weighed>) -> Self::Future {
        ready(Ok(()))
    }
}

impl dataloader::BatchFn<u64, u64> for Nothing {
    async fn load(&mut self, keys: &[u64]) -> HashMap<u64, u64> {
        keys.iter().map(|&key| (key, key)).collect()
    }
}

/// What waits, and who waits for it.
type Waiting = Vec<(u64, oneshot::Sender<u64>)>;

/// The least that answers many callers one by one: who fills the vector answers all.
#[derive(Default)]
struct Floor {
    open: Mutex<Waiting>,
}

impl Floor {
    /// Takes an item in; the whole batch, if it is full now.
    fn enter(&self, n: u64, reply: oneshot::Sender<u64>) -> Waiting {
        let mut open = self.open.lock();
        open.push((n, reply));
        if open.len() < SIZE {
            return Vec::new();
        }
        mem::replace(&mut *open, Vec::with_capacity(SIZE))
    }

    async fn call(self: Arc<Self>, n: u64) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        for (request, reply) in self.enter(n, reply) {
            let _ = reply.send(request);
        }
        answer.await.ok()
    }
}
