//! Several answers per key, paid for once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use futures::poll;
use hedgerow_cache::{
    ByteStore, DiskStore, MemoryStore, SampleCacheLayer, SampleError, SampleRequest, Samples,
};
use hedgerow_core::{BoxError, Budget, cause_ref};
use parking_lot::Mutex;
use tempfile::tempdir;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, Reply, down, is_down, ms, ok, secs};

type Store = MemoryStore<(u64, u32), Reply>;

fn whole(id: &u64) -> Option<u64> {
    Some(*id)
}

fn layer() -> SampleCacheLayer<Store, fn(&u64) -> Option<u64>> {
    SampleCacheLayer::new(MemoryStore::entries(1_000)).key(whole as fn(&u64) -> Option<u64>)
}

/// For each sample the number of the backend's call it is from, and whether it was cached.
async fn ask<S>(service: &S, namespace: &str, n: u32) -> Result<Vec<(usize, bool)>, BoxError>
where
    S: Service<SampleRequest<u64>, Response = Samples<Reply>, Error = BoxError> + Clone,
{
    let request = SampleRequest::new(7).n(n).namespace(namespace);
    let samples = service.clone().oneshot(request).await?.samples;
    assert_eq!(samples.len(), n as usize);
    Ok(samples
        .iter()
        .map(|sample| (sample.value.2, sample.cached))
        .collect())
}

/// F1, word by word.
#[tokio::test(start_paused = true)]
async fn a_namespace_sees_no_answer_twice_and_another_one_reuses_them() {
    let backend = Backend::of(&[ok(5)]);
    let store: Store = MemoryStore::entries(1_000);
    let make = || {
        SampleCacheLayer::new(store.clone())
            .key(whole)
            .layer(backend.clone())
    };
    let service = make();
    assert_eq!(
        ask(&service, "A", 2).await.unwrap(),
        [(0, false), (1, false)]
    );
    assert_eq!(ask(&service, "A", 1).await.unwrap(), [(2, false)]);
    assert_eq!(ask(&service, "B", 2).await.unwrap(), [(0, true), (1, true)]);
    assert_eq!(
        ask(&service, "B", 2).await.unwrap(),
        [(2, true), (3, false)]
    );
    // A restart replays from the first.
    let service = make();
    assert_eq!(
        ask(&service, "A", 4).await.unwrap(),
        [(0, true), (1, true), (2, true), (3, true)]
    );
    assert_eq!(backend.sent(), 4);
}

/// F1's restart, on disk and with shuffled completions.
#[tokio::test]
async fn the_order_is_the_same_after_a_restart_however_calls_completed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("samples");
    let calls = Arc::new(AtomicUsize::new(0));
    let open = || DiskStore::open(&path).unwrap().of::<(u64, u32), usize>();
    let backend = {
        let calls = calls.clone();
        tower::service_fn(move |_: u64| {
            let n = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                // The first ones come last.
                for _ in 0..(40 - 4 * n.min(9)) {
                    tokio::task::yield_now().await;
                }
                Ok::<_, std::convert::Infallible>(n)
            }
        })
    };
    let ask = async |namespace: &str, n| {
        let layer = SampleCacheLayer::new(open()).key(whole);
        let service = layer.layer(backend.clone());
        let request = SampleRequest::new(7).n(n).namespace(namespace);
        let samples = service.oneshot(request).await.unwrap();
        samples.values().copied().collect::<Vec<usize>>()
    };
    let first = ask("A", 8).await;
    assert_eq!(first, [0, 1, 2, 3, 4, 5, 6, 7]);
    for namespace in ["A", "B"] {
        assert_eq!(ask(namespace, 8).await, first);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 8);
}

