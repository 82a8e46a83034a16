//! The layer and its settings.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{BoxError, Copies, Recorder, or_panic};
use tower_layer::Layer;
use tower_service::Service;

use crate::batch::Batch;
use crate::build::{MAX_IN_FLIGHT, MAX_QUEUED, MAX_SIZE};
use crate::error::BatchBuildError;
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
    /// Sets how many items a batch may have, 1 to 1,000,000. Defaults to 100.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_size`](Self::try_max_size) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_size(self, n: usize) -> Self {
        or_panic(self.try_max_size(n))
    }

    /// Like [`max_size`](Self::max_size), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxSize`] if `n` is out of range.
    pub fn try_max_size(mut self, n: usize) -> Result<Self, BatchBuildError> {
        if n == 0 || n > MAX_SIZE {
            return Err(BatchBuildError::MaxSize(n));
        }
        self.hold.size = n;
        self.check_preferred()?;
        Ok(self)
    }

    /// Sets how heavy a batch may be, and how heavy a request is. Defaults to no weight.
    ///
    /// No batch is heavier, but for one with a single item that is: it goes alone. The function runs in
    /// `call`, once for each request. A closure names its argument's type.
    ///
    /// # Panics
    ///
    /// If `max` is 0: [`try_max_weight`](Self::try_max_weight) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_weight<F>(self, max: u64, weigh: F) -> Self
    where
        F: Fn(&Req) -> u64 + Send + Sync + 'static,
    {
        or_panic(self.try_max_weight(max, weigh))
    }

    /// Like [`max_weight`](Self::max_weight), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxWeight`] if `max` is 0.
    pub fn try_max_weight<F>(mut self, max: u64, weigh: F) -> Result<Self, BatchBuildError>
    where
        F: Fn(&Req) -> u64 + Send + Sync + 'static,
    {
        if max == 0 {
            return Err(BatchBuildError::MaxWeight);
        }
        self.hold.weight = max;
        self.weigh = Some(Arc::new(weigh));
        Ok(self)
    }

    /// Sets sizes that the backend likes: of what waits, the largest of them that can be filled is sent,
    /// and the rest waits on. Defaults to none.
    ///
    /// What is fewer than the smallest goes as it is.
    ///
    /// # Panics
    ///
    /// If one of them is 0 or more than a batch may have: [`try_prefer`](Self::try_prefer) returns the
    /// reason.
    #[must_use]
    #[track_caller]
    pub fn prefer(self, sizes: impl IntoIterator<Item = usize>) -> Self {
        or_panic(self.try_prefer(sizes))
    }

    /// Like [`prefer`](Self::prefer), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::Preferred`] if one of them is 0 or more than a batch may have.
    pub fn try_prefer(
        mut self,
        sizes: impl IntoIterator<Item = usize>,
    ) -> Result<Self, BatchBuildError> {
        let mut sizes: Vec<usize> = sizes.into_iter().collect();
        sizes.sort_unstable();
        self.preferred = sizes.into();
        self.check_preferred()?;
        Ok(self)
    }

    fn check_preferred(&self) -> Result<(), BatchBuildError> {
        let max = self.hold.size;
        match self
            .preferred
            .iter()
            .find(|size| **size == 0 || **size > max)
        {
            Some(&size) => Err(BatchBuildError::Preferred { size, max }),
            None => Ok(()),
        }
    }

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

    /// Sets how many batches may be in flight at once, 1 to 100,000. Defaults to 16.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_in_flight`](Self::try_max_in_flight) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_in_flight(self, n: usize) -> Self {
        or_panic(self.try_max_in_flight(n))
    }

    /// Like [`max_in_flight`](Self::max_in_flight), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxInFlight`] if `n` is out of range.
    pub fn try_max_in_flight(mut self, n: usize) -> Result<Self, BatchBuildError> {
        if n == 0 || n > MAX_IN_FLIGHT {
            return Err(BatchBuildError::MaxInFlight(n));
        }
        self.max_in_flight = n;
        Ok(self)
    }

    /// Sets how many items may wait to be sent, 1 to 100,000,000. Defaults to 10,000.
    ///
    /// A service that was made ready and not called yet counts.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_queued`](Self::try_max_queued) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_queued(self, n: usize) -> Self {
        or_panic(self.try_max_queued(n))
    }

    /// Like [`max_queued`](Self::max_queued), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::MaxQueued`] if `n` is out of range.
    pub fn try_max_queued(mut self, n: usize) -> Result<Self, BatchBuildError> {
        if n == 0 || n > MAX_QUEUED {
            return Err(BatchBuildError::MaxQueued(n));
        }
        self.max_queued = n;
        Ok(self)
    }

    /// Drops what the backend does for a batch after this time; its items that are not answered yet get
    /// [`BatchError::TimedOut`](crate::BatchError::TimedOut). Defaults to none.
    ///
    /// Without one, a batch that hangs holds one of the places in flight until all of its callers have
    /// left.
    ///
    /// # Panics
    ///
    /// If `after` is zero: [`try_timeout`](Self::try_timeout) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn timeout(self, after: Duration) -> Self {
        or_panic(self.try_timeout(after))
    }

    /// Like [`timeout`](Self::timeout), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BatchBuildError::Timeout`] if `after` is zero.
    pub fn try_timeout(mut self, after: Duration) -> Result<Self, BatchBuildError> {
        if after.is_zero() {
            return Err(BatchBuildError::Timeout(after));
        }
        self.timeout = Some(after);
        Ok(self)
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
