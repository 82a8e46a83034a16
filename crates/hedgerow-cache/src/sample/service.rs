//! The service.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hedgerow_core::{BoxError, Classify, Kind};
use parking_lot::Mutex;
use tower_service::Service;

use super::aboard::{Aboard, Found, Part};
use super::ask::{Sample, SampleRequest, Samples};
use super::asking::Asking;
use super::error::SampleError;
use super::fetch::{Desk, ask, fly, look};
use super::layer::SampleParts;
use crate::coalesce::bump;
use crate::flight::{Flight, Mission};
use crate::key::{KeyPolicy, key_of};
use crate::store::Store;
use crate::tables::Tables;

/// The service that [`SampleCacheLayer`](crate::SampleCacheLayer) makes.
pub struct SampleCache<S, X> {
    core: Arc<Core<S, X>>,
}

struct Core<S, X> {
    spare: Mutex<S>,
    parts: X,
    desks: Tables,
}

/// The response future of [`SampleCache`].
#[must_use = "futures do nothing unless polled"]
pub struct SampleFuture<V>(Pin<Box<dyn Future<Output = Result<Samples<V>, BoxError>> + Send>>);

impl<S, X> SampleCache<S, X> {
    pub(super) fn new(inner: S, parts: X) -> Self {
        Self {
            core: Arc::new(Core {
                spare: Mutex::new(inner),
                parts,
                desks: Tables::default(),
            }),
        }
    }
}

impl<S, Req, St, P, A, J> Service<SampleRequest<Req>> for SampleCache<S, SampleParts<St, P, A, J>>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    Req: Clone + Send + Sync + 'static,
    P: KeyPolicy<Req> + 'static,
    A: Asking<Req, S::Response>,
    J: Classify<S::Response, S::Error> + Send + Sync + 'static,
    St: Store<Key = (P::Key, u32), Value = A::Value> + 'static,
{
    type Response = Samples<A::Value>;
    type Error = BoxError;
    type Future = SampleFuture<A::Value>;

    /// Always ready.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: SampleRequest<Req>) -> Self::Future {
        let core = self.core.clone();
        bump(&core.parts.settings.books.requests);
        core.parts.settings.budget.deposit();
        let key = key_of(&*core.parts.key, &request.request);
        SampleFuture(Box::pin(async move {
            let result = core.run(key, request).await;
            if result.is_err() {
                bump(&core.parts.settings.books.failed);
            }
            result
        }))
    }
}

