//! Whole stacks in one line of code.

use std::fmt;

use hedgerow_admission::{AdmissionLayer, Aimd, AimdConfig, Extras, Gate, Judged, Same};
use hedgerow_core::{Budget, ByReplay, HttpJudge};
use hedgerow_hedge::policy::Percentile;
use hedgerow_hedge::{HedgeHandle, HedgeLayer, Http};
use hedgerow_http::{AwaitFirstContentLayer, ByPath, IdempotentPathsLayer};
use hedgerow_latency::{Latency, LatencyLayer};
use hedgerow_retry::{
    DeadlineLayer, Exponential, HttpDeadline, RetryHandle, RetryLayer, TimeoutsAreCutOff,
};
use tower::layer::util::Stack;
use tower::{Layer, ServiceBuilder};

use crate::judge::RefusalsAskToWait;
use crate::numbers::{HTTP_CLIENT, LLM_CLIENT, Numbers};

type Calls = LatencyLayer<TimeoutsAreCutOff<HttpJudge>>;
type Deadlines = DeadlineLayer<HttpDeadline>;
type Retries = RetryLayer<Exponential, ByReplay, RefusalsAskToWait<HttpJudge>>;
type Hedges = HedgeLayer<Percentile, Http<ByReplay>, TimeoutsAreCutOff<HttpJudge>>;
type Admissions = AdmissionLayer<Same, Judged<HttpJudge>>;
type Attempts = LatencyLayer<HttpJudge>;
/// The service that a layer makes of another.
type Over<L, S> = <L as Layer<S>>::Service;

