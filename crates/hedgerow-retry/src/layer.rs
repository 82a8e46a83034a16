//! The layer and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, ByClone, ByReplay, Edited, LatencyView, OkWins, ReplayWith, or_panic};
use parking_lot::Mutex;
use tower_layer::Layer;

use crate::books::Books;
use crate::error::RetryBuildError;
use crate::event::RetryEvent;
use crate::handle::{RetryHandle, Since};
use crate::policy::{Exponential, RetryPolicy};
use crate::service::Retry;

/// Sends a request again when its try has failed, after a wait, within attempts, time and budget.
///
/// One *try* is one turn of this layer; a hedge beneath may make several attempts of it. A retry is
/// sent only if everything allows it: the judge calls the result
/// [`Retryable`](hedgerow_core::Class::Retryable) or timed out, the request may be sent twice,
/// attempts are left, the policy names a wait, the wait ends before the deadline, a try of the usual
/// length fits into what is left of it, and the budget pays.
///
/// # Examples
///
/// ```
/// use hedgerow_core::BoxError;
/// use hedgerow_retry::RetryLayer;
/// use std::time::Duration;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let client = tower::service_fn(async |id: u64| Ok::<_, std::io::Error>(id * 2));
/// let mut service = ServiceBuilder::new()
///     .layer(
///         RetryLayer::exponential()
///             .attempt_timeout(Duration::from_secs(2))
///             .deadline(Duration::from_secs(10))
///             .clone_requests(),
///     )
///     .service(client);
/// assert_eq!(service.ready().await?.call(21).await?, 42);
/// # Ok(()) }
/// ```
///
/// HTTP, with a budget that a hedge beneath draws from as well:
///
/// ```
/// # #[cfg(feature = "http")] {
/// use hedgerow_core::Budget;
/// use hedgerow_retry::{RetryEvent, RetryLayer};
///
/// let budget = Budget::percent(10.0).depth(20);
/// let layer = RetryLayer::exponential()
///     .http()
///     .budget(budget.clone()) // the hedge: .share_budget(budget)
///     .on_event(|event: &RetryEvent| {
///         if let RetryEvent::Failed(exhausted) = event {
///             println!("{exhausted}");
///         }
///     });
/// # let _ = layer; }
/// ```
///
/// # Which requests
///
/// Only those whose type says that they may be sent twice ([`Replay`](hedgerow_core::Replay)):
/// `http::Request` with an idempotent method or an `Idempotency-Key`, and types that you mark. For
/// any request that is `Clone` call [`clone_requests`](Self::clone_requests). A request that may be
/// sent only once is sent once.
///
/// If the compiler answers `service.call(request)`, `.ready()` or `.oneshot(request)` with E0599, it is
/// most often this: hand the service to anything that asks for `Service<YourRequest>`, and the compiler
/// names [`Replay`](hedgerow_core::Replay) and what to write.
///
/// # What the caller gets
///
/// The last real result of the service, as it is: an HTTP 503 stays an answer, an error of the service
/// is boxed as it is. A try that `attempt_timeout` ended has no result, so it hides none: 503, then
/// that, gives the 503. A `TimedOut` of a `TimeoutLayer` beneath is an error like any other. Only if every try timed out, or none could be sent, an error is made:
/// [`RetryExhausted`](crate::RetryExhausted), found by
/// [`cause_ref`](hedgerow_core::cause_ref) however deep it was boxed.
///
/// For that a refused answer is held, with its body, until the next one is there.
/// [`forget_answers`](Self::forget_answers) drops it before the wait instead.
///
/// # Order
///
/// Inside of a cache and of a [`DeadlineLayer`](crate::DeadlineLayer), outside of a hedge (a try's
/// timeout then covers its hedged attempts) and of concurrency limits (each try takes its own permit).
///
/// # Readiness, clones and drop
///
/// `poll_ready` is the inner service's, and the first try uses the instance that it made ready. A
/// later try uses a clone of its own and waits for its readiness inside the response future: for the
/// attempt's timeout, a minute at most, and never beyond the deadline. The future of a finished try is
/// dropped before the wait begins, so no permit is held in it. Dropping the response future ends a
/// wait, or drops the running try, at once; a token that was granted and not used goes back into the
/// budget. All clones and all services made from one layer value share policy, budget and counts.
///
/// # Events
///
/// [`RetryEvent`]s to the recorder; `tracing` events under the target `hedgerow::retry` (debug).
///
/// # Errors
///
/// The inner service's, boxed as it is, and [`RetryExhausted`](crate::RetryExhausted). A call that has
/// to wait needs a tokio runtime with the time driver enabled; without one it panics, as tokio's timers
/// do.
///
/// # Cost
///
/// A call whose first try answers allocates nothing but what copying the request does, takes no lock,
/// and arms no timer for a service that is ready in its first poll. The bench `overhead` measures it.
///
/// # Source
///
/// Finagle's and gRPC's retry budgets (gRFC A6) for the budget; RFC 9110 §10.2.3 for `Retry-After`.
///
/// # When not
///
/// When another layer of the same call retries already (a client library, a proxy, a mesh): tries
/// multiply. One layer, close to the caller, with one budget.
pub struct RetryLayer<P = Exponential, R = ByReplay, J = OkWins, Rec = ()> {
    pub(crate) parts: Parts<P, R, J, Rec>,
}

