//! The service.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{BoxError, Class};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_service::Service;

use crate::cascade::build::{CascadeBuilder, Inform, Judge, Score, Told};
use crate::cascade::future::{CascadeFuture, InformedFuture};
use crate::cascade::handle::{Books, CascadeHandle};
use crate::cascade::info::Informed;
use crate::cascade::run::Run;
use crate::cascade::spend::SpendCap;
use crate::cascade::tier::{Tier, TierService};
use crate::ending::outcome_of;
use crate::exchange::Exchange;
use crate::info::Outcome;

/// Sends a request to the first of several services, to the next one when that takes too long or
/// is not good enough, and returns the first answer that is.
///
/// The tiers stand in the order of preference, each with a delay, a cost and a threshold. The first
/// starts at once. As long as no acceptable answer has come, each further tier starts at its delay,
/// counted from the call's start, or as soon as nothing else runs because everything before it has
/// failed or was refused. The first acceptable answer returns in the poll in which it is there, and
/// the others are dropped at once. If none is good enough, the caller gets the best by score.
///
/// **Preference is in the starting order, not in waiting.** An acceptable answer of a later tier
/// returns although an earlier one still runs: what is wanted from a tier before the next one may
/// speak is said by the next one's delay. Of two that are acceptable in one poll the earlier tier
/// wins.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::{Cascade, Tier};
/// use std::convert::Infallible;
/// use tower::{Service, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hedgerow_core::BoxError> {
/// let cache = tower::service_fn(async |id: u64| if id < 10 { Ok(id) } else { Err("not cached") });
/// let origin = tower::service_fn(async |id: u64| Ok::<_, Infallible>(id));
///
/// let mut cascade = Cascade::builder()
///     .tier(Tier::new("cache", cache).cost(0.0))
///     .tier(Tier::new("origin", origin))
///     .clone_requests()
///     .build()?;
/// assert_eq!(cascade.ready().await?.call(42).await?, 42);
/// # Ok(()) }
/// ```
///
/// Three models by confidence, with a deadline and a cap on what the larger ones may cost:
///
/// ```
/// use hedgerow_hedge::{Cascade, SpendCap, Tier};
/// use std::time::Duration;
/// use tower::{ServiceExt, service_fn};
///
/// #[derive(Debug)]
/// struct Answer { text: &'static str, confidence: f64 }
///
/// async fn small(_: String) -> Result<Answer, std::io::Error> {
///     Ok(Answer { text: "41", confidence: 0.4 })
/// }
/// async fn medium(_: String) -> Result<Answer, std::fmt::Error> {
///     Ok(Answer { text: "42", confidence: 0.9 })
/// }
/// async fn large(_: String) -> Result<Answer, std::io::Error> {
///     Ok(Answer { text: "forty-two", confidence: 1.0 })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hedgerow_core::BoxError> {
/// let cascade = Cascade::builder()
///     .tier(Tier::new("small", service_fn(small)).cost(1.0).threshold(0.8))
///     .tier(
///         Tier::new("medium", service_fn(medium))
///             .after(Duration::from_millis(300))
///             .cost(5.0)
///             .threshold(0.6),
///     )
///     .tier(Tier::new("large", service_fn(large)).after(Duration::from_secs(1)).cost(20.0))
///     .score(|answer: &Answer| answer.confidence)
///     .timeout(Duration::from_secs(30))
///     .spend_cap(SpendCap::new(200.0, 500.0))
///     .clone_requests()
///     .build()?;
///
/// let answer = cascade.clone().informed().oneshot("6 * 7?".to_owned()).await?;
/// assert_eq!(answer.value.text, "42");
/// assert_eq!(answer.info.name.as_deref(), Some("medium"));
/// assert_eq!(answer.info.cost, 6.0);
/// assert_eq!(cascade.handle().stats().average_cost, 6.0);
/// # Ok(()) }
/// ```
///
/// # Which requests
///
/// A request that is sent to several tiers is sent more than once. So its type has to say that it
/// may be ([`Replay`](hedgerow_core::Replay)), or [`clone_requests`](CascadeBuilder::clone_requests)
/// allows it for all. A request that may be sent only once goes to the first tier alone.
///
/// # Units
///
/// Delays and the timeout count from the call's start. The timer has a grain of 1 ms and rounds up.
/// Costs are in units of your own.
///
/// # Order
///
/// Inside of a cache and a retry. Limits, retries, hedges ([`Tier::hedged`]) and deadlines of one
/// tier stand around that tier's service. To a service beneath, each tier is a primary
/// ([`Attempt`](hedgerow_core::Attempt)): it is another service's first attempt, not a copy.
///
/// # Readiness, clones and drop
///
/// `poll_ready` is the first tier's, and the first tier uses the instance that it made ready. So a
/// first tier that is never ready holds up all calls, and its error in getting ready is the caller's:
/// put a `LoadShed` around it, and a busy tier fails at once and the next one starts. A later tier
/// uses a clone of its own and waits for its readiness inside the response future, until the call
/// ends; meanwhile it counts as running.
///
/// Clones share tiers, spend cap and counts. Dropping the response future drops every tier at once
/// and starts none; what was granted by the spend cap and not sent goes back.
///
/// # Events
///
/// [`CascadeEvent`](crate::CascadeEvent)s to the recorder; `tracing` events under the target
/// `hedgerow::cascade` (debug: tier started, done, skipped, cancelled; call ended).
///
/// # Errors
///
/// A [`BoxError`]. If no tier brought an answer, it holds a
/// [`BoxedRaceError`](crate::BoxedRaceError), which [`cause_ref`](hedgerow_core::cause_ref) finds,
/// with every tier's error by its index and name; its `source()` is the first tier's. An error of `poll_ready`
/// is the first tier's own. A tier that panics takes the call along.
///
/// # Panics
///
/// When the response future has to wait for a delay or a timeout outside of a tokio runtime with the
/// time driver enabled, and when it is polled again after it was ready.
///
/// # Cost
///
/// A call whose first tier answers allocates that tier's future and the copy of the request, and
/// arms no timer if it is ready in its first poll. A lock once a call for the counts, and once for a
/// spend cap. Every further tier clones its service and boxes its future.
///
/// # Source
///
/// L. Chen, M. Zaharia and J. Zou, *`FrugalGPT`: How to Use Large Language Models While Reducing Cost
/// and Improving Performance*, 2023: a list of models, a score and a threshold for each. The delays,
/// by which the next model also starts when the one before is slow, are the hedge's (J. Dean and
/// L. A. Barroso, *The Tail at Scale*, CACM 56(2), 2013). The thresholds are yours: nothing is
/// learnt here.
///
/// # When not
///
/// For copies of one request to one service: that is [`HedgeLayer`](crate::HedgeLayer), which learns
/// its delay and bounds its load. When few answers of the cheap tiers pass: every call then pays for
/// them and waits for them first. When requests change something: what was dropped may have been
/// done.
pub struct Cascade<Req, Res> {
    /// Behind a lock that is never taken but to clone, so that the cascade is `Sync` though the
    /// service need not be.
    first: Mutex<TierService<Req, Res>>,
    core: Arc<Core<Req, Res>>,
}

