//! The layer and its settings.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, or_panic};
use tower_layer::Layer;

use super::event::CacheEvent;
use super::handle::CacheHandle;
use super::keep::Lives;
use super::lead::StoreLead;
use super::parts::{CacheParts, CacheSettings};
use super::service::Cache;
use crate::background::{Background, Owner};
use crate::clock::Clock;
use crate::coalesce::ByClone;
use crate::error::CacheBuildError;

const DEFAULT_TTL: Duration = Duration::from_secs(60);
const DEFAULT_REFRESHES: usize = 64;
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
const DEFAULT_BUDGET_PERCENT: f64 = 10.0;
const MOST_REFRESHES: u64 = 1_000_000;

/// Answers from a store what was answered before, and stores what the service answers.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{CacheLayer, MemoryStore};
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// let layer = CacheLayer::new(MemoryStore::entries(10_000))
///     .key(|id: &u64| Some(*id))
///     .ttl(Duration::from_secs(300));
/// let handle = layer.handle();
/// let client = tower::service_fn(async |id: u64| Ok::<_, Infallible>(format!("user {id}")));
/// let mut service = ServiceBuilder::new().layer(layer).service(client);
/// for _ in 0..3 {
///     assert_eq!(service.ready().await?.call(7).await?, "user 7");
/// }
/// assert_eq!((handle.stats().misses, handle.stats().hits), (1, 2));
/// # Ok(()) }
/// ```
///
/// Answers that outlive their time a little:
///
/// ```
/// use hedgerow_cache::{CacheLayer, Lifetime, MemoryStore};
/// use std::time::Duration;
///
/// let layer = CacheLayer::new(MemoryStore::<u64, Option<String>>::entries(10_000))
///     .key(|id: &u64| Some(*id))
///     .stale_while_revalidate(Duration::from_secs(30))
///     .stale_if_error(Duration::from_secs(3_600))
///     // What was not found is asked for again after five seconds.
///     .lives(|found: &Option<String>| match found {
///         Some(_) => Lifetime::Usual,
///         None => Lifetime::Negative,
///     })
///     .negative(Duration::from_secs(5));
/// # let _ = layer;
/// ```
///
/// # What is stored
///
/// What the judge calls a success, and nothing else: no error, and no answer that he refuses, is ever stored
/// as an answer. A caller never waits for the store: what it cannot take is counted and lost.
///
/// # Order
///
/// Outside of everything that costs: of a coalescer, retry, hedge and admission. A hit takes no permit, no
/// token and no readiness. Inside of a deadline. It does not join identical calls: put a
/// [`CoalesceLayer`](crate::CoalesceLayer) with this layer's [`lead`](Self::lead) right beneath, or without
/// it under `.http()`.
///
/// # Readiness, clones and drop
///
/// Always ready: a call that needs the service makes a clone of it ready inside of its future. Dropping that
/// drops the call. A refresh behind a caller runs on the caller's tokio runtime, bounded in time and number
/// ([`refreshes`](Self::refreshes)), and is gone with the layer and its services; outside of a runtime
/// nothing is refreshed until the answer is too old to be served.
///
/// # Events
///
/// [`CacheEvent`]s to the recorder; `tracing` events under the target `hedgerow::cache` (warn: the store
/// failed).
///
/// # Errors
///
/// The inner service's, as they are.
///
/// # Cost
///
/// A hit of a [`MemoryStore`](crate::MemoryStore): one clock read, one lock for reading, one count, the clone
/// of the answer; no allocation beside that. The bench `overhead` measures it.
///
/// # Source
///
/// RFC 5861 for `stale-while-revalidate` and `stale-if-error`.
pub struct CacheLayer<St, P = (), H = ByClone, Rec = ()> {
    pub(crate) parts: CacheParts<St, P, H, Rec>,
    owner: Owner,
}

