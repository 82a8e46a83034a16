//! An answer per key: fresh, stale, negative, refused, and when the store fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use hedgerow_cache::{
    ByteStore, CacheEvent, CacheLayer, CacheStatus, Clock, CoalesceLayer, DiskStore, Entry, Got,
    Lifetime, MemoryStore, Stamp, Store, StoreDeed, StoreError, StoreStats,
};
use hedgerow_core::testing::{Ping, Pong, contract};
use hedgerow_core::{Answer, BoxError, Class};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, Down, NEVER, Reply, down, ms, ok, secs};

type Replies = MemoryStore<u64, Reply>;

fn whole(id: &u64) -> Option<u64> {
    Some(*id)
}

fn layer() -> CacheLayer<Replies, fn(&u64) -> Option<u64>> {
    CacheLayer::new(MemoryStore::entries(100))
        .key(whole as fn(&u64) -> Option<u64>)
        .ttl(secs(10))
}

/// The number of the backend's call that an answer is from.
async fn ask<S>(service: &S, id: u64) -> Result<usize, Down>
where
    S: Service<u64, Response = Reply, Error = Down> + Clone,
{
    service.clone().oneshot(id).await.map(|(_, of, call)| {
        assert_eq!(of, id);
        call
    })
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_contract() {
    let store = || MemoryStore::<u64, Pong>::entries(100);
    contract(|inner| {
        CacheLayer::new(store())
            .key(|ping: &Ping| Some(ping.id))
            .layer(inner)
    })
    .await;
    contract(|inner| CacheLayer::new(store()).key(|_: &Ping| None).layer(inner)).await;
    contract(|inner| {
        CacheLayer::new(store())
            .key(|ping: &Ping| Some(ping.id))
            .stale_while_revalidate(secs(1))
            .stale_if_error(secs(1))
            .on_event(|_: &CacheEvent| panic!("on purpose"))
            .layer(inner)
    })
    .await;
    contract(|inner| {
        let cache = CacheLayer::new(store()).key(|ping: &Ping| Some(ping.id));
        let once = CoalesceLayer::new(|ping: &Ping| Some(ping.id)).lead(cache.lead());
        let coalesced = once.layer(inner).map_err(BoxError::from);
        cache.layer(coalesced)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_until_its_time_is_over() {
    let backend = Backend::of(&[ok(5)]);
    let layer = layer();
    let service = layer.layer(backend.clone());
    assert_eq!(ask(&service, 7).await, Ok(0));
    sleep(ms(9_990)).await;
    assert_eq!(ask(&service, 7).await, Ok(0));
    assert_eq!(ask(&service, 8).await, Ok(1));
    sleep(ms(11)).await;
    assert_eq!(ask(&service, 7).await, Ok(2));
    let stats = layer.handle().stats();
    assert_eq!((stats.hits, stats.misses, stats.stored), (1, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_hit_takes_no_permit_and_waits_for_no_readiness() {
    let backend = Backend::of(&[ok(5), NEVER]);
    let service = layer().layer(ConcurrencyLimit::new(backend.clone(), 1));
    assert_eq!(ask(&service, 7).await, Ok(0));
    // Another call has the only permit, for ever.
    let mut stuck = Box::pin(service.clone().oneshot(8));
    assert!(futures::poll!(&mut stuck).is_pending());
    let hit = timeout(ms(1), ask(&service, 7)).await;
    assert_eq!(hit, Ok(Ok(0)));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_at_once_and_refreshed_once_behind_the_caller() {
    let backend = Backend::of(&[ok(50)]);
    let layer = layer().stale_while_revalidate(secs(5));
    let service = layer.layer(backend.clone());
    assert_eq!(ask(&service, 7).await, Ok(0));
    sleep(secs(12)).await;
    for _ in 0..10 {
        let at_once = timeout(ms(1), ask(&service, 7)).await;
        assert_eq!(at_once, Ok(Ok(0)));
    }
    sleep(ms(60)).await;
    assert_eq!(ask(&service, 7).await, Ok(1));
    assert_eq!(backend.sent(), 2);
    let stats = layer.handle().stats();
    assert_eq!((stats.stale, stats.refreshed, stats.running), (10, 1, 0));
    // Beyond the time for that the caller waits.
    sleep(secs(16)).await;
    assert_eq!(ask(&service, 7).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_the_stale_answer() {
    let backend = Backend::of(&[ok(5), down(5), ok(5)]);
    let service = layer()
        .stale_while_revalidate(secs(50))
        .layer(backend.clone());
    assert_eq!(ask(&service, 7).await, Ok(0));
    sleep(secs(11)).await;
    assert_eq!(ask(&service, 7).await, Ok(0));
    sleep(ms(20)).await;
    assert_eq!(ask(&service, 7).await, Ok(0));
    sleep(ms(20)).await;
    assert_eq!(ask(&service, 7).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn refreshes_are_bounded_in_number_and_time_and_go_with_the_layer() {
    let backend = Backend::new(|n| if n < 5 { ok(0) } else { NEVER });
    let layer = layer()
        .stale_while_revalidate(secs(500))
        .refreshes(2, secs(3));
    let service = layer.layer(backend.clone());
    for id in 0..5 {
        assert!(ask(&service, id).await.is_ok());
    }
    sleep(secs(11)).await;
    for id in 0..5 {
        assert!(ask(&service, id).await.is_ok());
    }
    tokio::task::yield_now().await;
    assert_eq!((backend.alive(), layer.handle().stats().running), (2, 2));
    assert_eq!(layer.handle().stats().not_refreshed, 3);
    sleep(ms(3_010)).await;
    assert_eq!((backend.alive(), layer.handle().stats().running), (0, 0));
    assert!(ask(&service, 0).await.is_ok());
    tokio::task::yield_now().await;
    assert_eq!(backend.alive(), 1);
    drop((service, layer));
    sleep(ms(1)).await;
    assert_eq!(backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_stands_in_when_the_service_fails() {
    let backend = Backend::of(&[ok(5), down(5), down(5), down(5)]);
    let layer = layer().stale_if_error(secs(60));
    let service = layer.layer(backend.clone());
    assert_eq!(ask(&service, 7).await, Ok(0));
    sleep(secs(11)).await;
    assert_eq!(ask(&service, 7).await, Ok(0));
    assert_eq!(backend.sent(), 2);
    assert_eq!(layer.handle().stats().stale_on_error, 1);
    // Another key has none, and beyond its time there is none.
    assert_eq!(ask(&service, 8).await, Err(Down(503)));
    sleep(secs(60)).await;
    assert_eq!(ask(&service, 7).await, Err(Down(503)));
}

/// F8.
#[tokio::test(start_paused = true)]
async fn an_error_is_never_stored_as_an_answer() {
    let backend = Backend::of(&[down(5), down(5), ok(5)]);
    let service = layer().layer(backend.clone());
    assert_eq!(ask(&service, 7).await, Err(Down(503)));
    assert_eq!(ask(&service, 7).await, Err(Down(503)));
    assert_eq!(ask(&service, 7).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_judge_refuses_is_given_and_not_stored() {
    fn judge(result: &Result<Reply, Down>) -> Class {
        match result {
            Ok((_, _, 0 | 1)) | Err(_) => Class::RETRYABLE,
            Ok(_) => Class::Success,
        }
    }
    let backend = Backend::of(&[ok(5)]);
    let layer = layer().accept(judge);
    let service = layer.layer(backend.clone());
    for call in [0, 1, 2, 2] {
        assert_eq!(ask(&service, 7).await, Ok(call));
    }
    assert_eq!(layer.handle().stats().not_stored, 2);
}

#[tokio::test(start_paused = true)]
async fn negative_answers_are_kept_only_on_request() {
    fn negative(_: &Reply) -> Lifetime {
        Lifetime::Negative
    }
    let backend = Backend::of(&[ok(5)]);
    let service = layer().lives(negative).layer(backend.clone());
    assert_eq!(
        (ask(&service, 7).await, ask(&service, 7).await),
        (Ok(0), Ok(1))
    );

    let service = layer()
        .lives(negative)
        .negative(secs(2))
        .layer(backend.clone());
    assert_eq!(
        (ask(&service, 7).await, ask(&service, 7).await),
        (Ok(2), Ok(2))
    );
    sleep(ms(2_001)).await;
    assert_eq!(ask(&service, 7).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_say_how_long_it_lives() {
    fn lives(reply: &Reply) -> Lifetime {
        match reply.1 {
            0 => Lifetime::Never,
            9 => panic!("on purpose"),
            id => Lifetime::For(secs(id)),
        }
    }
    let backend = Backend::of(&[ok(0)]);
    let service = layer().lives(lives).layer(backend.clone());
    for id in [0, 0, 9, 9, 2, 2, 4, 4] {
        assert!(ask(&service, id).await.is_ok());
    }
    assert_eq!(backend.requests(), [0, 0, 9, 9, 2, 4]);
    sleep(secs(3)).await;
    for id in [2, 4] {
        assert!(ask(&service, id).await.is_ok());
    }
    assert_eq!(backend.requests()[6..], [2]);
}

/// The line: 16 callers missing one key make one backend call.
#[tokio::test(start_paused = true)]
async fn sixteen_callers_that_miss_one_key_make_one_call() {
    let backend = Backend::of(&[ok(50)]);
    let cache = CacheLayer::new(MemoryStore::entries(100)).key(whole);
    let once = CoalesceLayer::new(whole).lead(cache.lead());
    let service = cache.layer(once.layer(backend.clone()));
    let answers = join_all((0..16).map(|_| service.clone().oneshot(7))).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap() == ("answer", 7, 0))
    );
    assert_eq!(service.oneshot(7).await.unwrap().2, 0);
    assert_eq!(backend.sent(), 1);
}

/// A store that writes behind the caller: who missed it before, and comes to the coalescer after the flight has
/// landed, finds what waits to be written.
#[tokio::test]
async fn with_a_disk_alone_each_key_is_paid_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskStore::open(folder.path().join("answers")).unwrap();
    let calls = Arc::new(Mutex::new(0));
    let counts = calls.clone();
    let backend = tower::service_fn(move |id: u64| {
        *counts.lock() += 1;
        async move { Ok::<_, Down>(id) }
    });
    let cache = CacheLayer::new(disk.clone().of::<u64, u64>()).key(whole);
    let once = CoalesceLayer::new(whole).lead(cache.lead());
    let service = cache.layer(once.layer(backend));
    for id in 0..50 {
        // The store is asked when the call is made.
        let late = service.clone().call(id);
        // Both readers have had their turn: it has missed.
        for _ in 0..4 {
            disk.get(
                &hedgerow_cache::DigestBuilder::new("other").finish(),
                Stamp::default(),
            )
            .wait()
            .await
            .unwrap();
        }
        assert_eq!(service.clone().oneshot(id).await.unwrap(), id);
        assert_eq!(late.await.unwrap(), id);
    }
    assert_eq!(*calls.lock(), 50);
}

/// Also those that missed the store before the answer was in it, and come to the coalescer after it landed.
#[test]
fn on_many_threads_each_key_is_paid_for_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let calls = Arc::new(Mutex::new(vec![0_u32; 400]));
    let counts = calls.clone();
    let backend = tower::service_fn(move |id: u64| {
        counts.lock()[id as usize] += 1;
        async move { Ok::<_, Down>(id) }
    });
    let cache = CacheLayer::new(MemoryStore::entries(10_000)).key(whole);
    let once = CoalesceLayer::new(whole).lead(cache.lead());
    let service = cache.layer(once.layer(backend));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let service = service.clone();
            tasks.spawn(async move {
                for id in 0..400 {
                    assert_eq!(service.clone().oneshot(id).await.unwrap(), id);
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
    assert!(calls.lock().iter().all(|calls| *calls == 1));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_drops_the_service_and_stores_nothing() {
    let backend = Backend::of(&[ok(500), ok(5)]);
    let layer = layer();
    let service = layer.layer(backend.clone());
    assert!(timeout(ms(100), ask(&service, 7)).await.is_err());
    assert_eq!((backend.alive(), layer.handle().stats().cancelled), (0, 1));
    assert_eq!(ask(&service, 7).await, Ok(1));
}

/// A store that fails when it is told to, answers later when it is told to, and has no room when it is told to.
#[derive(Clone)]
struct Moody {
    inner: Replies,
    fails: Arc<AtomicBool>,
    later: bool,
    full: bool,
}

impl Moody {
    fn new(later: bool, full: bool) -> Self {
        Self {
            inner: MemoryStore::entries(100),
            fails: Arc::default(),
            later,
            full,
        }
    }

    fn say<T: Send + 'static>(
        &self,
        said: Answer<Result<T, StoreError>>,
    ) -> Answer<Result<T, StoreError>> {
        let fails = self.fails.load(Ordering::Relaxed);
        let Answer::Now(said) = said else {
            unreachable!("memory answers at once");
        };
        let said = if fails {
            Err(StoreError::Failed("down".into()))
        } else {
            said
        };
        if !self.later {
            return Answer::Now(said);
        }
        Answer::Later(Box::pin(async move {
            sleep(ms(3)).await;
            said
        }))
    }
}

impl Store for Moody {
    type Key = u64;
    type Value = Reply;

    fn get(&self, key: &u64, now: Stamp) -> Answer<Got<Reply>> {
        self.say(self.inner.get(key, now))
    }

    fn put(&self, key: u64, entry: Entry<Reply>) -> Answer<Result<(), StoreError>> {
        self.say(self.inner.put(key, entry))
    }

    fn offer(&self, key: u64, entry: Entry<Reply>) -> Result<(), StoreError> {
        if self.full {
            return Err(StoreError::Full { waiting: 9 });
        }
        match self.put(key, entry) {
            Answer::Now(put) => put,
            Answer::Later(_) => Ok(()),
        }
    }

    fn remove(&self, key: &u64) -> Answer<Result<(), StoreError>> {
        self.say(self.inner.remove(key))
    }

    fn stats(&self) -> StoreStats {
        self.inner.stats()
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_never_fails_a_call() {
    for later in [false, true] {
        let backend = Backend::of(&[ok(5)]);
        let store = Moody::new(later, false);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let events = seen.clone();
        let layer = CacheLayer::new(store.clone())
            .key(whole)
            .on_event(move |event: &CacheEvent| events.lock().push(*event));
        let service = layer.layer(backend.clone());
        assert_eq!(ask(&service, 7).await, Ok(0));
        assert_eq!(ask(&service, 7).await, Ok(0));
        store.fails.store(true, Ordering::Relaxed);
        assert_eq!(ask(&service, 7).await, Ok(1));
        let told = seen.lock().clone();
        assert!(told.contains(&CacheEvent::StoreFailed(StoreDeed::Get)));
        assert_eq!(
            told.last()
                .map(|event| matches!(event, CacheEvent::StoreFailed(StoreDeed::Put))),
            Some(!later)
        );
        assert_eq!(
            layer.handle().stats().store_failures,
            if later { 1 } else { 2 }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_stores_queue_has_no_room_for_is_lost_and_counted() {
    let backend = Backend::of(&[ok(5)]);
    let layer = CacheLayer::new(Moody::new(true, true)).key(whole);
    let service = layer.layer(backend.clone());
    assert_eq!(
        (ask(&service, 7).await, ask(&service, 7).await),
        (Ok(0), Ok(1))
    );
    assert_eq!(
        (layer.handle().stats().lost, layer.handle().stats().stored),
        (2, 0)
    );
}

/// A store with more questions than it keeps up with, and one whose code panics.
#[derive(Clone, Copy)]
enum Bad {
    Flooded,
    Panics,
}

impl Store for Bad {
    type Key = u64;
    type Value = Reply;

    fn get(&self, _: &u64, _: Stamp) -> Answer<Got<Reply>> {
        Answer::Now(match self {
            Self::Flooded => Err(StoreError::Full { waiting: 9 }),
            Self::Panics => Ok(None),
        })
    }

    fn put(&self, _: u64, _: Entry<Reply>) -> Answer<Result<(), StoreError>> {
        match self {
            Self::Flooded => Answer::Now(Ok(())),
            Self::Panics => panic!("on purpose"),
        }
    }

    fn remove(&self, _: &u64) -> Answer<Result<(), StoreError>> {
        Answer::Now(Ok(()))
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_a_store_has_no_room_for_is_its_failure_and_no_answer_lost() {
    let layer = CacheLayer::new(Bad::Flooded).key(whole);
    assert_eq!(ask(&layer.layer(Backend::of(&[ok(5)])), 7).await, Ok(0));
    let stats = layer.handle().stats();
    assert_eq!((stats.store_failures, stats.lost, stats.stored), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_takes_no_answer_from_its_caller() {
    let layer = CacheLayer::new(Bad::Panics).key(whole);
    assert_eq!(ask(&layer.layer(Backend::of(&[ok(5)])), 7).await, Ok(0));
    let stats = layer.handle().stats();
    assert_eq!((stats.store_failures, stats.stored), (1, 0));
}

/// A clock that was set back by a year, while what was stored before is still on disk.
#[tokio::test(start_paused = true)]
async fn an_answer_from_the_future_is_not_fresh_until_then() {
    let now = Clock::new().now();
    let year = secs(365 * 24 * 3_600);
    let store = MemoryStore::<u64, Reply>::entries(100);
    let stored = now.after(year);
    let entry = Entry {
        value: ("old", 7, 99),
        stored,
        fresh_until: stored.after(secs(60)),
        keep_until: stored.after(secs(60)),
    };
    store.put(7, entry).wait().await.unwrap();
    let backend = Backend::of(&[ok(5)]);
    let layer = CacheLayer::new(store.clone()).key(whole).ttl(secs(60));
    let coalesced = CoalesceLayer::new(whole).lead(layer.lead());
    assert_eq!(ask(&layer.layer(backend.clone()), 7).await, Ok(0));
    assert_eq!(ask(&layer.layer(backend.clone()), 7).await, Ok(0));
    store.put(7, entry).wait().await.unwrap();
    let answer = coalesced.layer(backend.clone()).oneshot(7).await.unwrap();
    assert_eq!(answer.2, 1);
    // Clocks of several hosts differ by a little.
    let near = Entry {
        value: ("old", 8, 99),
        stored: now.after(secs(5)),
        fresh_until: now.after(secs(65)),
        ..entry
    };
    store.put(8, near).wait().await.unwrap();
    assert_eq!(ask(&layer.layer(backend), 8).await, Ok(99));
}

#[tokio::test(start_paused = true)]
async fn each_call_ends_in_one_terminal_event() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = seen.clone();
    let backend = Backend::of(&[ok(5), ok(5), down(5), NEVER]);
    let key = |id: &u64| (*id < 100).then_some(*id);
    let service = CacheLayer::new(MemoryStore::<u64, Reply>::entries(100))
        .key(key)
        .on_event(move |event: &CacheEvent| events.lock().push(*event))
        .layer(backend);
    assert!(ask(&service, 1).await.is_ok());
    assert!(ask(&service, 1).await.is_ok());
    assert!(ask(&service, 100).await.is_ok());
    assert!(ask(&service, 2).await.is_err());
    assert!(timeout(ms(5), ask(&service, 3)).await.is_err());
    let ends: Vec<_> = seen
        .lock()
        .iter()
        .filter(|event| event.is_terminal())
        .copied()
        .collect();
    assert_eq!(ends.len(), 5);
    assert_eq!(ends[0], CacheEvent::Answered(CacheStatus::Miss));
    assert!(matches!(
        ends[1],
        CacheEvent::Answered(CacheStatus::Hit { .. })
    ));
    assert_eq!(ends[2], CacheEvent::Answered(CacheStatus::Bypass));
    assert_eq!(ends[3], CacheEvent::Failed(CacheStatus::Miss));
    assert_eq!(ends[4], CacheEvent::Cancelled);
}