/// What a layer and its services share: policy, copies, judge, recorder and settings.
pub struct Parts<P, R, J, Rec> {
    pub(crate) policy: Arc<P>,
    pub(crate) copies: Arc<R>,
    pub(crate) judge: Arc<J>,
    pub(crate) recorder: Arc<Rec>,
    pub(crate) settings: Settings,
}

/// The handles and settings that a layer value shares with its services.
#[doc(hidden)]
#[derive(Clone)]
pub struct Settings {
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) timeouts_are_final: bool,
    pub(crate) forgets_answers: bool,
    pub(crate) pushback_cap: Duration,
    pub(crate) latency: Option<Arc<dyn LatencyView>>,
    /// The quantile of `latency` that has to fit.
    pub(crate) gate: f64,
    pub(crate) budget: Budget,
    /// Whether this layer feeds the budget, or only draws.
    pub(crate) feeds: bool,
    pub(crate) books: Arc<Books>,
    pub(crate) since: Arc<Mutex<Since>>,
}

impl<P, R, J, Rec> RetryLayer<P, R, J, Rec> {
    /// Sets how many tries a call may make, the first included, 1 to 64. Defaults to 4. 1 never
    /// retries.
    ///
    /// Shared by all clones and by the services made from them, like `RetryHandle::set_attempts`: on a clone
    /// it changes the original too. Two numbers need two layers made by their constructors.
    ///
    /// # Panics
    ///
    /// If `n` is out of range: [`try_attempts`](Self::try_attempts) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn attempts(self, n: usize) -> Self {
        or_panic(self.try_attempts(n))
    }

    /// Like [`attempts`](Self::attempts), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Attempts`] if `n` is out of range.
    pub fn try_attempts(self, n: usize) -> Result<Self, RetryBuildError> {
        self.parts.settings.books.set_attempts(n)?;
        Ok(self)
    }

    /// Drops a try that takes longer than `after`, and takes it for failed. Defaults to none.
    ///
    /// Counted from when the try is sent. It covers all attempts of a hedge beneath.
    ///
    /// # Panics
    ///
    /// If `after` is zero: [`try_attempt_timeout`](Self::try_attempt_timeout) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn attempt_timeout(self, after: Duration) -> Self {
        or_panic(self.try_attempt_timeout(after))
    }

    /// Like [`attempt_timeout`](Self::attempt_timeout), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Timeout`] if `after` is zero.
    pub fn try_attempt_timeout(mut self, after: Duration) -> Result<Self, RetryBuildError> {
        RetryBuildError::check_time(after)?;
        self.parts.settings.attempt_timeout = Some(after);
        Ok(self)
    }

    /// Ends the call `patience` after it began, with all its tries and waits. Defaults to none.
    ///
    /// A [`Deadline`](hedgerow_core::Deadline) that holds already is kept if it is earlier, and holds
    /// also if this is not set. Layers beneath see the one that holds.
    ///
    /// # Panics
    ///
    /// If `patience` is zero: [`try_deadline`](Self::try_deadline) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn deadline(self, patience: Duration) -> Self {
        or_panic(self.try_deadline(patience))
    }

    /// Like [`deadline`](Self::deadline), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Timeout`] if `patience` is zero.
    pub fn try_deadline(mut self, patience: Duration) -> Result<Self, RetryBuildError> {
        RetryBuildError::check_time(patience)?;
        self.parts.settings.deadline = Some(patience);
        Ok(self)
    }

    /// Never retries a try that timed out. Defaults to retrying it like any other failure.
    ///
    /// A try has timed out if this layer's attempt timeout dropped it, if the judge says so
    /// ([`Class::TimedOut`](hedgerow_core::Class::TimedOut)), or if its error is or holds a
    /// [`TimedOut`](crate::TimedOut).
    #[must_use]
    pub fn timeouts_are_final(mut self) -> Self {
        self.parts.settings.timeouts_are_final = true;
        self
    }

    /// Drops an answer that was refused before the wait begins, instead of holding it until the next
    /// one is there. Defaults to holding it.
    ///
    /// For answers that occupy something: a body that keeps a connection or a permit. A call whose
    /// later tries all time out then ends with [`RetryExhausted`](crate::RetryExhausted) instead of
    /// that answer.
    #[must_use]
    pub fn forget_answers(mut self) -> Self {
        self.parts.settings.forgets_answers = true;
        self
    }

    /// Sets the longest wait that a server may ask for (`Retry-After`, `grpc-retry-pushback-ms`).
    /// Defaults to 30 s.
    ///
    /// Up to it the wait is exactly what was asked, without jitter; beyond it, exactly the cap.
    #[must_use]
    pub fn pushback_cap(mut self, cap: Duration) -> Self {
        self.parts.settings.pushback_cap = cap;
        self
    }

    /// Pays retries from `budget`, and feeds it once per call. Defaults to
    /// `Budget::percent(10).depth(50)`. [`Budget::unlimited`] must be written out.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.parts.settings.budget = budget;
        self.parts.settings.feeds = true;
        self
    }

    /// Pays retries from `budget` that another layer further out feeds.
    #[must_use]
    pub fn share_budget(mut self, budget: Budget) -> Self {
        self.parts.settings.budget = budget;
        self.parts.settings.feeds = false;
        self
    }

    /// Refuses a retry that cannot fit into what is left before the deadline, by this histogram.
    ///
    /// A `Latency` that a `LatencyLayer` beneath fills. A retry fits if the quantile set by
    /// [`gate_percentile`](Self::gate_percentile) does; while the histogram knows nothing, everything
    /// fits. A first try is always sent, unless its deadline has passed: were it held back, nothing
    /// would teach the histogram that the service has become faster. Defaults to none.
    #[must_use]
    pub fn latency(mut self, latency: impl LatencyView + 'static) -> Self {
        self.parts.settings.latency = Some(Arc::new(latency));
        self
    }

    /// Sets which percentile of the latency has to fit into the time that is left, 1 ≤ `p` < 100.
    /// Defaults to 50, the median.
    ///
    /// # Panics
    ///
    /// If `p` is out of range: [`try_gate_percentile`](Self::try_gate_percentile) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn gate_percentile(self, p: impl Into<f64>) -> Self {
        or_panic(self.try_gate_percentile(p))
    }

    /// Like [`gate_percentile`](Self::gate_percentile), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError::Percentile`] if `p` is out of range.
    pub fn try_gate_percentile(mut self, p: impl Into<f64>) -> Result<Self, RetryBuildError> {
        let p = p.into();
        if !(1.0..100.0).contains(&p) {
            return Err(RetryBuildError::Percentile(p));
        }
        self.parts.settings.gate = p / 100.0;
        Ok(self)
    }

    /// Sets who judges results. Defaults to: every `Ok` is an answer, every `Err` is retryable.
    ///
    /// A [`Classify`](hedgerow_core::Classify): a function from `&Result<Response, Error>` to
    /// [`Class`](hedgerow_core::Class), with the inner service's own error type. Closures name their
    /// argument's type. An error that must not be retried (a cancellation) is `Class::Fatal`.
    #[must_use]
    pub fn accept<K>(self, judge: K) -> RetryLayer<P, R, K, Rec> {
        let parts = self.parts;
        RetryLayer {
            parts: Parts {
                judge: Arc::new(judge),
                policy: parts.policy,
                copies: parts.copies,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    /// Runs `edit` on the request of every retry before it is sent, so that a router below can choose
    /// another endpoint. The attempt's index is that of the retry, from 1.
    ///
    /// A plain `fn(&mut Request, Attempt)`, or a closure that names its arguments' types. If it
    /// panics, the retry is not sent.
    #[must_use]
    pub fn edit<F>(self, edit: F) -> RetryLayer<P, Edited<R, F>, J, Rec>
    where
        R: Clone,
    {
        self.copies(|copies| Edited::new(copies.clone(), edit))
    }

    fn copies<X>(self, change: impl FnOnce(&R) -> X) -> RetryLayer<P, X, J, Rec> {
        let parts = self.parts;
        RetryLayer {
            parts: Parts {
                copies: Arc::new(change(&parts.copies)),
                policy: parts.policy,
                judge: parts.judge,
                recorder: parts.recorder,
                settings: parts.settings,
            },
        }
    }

    /// Tells every event to `recorder`. Defaults to `()`, which costs nothing.
    #[must_use]
    pub fn recorder<T>(self, recorder: T) -> RetryLayer<P, R, J, T> {
        let parts = self.parts;
        RetryLayer {
            parts: Parts {
                recorder: Arc::new(recorder),
                policy: parts.policy,
                copies: parts.copies,
                judge: parts.judge,
                settings: parts.settings,
            },
        }
    }

    /// Tells every event to `f`. If it panics, its own event is lost and nothing else.
    #[must_use]
    pub fn on_event<F>(self, f: F) -> RetryLayer<P, R, J, F>
    where
        F: Fn(&RetryEvent),
    {
        self.recorder(f)
    }

    /// Reads the layer's counts and changes its live settings.
    ///
    /// Take it when the layer is complete: a later `.budget` sets one that this handle does not see.
    #[must_use]
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(self.parts.settings.clone())
    }
}

impl<P, J, Rec> RetryLayer<P, ByReplay, J, Rec> {
    /// Allows every request to be sent twice, copied by `Clone`.
    ///
    /// Comes before `.edit`, which adds to it.
    #[must_use]
    pub fn clone_requests(self) -> RetryLayer<P, ByClone, J, Rec> {
        self.copies(|_| ByClone)
    }

    /// Copies requests by `f`, which returns `None` for those that may be sent only once.
    ///
    /// Comes before `.edit`, which adds to it. The closure names its argument's type:
    /// `|request: &mut MyRequest| ...`. If it panics, the request is sent only once.
    #[must_use]
    pub fn replay_with<F>(self, f: F) -> RetryLayer<P, ReplayWith<F>, J, Rec> {
        self.copies(|_| ReplayWith(f))
    }

    /// Copies requests by a [`Copies`](hedgerow_core::Copies) of your own, which also edits what is sent
    /// again.
    ///
    /// Comes before `.edit`, which adds to it.
    #[must_use]
    pub fn copied_by<X>(self, copies: X) -> RetryLayer<P, X, J, Rec> {
        self.copies(|_| copies)
    }
}

impl<S: Clone, P, R, J, Rec> Layer<S> for RetryLayer<P, R, J, Rec> {
    type Service = Retry<S, Parts<P, R, J, Rec>>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, self.parts.clone())
    }
}

// === impl Clone and Debug: without bounds on the parts, which stand behind `Arc`s ===

impl<P, R, J, Rec> Clone for RetryLayer<P, R, J, Rec> {
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
            copies: self.copies.clone(),
            judge: self.judge.clone(),
            recorder: self.recorder.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<P: RetryPolicy, R: fmt::Debug, J, Rec> fmt::Debug for RetryLayer<P, R, J, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryLayer").field(&self.parts).finish()
    }
}

impl<P: RetryPolicy, R: fmt::Debug, J, Rec> fmt::Debug for Parts<P, R, J, Rec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("policy", &self.policy.name())
            .field("copies", &self.copies)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("attempts", &self.books.attempts())
            .field("attempt_timeout", &self.attempt_timeout)
            .field("deadline", &self.deadline)
            .field("timeouts_are_final", &self.timeouts_are_final)
            .field("pushback_cap", &self.pushback_cap)
            .field("gated", &self.latency.is_some())
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
