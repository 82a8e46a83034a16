//! The layer and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, OkWins, or_panic};
use tower_layer::Layer;

use super::asking::{Each, Many};
use super::handle::{Books, SampleHandle};
use super::service::SampleCache;
use crate::clock::Clock;
use crate::error::CacheBuildError;

const DEFAULT_CURSORS: usize = 1_000_000;
const DEFAULT_MOST: u32 = 1_024;
const DEFAULT_BUDGET_PERCENT: f64 = 10.0;

/// Keeps several answers for each key, and gives each namespace every one of them once.
///
/// A namespace that asks again gets the next answers: those that another one has paid for, and new ones when
/// there are no more. Another namespace, and the same one after a restart, gets all of them again, in the same
/// order. So an experiment that is run a second time, or goes on after it was killed, pays only for what is
/// missing.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{MemoryStore, SampleCacheLayer, SampleRequest};
/// use hedgerow_core::BoxError;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// static CALLS: AtomicU32 = AtomicU32::new(0);
/// let model = tower::service_fn(async |prompt: String| {
///     let n = CALLS.fetch_add(1, Ordering::Relaxed);
///     Ok::<_, BoxError>(format!("{prompt} {n}"))
/// });
/// let layer = SampleCacheLayer::new(MemoryStore::entries(10_000)).key(|prompt: &String| Some(prompt.clone()));
/// let mut service = ServiceBuilder::new().layer(layer).service(model);
///
/// let ask = |namespace: &str| SampleRequest::new("colour".to_owned()).n(2).namespace(namespace);
/// let first = service.ready().await?.call(ask("a")).await?;
/// let again = service.ready().await?.call(ask("b")).await?;
/// assert_eq!(first.values().collect::<Vec<_>>(), again.values().collect::<Vec<_>>());
/// assert_eq!((first.paid().count(), again.paid().count()), (2, 0));
/// let more = service.ready().await?.call(ask("a")).await?;
/// assert_eq!((more.paid().count(), CALLS.load(Ordering::Relaxed)), (2, 4));
/// # Ok(()) }
/// ```
///
/// # What is asked of the service
///
/// Only what is missing: a call for each ([`Each`]), all at once, or one call for all that is
/// ([`many`](Self::many)). Two callers that miss the same answer share the call for it, and when one of them
/// leaves, the other goes on with it. When a call fails, the others of the same request are still waited for,
/// and what they bring is stored: the next try pays only for the one that failed. The caller's namespace has
/// then seen none of them.
///
/// # Order
///
/// Where a [`CacheLayer`](crate::CacheLayer) stands: outside of retry, hedge and admission.
///
/// # Readiness, clones and drop
///
/// Always ready: each call that is made makes a clone of the service ready. Clones of a service share its
/// cursors and calls under way; those of another service made of the same layer are its own, the store is
/// one. Dropping the response future drops what nobody else waits for, and the namespace has not seen what it
/// asked for.
///
/// # Errors
///
/// The inner service's, boxed: as it is for a caller who was alone, else in a
/// [`SharedFailure`](crate::SharedFailure); and [`SampleError`](crate::SampleError). A failure of the store
/// never fails a call: it is counted.
///
/// # Cost
///
/// A boxed future for each call; it is made for answers that cost money. By default an answer is given when
/// its store has acknowledged it, because it was paid for ([`without_waiting`](Self::without_waiting)).
pub struct SampleCacheLayer<St, P = (), A = Each, J = OkWins> {
    pub(super) parts: SampleParts<St, P, A, J>,
}

/// What a layer and its services share.
pub struct SampleParts<St, P, A, J> {
    pub(super) store: Arc<St>,
    pub(super) key: Arc<P>,
    pub(super) asking: Arc<A>,
    pub(super) judge: Arc<J>,
    pub(super) settings: SampleSettings,
}

/// The handles and settings that a layer value shares with its services.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct SampleSettings {
    pub(super) ttl: Option<Duration>,
    pub(super) waits: bool,
    pub(super) max_cursors: usize,
    pub(super) most: u32,
    pub(super) budget: Budget,
    pub(super) clock: Clock,
    pub(super) books: Arc<Books>,
}

impl<St> SampleCacheLayer<St> {
    /// Keeps answers in `store`, by the key of their request and their index.
    #[must_use]
    pub fn new(store: St) -> Self {
        Self {
            parts: SampleParts {
                store: Arc::new(store),
                key: Arc::new(()),
                asking: Arc::new(Each),
                judge: Arc::new(OkWins),
                settings: SampleSettings {
                    ttl: None,
                    waits: true,
                    max_cursors: DEFAULT_CURSORS,
                    most: DEFAULT_MOST,
                    budget: Budget::percent(DEFAULT_BUDGET_PERCENT),
                    clock: Clock::new(),
                    books: Arc::default(),
                },
            },
        }
    }
}

impl<St, P, A, J> SampleCacheLayer<St, P, A, J> {
    /// Sets what makes two requests the same: a [`KeyPolicy`](crate::KeyPolicy) of the request without its
    /// namespace and number. Requests without a key pass: all their answers are new, and nothing is kept.
    #[must_use]
    pub fn key<Q>(self, key: Q) -> SampleCacheLayer<St, Q, A, J> {
        let parts = self.parts;
        SampleCacheLayer {
            parts: SampleParts {
                key: Arc::new(key),
                store: parts.store,
                asking: parts.asking,
                judge: parts.judge,
                settings: parts.settings,
            },
        }
    }

