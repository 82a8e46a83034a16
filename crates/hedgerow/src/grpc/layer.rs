//! The layer, and what it makes of each method's config.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{Budget, GrpcCodes, OkWins, or_panic};
use hedgerow_hedge::{HedgeHandle, HedgeLayer, Http};
use hedgerow_http::{GrpcLayer, UnsentOnly};
use hedgerow_retry::{DeadlineLayer, HttpDeadline, RetryBuildError, RetryHandle, RetryLayer};
use tower::Layer;

use super::attempts::TimedOutAttempts;
use super::config::{HedgingPolicy, MethodConfig, Policy, RetryPolicy, ServiceConfig, find};
use super::copies::{Attempted, Resent};
use super::judge::CodeJudge;
use super::policy::{Intervals, Reconnect, Waits};
use super::service::Configured;

/// What gRPC's clients allow a service's owner to ask for.
const MOST_ATTEMPTS: u32 = 5;
/// As many as a retry layer makes.
const MOST_CONNECTS: usize = 64;

/// Repeats calls as a gRPC service config says for their method.
///
/// It is the permission to do so: the owner of the service has said that calls of the method may be sent again,
/// so no mark is asked for. Only the body decides: a call whose messages are not there yet when it is made, or
/// are larger than the cap of [`GrpcLayer`], is sent once.
///
/// # Examples
///
/// ```
/// use hedgerow::grpc::{ServiceConfig, ServiceConfigLayer};
/// # use tonic::transport::Channel;
/// # use tower::Layer;
/// # mod shop { pub struct CatalogueClient<T>(T); impl<T> CatalogueClient<T> { pub fn new(t: T) -> Self where T: tonic::client::GrpcService<tonic::body::Body> { Self(t) } } }
/// # use shop::CatalogueClient;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hedgerow::BoxError> {
/// # let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
/// let config = ServiceConfig::from_json(r#"{"methodConfig": [{
///     "name": [{"service": "shop.Catalogue"}],
///     "retryPolicy": {
///         "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
///         "retryableStatusCodes": ["UNAVAILABLE"]
///     }
/// }]}"#)?;
/// let client = CatalogueClient::new(ServiceConfigLayer::new(&config).grpc().layer(channel));
/// # let _ = client;
/// # Ok(()) }
/// ```
///
/// # What the end of an attempt means
///
/// | the attempt | to a retried call | to a hedged call | tokens |
/// | --- | --- | --- | --- |
/// | never left, or was never seen by the application | sent again once, at once; with `waitForReady` as long as another wait fits into its time; then as `UNAVAILABLE` | the same | – |
/// | its head came: from then on the call is its | the answer | the answer, all others are dropped | + ratio |
/// | failed with a code of the policy's list | again after a wait | the next is sent at once | − 1 |
/// | … and `grpc-retry-pushback-ms: n` | again after exactly n ms, later waits begin anew | the next is sent after n ms, later ones count from there | − 1 |
/// | … and a negative or unreadable one | the failure | none is sent any more, those under way are awaited | − 1 |
/// | failed with any other code | the failure | the failure, all others are dropped | – |
///
/// When all attempts of a hedged call have failed, the caller gets the first one's failure. A call is repeated
/// while more than half of the tokens are there; the throttle is one for all methods, and never fails a call.
///
/// # Units
///
/// At most five attempts a call, whatever the config says; [`at_most`](Self::at_most) sets another number.
///
/// # Order
///
/// Around the channel, by [`grpc`](Self::grpc) inside of what copies messages. Not around or inside of another layer that
/// repeats calls.
///
/// # Readiness, clones and drop
///
/// The first attempt uses the instance that was made ready, others drive the readiness of a clone. Clones of
/// the layer and of its services share policies, counts and tokens. Dropping the future drops all attempts.
///
/// # Metadata
///
/// Every attempt but the first has `grpc-previous-rpc-attempts`, and so has its answer; one that was sent
/// again because it was never seen has `grpc-transparent-retry-attempts`. Each has a `grpc-timeout` of what is
/// then left.
///
/// # Errors
///
/// The channel's, boxed; a time that is over, and whatever layers beneath refused, is a [`tonic::Status`].
///
/// # Cost
///
/// A call makes its method's services anew: two allocations and three clones of the channel. A call whose body
/// can be sent again has its head copied twice, once for the policy and once for what is never seen.
///
/// # Source
///
/// gRFC A6. Where its text is open: a pushback counts only beside a code of the list (as in Go), waits are
/// spread by a fifth (as its later editions say), hedges that a throttle holds back do not end those under
/// way.
#[derive(Clone)]
pub struct ServiceConfigLayer {
    methods: Arc<Methods>,
}

/// The counts of a method's policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MethodHandle {
    /// Of one that is retried.
    Retry(RetryHandle),
    /// Of one that is hedged.
    Hedge(HedgeHandle),
}

/// What calls of each method get.
pub(super) struct Methods {
    named: HashMap<Box<str>, Method>,
    others: Method,
    pub(super) throttle: Option<Budget>,
}

/// The layers of one entry, outside in.
pub(super) struct Method {
    pub(super) deadline: DeadlineLayer<HttpDeadline>,
    pub(super) repeats: Repeats,
    pub(super) judge: CodeJudge,
    pub(super) sends: RetryLayer<Reconnect, Resent, UnsentOnly<OkWins>>,
}

pub(super) enum Repeats {
    Once,
    Retry(RetryLayer<Waits, Attempted, CodeJudge, TimedOutAttempts>),
    Hedge(HedgeLayer<Intervals, Http<Attempted>, CodeJudge>),
}

