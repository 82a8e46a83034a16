//! The layer and its settings.

use std::fmt;
use std::sync::Arc;

use hedgerow_core::{Budget, OkWins, or_panic};
use hedgerow_latency::Latency;
use parking_lot::Mutex;
use tower_layer::Layer;

use crate::books::Books;
use crate::error::BuildError;
use crate::exchange::{ByClone, ByReplay, Edited, ReplayWith};
use crate::handle::{HedgeHandle, Since};
use crate::judge::ShowLosses;
use crate::policy::Percentile;
use crate::service::Hedge;

/// Sends another copy of a request that takes too long, and takes whichever answers first.
///
/// When the primary attempt is still pending after the delay that the policy names, an extra copy
/// is sent to a clone of the service; the first answer that the judge accepts wins and the others
/// are dropped at once. If everything in flight has failed, the next copy is sent immediately, unless
/// one of them asks to wait ([`Class::Retryable`](hedgerow_core::Class) with a wait, as of `Retry-After`); if
/// all fail, the caller gets the primary's own result, so hedging never changes the error type.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::HedgeLayer;
/// use std::convert::Infallible;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// let client = tower::service_fn(async |id: u64| Ok::<_, Infallible>(id * 2));
/// let mut service = ServiceBuilder::new()
///     .layer(HedgeLayer::percentile(95).clone_requests())
///     .service(client);
/// assert_eq!(service.ready().await?.call(21).await?, 42);
/// # Ok(()) }
/// ```
///
/// Two extra copies at stated times, within 20 extras per 100 calls, counted by a recorder:
///
/// ```
/// use hedgerow_core::Budget;
/// use hedgerow_hedge::{HedgeEvent, HedgeLayer};
/// use std::time::Duration;
///
/// let layer = HedgeLayer::schedule([Duration::from_millis(50), Duration::from_millis(200)])
///     .budget(Budget::percent(20.0).depth(10))
///     .on_event(|event: &HedgeEvent| {
///         if let HedgeEvent::Won(info) = event && info.hedge_won {
///             println!("saved by copy {} after {:?}", info.index, info.elapsed);
///         }
///     });
/// # let _ = layer;
/// ```
///
/// # Which requests
///
/// Only those whose type says that they may be sent twice ([`Replay`](hedgerow_core::Replay)):
/// `http::Request` with an idempotent method or an `Idempotency-Key`, and types that you mark. For
/// any request that is `Clone` call [`clone_requests`](Self::clone_requests).
///
/// If the compiler answers `service.call(request)`, `.ready()` or `.oneshot(request)` with E0599 ("no
/// method named `call` found", "trait bounds were not satisfied"), it is most often this: the
/// request does not say that it may be sent twice. Hand the service to anything that asks for
/// `Service<YourRequest>`, like `ServiceExt::<YourRequest>::oneshot(service, request)`, and the
/// compiler names [`Replay`](hedgerow_core::Replay) and what to write.
///
/// # Units
///
/// Delays count from the call's start. The timer has a grain of 1 ms and rounds up: no delay is
/// finer.
///
/// # Order
///
/// Inside of a cache, a deadline and a retry, outside of concurrency limits (each attempt takes its
/// own permit) and of whatever chooses the endpoint. A total timeout is a `timeout` layer outside
/// of this one: it drops the call with all its attempts.
///
/// # Readiness, clones and drop
///
/// `poll_ready` is the inner service's, and the primary uses the instance that it made ready. An
/// extra attempt uses a clone of its own and waits for its readiness inside the response future
/// ([`HedgeReady`]). All clones and all services made from one layer value share policy, histogram,
/// budget and counts. Dropping the response future drops every attempt at once; what was granted
/// but not sent goes back into the budget.
///
/// # Events
///
/// [`HedgeEvent`](crate::HedgeEvent)s to the recorder; `tracing` events under the target
/// `hedgerow::hedge` (debug: fired, denied, won, lost).
///
/// # Errors
///
/// None of its own: the inner service's. A call that has to wait needs a tokio runtime with the time
/// driver enabled (`enable_time`, or `#[tokio::main]`): without one it panics, as tokio's timers do.
/// A loser whose drop panics does not take the winner's answer along.
///
/// # Cost
///
/// A hedge that does not fire allocates nothing but what copying the request does, takes no lock,
/// and arms no timer for a service that is ready in its first poll. The bench `overhead` measures
/// it.
///
/// # Source
///
/// J. Dean and L. A. Barroso, *The Tail at Scale*, CACM 56(2), 2013.
///
/// # When not
///
/// When attempts are slow for the same reason (one overloaded backend, one slow query): a copy
/// then adds load and wins nothing. The budget bounds the harm.
pub struct HedgeLayer<P = Percentile, R = ByReplay, J = OkWins, Rec = ()> {
    pub(crate) parts: Parts<P, R, J, Rec>,
}

