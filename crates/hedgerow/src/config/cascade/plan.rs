//! From a plan and the tiers' services to a cascade.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::{BoxError, HttpRequest, HttpResponse, OkWins, Replay};
use hedgerow_hedge::{
    ByClone, Cascade, CascadeBuilder, HedgeHandle, HedgeLayer, HttpJudge, SpendCap, Tier,
};
use hedgerow_latency::Latency;
use hedgerow_retry::{TimeoutLayer, TimeoutsAreCutOff};
use tower::{Layer, Service, ServiceExt};

use super::TierConfig;
use crate::config::check::guess;
use crate::config::error::{ConfigErrors, Mistakes};
use crate::config::hedge::ConfiguredPolicy;
use crate::config::latency::ConfiguredLatency;

/// A [`CascadeConfig`](super::CascadeConfig), built but for its services: its state is made once,
/// here, and shared by every cascade that is made with it.
///
/// Services come as pairs of a tier's name and a service, from an array, a list or a map. One type
/// holds them all: `tower::util::BoxCloneSyncService` if they differ.
///
/// Each way in gives a [`CascadeBuilder`], to which code adds what a file cannot say: `.score(f)`,
/// `.accept(judge)`, `.recorder(r)`. Its `build()` then only asks for a score where there is a
/// threshold.
///
/// # Order
///
/// Within a tier the hedge is outermost, then the latency, then the attempt timeout, then the service.
/// What times out is cut off as a latency and counts as timed out. A tier's hedge takes every answer
/// that is `Ok`, or over HTTP no 5xx and no 429, whatever the cascade is told to accept.
#[derive(Clone)]
pub struct CascadePlan {
    pub(super) tiers: Arc<[TierPlan]>,
    pub(super) timeout: Option<Duration>,
    pub(super) cap: Option<SpendCap>,
}

pub(super) struct TierPlan {
    pub(super) config: TierConfig,
    pub(super) timeout: Option<TimeoutLayer>,
    pub(super) latency: Option<ConfiguredLatency>,
    pub(super) hedge: Option<HedgeLayer<ConfiguredPolicy>>,
}

impl CascadePlan {
    /// A cascade of plain requests: each may be sent to several tiers, copied by `Clone`.
    ///
    /// # Errors
    ///
    /// Every tier without a service, and every service without a tier.
    pub fn clone_requests<Req, Res, S>(
        &self,
        services: impl IntoIterator<Item = (impl AsRef<str>, S)>,
    ) -> Result<CascadeBuilder<Req, Res, ByClone>, ConfigErrors>
    where
        S: Service<Req, Response = Res> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        Req: Clone + Send + 'static,
        Res: Send + 'static,
    {
        let builder = self.builder(services, |tier, hedge| {
            tier.hedged(hedge.clone_requests().accept(TimeoutsAreCutOff(OkWins)))
        })?;
        Ok(builder.accept(TimeoutsAreCutOff(OkWins)).clone_requests())
    }

    /// A cascade of HTTP requests, each of which says by its method, its headers or a mark whether it
    /// may be sent to several tiers. A 5xx or a 429 is no answer, and every answer carries a
    /// [`CascadeInfo`](crate::CascadeInfo) in its extensions.
    ///
    /// # Errors
    ///
    /// Every tier without a service, and every service without a tier.
    pub fn http<Req, Res, S>(
        &self,
        services: impl IntoIterator<Item = (impl AsRef<str>, S)>,
    ) -> Result<CascadeBuilder<Req, Res>, ConfigErrors>
    where
        S: Service<Req, Response = Res> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        Req: HttpRequest + Replay + Send + 'static,
        Res: HttpResponse + Send + 'static,
    {
        let builder = self.builder(services, |tier, hedge| {
            tier.hedged(hedge.http().accept(TimeoutsAreCutOff(HttpJudge)))
        })?;
        Ok(builder.http().accept(TimeoutsAreCutOff(HttpJudge)))
    }

