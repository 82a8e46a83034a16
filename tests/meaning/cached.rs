//! Caches and coalescers above the layers that cost: what a hit, a follower and a prefetch take of those.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use hedgerow::admission::Extras;
use hedgerow::cache::Prefetch;
use hedgerow::{
    AdmissionLayer, BoxError, Budget, CacheLayer, CoalesceLayer, Gate, HedgeLayer, HttpKey,
    Idempotent, Kind, MemoryStore, Priority, ReplayBodyLayer, ReplayableBody, RetryLayer, Tenant,
};
use http_body_util::Full;
use hyper::{Method, Request};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::ms;

fn whole(id: &u64) -> Option<u64> {
    Some(*id)
}

/// Answers after a time, and notes in which order requests came.
#[derive(Clone, Default)]
struct Served(Arc<Mutex<Vec<u64>>>);

impl Served {
    fn so_far(&self) -> Vec<u64> {
        self.0.lock().clone()
    }

    fn service(
        &self,
    ) -> impl Service<u64, Response = u64, Error = BoxError, Future: Send> + Clone + Send + use<>
    {
        let served = self.0.clone();
        tower::service_fn(move |id: u64| {
            served.lock().push(id);
            async move {
                sleep(ms(50)).await;
                Ok(id)
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_and_a_follower_take_no_permit_and_no_budget() {
    let served = Served::default();
    let gate = Gate::builder().concurrency(1).build();
    // Each call that comes to them brings them one token, and nobody is granted any.
    let [retries, hedges] = [(); 2].map(|()| {
        let budget = Budget::percent(100.0).depth(100);
        while budget.try_withdraw(Kind::Retry) {}
        budget
    });
    let cache = CacheLayer::new(MemoryStore::<u64, u64>::entries(10)).key(whole);
    let once = CoalesceLayer::new(whole).lead(cache.lead());
    let (hits, flights) = (cache.handle(), once.handle());
    let service = ServiceBuilder::new()
        .layer(cache)
        .layer(once)
        .layer(
            RetryLayer::fixed(ms(10))
                .clone_requests()
                .budget(retries.clone()),
        )
        .layer(
            HedgeLayer::fixed(ms(200))
                .clone_requests()
                .budget(hedges.clone()),
        )
        .layer(AdmissionLayer::new(gate.clone()))
        .service(served.service());
    let of_budgets = || [retries.available(), hedges.available()];

    // One leads, nineteen follow.
    let start = Instant::now();
    let answers = join_all((0..20).map(|_| service.clone().oneshot(7))).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.is_ok_and(|id| id == 7))
    );
    assert!(start.elapsed() <= ms(51), "{:?}", start.elapsed());
    assert_eq!((flights.stats().led, flights.stats().followed), (1, 19));
    let stats = gate.stats();
    assert_eq!((stats.entered, stats.started, stats.finished), (1, 1, 1));
    assert_eq!(of_budgets(), [1, 1]);

    // A hundred hits, while the only place is taken.
    let taken = gate.try_permit().expect("nobody runs");
    let entered = gate.stats().entered;
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(service.clone().oneshot(7).await.expect("a hit"), 7);
    }
    assert!(start.elapsed() <= ms(1), "{:?}", start.elapsed());
    drop(taken);
    assert_eq!(hits.stats().hits, 100);
    assert_eq!(of_budgets(), [1, 1]);
    let granted = |budget: &Budget| budget.granted(Kind::Hedge) + budget.granted(Kind::Retry);
    let drained = (granted(&retries), granted(&hedges));
    assert_eq!(drained, (100, 100), "taken out above, and none since");
    let stats = gate.stats();
    assert_eq!((stats.entered, stats.queued), (entered, 0));
    assert_eq!(served.so_far(), [7]);
}

/// K5: what is asked early waits behind all that somebody waits for.
#[tokio::test(start_paused = true)]
async fn a_prefetch_ranks_lowest_at_admission() {
    for by_cache in [false, true] {
        let served = Served::default();
        let gate = Gate::builder().concurrency(1).build();
        let admission = AdmissionLayer::new(gate.clone()).extras(Extras::With(Priority::Idle));
        let inner = admission.layer(served.service());
        let taken = gate.try_permit().expect("nobody runs");
        let begun = if by_cache {
            let cache = CacheLayer::new(MemoryStore::<u64, u64>::entries(10)).key(whole);
            let service = cache.layer(inner.clone());
            let begun = service.prefetch(1);
            (begun, join_behind(service, &gate, taken).await)
        } else {
            let service = CoalesceLayer::new(whole).layer(inner.clone());
            let begun = service.prefetch(1);
            (begun, join_behind(service, &gate, taken).await)
        };
        assert_eq!(begun.0, Prefetch::Begun);
        assert_eq!(served.so_far(), [2, 3, 1], "by the cache: {by_cache}");
    }
}

/// Two calls come after what waits in the queue already; all are served.
async fn join_behind<S>(service: S, gate: &Gate, taken: hedgerow::admission::Permit)
where
    S: Service<u64, Response = u64> + Clone,
    S::Error: std::fmt::Debug,
{
    sleep(ms(1)).await;
    assert_eq!(gate.stats().queued, 1);
    let calls = join_all([2, 3].map(|id| service.clone().oneshot(id)));
    let opens = async {
        sleep(ms(1)).await;
        assert_eq!(gate.stats().queued, 3);
        drop(taken);
    };
    let (answers, ()) = tokio::join!(calls, opens);
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    sleep(ms(200)).await;
}

#[tokio::test(start_paused = true)]
async fn beneath_kept_bodies_requests_have_their_keys() {
    let calls = Arc::new(Mutex::new(0));
    let counts = calls.clone();
    let key = HttpKey::new(Tenant::everybody("all")).methods([Method::POST]);
    let service = ServiceBuilder::new()
        .layer(ReplayBodyLayer::new())
        .layer(CacheLayer::new(MemoryStore::entries(10)).key(key))
        .service(tower::service_fn(
            move |_: Request<ReplayableBody<Full<Bytes>>>| {
                *counts.lock() += 1;
                std::future::ready(Ok::<_, Infallible>(*counts.lock()))
            },
        ));
    let ask = |body: &'static str| {
        let request = Request::post("http://h.test/").extension(Idempotent);
        let request = request.body(Full::from(body)).expect("valid");
        let service = service.clone();
        async move { service.oneshot(request).await.expect("answered") }
    };
    assert_eq!(ask(r#"{"n":1,"m":2}"#).await, 1);
    assert_eq!(ask(r#"{"m":2,"n":1.0}"#).await, 1);
    assert_eq!(ask(r#"{"m":2,"n":2}"#).await, 2);
    assert_eq!(*calls.lock(), 2);
}
