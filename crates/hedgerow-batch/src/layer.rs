//! The layer and its settings.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{BoxError, Copies, Recorder};
use tower_layer::Layer;
use tower_service::Service;

use crate::batch::Batch;
use crate::event::BatchEvent;
use crate::handle::{BatchHandle, Hub};
use crate::lane::Hold;
use crate::partition::{ByKey, Partition};
use crate::policy::BatchPolicy;
use crate::same::{Same, SameKey};
use crate::service::Batching;
use crate::shared::{Settings, Shared, Weigh};
use crate::story::{Listener, Story, now};
use crate::worker::Worker;

/// Sends requests that come one by one to the backend together, and gives each caller its own answer.
///
/// The backend is a `Service<`[`Batch`]`<Req, Res>>`; the service that this layer makes takes single
/// requests. A [`BatchPolicy`] says how long the first one waits for others.
///
/// # Examples
///
/// ```
/// use hedgerow_batch::{BatchLayer, from_vec};
/// use hedgerow_core::BoxError;
/// use std::time::Duration;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// // A backend that takes many and answers many.
/// async fn squares(numbers: Vec<u64>) -> Result<Vec<Result<u64, BoxError>>, BoxError> {
///     Ok(numbers.into_iter().map(|n| Ok(n * n)).collect())
/// }
/// let mut service = ServiceBuilder::new()
///     .layer(BatchLayer::linger(Duration::from_millis(5)).max_size(64))
///     .service(from_vec(tower::service_fn(squares)));
/// assert_eq!(service.ready().await?.call(7).await?, 49);
/// # Ok(()) }
/// ```
///
/// With weights, partitions and twins:
///
/// ```
/// use hedgerow_batch::BatchLayer;
///
/// #[derive(Clone)]
/// struct Text { model: String, text: String }
///
/// let layer: BatchLayer<Text, Vec<f32>> = BatchLayer::adaptive()
///     .max_size(2_048)
///     .max_weight(300_000, |text: &Text| text.text.len() as u64 / 4)
///     .partition(|text: &Text| text.model.clone())
///     .dedup(|text: &Text| (text.model.clone(), text.text.clone()));
/// # let _ = layer;
/// ```
///
/// # Units
///
/// Timers round up to whole milliseconds. Weights are the caller's own: tokens, bytes.
///
/// # What is sent when
///
/// At once: as many items as [`max_size`](Self::max_size); as much as [`max_weight`](Self::max_weight);
/// whoever has less time before its [`Deadline`](hedgerow_core::Deadline) than it has waited. The
/// rest is the policy's to say. A batch is made when the backend is ready for it and fewer than
/// [`max_in_flight`](Self::max_in_flight) are under way: until then what waits goes on growing.
///
/// # Order
///
/// Where the client stands, beneath everything that looks at single requests. A
/// [`Deadline`](hedgerow_core::Deadline) from above reaches the queue; the backend sees the last one of a
/// batch. A timeout of the backend belongs beneath, or is [`timeout`](Self::timeout).
///
/// # Readiness, clones and drop
///
/// `poll_ready` takes a place in the queue, and waits while there is none: `load_shed` above it then
/// refuses. A service that was made ready and is dropped gives its place back. Clones share one queue and
/// one task, and the backend's readiness is waited for in that task, for a clone of its own.
///
/// The task is started by the first `poll_ready`, on the runtime that it is polled on, survives whatever
/// the backend does, and ends with the last clone of the service once everything that it had is answered.
/// Should its runtime be shut down, all who wait get [`BatchError::Aborted`](crate::BatchError::Aborted),
/// and the next `poll_ready` starts another.
///
/// A caller that leaves takes its item out of the queue. Once it is sent, the others go on; the last one
/// to leave takes the backend's future along, at once.
///
/// # Events
///
/// [`BatchEvent`]s to the recorder.
///
/// # Errors
///
/// What the backend gives to an item, boxed as it is; [`BatchError`](crate::BatchError) otherwise. A
/// backend that fails as a whole fails that batch alone.
///
/// # Panics
///
/// What a backend, a policy or a recorder panics with reaches no caller and no other batch. Functions that
/// look at a request (weight, partition) run in `call`, and panic there.
///
/// # Cost
///
/// Reply cells are allocated 32 at a time, and half a dozen things for each batch; two locks that nobody
/// holds for long: about 1,700 instructions an item in full batches, 7,300 for one that goes alone. The
/// benches `batching` and `overhead` measure both.
///
/// # Source
///
/// Triton's dynamic batcher for the idle backend and the preferred sizes, facebook's `DataLoader` for
/// the shape, Harris (1913) for [`Adaptive`](crate::Adaptive).
///
/// # When not
///
/// Where the backend takes single requests as cheaply, or where callers hold many requests already: then
/// hand them over as they are.
pub struct BatchLayer<Req, Res> {
    pub(crate) policy: Arc<dyn BatchPolicy>,
    pub(crate) hold: Hold,
    pub(crate) weigh: Option<Weigh<Req>>,
    pub(crate) partition: Option<Arc<dyn Partition<Req>>>,
    pub(crate) preferred: Arc<[usize]>,
    pub(crate) max_in_flight: usize,
    pub(crate) max_queued: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) bisect: Option<Arc<dyn Copies<Req> + Send + Sync>>,
    pub(crate) same: Option<Arc<dyn Same<Req, Res>>>,
    pub(crate) listener: Option<Listener>,
    pub(crate) hub: Arc<Hub>,
}

