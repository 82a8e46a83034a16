//! The contract kit: a batching layer over a backend that hands single items to any service.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_batch::{Adaptive, Batch, BatchLayer, Linger};
use hedgerow_core::testing::{Inner, Ping, Pong, contract};
use hedgerow_core::{BoxError, ByReplay};
use tower::{Layer, Service};

/// Hands the only item of a batch to a service.
#[derive(Clone)]
struct One(Inner);

impl Service<Batch<Ping, Pong>> for One {
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch<Ping, Pong>) -> Self::Future {
        let [item] = <[_; 1]>::try_from(batch.into_iter().collect::<Vec<_>>()).expect("one item");
        let call = self.0.call(item.request);
        Box::pin(async move {
            item.reply.answer(call.await?);
            Ok(())
        })
    }
}

/// `BoxCloneSyncService` is `Sync`, so the layer may keep it.
fn one(inner: Inner) -> One {
    One(inner)
}

#[tokio::test(start_paused = true)]
async fn every_policy_keeps_the_contract() {
    contract(|inner| BatchLayer::idle().max_size(1).layer(one(inner))).await;
    contract(|inner| {
        BatchLayer::linger(Duration::from_millis(3))
            .max_size(1)
            .layer(one(inner))
    })
    .await;
    let strict = || Linger::new(Duration::from_millis(3)).strict();
    contract(|inner| BatchLayer::new(strict()).max_size(1).layer(one(inner))).await;
    contract(|inner| BatchLayer::adaptive().max_size(1).layer(one(inner))).await;
    let dear = || Adaptive::new().cost(Duration::from_millis(9));
    contract(|inner| BatchLayer::new(dear()).max_size(1).layer(one(inner))).await;
}

#[tokio::test(start_paused = true)]
async fn every_setting_keeps_the_contract() {
    contract(|inner| {
        BatchLayer::idle()
            .max_size(1)
            .max_weight(7, |_: &Ping| 3)
            .partition(|ping: &Ping| ping.id % 3)
            .prefer([1])
            .max_in_flight(64)
            .max_queued(100)
            .timeout(Duration::from_secs(1_000_000))
            .bisect(ByReplay)
            .dedup(|ping: &Ping| ping.id)
            .on_event(|_: &_| ())
            .layer(one(inner))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_batch_after_the_other_and_one_place_in_the_queue_keep_it_as_well() {
    contract(|inner| {
        BatchLayer::idle()
            .max_size(1)
            .max_in_flight(1)
            .max_queued(1)
            .layer(one(inner))
    })
    .await;
}