    /// Makes one call for all that is missing: `ask` writes their number into the request, `split` takes the
    /// answers out of the response. Defaults to a call for each.
    ///
    /// Plain `fn(&mut Request, u32)` and `fn(Response) -> Vec<Answer>`, or closures that name their
    /// arguments' types.
    #[must_use]
    pub fn many<F, G>(self, ask: F, split: G) -> SampleCacheLayer<St, P, Many<F, G>, J> {
        let parts = self.parts;
        SampleCacheLayer {
            parts: SampleParts {
                asking: Arc::new(Many { ask, split }),
                store: parts.store,
                key: parts.key,
                judge: parts.judge,
                settings: parts.settings,
            },
        }
    }

    /// Sets who judges responses. Defaults to: every `Ok` is one. What he does not call a success is not
    /// stored, and fails with [`SampleError::Refused`](crate::SampleError::Refused).
    #[must_use]
    pub fn accept<K>(self, judge: K) -> SampleCacheLayer<St, P, A, K> {
        let parts = self.parts;
        SampleCacheLayer {
            parts: SampleParts {
                judge: Arc::new(judge),
                store: parts.store,
                key: parts.key,
                asking: parts.asking,
                settings: parts.settings,
            },
        }
    }

    /// Sets how long an answer is kept. Defaults to as long as the store has room.
    ///
    /// # Panics
    ///
    /// If `ttl` is zero: [`try_ttl`](Self::try_ttl) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn ttl(self, ttl: Duration) -> Self {
        or_panic(self.try_ttl(ttl))
    }

    /// Like [`ttl`](Self::ttl), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Time`] if `ttl` is zero.
    pub fn try_ttl(mut self, ttl: Duration) -> Result<Self, CacheBuildError> {
        if ttl.is_zero() {
            return Err(CacheBuildError::Time {
                what: "a time to live",
            });
        }
        self.parts.settings.ttl = Some(ttl);
        Ok(self)
    }

    /// Gives an answer before its store has acknowledged it. Defaults to waiting: what is lost then was paid
    /// for.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.parts.settings.waits = false;
        self
    }

    /// Sets how many pairs of a namespace and a key are known at most, at least 1. Beyond that requests pass:
    /// an answer is never given to a namespace twice. Defaults to 1,000,000.
    ///
    /// # Panics
    ///
    /// If `n` is zero: [`try_max_cursors`](Self::try_max_cursors) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_cursors(self, n: usize) -> Self {
        or_panic(self.try_max_cursors(n))
    }

    /// Like [`max_cursors`](Self::max_cursors), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] if `n` is zero.
    pub fn try_max_cursors(mut self, n: usize) -> Result<Self, CacheBuildError> {
        CacheBuildError::bound("a bound of cursors", n as u64, 1, u64::MAX)?;
        self.parts.settings.max_cursors = n;
        Ok(self)
    }

    /// Sets how many samples one request may ask for, at least 1. Defaults to 1,024.
    ///
    /// # Panics
    ///
    /// If `n` is zero: [`try_at_most`](Self::try_at_most) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn at_most(self, n: u32) -> Self {
        or_panic(self.try_at_most(n))
    }

    /// Like [`at_most`](Self::at_most), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] if `n` is zero.
    pub fn try_at_most(mut self, n: u32) -> Result<Self, CacheBuildError> {
        CacheBuildError::bound("a bound of samples", u64::from(n), 1, u64::from(u32::MAX))?;
        self.parts.settings.most = n;
        Ok(self)
    }

    /// Pays from `budget` what a caller tries once more because another one's call failed, and feeds it once
    /// per request. Defaults to `Budget::percent(10).depth(50)`.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.parts.settings.budget = budget;
        self
    }

    /// Counts ages by this clock. Defaults to the wall clock at the time the layer is made, which then goes on
    /// by tokio's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.parts.settings.clock = clock;
        self
    }

    /// Reads the layer's counts.
    #[must_use]
    pub fn handle(&self) -> SampleHandle {
        SampleHandle {
            books: self.parts.settings.books.clone(),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &St {
        &self.parts.store
    }
}

impl<S, St, P, A, J> Layer<S> for SampleCacheLayer<St, P, A, J> {
    type Service = SampleCache<S, SampleParts<St, P, A, J>>;

    fn layer(&self, inner: S) -> Self::Service {
        SampleCache::new(inner, self.parts.clone())
    }
}

// === impl Clone and Debug: without bounds on the parts, which stand behind `Arc`s ===

impl<St, P, A, J> Clone for SampleCacheLayer<St, P, A, J> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
        }
    }
}

impl<St, P, A, J> Clone for SampleParts<St, P, A, J> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            key: self.key.clone(),
            asking: self.asking.clone(),
            judge: self.judge.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<St: fmt::Debug, P, A: fmt::Debug, J> fmt::Debug for SampleCacheLayer<St, P, A, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SampleCacheLayer")
            .field(&self.parts)
            .finish()
    }
}

impl<St: fmt::Debug, P, A: fmt::Debug, J> fmt::Debug for SampleParts<St, P, A, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampleParts")
            .field("store", &self.store)
            .field("asking", &self.asking)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
