//! The layer and its settings.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, or_panic};
use tower_layer::Layer;

use super::event::CoalesceEvent;
use super::handle::{Books, CoalesceHandle};
use super::service::Coalesce;
use super::share::ByClone;
use crate::background::{Background, Owner};
use crate::error::CacheBuildError;
use crate::lead::Local;

const DEFAULT_FLIGHTS: usize = 10_000;
const DEFAULT_PREFETCHES: usize = 64;
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
const DEFAULT_BUDGET_PERCENT: f64 = 10.0;

/// Lets one call fly for all that ask the same at the same time.
///
/// The first call of a key is sent; those that come while it flies wait for its answer. It belongs to
/// nobody: when the caller whose request it is goes away, one that still waits goes on with the very same
/// call, and when the last one goes it is dropped.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::CoalesceLayer;
/// use hedgerow_core::BoxError;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let layer = CoalesceLayer::new(|id: &u64| Some(*id));
/// let handle = layer.handle();
/// let service = ServiceBuilder::new().layer(layer).service(tower::service_fn(async |id: u64| {
///     tokio::task::yield_now().await;
///     Ok::<_, BoxError>(format!("user {id}"))
/// }));
/// let calls = [7, 7, 7].map(|id| service.clone().oneshot(id));
/// let [one, other, third] = calls;
/// let (one, other, third) = tokio::join!(one, other, third);
/// assert_eq!((one?, other?, third?), ("user 7".into(), "user 7".into(), "user 7".into()));
/// assert_eq!((handle.stats().led, handle.stats().followed), (1, 2));
/// # Ok(()) }
/// ```
///
/// # When a flight fails
///
/// The caller who led gets the failure. Each that followed may try once more, together with the others,
/// if the budget pays for it (`Budget::percent(10).depth(50)`); see [`OnFailure`]. A failure is an error, an
/// answer that the judge refuses, and a panic.
///
/// # Order
///
/// Inside of a cache, so that hits cost nothing here; outside of retry, hedge and admission: a follower takes
/// no permit and no token. To be sure that no call is made for what was stored a moment ago, give it the
/// cache's [`lead`](crate::CacheLayer::lead).
///
/// # Readiness, clones and drop
///
/// Always ready: a follower needs no service. A call that is sent makes a clone ready inside of its flight.
/// All clones of a service share its flights; the counts are those of the layer. A follower is polled when
/// it comes, when the flight has landed, when the leader has left, and now and then beside a leader: at
/// most once for each time the call itself is woken, so that a leader whose task has other things to do
/// holds up nobody. That one follower is the one that was polled last: if its task does not poll it either,
/// all others are woken 10 ms later, and whoever is polled first takes over (outside of a tokio runtime with
/// timers: at once). The instant of its own [`Deadline`](hedgerow_core::Deadline) ends a caller's wait; the
/// flight goes on for the others. Of the layers beneath, the deadline that holds is the one of whoever
/// drives the flight at that time.
///
/// # Events
///
/// [`CoalesceEvent`]s to the recorder.
///
/// # Errors
///
/// The inner service's, boxed: as it is for a caller who was alone, else in a
/// [`SharedFailure`](crate::SharedFailure). [`FlightCrashed`](crate::FlightCrashed) and
/// [`BehindDeadline`](crate::BehindDeadline) are its own.
///
/// # Cost
///
/// A flight allocates four times (its future, itself, its bell, its crew), and a place in the table, about 2,830
/// instructions; a follower nothing but its clone of the answer. The bench `overhead` measures it.
pub struct CoalesceLayer<P, L = Local, H = ByClone, Rec = ()> {
    pub(crate) parts: CoalesceParts<P, L, H, Rec>,
    owner: Owner,
}

/// What a layer and its services share.
pub struct CoalesceParts<P, L, H, Rec> {
    pub(super) key: Arc<P>,
    pub(super) lead: Arc<L>,
    pub(super) share: Arc<H>,
    pub(super) recorder: Arc<Rec>,
    pub(super) settings: CoalesceSettings,
}

/// The handles and settings that a layer value shares with its services.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct CoalesceSettings {
    pub(super) on_failure: OnFailure,
    pub(super) budget: Budget,
    pub(super) feeds: bool,
    pub(super) max_flights: usize,
    pub(super) background: Background,
    pub(super) hasher: RandomState,
    pub(super) books: Arc<Books>,
}

/// What becomes of those that followed a flight which failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// Each may try once more, within the budget; those that do so at the same time share a flight again.
    /// The default.
    #[default]
    TryOnceMore,
    /// All get the failure.
    Share,
}

impl<P> CoalesceLayer<P> {
    /// Coalesces requests that have the same key.
    ///
    /// `key` is a [`KeyPolicy`](crate::KeyPolicy): a function from `&Request` to `Option<Key>`, whose
    /// argument's type is named. Requests without a key pass.
    #[must_use]
    pub fn new(key: P) -> Self {
        let (background, owner) = Background::new(DEFAULT_PREFETCHES, DEFAULT_PATIENCE);
        Self {
            owner,
            parts: CoalesceParts {
                key: Arc::new(key),
                lead: Arc::new(Local),
                share: Arc::new(ByClone::default()),
                recorder: Arc::new(()),
                settings: CoalesceSettings {
                    on_failure: OnFailure::default(),
                    budget: Budget::percent(DEFAULT_BUDGET_PERCENT),
                    feeds: true,
                    max_flights: DEFAULT_FLIGHTS,
                    background,
                    hasher: RandomState::new(),
                    books: Arc::default(),
                },
            },
        }
    }
}