/// F4.
#[tokio::test(start_paused = true)]
async fn only_what_is_missing_is_asked_for() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    // A service that takes the number in its request, as an LLM's API does.
    let backend = tower::service_fn(move |(prompt, n): (u64, u32)| {
        seen.lock().push(n);
        let first = seen.lock().iter().sum::<u32>() - n;
        async move {
            Ok::<_, BoxError>(
                (first..first + n)
                    .map(|at| (prompt, at))
                    .collect::<Vec<_>>(),
            )
        }
    });
    fn number(request: &mut (u64, u32), n: u32) {
        request.1 = n;
    }
    fn split(response: Vec<(u64, u32)>) -> Vec<(u64, u32)> {
        response
    }
    let layer = SampleCacheLayer::new(MemoryStore::entries(100))
        .key(|(prompt, _): &(u64, u32)| Some(*prompt))
        .many(number, split);
    let service = layer.layer(backend);
    let ask = async |namespace: &str, n| {
        let request = SampleRequest::new((7, 0)).n(n).namespace(namespace);
        let samples = service.clone().oneshot(request).await.unwrap();
        (
            samples.values().map(|(_, at)| *at).collect::<Vec<_>>(),
            samples.paid().count(),
        )
    };
    assert_eq!(ask("A", 3).await, (vec![0, 1, 2], 3));
    assert_eq!(ask("B", 5).await, (vec![0, 1, 2, 3, 4], 2));
    assert_eq!(ask("A", 2).await, (vec![3, 4], 0));
    assert_eq!(*asked.lock(), [3, 2]);
}

/// F7, one request after the other, as a pipeline makes them.
#[tokio::test(start_paused = true)]
async fn resumed_after_an_error_only_the_rest_is_paid_for() {
    let backend = Backend::new(|n| if n == 6 { down(5) } else { ok(5) });
    let layer = layer();
    let run = async || {
        // Each run is a new process.
        let service = layer.layer(backend.clone());
        let mut cached = 0;
        for item in 0..10 {
            let samples = service.clone().oneshot(SampleRequest::new(item)).await?;
            cached += samples
                .samples
                .iter()
                .filter(|sample| sample.cached)
                .count();
        }
        Ok::<usize, BoxError>(cached)
    };
    assert!(is_down(&run().await.unwrap_err()));
    assert_eq!(backend.sent(), 7);
    assert_eq!(run().await.unwrap(), 6);
    assert_eq!(backend.sent(), 7 + 4);
}

/// F7, ten at once: what the nine others brought is not paid for again, and the namespace gets all ten.
#[tokio::test(start_paused = true)]
async fn of_ten_at_once_only_the_one_that_failed_is_asked_for_again() {
    let backend = Backend::new(|n| if n == 6 { down(1) } else { ok(50) });
    let service = layer().layer(backend.clone());
    assert!(is_down(&ask(&service, "A", 10).await.unwrap_err()));
    assert_eq!((backend.sent(), backend.alive()), (10, 0));
    let again = ask(&service, "A", 10).await.unwrap();
    assert_eq!(again.iter().filter(|(_, cached)| *cached).count(), 9);
    assert_eq!(again[6], (10, false));
    assert_eq!(backend.sent(), 11);
}