/// Everything that a client of an HTTP service wants around it, in one layer: latency, deadline, retry,
/// hedge, admission, latency.
///
/// | what | how |
/// | --- | --- |
/// | a call | ends after 30 s, or with the [`Deadline`](crate::Deadline) in its request's extensions |
/// | a try | ends after 10 s; up to 3 of them, with waits of up to 0.1, 0.2 .. 2 s, or as `Retry-After` asks |
/// | a copy | is sent when an attempt takes longer than 95 % of them, if it need not wait for a place |
/// | retries and copies | together are at most 15 in 100 calls, 50 at once |
/// | attempts at once | 64, more while all is well, a tenth less when the service says it has enough |
///
/// The same as data is [`StackConfig::http_client`](crate::config::StackConfig::http_client) (feature
/// `config`), where every figure can be changed.
///
/// # Examples
///
/// ```
/// use hedgerow::{BoxError, ServiceBuilderExt};
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let client = service_fn(async |_: Request<Empty<bytes::Bytes>>| {
///     Ok::<_, BoxError>(Response::new("hello"))
/// });
/// let service = ServiceBuilder::new().http_client_stack().service(client);
/// let request = Request::get("http://example.test/").body(Empty::new())?;
/// assert_eq!(*service.oneshot(request).await?.body(), "hello");
/// # Ok(()) }
/// ```
///
/// With the layer in hand its counts can be read:
///
/// ```
/// use hedgerow::HttpClientLayer;
///
/// let stack = HttpClientLayer::new();
/// assert_eq!(stack.retry().attempts(), 3);
/// assert_eq!(stack.hedge().max_hedges(), 1);
/// assert_eq!(stack.gate().stats().active, 0);
/// ```
///
/// # Which requests
///
/// `http::Request` with a body that can be sent twice, and with the feature `reqwest` a reqwest client.
/// A body that can be read only once takes a [`ReplayBodyLayer`](crate::ReplayBodyLayer) outside of
/// this one.
///
/// # Readiness, clones and drop
///
/// As its layers: all clones, and all services made from one value, share histograms, budget and gate.
///
/// # Errors
///
/// The client's, boxed, and those of its layers: [`DeadlineExceeded`](crate::DeadlineExceeded),
/// [`RetryExhausted`](crate::RetryExhausted), [`Overloaded`](crate::Overloaded).
///
/// # When not
///
/// When the client retries by itself, or something between it and the service does: tries multiply.
#[derive(Clone)]
pub struct HttpClientLayer {
    calls: Calls,
    deadline: Deadlines,
    retry: Retries,
    hedge: Hedges,
    admission: Admissions,
    attempts: Attempts,
}

/// Everything that a client of a language model's API wants around it, in one layer: latency, deadline,
/// retry, hedge, admission, latency, first content.
///
/// | what | how |
/// | --- | --- |
/// | an answer | counts at the first content of its stream: races are for the first token, and a stream that breaks before it is tried again |
/// | a call | ends after 10 min, or with the [`Deadline`](crate::Deadline) in its request's extensions |
/// | a try | ends after 2 min; up to 4 of them, with waits of up to 1, 2, 4 s, or as `Retry-After` asks, up to a minute |
/// | a copy | is sent when an attempt takes longer than 95 % of them (30 s until that is known), if it need not wait for a place |
/// | retries and copies | together are at most 10 in 100 calls, 50 at once |
/// | attempts at once | 16, up to 256 while all is well, a tenth less when the provider says it has enough |
///
/// A `POST` to `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/messages` or
/// `/v1/responses` may be sent twice: a question asked again does no harm, but costs what it costs. Other
/// ones need an `Idempotency-Key`.
///
/// The same as data is [`StackConfig::llm_client`](crate::config::StackConfig::llm_client) (feature
/// `config`).
///
/// # Examples
///
/// With the rates of an account:
///
/// ```
/// use hedgerow::{Gate, LlmClientLayer, Rate};
///
/// let gate = Gate::builder()
///     .concurrency(64)
///     .rate(Rate::per_minute(500))
///     .build();
/// let stack = LlmClientLayer::new().with_gate(gate);
/// assert_eq!(stack.retry().attempts(), 4);
/// ```
///
/// # Which requests
///
/// `http::Request`, as for [`HttpClientLayer`], and `http::Response` with a body
/// ([`AwaitFirstContentLayer`](crate::AwaitFirstContentLayer)). Extensions of a reqwest request cannot be reached, and so
/// neither can the permission: give it an `Idempotency-Key` and take [`HttpClientLayer`].
#[derive(Clone)]
pub struct LlmClientLayer {
    paths: IdempotentPathsLayer,
    client: HttpClientLayer,
}

impl HttpClientLayer {
    /// The stack, with histograms, budget and gate of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&HTTP_CLIENT)
    }

    fn of(numbers: &Numbers) -> Self {
        let (latency, budget) = (Latency::new(), Budget::percent(numbers.percent));
        let waits = match numbers.waits {
            Some((base, cap)) => Exponential::new(base, cap),
            None => Exponential::default(),
        };
        let mut retry = RetryLayer::new(waits)
            .attempt_timeout(numbers.attempt_timeout)
            .latency(latency.clone())
            .budget(budget.clone());
        if let Some(attempts) = numbers.attempts {
            retry = retry.attempts(attempts);
        }
        if let Some(cap) = numbers.pushback_cap {
            retry = retry.pushback_cap(cap);
        }
        let mut hedge = HedgeLayer::percentile(95)
            .latency(latency.clone())
            .share_budget(budget);
        if let Some(delay) = numbers.initial {
            hedge = hedge.initial(delay);
        }
        let calls = LatencyLayer::new(Latency::new());
        Self {
            calls: calls.classify(TimeoutsAreCutOff(HttpJudge)),
            deadline: DeadlineLayer::new(numbers.deadline).http(),
            retry: retry.accept(RefusalsAskToWait(HttpJudge)),
            hedge: hedge.http().accept(TimeoutsAreCutOff(HttpJudge)),
            admission: admission(gate(numbers)),
            attempts: LatencyLayer::new(latency).classify(HttpJudge),
        }
    }

    /// Admits attempts by this gate, instead of one of its own: a limit that is known, rates.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.admission = admission(gate);
        self
    }

    /// The gate: read it, change it, close it.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.admission.handle()
    }

    /// Counts and live settings of the retry.
    #[must_use]
    pub fn retry(&self) -> RetryHandle {
        self.retry.handle()
    }

    /// Counts and live settings of the hedge.
    #[must_use]
    pub fn hedge(&self) -> HedgeHandle {
        self.hedge.handle()
    }

    /// How long calls take.
    #[must_use]
    pub fn calls(&self) -> Latency {
        self.calls.handle()
    }

    /// How long attempts take, without the queue.
    #[must_use]
    pub fn attempts(&self) -> Latency {
        self.attempts.handle()
    }
}