impl<S, St, P, A, J> Core<S, SampleParts<St, P, A, J>>
where
    S: Clone,
{
    async fn run<Req>(
        self: &Arc<Self>,
        key: Option<P::Key>,
        ask: SampleRequest<Req>,
    ) -> Result<Samples<A::Value>, BoxError>
    where
        S: Service<Req> + Send + 'static,
        S::Response: Send,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        Req: Clone + Send + Sync + 'static,
        P: KeyPolicy<Req> + 'static,
        A: Asking<Req, S::Response>,
        J: Classify<S::Response, S::Error> + Send + Sync + 'static,
        St: Store<Key = (P::Key, u32), Value = A::Value> + 'static,
    {
        let settings = &self.parts.settings;
        if ask.n > settings.most {
            let (asked, most) = (ask.n, settings.most);
            return Err(SampleError::TooMany { asked, most }.into());
        }
        let desk = self.desks.of(Desk::<P::Key, A::Value>::new);
        let claim = key.as_ref().and_then(|key| {
            let place = (ask.namespace.clone(), key.clone());
            desk.cursors.claim(place, ask.n, settings.max_cursors)
        });
        let (Some(claim), Some(key)) = (claim, key) else {
            return self.pass(&ask).await;
        };
        let mut found: Found<A::Value> = look(&self.parts, &key, &claim.slots)
            .await
            .into_iter()
            .map(|(slot, fetched)| (slot, (fetched, false)))
            .collect();
        let mut tried = false;
        loop {
            let missing = claim.slots.iter().filter(|slot| !found.contains_key(slot));
            let missing: Vec<u32> = missing.copied().collect();
            if missing.is_empty() {
                break;
            }
            let mut aboard = self.board(&desk, &key, &ask.request, missing);
            let failed = aboard.land(&mut found).await;
            let Some((error, led)) = failed else {
                continue;
            };
            // Somebody else's call failed: once it is tried by one's own.
            if led || tried || !settings.budget.try_withdraw(Kind::Retry) {
                return Err(error);
            }
            tried = true;
        }
        let samples = claim.slots.iter().filter_map(|slot| {
            let (fetched, duplicated) = found.remove(slot)?;
            let counter = match (fetched.cached, duplicated) {
                (true, _) => &settings.books.cached,
                (false, true) => &settings.books.duplicated,
                (false, false) => &settings.books.paid,
            };
            bump(counter);
            Some(Sample {
                value: fetched.value,
                index: *slot,
                cached: fetched.cached,
                duplicated: duplicated && !fetched.cached,
            })
        });
        let samples = samples.collect();
        claim.given();
        Ok(Samples { samples })
    }

    /// All answers are new, and nothing is kept.
    async fn pass<Req>(&self, asked: &SampleRequest<Req>) -> Result<Samples<A::Value>, BoxError>
    where
        S: Service<Req>,
        S::Error: Into<BoxError>,
        A: Asking<Req, S::Response>,
        J: Classify<S::Response, S::Error>,
    {
        bump(&self.parts.settings.books.passed);
        let mut samples = Vec::new();
        while samples.len() < asked.n as usize {
            let left = asked.n as usize - samples.len();
            let n = left.min(self.parts.asking.per_call() as usize);
            let spare = || self.spare.lock().clone();
            let values = ask(&self.parts, spare, &asked.request, n).await?;
            if values.is_empty() {
                let got = samples.len();
                return Err(SampleError::TooFew {
                    asked: asked.n as usize,
                    got,
                }
                .into());
            }
            for value in values.into_iter().take(left) {
                bump(&self.parts.settings.books.paid);
                samples.push(Sample {
                    value,
                    index: samples.len() as u32,
                    cached: false,
                    duplicated: false,
                });
            }
        }
        Ok(Samples { samples })
    }

    /// Joins the flights that bring what is missing, and departs for the rest.
    fn board<Req>(
        self: &Arc<Self>,
        desk: &Arc<Desk<P::Key, A::Value>>,
        key: &P::Key,
        request: &Req,
        missing: Vec<u32>,
    ) -> Aboard<P::Key, A::Value>
    where
        S: Service<Req> + Send + 'static,
        S::Response: Send,
        S::Error: Into<BoxError> + Send,
        S::Future: Send,
        Req: Clone + Send + Sync + 'static,
        P: KeyPolicy<Req> + 'static,
        A: Asking<Req, S::Response>,
        J: Classify<S::Response, S::Error> + Send + Sync + 'static,
        St: Store<Key = (P::Key, u32), Value = A::Value> + 'static,
    {
        let mut aboard = Aboard {
            desk: desk.clone(),
            key: key.clone(),
            parts: Vec::new(),
        };
        let mut flights = desk.flights.lock();
        let mut alone = Vec::new();
        for slot in missing {
            let flight = flights.get(&(key.clone(), slot));
            match flight.and_then(|flight| aboard.join(flight, slot)) {
                Some(()) => {}
                None => alone.push(slot),
            }
        }
        let group = usize::try_from(self.parts.asking.per_call())
            .unwrap_or(usize::MAX)
            .max(1);
        for slots in alone.chunks(group) {
            let core = self.clone();
            let service = move || core.spare.lock().clone();
            let mission = fly(
                self.parts.clone(),
                service,
                request.clone(),
                key.clone(),
                slots.to_vec(),
            );
            let seat = Flight::depart(Box::pin(mission) as Mission<_>);
            for slot in slots {
                flights.insert((key.clone(), *slot), seat.flight().clone());
            }
            aboard.parts.push(Part {
                seat: Some(seat),
                of_flight: slots.into(),
                wants: slots.to_vec(),
                leads: true,
            });
        }
        drop(flights);
        aboard
    }
}

impl<S, X> Clone for SampleCache<S, X> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
        }
    }
}

impl<V> Future for SampleFuture<V> {
    type Output = Result<Samples<V>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<S, X: fmt::Debug> fmt::Debug for SampleCache<S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampleCache")
            .field("parts", &self.core.parts)
            .finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for SampleFuture<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SampleFuture")
    }
}