    /// A handle on the hedge of each tier that has one, with the tier's name.
    #[must_use]
    pub fn hedges(&self) -> Vec<(&str, HedgeHandle)> {
        let hedges = self.tiers.iter().filter_map(|tier| {
            let hedge = tier.hedge.as_ref()?;
            Some((tier.config.name.as_str(), hedge.handle()))
        });
        hedges.collect()
    }

    /// The histogram of each tier that records latencies, with the tier's name.
    #[must_use]
    pub fn latencies(&self) -> Vec<(&str, Latency)> {
        let latencies = self.tiers.iter().filter_map(|tier| {
            let latency = tier.latency.as_ref()?;
            Some((tier.config.name.as_str(), latency.handle()))
        });
        latencies.collect()
    }

    /// What caps the tiers beyond the first, if anything does.
    #[must_use]
    pub fn spend_cap(&self) -> Option<&SpendCap> {
        self.cap.as_ref()
    }

    fn builder<Req, Res, S>(
        &self,
        services: impl IntoIterator<Item = (impl AsRef<str>, S)>,
        hedged: impl Fn(Tier<Req, Res>, HedgeLayer<ConfiguredPolicy>) -> Tier<Req, Res>,
    ) -> Result<CascadeBuilder<Req, Res>, ConfigErrors>
    where
        S: Service<Req, Response = Res> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        Req: 'static,
        Res: 'static,
    {
        let mut builder = Cascade::builder();
        for (tier, service) in self.tiers.iter().zip(self.in_order(services)?) {
            let mut made = tier.around(service);
            if let Some(hedge) = &tier.hedge {
                made = hedged(made, hedge.clone());
            }
            builder = builder.tier(tier.config.set(made));
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(cap) = &self.cap {
            builder = builder.spend_cap(cap.clone());
        }
        Ok(builder)
    }

    /// The services in the order of the tiers.
    fn in_order<S>(
        &self,
        services: impl IntoIterator<Item = (impl AsRef<str>, S)>,
    ) -> Result<Vec<S>, ConfigErrors> {
        let names: Vec<_> = self.tiers.iter().map(|t| t.config.name.as_str()).collect();
        let mut found: Vec<Option<S>> = names.iter().map(|_| None).collect();
        let mut mistakes = Mistakes::default();
        for (name, service) in services {
            let name = name.as_ref();
            match names.iter().position(|tier| *tier == name) {
                Some(at) if found[at].is_none() => found[at] = Some(service),
                Some(_) => mistakes.refuse("service", name, "it was given twice: give it once"),
                None => {
                    let problem = match guess(name, &names) {
                        Some(tier) => format!("no tier is called that; did you mean {tier:?}?"),
                        None => format!("no tier is called that: they are {}", names.join(", ")),
                    };
                    mistakes.refuse("service", name, problem);
                }
            }
        }
        for (at, name) in names.iter().enumerate() {
            if found[at].is_none() {
                let problem = format!("no service was given for it: add ({name:?}, service)");
                mistakes.refuse(&format!("tier[{at}].name"), name, problem);
            }
        }
        mistakes.judge(found.into_iter().collect())
    }
}

impl TierPlan {
    /// The tier, but for its hedge.
    fn around<Req, Res, S>(&self, service: S) -> Tier<Req, Res>
    where
        S: Service<Req, Response = Res> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        Req: 'static,
        Res: 'static,
    {
        let name = self.config.name.as_str();
        let service = service.map_err(Into::into as fn(S::Error) -> BoxError);
        match (&self.latency, &self.timeout) {
            (None, None) => Tier::new(name, service),
            (None, Some(timeout)) => Tier::new(name, timeout.layer(service)),
            (Some(latency), None) => Tier::new(name, latency.layer(service)),
            (Some(latency), Some(timeout)) => {
                Tier::new(name, latency.layer(timeout.layer(service)))
            }
        }
    }
}

impl fmt::Debug for CascadePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CascadePlan")
            .field("tiers", &self.tiers)
            .field("timeout", &self.timeout)
            .field("spend_cap", &self.cap)
            .finish()
    }
}

impl fmt::Debug for TierPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("name", &self.config.name)
            .field("timeout", &self.timeout)
            .field("latency", &self.latency)
            .field("hedge", &self.hedge)
            .finish_non_exhaustive()
    }
}