#[tokio::test(start_paused = true)]
async fn two_namespaces_at_the_same_time_share_the_calls_and_one_pays() {
    let backend = Backend::of(&[ok(50)]);
    let layer = layer();
    let service = layer.layer(backend.clone());
    let call = |namespace: &str| {
        service
            .clone()
            .oneshot(SampleRequest::new(7).n(3).namespace(namespace))
    };
    let (one, other) = tokio::join!(call("A"), call("B"));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(
        one.values().collect::<Vec<_>>(),
        other.values().collect::<Vec<_>>()
    );
    assert_eq!((one.paid().count(), other.paid().count()), (3, 0));
    assert!(
        other
            .samples
            .iter()
            .all(|sample| sample.duplicated && !sample.cached)
    );
    assert_eq!(backend.sent(), 3);
    let stats = layer.handle().stats();
    assert_eq!((stats.paid, stats.duplicated, stats.calls), (3, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_leaves_the_call_to_the_other_and_has_seen_nothing() {
    let backend = Backend::of(&[ok(50)]);
    let service = layer().layer(backend.clone());
    let mut left = Box::pin(ask(&service, "A", 2));
    let mut stays = Box::pin(ask(&service, "B", 2));
    assert!(poll!(&mut left).is_pending() && poll!(&mut stays).is_pending());
    drop(left);
    assert_eq!(stays.await.unwrap(), [(0, false), (1, false)]);
    assert_eq!(ask(&service, "A", 2).await.unwrap(), [(0, true), (1, true)]);
    assert_eq!(backend.sent(), 2);
    // The last one drops the calls.
    assert!(timeout(ms(10), ask(&service, "A", 5)).await.is_err());
    assert_eq!((backend.sent(), backend.alive()), (7, 0));
    let next = ask(&service, "A", 1).await.unwrap();
    assert_eq!(next, [(7, false)]);
}

#[tokio::test(start_paused = true)]
async fn when_the_call_of_another_fails_a_follower_tries_once_within_the_budget() {
    let backend = Backend::of(&[down(50), ok(50)]);
    let service = layer().layer(backend.clone());
    let (one, other) = tokio::join!(ask(&service, "A", 1), ask(&service, "B", 1));
    assert!(is_down(&one.unwrap_err()));
    assert_eq!(other.unwrap(), [(1, false)]);

    let backend = Backend::of(&[down(50), ok(50)]);
    let service = layer()
        .budget(Budget::percent(0.0).depth(0))
        .layer(backend.clone());
    let (one, other) = tokio::join!(ask(&service, "A", 1), ask(&service, "B", 1));
    assert!(is_down(&one.unwrap_err()) && is_down(&other.unwrap_err()));
    assert_eq!(backend.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_of_one_namespace_get_a_hundred_answers() {
    let backend = Backend::of(&[ok(50)]);
    let service = layer().layer(backend.clone());
    let calls = join_all((0..100).map(|_| ask(&service, "A", 1))).await;
    let mut of: Vec<usize> = calls.into_iter().map(|call| call.unwrap()[0].0).collect();
    of.sort_unstable();
    assert_eq!(of, (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn too_few_too_many_and_none() {
    let backend = tower::service_fn(async |_: u64| Ok::<_, BoxError>(vec![1_u8]));
    fn ignore(_: &mut u64, _: u32) {}
    fn split(values: Vec<u8>) -> Vec<u8> {
        values
    }
    let layer = SampleCacheLayer::new(MemoryStore::entries(100))
        .key(whole)
        .many(ignore, split)
        .at_most(8);
    let service = layer.layer(backend);
    let call = |n| service.clone().oneshot(SampleRequest::new(7).n(n));
    let error = call(3).await.unwrap_err();
    assert_eq!(
        cause_ref(&*error),
        Some(&SampleError::TooFew { asked: 3, got: 1 })
    );
    // The one that came is kept.
    assert!(call(1).await.unwrap().samples[0].cached);
    let error = call(9).await.unwrap_err();
    assert_eq!(
        cause_ref(&*error),
        Some(&SampleError::TooMany { asked: 9, most: 8 })
    );
    assert_eq!(call(0).await.unwrap().samples.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_key_or_a_cursor_all_answers_are_new_and_nothing_is_kept() {
    let backend = Backend::of(&[ok(5)]);
    let layer = layer().max_cursors(1);
    let service = layer.layer(backend.clone());
    assert_eq!(ask(&service, "A", 1).await.unwrap(), [(0, false)]);
    assert_eq!(
        ask(&service, "B", 2).await.unwrap(),
        [(1, false), (2, false)]
    );
    assert_eq!(ask(&service, "B", 1).await.unwrap(), [(3, false)]);
    assert_eq!(layer.handle().stats().passed, 2);
    let nameless = SampleCacheLayer::new(MemoryStore::<(u64, u32), Reply>::entries(10))
        .key(|_: &u64| None::<u64>)
        .layer(backend);
    assert_eq!(
        ask(&nameless, "A", 2).await.unwrap(),
        [(4, false), (5, false)]
    );
}

#[tokio::test(start_paused = true)]
async fn answers_live_as_long_as_they_are_to() {
    let backend = Backend::of(&[ok(5)]);
    let layer = layer().ttl(secs(60));
    let service = layer.layer(backend.clone());
    assert_eq!(ask(&service, "A", 1).await.unwrap(), [(0, false)]);
    sleep(secs(59)).await;
    assert_eq!(ask(&service, "B", 1).await.unwrap(), [(0, true)]);
    sleep(secs(2)).await;
    assert_eq!(ask(&service, "C", 1).await.unwrap(), [(1, false)]);
}