impl<St> CacheLayer<St> {
    /// Answers from `store`. What the key of a request is has to be said: [`key`](Self::key).
    #[must_use]
    pub fn new(store: St) -> Self {
        let (background, owner) = Background::new(DEFAULT_REFRESHES, DEFAULT_PATIENCE);
        Self {
            owner,
            parts: CacheParts {
                store: Arc::new(store),
                key: Arc::new(()),
                keep: Arc::new(ByClone::default()),
                recorder: Arc::new(()),
                settings: Arc::new(CacheSettings {
                    ttl: DEFAULT_TTL,
                    while_revalidating: Duration::ZERO,
                    on_error: Duration::ZERO,
                    negative: None,
                    clock: Clock::new(),
                    books: Arc::default(),
                    background,
                    budget: Budget::percent(DEFAULT_BUDGET_PERCENT),
                    hasher: RandomState::new(),
                }),
            },
        }
    }
}

impl<St, P, H, Rec> CacheLayer<St, P, H, Rec> {
    /// Sets what makes two requests the same: a [`KeyPolicy`](crate::KeyPolicy), that is a function from
    /// `&Request` to `Option<Key>`, whose argument's type is named. Requests without a key pass.
    #[must_use]
    pub fn key<Q>(self, key: Q) -> CacheLayer<St, Q, H, Rec> {
        let parts = self.parts;
        CacheLayer {
            owner: self.owner,
            parts: CacheParts {
                key: Arc::new(key),
                store: parts.store,
                keep: parts.keep,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    /// Sets how long an answer is as good as a new one. Defaults to 60 s.
    ///
    /// # Panics
    ///
    /// If `fresh` is zero: [`try_ttl`](Self::try_ttl) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn ttl(self, fresh: Duration) -> Self {
        or_panic(self.try_ttl(fresh))
    }

    /// Like [`ttl`](Self::ttl), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Time`] if `fresh` is zero.
    pub fn try_ttl(self, fresh: Duration) -> Result<Self, CacheBuildError> {
        if fresh.is_zero() {
            return Err(CacheBuildError::Time {
                what: "a time to live",
            });
        }
        Ok(self.set(|settings| settings.ttl = fresh))
    }

    /// Serves an answer for this long after its time, and refreshes it behind the caller. Defaults to none.
    #[must_use]
    pub fn stale_while_revalidate(self, stale: Duration) -> Self {
        self.set(|settings| settings.while_revalidating = stale)
    }

    /// Serves an answer for this long after its time when the service fails. Defaults to none.
    #[must_use]
    pub fn stale_if_error(self, stale: Duration) -> Self {
        self.set(|settings| settings.on_error = stale)
    }

    /// Keeps negative answers for this long: those that [`lives`](Self::lives), or HTTP, call
    /// [`Lifetime::Negative`](crate::Lifetime::Negative). Defaults to not storing them.
    ///
    /// # Panics
    ///
    /// If `fresh` is zero: [`try_negative`](Self::try_negative) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn negative(self, fresh: Duration) -> Self {
        or_panic(self.try_negative(fresh))
    }

    /// Like [`negative`](Self::negative), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Time`] if `fresh` is zero.
    pub fn try_negative(self, fresh: Duration) -> Result<Self, CacheBuildError> {
        if fresh.is_zero() {
            return Err(CacheBuildError::Time {
                what: "a time for negative answers",
            });
        }
        Ok(self.set(|settings| settings.negative = Some(fresh)))
    }

    /// Sets how many answers may be refreshed or prefetched at a time, and for how long each. Defaults to 64
    /// and 30 s.
    ///
    /// # Panics
    ///
    /// If either is out of range: [`try_refreshes`](Self::try_refreshes) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn refreshes(self, at_most: usize, patience: Duration) -> Self {
        or_panic(self.try_refreshes(at_most, patience))
    }

    /// Like [`refreshes`](Self::refreshes), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] or [`CacheBuildError::Time`] if either is out of range.
    pub fn try_refreshes(
        mut self,
        at_most: usize,
        patience: Duration,
    ) -> Result<Self, CacheBuildError> {
        CacheBuildError::bound("a bound of refreshes", at_most as u64, 1, MOST_REFRESHES)?;
        if patience.is_zero() {
            return Err(CacheBuildError::Time {
                what: "a patience with refreshes",
            });
        }
        let (background, owner) = Background::new(at_most, patience);
        self.owner = owner;
        Ok(self.set(|settings| settings.background = background))
    }