/// What a layer and its services share: policy, exchange, judge, recorder and settings.
pub struct Parts<P, R, J, Rec> {
    pub(crate) policy: Arc<P>,
    pub(crate) exchange: Arc<R>,
    pub(crate) judge: Arc<J>,
    pub(crate) recorder: Arc<Rec>,
    pub(crate) settings: Settings,
}

/// The handles and settings that a layer value shares with its services.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) latency: Latency,
    /// Whether this layer records into `latency`, or only reads.
    pub(crate) records: bool,
    pub(crate) budget: Budget,
    /// Whether this layer feeds the budget, or only draws.
    pub(crate) feeds: bool,
    pub(crate) ready: HedgeReady,
    pub(crate) books: Arc<Books>,
    pub(crate) since: Arc<Mutex<Since>>,
}

/// What an extra attempt does when the service is not ready for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HedgeReady {
    /// Waits until it is, as long as another attempt is running; when none is, for as long as the
    /// policy's delay was, a minute at most. The default.
    #[default]
    Wait,
    /// Gives up at once: extra attempts only use capacity that is idle.
    NowOnly,
}

impl<P, R, J, Rec> HedgeLayer<P, R, J, Rec> {
    /// Sets how many extra attempts a call may send, 1 to 64. Defaults to 1, for a schedule to its
    /// length, for `parallel(n)` to *n* − 1.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_max_hedges`](Self::try_max_hedges) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn max_hedges(self, n: usize) -> Self {
        or_panic(self.try_max_hedges(n))
    }

    /// Like [`max_hedges`](Self::max_hedges), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::MaxHedges`] if `n` is out of range.
    pub fn try_max_hedges(self, n: usize) -> Result<Self, BuildError> {
        BuildError::check_hedges(n)?;
        self.parts.settings.books.set_max_hedges(n as u32);
        Ok(self)
    }

    /// Pays extra attempts from `budget`, and feeds it once per call.
    ///
    /// Defaults to 1.5 times what a percentile wants (7.5 % for 95) and to 10 % for other policies,
    /// each of depth 50. [`Budget::unlimited`] must be written out.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.parts.settings.budget = budget;
        self.parts.settings.feeds = true;
        self
    }

    /// Pays extra attempts from `budget` that another layer further out feeds.
    #[must_use]
    pub fn share_budget(mut self, budget: Budget) -> Self {
        self.parts.settings.budget = budget;
        self.parts.settings.feeds = false;
        self
    }

    /// Reads latencies from `latency` instead of recording its own.
    ///
    /// A [`LatencyLayer`](hedgerow_latency::LatencyLayer) beneath records into it: one attempt is
    /// recorded by exactly one layer.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.parts.settings.latency = latency;
        self.parts.settings.records = false;
        self
    }

    /// Records into a histogram of its own whose window has halves of `half` samples.
    ///
    /// Replaces a handle that [`latency`](Self::latency) has set.
    ///
    /// Defaults to max(1,000, 20 / (1 − *p*)) for a percentile, 1,000 for others.
    ///
    /// # Panics
    ///
    /// If `half` is 0 or beyond 2³¹: [`try_window`](Self::try_window) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn window(self, half: u64) -> Self {
        or_panic(self.try_window(half))
    }

    /// Like [`window`](Self::window), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`BuildError::Window`] if `half` is out of range.
    pub fn try_window(mut self, half: u64) -> Result<Self, BuildError> {
        self.parts.settings.latency = Latency::try_with_window(half)?;
        self.parts.settings.records = true;
        Ok(self)
    }

    /// Sets what an extra attempt does when the service is not ready for it. Defaults to
    /// [`HedgeReady::Wait`].
    #[must_use]
    pub fn ready(mut self, ready: HedgeReady) -> Self {
        self.parts.settings.ready = ready;
        self
    }

    /// Sets who judges answers. Defaults to: every `Ok` wins, every `Err` loses.
    ///
    /// A [`Classify`](hedgerow_core::Classify): a function from `&Result<Response, Error>` to
    /// [`Class`](hedgerow_core::Class), or [`accept_if`](hedgerow_core::accept_if) of a predicate
    /// on the response. Closures name their argument's type.
    #[must_use]
    pub fn accept<K>(self, judge: K) -> HedgeLayer<P, R, K, Rec> {
        let parts = self.parts;
        HedgeLayer {
            parts: Parts {
                judge: Arc::new(judge),
                policy: parts.policy,
                exchange: parts.exchange,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    /// Runs `edit` on every extra copy before it is sent, so that a router below can choose another
    /// endpoint, and a limiter a lower class.
    ///
    /// A plain `fn(&mut Request, Attempt)`, or a closure that names its arguments' types. If it
    /// panics, the copy is not sent.
    #[must_use]
    pub fn edit<F>(self, edit: F) -> HedgeLayer<P, Edited<R, F>, J, Rec>
    where
        R: Clone,
    {
        self.exchange(|exchange| Edited::new(exchange.clone(), edit))
    }

    /// Shows every result of a call that got no accepted one to `show`, in the order of the
    /// attempts: the caller gets the primary's alone.
    ///
    /// Comes after `.accept` and `.http`, which set the judge. A plain
    /// `fn(&[(Attempt, &Result<Response, Error>)])`, or a closure that names its argument's type.
    /// Results that lost are then kept until the call ends.
    #[must_use]
    pub fn on_all_lost<F>(self, show: F) -> HedgeLayer<P, R, ShowLosses<J, F>, Rec>
    where
        J: Clone,
    {
        let judge = J::clone(&self.parts.judge);
        self.accept(ShowLosses { judge, show })
    }

    /// Puts the policy into another one, and keeps every setting: an enum of policies, a [`Swap`], a
    /// policy that watches another.
    ///
    /// What the layer's constructor derived from the policy stays: budget, window, the number of
    /// extra attempts.
    ///
    /// [`Swap`]: crate::policy::Swap
    #[must_use]
    pub fn map_policy<Q>(self, change: impl FnOnce(P) -> Q) -> HedgeLayer<Q, R, J, Rec>
    where
        P: Clone,
    {
        let parts = self.parts;
        HedgeLayer {
            parts: Parts {
                policy: Arc::new(change(P::clone(&parts.policy))),
                exchange: parts.exchange,
                judge: parts.judge,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    pub(crate) fn exchange<X>(self, change: impl FnOnce(&R) -> X) -> HedgeLayer<P, X, J, Rec> {
        let parts = self.parts;
        HedgeLayer {
            parts: Parts {
                exchange: Arc::new(change(&parts.exchange)),
                policy: parts.policy,
                judge: parts.judge,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    /// Tells every event to `recorder`. Defaults to `()`, which costs nothing.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> HedgeLayer<P, R, J, T> {
        let parts = self.parts;
        HedgeLayer {
            parts: Parts {
                recorder: Arc::new(recorder),
                policy: parts.policy,
                exchange: parts.exchange,
                judge: parts.judge,
                settings: parts.settings,
            },
        }
    }

    /// Tells every event to `f`. If it panics, its own event is lost and nothing else.
    #[must_use]
    pub fn on_event<F>(self, f: F) -> HedgeLayer<P, R, J, F>
    where
        F: Fn(&crate::HedgeEvent),
    {
        self.recorder(f)
    }

    /// Sends nothing extra: records, and tells by the handle's
    /// [`prediction`](HedgeHandle::prediction) what hedging would have done.
    ///
    /// To look before one leaps. Policy, budget and histogram work as they would, so what is learnt
    /// is there when [`HedgeHandle::set_observe_only`] switches hedging on. A call pays for the copy of its
    /// request as before, and arms no timer. Clones of a layer share this, as they share its counts: on
    /// a clone it switches the original as well.
    #[must_use]
    pub fn observe_only(self) -> Self {
        self.parts.settings.books.observe_only(true);
        self
    }

    /// Reads the layer's counts and changes its live settings.
    ///
    /// Take it when the layer is complete: a later `.budget`, `.latency` or `.window` makes a new
    /// one, which this handle does not see.
    #[must_use]
    pub fn handle(&self) -> HedgeHandle {
        HedgeHandle::new(self.parts.settings.clone())
    }
}

impl<P, J, Rec> HedgeLayer<P, ByReplay, J, Rec> {
    /// Allows every request to be sent twice, copied by `Clone`.
    ///
    /// Comes before `.edit` and `.http`, which add to it.
    #[must_use]
    pub fn clone_requests(self) -> HedgeLayer<P, ByClone, J, Rec> {
        self.exchange(|_| ByClone)
    }

    /// Copies requests by `f`, which returns `None` for those that may be sent only once.
    ///
    /// Comes before `.edit` and `.http`, which add to it. The closure names its argument's type:
    /// `|request: &mut MyRequest| ...`. If it panics, the request is sent only once.
    #[must_use]
    pub fn replay_with<F>(self, f: F) -> HedgeLayer<P, ReplayWith<F>, J, Rec> {
        self.exchange(|_| ReplayWith(f))
    }

    /// Copies requests, and informs answers, by an [`Exchange`](crate::Exchange) of your own.
    ///
    /// Comes before `.edit` and `.http`, which add to it.
    #[must_use]
    pub fn copied_by<X>(self, exchange: X) -> HedgeLayer<P, X, J, Rec> {
        self.exchange(|_| exchange)
    }
}

impl<S: Clone, P, R, J, Rec> Layer<S> for HedgeLayer<P, R, J, Rec> {
    type Service = Hedge<S, Parts<P, R, J, Rec>>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedge::new(inner, self.parts.clone())
    }
}

// === impl Clone and Debug: without bounds on the parts, which stand behind `Arc`s ===

impl<P, R, J, Rec> Clone for HedgeLayer<P, R, J, Rec> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
        }
    }
}

impl<P, R, J, Rec> Clone for Parts<P, R, J, Rec> {
    fn clone(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            exchange: self.exchange.clone(),
            judge: self.judge.clone(),
            recorder: self.recorder.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<P: fmt::Debug, R: fmt::Debug, J, Rec> fmt::Debug for HedgeLayer<P, R, J, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HedgeLayer").field(&self.parts).finish()
    }
}

impl<P: fmt::Debug, R: fmt::Debug, J, Rec> fmt::Debug for Parts<P, R, J, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("policy", &self.policy)
            .field("exchange", &self.exchange)
            .field("max_hedges", &self.settings.books.max_hedges())
            .field("budget", &self.settings.budget)
            .field("ready", &self.settings.ready)
            .finish_non_exhaustive()
    }
}
