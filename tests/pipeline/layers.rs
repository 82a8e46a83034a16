//! The same layers in four orders.

use futures::future::join_all;
use hedgerow::batch::{Batch, BatchLayer, Linger};
use hedgerow::{BoxError, CoalesceLayer, SampleCacheLayer, SampleRequest, Samples, Store};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::model::{Model, Prompt};
use crate::ms;

pub(crate) type Ask = SampleRequest<Prompt>;
pub(crate) type Answers = Samples<String>;
pub(crate) type Pipeline = BoxCloneSyncService<Ask, Answers, BoxError>;

/// Which layer is around which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Deduplicator, sample cache, model.
    Unbatched,
    /// Deduplicator, sample cache, batcher, model.
    Inside,
    /// Deduplicator, batcher, sample cache, model.
    Between,
    /// Batcher, deduplicator, sample cache, model.
    Outside,
}

/// When a batch is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Idle,
    /// 5 ms after its first item.
    Linger,
    Adaptive,
}

impl When {
    pub(crate) const ALL: [Self; 3] = [Self::Idle, Self::Linger, Self::Adaptive];

    fn layer<Req, Res>(self, size: usize) -> BatchLayer<Req, Res> {
        let layer = match self {
            Self::Idle => BatchLayer::idle(),
            Self::Linger => BatchLayer::new(Linger::new(ms(5)).strict()),
            Self::Adaptive => BatchLayer::adaptive(),
        };
        // A paused clock runs on while the disk writes: a batch that waits for it would be out of time.
        layer.max_size(size).max_in_flight(64).no_timeout()
    }
}

impl Order {
    pub(crate) const ALL: [Self; 4] = [Self::Unbatched, Self::Inside, Self::Between, Self::Outside];

    /// Puts the layers together, with batches of at most `size`.
    pub(crate) fn build<St>(self, store: St, model: &Model, when: When, size: usize) -> Pipeline
    where
        St: Store<Key = (String, u32), Value = String> + 'static,
    {
        let dedup = CoalesceLayer::new(request_id);
        let cache = SampleCacheLayer::new(store).key(|prompt: &Prompt| Some(prompt.text.clone()));
        let model = model.clone();
        if self == Self::Inside {
            let many = service_fn(move |batch| model.clone().ask_many(batch));
            let batch = when.layer(size).layer(many);
            return Pipeline::new(dedup.layer(cache.layer(batch)));
        }
        let cached = cache.layer(service_fn(move |prompt| model.clone().ask(prompt)));
        let batch = when.layer(size);
        match self {
            Self::Unbatched | Self::Inside => Pipeline::new(dedup.layer(cached)),
            Self::Between => Pipeline::new(dedup.layer(batch.layer(each(cached)))),
            Self::Outside => Pipeline::new(batch.layer(each(dedup.layer(cached)))),
        }
    }
}

/// Who asks again under the same number wants the same answers.
fn request_id(ask: &Ask) -> Option<String> {
    Some(format!("{} {}", ask.namespace, ask.request.id))
}

/// A backend that asks `inner` for each item of a batch, in their order and all at once.
fn each<S>(
    inner: S,
) -> impl Service<
    Batch<Ask, Answers>,
    Response = (),
    Error = BoxError,
    Future = impl Future<Output = Result<(), BoxError>> + Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static
where
    S: Service<Ask, Response = Answers, Error = BoxError, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    service_fn(move |batch: Batch<Ask, Answers>| {
        let asked: Vec<_> = batch
            .into_iter()
            .map(|item| (inner.clone().oneshot(item.request), item.reply))
            .collect();
        async move {
            join_all(
                asked
                    .into_iter()
                    .map(async |(asked, reply)| reply.settle(asked.await)),
            )
            .await;
            Ok(())
        }
    })
}