    /// Pays from `budget` what is [prefetched](crate::Cache::prefetch), and feeds it once per call. Defaults to
    /// `Budget::percent(10).depth(50)`.
    #[must_use]
    pub fn prefetch_budget(self, budget: Budget) -> Self {
        self.set(|settings| settings.budget = budget)
    }

    /// Asks `of` how long each answer may be kept.
    ///
    /// A plain `fn(&Response) -> Lifetime`, or a closure that names its argument's type. Where the answer
    /// itself forbids to be kept, it is not asked. If it panics, the answer is not kept.
    #[must_use]
    pub fn lives<F>(self, of: F) -> CacheLayer<St, P, Lives<H, F>, Rec>
    where
        H: Clone,
    {
        self.keep_by(|keep| Lives {
            keep: keep.clone(),
            of,
        })
    }

    /// Sets what of an answer is kept, and who judges it. Defaults to [`ByClone`].
    #[must_use]
    pub fn keep<G>(self, keep: G) -> CacheLayer<St, P, G, Rec> {
        self.keep_by(|_| keep)
    }

    /// Counts ages by this clock. Defaults to the wall clock at the time the layer is made, which then goes on
    /// by tokio's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        self.set(|settings| settings.clock = clock)
    }

    /// Tells every event to `recorder`. Defaults to `()`, which costs nothing.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> CacheLayer<St, P, H, T> {
        let parts = self.parts;
        CacheLayer {
            owner: self.owner,
            parts: CacheParts {
                recorder: Arc::new(recorder),
                store: parts.store,
                key: parts.key,
                keep: parts.keep,
                settings: parts.settings,
            },
        }
    }

    /// Tells every event to `f`. If it panics, its own event is lost and nothing else.
    #[must_use]
    pub fn on_event<F>(self, f: F) -> CacheLayer<St, P, H, F>
    where
        F: Fn(&CacheEvent),
    {
        self.recorder(f)
    }

    /// For the [`CoalesceLayer`](crate::CoalesceLayer) right beneath, with the same key and judge: it looks
    /// into the store once more before it sends, and stores before others may send.
    ///
    /// For answers that are stored as they are shared, by a clone. Under `.http()` they are not, and the compiler
    /// refuses it (E0599 at the first call): leave it out there.
    #[must_use]
    pub fn lead(&self) -> StoreLead<St, H> {
        StoreLead {
            store: self.parts.store.clone(),
            keep: self.parts.keep.clone(),
            settings: self.parts.settings.clone(),
        }
    }

    /// Reads the layer's counts.
    ///
    /// Take it when the layer is complete: a later `.refreshes` begins another set of them.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        CacheHandle {
            books: self.parts.settings.books.clone(),
            background: self.parts.settings.background.clone(),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &St {
        &self.parts.store
    }

    fn set(mut self, change: impl FnOnce(&mut CacheSettings)) -> Self {
        change(Arc::make_mut(&mut self.parts.settings));
        self
    }

    fn keep_by<G>(self, change: impl FnOnce(&H) -> G) -> CacheLayer<St, P, G, Rec> {
        let parts = self.parts;
        CacheLayer {
            owner: self.owner,
            parts: CacheParts {
                keep: Arc::new(change(&parts.keep)),
                store: parts.store,
                key: parts.key,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }
}

impl<St, P, Rec> CacheLayer<St, P, ByClone, Rec> {
    /// Sets who judges answers. Defaults to: every `Ok` is one. What he does not call a success is not stored.
    #[must_use]
    pub fn accept<K>(self, judge: K) -> CacheLayer<St, P, ByClone<K>, Rec> {
        self.keep(ByClone(judge))
    }
}

impl<S, St, P, H, Rec> Layer<S> for CacheLayer<St, P, H, Rec> {
    type Service = Cache<S, CacheParts<St, P, H, Rec>>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache::new(inner, self.parts.clone(), self.owner.clone())
    }
}

// === impl Clone and Debug: without bounds on the parts, which stand behind `Arc`s ===

impl<St, P, H, Rec> Clone for CacheLayer<St, P, H, Rec> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            parts: self.parts.clone(),
        }
    }
}

impl<St: fmt::Debug, P, H, Rec> fmt::Debug for CacheLayer<St, P, H, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheLayer").field(&self.parts).finish()
    }
}