/// What a cascade, its clones and its response futures share.
pub(super) struct Core<Req, Res> {
    pub(super) rungs: Vec<Rung<Req, Res>>,
    pub(super) exchange: Box<dyn Exchange<Req, Res> + Send + Sync>,
    pub(super) judge: Judge<Res>,
    pub(super) score: Option<Score<Res>>,
    pub(super) timeout: Option<Duration>,
    pub(super) cap: Option<SpendCap>,
    pub(super) told: Told,
    pub(super) inform: Option<Inform<Res>>,
    pub(super) books: Arc<Books>,
}

/// A tier as its cascade keeps it.
pub(super) struct Rung<Req, Res> {
    pub(super) name: Arc<str>,
    /// What later tiers are cloned from. Never polled.
    spare: Mutex<TierService<Req, Res>>,
    pub(super) after: Duration,
    pub(super) cost: f64,
    threshold: Option<f64>,
}

/// What a tier's result is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// An answer that is good enough.
    Passed,
    /// An answer whose score is not: it may still be the best there is.
    Below(f64),
    /// An error, or an answer that cannot be used.
    Lost,
    /// A result that no other tier could better.
    Final,
}

impl<Req, Res> Cascade<Req, Res> {
    /// A cascade without tiers yet.
    pub fn builder() -> CascadeBuilder<Req, Res> {
        CascadeBuilder::new()
    }

    pub(super) fn new(first: TierService<Req, Res>, core: Core<Req, Res>) -> Self {
        Self {
            first: Mutex::new(first),
            core: Arc::new(core),
        }
    }

    /// Reads the cascade's counts, its latencies and its spend cap.
    #[must_use]
    pub fn handle(&self) -> CascadeHandle {
        CascadeHandle::new(self.core.books.clone(), self.core.cap.clone())
    }

    /// The same cascade, whose answers come with what became of their calls: an [`Informed`].
    #[must_use]
    pub fn informed(self) -> InformedCascade<Req, Res> {
        InformedCascade { cascade: self }
    }

