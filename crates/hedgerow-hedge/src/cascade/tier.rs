//! A tier: a service with a name, a delay, a cost and a threshold.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::{BoxError, Classify, Recorder};
use tower_layer::Layer;
use tower_service::Service;

use crate::cascade::hedges::CountHedges;
use crate::event::HedgeEvent;
use crate::exchange::Exchange;
use crate::layer::HedgeLayer;
use crate::policy::HedgePolicy;

/// One of the services that a [`Cascade`](crate::Cascade) may send a request to.
///
/// Its service is boxed, so the tiers of a cascade may be of different types, with different errors:
/// they share the request and the answer. For another answer or another address map them
/// (`tower::ServiceExt::map_response`, `map_request`) before the service is handed in.
///
/// # Examples
///
/// ```
/// use hedgerow_hedge::Tier;
/// use std::convert::Infallible;
/// use std::time::Duration;
///
/// let large = tower::service_fn(async |question: String| Ok::<_, Infallible>(question.len()));
/// let tier = Tier::new("large", large)
///     .after(Duration::from_millis(300))
///     .cost(20.0)
///     .threshold(0.8);
/// # let _ = tier;
/// ```
pub struct Tier<Req, Res> {
    pub(super) name: Arc<str>,
    pub(super) service: TierService<Req, Res>,
    pub(super) after: Duration,
    pub(super) cost: f64,
    pub(super) threshold: Option<f64>,
}

impl<Req, Res> Tier<Req, Res> {
    /// A tier of this name, which must be its own in the cascade.
    #[must_use]
    pub fn new<S>(name: impl Into<Arc<str>>, service: S) -> Self
    where
        S: Service<Req, Response = Res> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self {
            name: name.into(),
            service: TierService(Box::new(service)),
            after: Duration::ZERO,
            cost: 1.0,
            threshold: None,
        }
    }

    /// Starts the tier this long after the call's start, if no acceptable answer has come until
    /// then. Defaults to zero: together with the tier before it.
    ///
    /// When nothing else runs, because all that were started have failed or were refused, it starts
    /// at once. Delays ascend from tier to tier, and the first tier has none.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// Sets what one call to this tier costs, in units of your own (money, tokens, seconds of a
    /// machine): 0 to 10⁹. Defaults to 1.
    #[must_use]
    pub fn cost(mut self, cost: f64) -> Self {
        self.cost = cost;
        self
    }

    /// Sets the least score of an answer of this tier that is good enough. Defaults to none: any
    /// score but NaN passes.
    ///
    /// Needs [`score`](crate::CascadeBuilder::score).
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// Hedges this tier by `layer`, and counts the copies that it sends: they show in
    /// [`TierInfo::hedges`](crate::TierInfo::hedges), and each costs what the tier costs.
    ///
    /// The layer judges answers by itself: give it the `.accept` of the cascade if it has one. Its
    /// copies are paid from its own budget, not from the cascade's [`SpendCap`](crate::SpendCap).
    /// A hedge layer around the service that is handed to [`new`](Self::new) works as well, but its
    /// copies are not seen.
    ///
    /// # Cost
    ///
    /// The layer's recorder is told every event, so each call of this tier builds them.
    #[must_use]
    pub fn hedged<P, R, J, Rec>(self, layer: HedgeLayer<P, R, J, Rec>) -> Self
    where
        Req: Send + 'static,
        Res: Send + 'static,
        P: HedgePolicy<Req> + 'static,
        R: Exchange<Req, Res> + Send + Sync + 'static,
        J: Classify<Res, BoxError> + Send + Sync + 'static,
        Rec: Recorder<HedgeEvent> + Send + Sync + 'static,
    {
        let before = layer.parts.recorder.clone();
        let layer = layer.recorder((before, CountHedges));
        Self {
            service: TierService(Box::new(layer.layer(self.service))),
            ..self
        }
    }
}

/// What a call to a tier's service becomes.
pub(super) type Answering<Res> = Pin<Box<dyn Future<Output = Result<Res, BoxError>> + Send>>;

/// A tier's service, boxed.
pub(super) struct TierService<Req, Res>(Box<dyn Serve<Req, Res>>);

/// What a box can hold of a [`Service`] that is `Clone`.
trait Serve<Req, Res>: Send {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>;

    fn call(&mut self, request: Req) -> Answering<Res>;

    fn boxed_clone(&self) -> Box<dyn Serve<Req, Res>>;
}

impl<S, Req, Res> Serve<Req, Res> for S
where
    S: Service<Req, Response = Res> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::poll_ready(self, cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Answering<Res> {
        let future = Service::call(self, request);
        Box::pin(async move { future.await.map_err(Into::into) })
    }

    fn boxed_clone(&self) -> Box<dyn Serve<Req, Res>> {
        Box::new(self.clone())
    }
}

impl<Req, Res> Service<Req> for TierService<Req, Res> {
    type Response = Res;
    type Error = BoxError;
    type Future = Answering<Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Answering<Res> {
        self.0.call(request)
    }
}

impl<Req, Res> Clone for TierService<Req, Res> {
    fn clone(&self) -> Self {
        Self(self.0.boxed_clone())
    }
}

impl<Req, Res> Clone for Tier<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            service: self.service.clone(),
            after: self.after,
            cost: self.cost,
            threshold: self.threshold,
        }
    }
}

impl<Req, Res> fmt::Debug for Tier<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("name", &self.name)
            .field("after", &self.after)
            .field("cost", &self.cost)
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}