impl<Req, Res> BatchLayer<Req, Res> {
    /// Keeps requests apart: those with different keys never share a batch. Defaults to one partition.
    ///
    /// The endpoint, the model, the tenant. The function runs in `call`; a closure names its argument's
    /// type. Weight, size, linger and rate are each partition's own; places in the queue and batches in
    /// flight are shared. Partitions come and go by themselves.
    #[must_use]
    pub fn partition<K, F>(mut self, key: F) -> Self
    where
        K: Hash + Eq + Send + 'static,
        F: Fn(&Req) -> K + Clone + Send + Sync + 'static,
        Req: 'static,
    {
        self.partition = Some(Arc::new(ByKey::new(key)));
        self
    }

    /// Sends a batch that failed as a whole again in halves, until the item that poisons it fails alone.
    /// Defaults to failing them all.
    ///
    /// Requests are sent again, so `copies` must say that they may be:
    /// [`ByReplay`](hedgerow_core::ByReplay) for types that say it themselves,
    /// [`ByClone`](hedgerow_core::ByClone) for any. Also after a panic; never after a timeout or a
    /// failure to get ready. The search may take 2·⌈log₂ n⌉ dispatches for a batch of n, which finds one
    /// item: when more are poisonous, or the backend is down, the rest shares the error.
    #[must_use]
    pub fn bisect(mut self, copies: impl Copies<Req> + Send + Sync + 'static) -> Self {
        self.bisect = Some(Arc::new(copies));
        self
    }

    /// Sends identical requests of one batch once, and gives each caller a copy of the answer. Defaults
    /// to sending them all.
    ///
    /// Identical is what has the same key; the closure names its argument's type. The function runs in the
    /// layer's task; if it panics, nothing is identical. Twins count towards the size of what waits.
    #[must_use]
    pub fn dedup<K, F>(mut self, key: F) -> Self
    where
        K: Hash + Eq + 'static,
        F: Fn(&Req) -> K + Send + Sync + 'static,
        Req: 'static,
        Res: Clone + 'static,
    {
        self.same = Some(Arc::new(SameKey {
            key,
            copy: Res::clone,
        }));
        self
    }

    /// Tells every event to `recorder`. Defaults to `()`, which costs nothing.
    #[must_use]
    pub fn recorder<T>(mut self, recorder: T) -> Self
    where
        T: Recorder<BatchEvent> + Send + Sync + 'static,
    {
        self.listener = Some(Arc::new(recorder));
        self
    }

    /// Tells every event to `f`. If it panics, its own event is lost and nothing else.
    #[must_use]
    pub fn on_event<F>(self, f: F) -> Self
    where
        F: Fn(&BatchEvent) + Send + Sync + 'static,
    {
        self.recorder(f)
    }

    /// Reads the layer's counts, flushes, drains and aborts its services.
    #[must_use]
    pub fn handle(&self) -> BatchHandle {
        BatchHandle::new(self.hub.clone())
    }
}

impl<S, Req, Res> Layer<S> for BatchLayer<Req, Res>
where
    S: Service<Batch<Req, Res>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Response: 'static,
    S::Future: Send + 'static,
    Req: Send + 'static,
    Res: Send + 'static,
{
    type Service = Batching<Req, Res>;

    fn layer(&self, inner: S) -> Self::Service {
        let story = Story {
            books: self.hub.books().clone(),
            listener: self.listener.clone(),
            epoch: now(),
        };
        let shared = Shared::new(self.settings(), Arc::new(story));
        self.hub.add(&shared);
        Batching::new(
            shared,
            Box::new(move |shared, runtime| {
                drop(runtime.spawn(Worker::new(shared, inner.clone())));
            }),
        )
    }
}

impl<Req, Res> BatchLayer<Req, Res> {
    pub(crate) fn settings(&self) -> Settings<Req, Res> {
        Settings {
            policy: self.policy.clone(),
            hold: self.hold,
            weigh: self.weigh.clone(),
            partition: self.partition.clone(),
            preferred: self.preferred.clone(),
            max_in_flight: self.max_in_flight,
            max_queued: self.max_queued,
            timeout: self.timeout,
            bisect: self.bisect.clone(),
            same: self.same.clone(),
        }
    }
}

// === impl Clone and Debug: without bounds on what stands behind `Arc`s ===

impl<Req, Res> Clone for BatchLayer<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            hold: self.hold,
            weigh: self.weigh.clone(),
            partition: self.partition.clone(),
            preferred: self.preferred.clone(),
            max_in_flight: self.max_in_flight,
            max_queued: self.max_queued,
            timeout: self.timeout,
            bisect: self.bisect.clone(),
            same: self.same.clone(),
            listener: self.listener.clone(),
            hub: self.hub.clone(),
        }
    }
}

impl<Req, Res> fmt::Debug for BatchLayer<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchLayer")
            .field("policy", &self.policy.name())
            .field("max_size", &self.hold.size)
            .field("max_weight", &self.weigh.as_ref().map(|_| self.hold.weight))
            .field("partitioned", &self.partition.is_some())
            .field("preferred", &self.preferred)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_queued", &self.max_queued)
            .field("timeout", &self.timeout)
            .field("bisects", &self.bisect.is_some())
            .field("dedups", &self.same.is_some())
            .finish_non_exhaustive()
    }
}