impl<P, L, H, Rec> CoalesceLayer<P, L, H, Rec> {
    /// Sets what becomes of those that followed a flight which failed. Defaults to
    /// [`OnFailure::TryOnceMore`].
    #[must_use]
    pub fn on_failure(mut self, rule: OnFailure) -> Self {
        self.parts.settings.on_failure = rule;
        self
    }

    /// Pays second tries from `budget`, and feeds it once per call. Defaults to
    /// `Budget::percent(10).depth(50)`.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.parts.settings.budget = budget;
        self.parts.settings.feeds = true;
        self
    }

    /// Pays second tries from `budget` that another layer further out feeds.
    #[must_use]
    pub fn share_budget(mut self, budget: Budget) -> Self {
        self.parts.settings.budget = budget;
        self.parts.settings.feeds = false;
        self
    }

    /// Sets how many flights may be under way, at least 1. Beyond that calls pass, each for itself.
    /// Defaults to 10,000.
    ///
    /// # Panics
    ///
    /// If `n` is zero: [`try_max_flights`](Self::try_max_flights) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_flights(self, n: usize) -> Self {
        or_panic(self.try_max_flights(n))
    }

    /// Like [`max_flights`](Self::max_flights), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Flights`] if `n` is zero.
    pub fn try_max_flights(mut self, n: usize) -> Result<Self, CacheBuildError> {
        if n == 0 {
            return Err(CacheBuildError::Flights);
        }
        self.parts.settings.max_flights = n;
        Ok(self)
    }

    /// Sets how many calls may be under way, or wait, that were [prefetched](crate::Coalesce::prefetch), and how
    /// long one may go without being adopted. Defaults to 64 and 30 s.
    ///
    /// # Panics
    ///
    /// If either is zero: [`try_prefetches`](Self::try_prefetches) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn prefetches(self, at_most: usize, patience: Duration) -> Self {
        or_panic(self.try_prefetches(at_most, patience))
    }

    /// Like [`prefetches`](Self::prefetches), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError::Bound`] or [`CacheBuildError::Time`] if either is zero.
    pub fn try_prefetches(
        mut self,
        at_most: usize,
        patience: Duration,
    ) -> Result<Self, CacheBuildError> {
        CacheBuildError::bound("a bound of prefetches", at_most as u64, 1, 1_000_000)?;
        if patience.is_zero() {
            return Err(CacheBuildError::Time {
                what: "a patience with prefetches",
            });
        }
        let (background, owner) = Background::new(at_most, patience);
        self.parts.settings.background = background;
        self.owner = owner;
        Ok(self)
    }

    /// Asks `lead` who leads a flight. Defaults to [`Local`]: whoever comes first in this process.
    #[must_use]
    pub fn lead<M>(self, lead: M) -> CoalesceLayer<P, M, H, Rec> {
        let parts = self.parts;
        CoalesceLayer {
            owner: self.owner,
            parts: CoalesceParts {
                lead: Arc::new(lead),
                key: parts.key,
                share: parts.share,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    /// Sets how one answer becomes several, and what counts as one. Defaults to [`ByClone`].
    #[must_use]
    pub fn share<G>(self, share: G) -> CoalesceLayer<P, L, G, Rec> {
        let parts = self.parts;
        CoalesceLayer {
            owner: self.owner,
            parts: CoalesceParts {
                share: Arc::new(share),
                key: parts.key,
                lead: parts.lead,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    /// Tells every event to `recorder`. Defaults to `()`, which costs nothing.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> CoalesceLayer<P, L, H, T> {
        let parts = self.parts;
        CoalesceLayer {
            owner: self.owner,
            parts: CoalesceParts {
                recorder: Arc::new(recorder),
                key: parts.key,
                lead: parts.lead,
                share: parts.share,
                settings: parts.settings,
            },
        }
    }

    /// Tells every event to `f`. If it panics, its own event is lost and nothing else.
    #[must_use]
    pub fn on_event<F>(self, f: F) -> CoalesceLayer<P, L, H, F>
    where
        F: Fn(&CoalesceEvent),
    {
        self.recorder(f)
    }

    /// Reads the layer's counts.
    ///
    /// Take it when the layer is complete: a later `.budget` sets one that this handle does not see.
    #[must_use]
    pub fn handle(&self) -> CoalesceHandle {
        CoalesceHandle {
            books: self.parts.settings.books.clone(),
            budget: self.parts.settings.budget.clone(),
        }
    }
}

impl<P, L, Rec> CoalesceLayer<P, L, ByClone, Rec> {
    /// Sets who judges the results of flights. Defaults to: every `Ok` is an answer.
    #[must_use]
    pub fn accept<K>(self, judge: K) -> CoalesceLayer<P, L, ByClone<K>, Rec> {
        self.share(ByClone(judge))
    }
}

impl<S: Clone, P, L, H, Rec> Layer<S> for CoalesceLayer<P, L, H, Rec> {
    type Service = Coalesce<S, CoalesceParts<P, L, H, Rec>>;

    fn layer(&self, inner: S) -> Self::Service {
        Coalesce::new(inner, self.parts.clone(), self.owner.clone())
    }
}

// === impl Clone and Debug: without bounds on the parts, which stand behind `Arc`s ===

impl<P, L, H, Rec> Clone for CoalesceLayer<P, L, H, Rec> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            parts: self.parts.clone(),
        }
    }
}

impl<P, L, H, Rec> Clone for CoalesceParts<P, L, H, Rec> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            lead: self.lead.clone(),
            share: self.share.clone(),
            recorder: self.recorder.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<P, L, H, Rec> fmt::Debug for CoalesceLayer<P, L, H, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CoalesceLayer").field(&self.parts).finish()
    }
}

impl<P, L, H, Rec> fmt::Debug for CoalesceParts<P, L, H, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceParts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