impl ServiceConfigLayer {
    /// Does what `config` says, with at most five attempts a call.
    #[must_use]
    pub fn new(config: &ServiceConfig) -> Self {
        Self::built(config, MOST_ATTEMPTS)
    }

    /// Does what `config` says, with at most `attempts` a call, 1 to 64. 1 repeats nothing but what never
    /// reached the server.
    ///
    /// # Panics
    ///
    /// If `attempts` is out of range: [`try_at_most`](Self::try_at_most) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn at_most(config: &ServiceConfig, attempts: u32) -> Self {
        or_panic(Self::try_at_most(config, attempts))
    }

    /// Like [`at_most`](Self::at_most), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`RetryBuildError`] if `attempts` is out of range.
    pub fn try_at_most(config: &ServiceConfig, attempts: u32) -> Result<Self, RetryBuildError> {
        // A layer of as many attempts says whether that is a number of attempts.
        RetryLayer::new(Reconnect).try_attempts(attempts as usize)?;
        Ok(Self::built(config, attempts))
    }

    fn built(config: &ServiceConfig, most: u32) -> Self {
        let throttle = config.throttle.map(|(tokens, ratio)| {
            Budget::try_throttle(tokens, ratio).expect("it was tried when the config was read")
        });
        let built = |config| Method::of(config, most, throttle.as_ref());
        let methods = Methods {
            named: config
                .methods
                .iter()
                .map(|(name, config)| (name.clone(), built(config)))
                .collect(),
            others: built(&MethodConfig::default()),
            throttle: throttle.clone(),
        };
        Self {
            methods: Arc::new(methods),
        }
    }

    /// The layer for a tonic channel: this one inside of what copies messages.
    #[must_use]
    pub fn grpc(self) -> GrpcLayer<Self> {
        GrpcLayer::new(self).share_every_call()
    }

    /// The counts of the policy that holds for calls of this path, if one does.
    #[must_use]
    pub fn handle(&self, path: &str) -> Option<MethodHandle> {
        match &self.methods.of(path).repeats {
            Repeats::Once => None,
            Repeats::Retry(layer) => Some(MethodHandle::Retry(layer.handle())),
            Repeats::Hedge(layer) => Some(MethodHandle::Hedge(layer.handle())),
        }
    }

    /// The tokens of all methods, if the config has a throttle.
    #[must_use]
    pub fn throttle(&self) -> Option<&Budget> {
        self.methods.throttle.as_ref()
    }
}

impl Methods {
    pub(super) fn of(&self, path: &str) -> &Method {
        find(&self.named, path).unwrap_or(&self.others)
    }
}

impl Method {
    fn of(config: &MethodConfig, most: u32, throttle: Option<&Budget>) -> Self {
        let deadline = config
            .timeout
            .map_or(DeadlineLayer::inherited(), DeadlineLayer::new);
        let connects = if config.wait_for_ready {
            MOST_CONNECTS
        } else {
            2
        };
        let budget = throttle.cloned().unwrap_or_else(Budget::unlimited);
        let (repeats, codes) = match &config.policy {
            Policy::Retry(policy) if most > 1 => {
                let judge = CodeJudge {
                    codes: policy.codes,
                };
                let mut layer = RetryLayer::new(Waits::of(policy))
                    .attempts(policy.max_attempts.min(most) as usize)
                    .copied_by(Attempted)
                    .accept(judge)
                    .recorder(TimedOutAttempts(throttle.cloned()))
                    .budget(budget)
                    .pushback_cap(Duration::MAX);
                if let Some(after) = policy.attempt_timeout {
                    layer = layer.attempt_timeout(after);
                }
                (Repeats::Retry(layer), policy.codes)
            }
            Policy::Hedge(policy) if most > 1 => {
                let judge = CodeJudge {
                    codes: policy.codes,
                };
                let layer = HedgeLayer::new(Intervals {
                    delay: policy.delay,
                })
                .max_hedges(policy.max_attempts.min(most) as usize - 1)
                .copied_by(Attempted)
                .grpc()
                .accept(judge)
                .budget(budget);
                (Repeats::Hedge(layer), policy.codes)
            }
            Policy::Retry(RetryPolicy { codes, .. })
            | Policy::Hedge(HedgingPolicy { codes, .. }) => (Repeats::Once, *codes),
            Policy::Once => (Repeats::Once, GrpcCodes::default()),
        };
        Self {
            deadline: deadline.http(),
            repeats,
            judge: CodeJudge { codes },
            sends: RetryLayer::new(Reconnect)
                .attempts(connects)
                .copied_by(Resent)
                .accept(UnsentOnly::new(OkWins))
                .budget(Budget::unlimited()),
        }
    }
}

impl<S> Layer<S> for ServiceConfigLayer {
    type Service = Configured<S>;

    fn layer(&self, inner: S) -> Configured<S> {
        Configured {
            inner,
            methods: self.methods.clone(),
        }
    }
}

impl fmt::Debug for ServiceConfigLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.methods.fmt(f)
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfigLayer")
            .field("methods", &self.named)
            .field("throttle", &self.throttle)
            .finish()
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Method");
        shown.field("deadline", &self.deadline);
        match &self.repeats {
            Repeats::Once => &mut shown,
            Repeats::Retry(layer) => shown.field("retry", layer),
            Repeats::Hedge(layer) => shown.field("hedge", layer),
        }
        .field("codes", &self.judge.codes)
        .finish()
    }
}