    fn start(&mut self, mut request: Req, wants_info: bool) -> Run<Req, Res> {
        let core = &self.core;
        let copy = if core.rungs.len() > 1 {
            core.copy(&mut request)
        } else {
            None
        };
        let started = Instant::now();
        let future = self.first.get_mut().call(request);
        // From here on nothing of the user's can panic: what is counted also ends.
        if let Some(cap) = &core.cap {
            cap.deposit();
        }
        Run::new(core.clone(), (copy, future), started, wants_info)
    }
}

impl<Req, Res> Core<Req, Res> {
    /// A copy of a request, unless it may be sent only once or somebody panics.
    pub(super) fn copy(&self, request: &mut Req) -> Option<Req> {
        // The panic hook has reported it.
        catch_unwind(AssertUnwindSafe(|| self.exchange.copy(request))).unwrap_or(None)
    }

    /// What a tier's result is worth, how the tier ended by it, and the answer's score.
    pub(super) fn judge(
        &self,
        at: usize,
        result: &Result<Res, BoxError>,
    ) -> (Verdict, Outcome, Option<f64>) {
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge.classify(result)));
        let class = match judged.unwrap_or(Class::RETRYABLE) {
            // There is no answer to return.
            Class::Success if result.is_err() => Class::Fatal,
            class => class,
        };
        let outcome = outcome_of(result, class);
        match (class, result, &self.score) {
            (Class::Success, Ok(answer), Some(score)) => {
                let scored = catch_unwind(AssertUnwindSafe(|| score(answer)));
                match (scored.ok(), self.rungs[at].threshold) {
                    (None, _) => (Verdict::Lost, Outcome::Refused, None),
                    (Some(score), least) if least.map_or(!score.is_nan(), |t| score >= t) => {
                        (Verdict::Passed, outcome, Some(score))
                    }
                    (Some(score), _) => (Verdict::Below(score), Outcome::Refused, Some(score)),
                }
            }
            (Class::Success, ..) => (Verdict::Passed, outcome, None),
            (Class::Fatal, ..) => (Verdict::Final, outcome, None),
            (Class::Retryable { .. } | Class::NoMore | Class::TimedOut, ..) => {
                (Verdict::Lost, outcome, None)
            }
        }
    }
}

impl<Req, Res> Rung<Req, Res> {
    pub(super) fn spare(&self) -> TierService<Req, Res> {
        self.spare.lock().clone()
    }
}

impl<Req, Res> From<Tier<Req, Res>> for Rung<Req, Res> {
    fn from(tier: Tier<Req, Res>) -> Self {
        Self {
            name: tier.name,
            spare: Mutex::new(tier.service),
            after: tier.after,
            cost: tier.cost,
            threshold: tier.threshold,
        }
    }
}

impl<Req, Res> Service<Req> for Cascade<Req, Res> {
    type Response = Res;
    type Error = BoxError;
    type Future = CascadeFuture<Req, Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.first.get_mut().poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        CascadeFuture::new(self.start(request, false))
    }
}

impl<Req, Res> Clone for Cascade<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            first: Mutex::new(self.first.lock().clone()),
            core: self.core.clone(),
        }
    }
}

impl<Req, Res> fmt::Debug for Cascade<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cascade")
            .field("tiers", &self.core.rungs)
            .field("timeout", &self.core.timeout)
            .field("spend_cap", &self.core.cap)
            .finish_non_exhaustive()
    }
}

impl<Req, Res> fmt::Debug for Rung<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("name", &self.name)
            .field("after", &self.after)
            .field("cost", &self.cost)
            .field("threshold", &self.threshold)
            .finish()
    }
}

/// A [`Cascade`] whose answers come with what became of their calls: what
/// [`Cascade::informed`] makes.
pub struct InformedCascade<Req, Res> {
    cascade: Cascade<Req, Res>,
}

impl<Req, Res> InformedCascade<Req, Res> {
    /// The cascade within.
    #[must_use]
    pub fn get_ref(&self) -> &Cascade<Req, Res> {
        &self.cascade
    }

    /// The cascade within, taken out.
    #[must_use]
    pub fn into_inner(self) -> Cascade<Req, Res> {
        self.cascade
    }
}

impl<Req, Res> Service<Req> for InformedCascade<Req, Res> {
    type Response = Informed<Res>;
    type Error = BoxError;
    type Future = InformedFuture<Req, Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.cascade.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        InformedFuture::new(self.cascade.start(request, true))
    }
}

impl<Req, Res> Clone for InformedCascade<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            cascade: self.cascade.clone(),
        }
    }
}

impl<Req, Res> fmt::Debug for InformedCascade<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InformedCascade")
            .field(&self.cascade)
            .finish()
    }
}