impl LlmClientLayer {
    /// The stack, with histograms, budget and gate of its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            paths: IdempotentPathsLayer::new(LLM_CLIENT.paths),
            client: HttpClientLayer::of(&LLM_CLIENT),
        }
    }

    /// Admits attempts by this gate, instead of one of its own: the rates of an account.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.client = self.client.with_gate(gate);
        self
    }

    /// The gate: read it, change it, close it.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.client.gate()
    }

    /// Counts and live settings of the retry.
    #[must_use]
    pub fn retry(&self) -> RetryHandle {
        self.client.retry()
    }

    /// Counts and live settings of the hedge.
    #[must_use]
    pub fn hedge(&self) -> HedgeHandle {
        self.client.hedge()
    }

    /// How long calls take.
    #[must_use]
    pub fn calls(&self) -> Latency {
        self.client.calls()
    }

    /// How long attempts take, without the queue.
    #[must_use]
    pub fn attempts(&self) -> Latency {
        self.client.attempts()
    }
}

fn gate(numbers: &Numbers) -> Gate {
    let mut limit = AimdConfig::default().initial(numbers.limit);
    if let Some(max) = numbers.max_limit {
        limit = limit.max(max);
    }
    Gate::builder()
        .limit(Aimd::new(limit))
        .max_wait(numbers.max_wait)
        .build()
}

fn admission(gate: Gate) -> Admissions {
    AdmissionLayer::new(gate)
        .extras(Extras::NowOnly)
        .accept(HttpJudge)
}

// === impl Layer ===

impl<S: Clone> Layer<S> for HttpClientLayer {
    type Service = Over<
        Calls,
        Over<Deadlines, Over<Retries, Over<Hedges, Over<Admissions, Over<Attempts, S>>>>>,
    >;

    fn layer(&self, client: S) -> Self::Service {
        let attempt = self.admission.layer(self.attempts.layer(client));
        let call = self.retry.layer(self.hedge.layer(attempt));
        self.calls.layer(self.deadline.layer(call))
    }
}

impl<S: Clone> Layer<S> for LlmClientLayer {
    type Service =
        Over<IdempotentPathsLayer, Over<HttpClientLayer, Over<AwaitFirstContentLayer<ByPath>, S>>>;

    fn layer(&self, client: S) -> Self::Service {
        let client = AwaitFirstContentLayer::llm().layer(client);
        self.paths.layer(self.client.layer(client))
    }
}

/// Whole stacks as methods of tower's `ServiceBuilder`.
///
/// Sealed: it is for `ServiceBuilder` alone.
pub trait ServiceBuilderExt<L>: sealed::Sealed + Sized {
    /// Puts an [`HttpClientLayer`] around an HTTP client.
    fn http_client_stack(self) -> ServiceBuilder<Stack<HttpClientLayer, L>>;

    /// Puts an [`LlmClientLayer`] around a client of a language model's API.
    fn llm_client_stack(self) -> ServiceBuilder<Stack<LlmClientLayer, L>>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn http_client_stack(self) -> ServiceBuilder<Stack<HttpClientLayer, L>> {
        self.layer(HttpClientLayer::new())
    }

    fn llm_client_stack(self) -> ServiceBuilder<Stack<LlmClientLayer, L>> {
        self.layer(LlmClientLayer::new())
    }
}

mod sealed {
    pub trait Sealed {}

    impl<L> Sealed for tower::ServiceBuilder<L> {}
}

// === impl Default, Debug ===

impl Default for HttpClientLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for LlmClientLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientLayer")
            .field("deadline", &self.deadline)
            .field("retry", &self.retry)
            .field("hedge", &self.hedge)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LlmClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmClientLayer")
            .field("paths", &self.paths)
            .field("client", &self.client)
            .finish()
    }
}
