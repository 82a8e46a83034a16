//! Around other services and inside other layers: it compiles without a turbofish, and it hedges.

use std::convert::Infallible;

use hedgerow_core::{Attempt, BoxError};
use hedgerow_hedge::HedgeLayer;
use tokio::time::sleep;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder};

use crate::support::{Backend, call, ms};

async fn hedges<S>(service: S, backend: &Backend)
where
    S: Service<u64, Response = &'static str>,
    S::Error: std::fmt::Debug,
{
    let (result, took) = call(service).await;
    assert_eq!(result.expect("an answer"), "hedge");
    assert!(took < ms(100), "{took:?}");
    assert_eq!(backend.sent(), 2);
    assert_eq!(backend.alive(), 0);
}

fn slow_once() -> Backend {
    Backend::taking(&[1_000, 5])
}

#[tokio::test(start_paused = true)]
async fn around_a_service_fn() {
    let client = tower::service_fn(async |_: u64| {
        sleep(ms(if Attempt::current().is_extra() {
            5
        } else {
            1_000
        }))
        .await;
        Ok::<_, Infallible>("done")
    });
    let service = ServiceBuilder::new()
        .layer(HedgeLayer::fixed(ms(20)).clone_requests())
        .service(client);
    let (result, took) = call(service).await;
    assert_eq!(result, Ok("done"));
    assert!(took < ms(30), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn around_a_boxed_service() {
    let backend = slow_once();
    let boxed = BoxCloneSyncService::new(backend.clone());
    hedges(
        HedgeLayer::fixed(ms(20)).clone_requests().layer(boxed),
        &backend,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn inside_a_boxed_service() {
    let backend = slow_once();
    let hedged = HedgeLayer::fixed(ms(20))
        .clone_requests()
        .layer(backend.clone());
    hedges(BoxCloneSyncService::new(hedged), &backend).await;
}

#[tokio::test(start_paused = true)]
async fn above_and_below_a_timeout() {
    let backend = slow_once();
    let service = ServiceBuilder::new()
        .timeout(ms(5_000))
        .layer(HedgeLayer::fixed(ms(20)).clone_requests())
        .timeout(ms(2_000))
        .map_err(BoxError::from)
        .service(backend.clone());
    hedges(service, &backend).await;
}

#[tokio::test(start_paused = true)]
async fn above_and_below_a_concurrency_limit() {
    let backend = slow_once();
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .layer(HedgeLayer::fixed(ms(20)).clone_requests())
        .concurrency_limit(2)
        .service(backend.clone());
    hedges(service, &backend).await;
}

#[tokio::test(start_paused = true)]
async fn above_and_below_a_buffer() {
    let backend = Backend::new(|_| (ms(30), Ok("answer")));
    let service = ServiceBuilder::new()
        .buffer(8)
        .layer(HedgeLayer::fixed(ms(20)).clone_requests())
        .buffer(8)
        .map_err(BoxError::from)
        .service(backend.clone());
    let (result, _) = call(service).await;
    assert_eq!(result.expect("an answer"), "answer");
    assert_eq!(backend.sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn nested_in_itself() {
    let backend = Backend::taking(&[1_000]);
    let service = ServiceBuilder::new()
        .layer(HedgeLayer::fixed(ms(50)).clone_requests())
        .layer(HedgeLayer::fixed(ms(20)).clone_requests())
        .service(backend.clone());
    call(service).await.0.expect("an answer");
    assert_eq!(backend.sent(), 4);
    assert_eq!(backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_every_setting_that_takes_a_plain_fn() {
    fn add_one(n: &mut u64, attempt: Attempt) {
        *n += u64::from(attempt.index());
    }
    fn copy(n: &mut u64) -> Option<u64> {
        Some(*n)
    }
    fn told(_: &hedgerow_hedge::HedgeEvent) {}
    let backend = slow_once();
    let service = ServiceBuilder::new()
        .layer(
            HedgeLayer::fixed(ms(20))
                .replay_with(copy)
                .edit(add_one)
                .on_event(told),
        )
        .service(backend.clone());
    hedges(service, &backend).await;
}

#[test]
fn it_is_what_the_inner_service_is() {
    fn whole<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sendable<T: Send + 'static>(_: &T) {}
    let client = tower::service_fn(async |n: u64| Ok::<_, Infallible>(n));
    whole(&HedgeLayer::percentile(95).clone_requests().layer(client));
    whole(&HedgeLayer::percentile(95));
    whole(&HedgeLayer::percentile(95).handle());
    let backend = Backend::taking(&[1]);
    let mut service = HedgeLayer::fixed(ms(1)).clone_requests().layer(backend);
    sendable(&service.call(1));
}

/// A service and a request that cannot leave their thread.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_send_is_hedged_too() {
    use std::rc::Rc;
    let count = Rc::new(std::cell::Cell::new(0));
    let seen = count.clone();
    let client = tower::service_fn(move |_: Rc<u64>| {
        seen.set(seen.get() + 1);
        let slow = !Attempt::current().is_extra();
        async move {
            sleep(ms(if slow { 1_000 } else { 5 })).await;
            Ok::<_, Rc<()>>(())
        }
    });
    let service = HedgeLayer::fixed(ms(20)).clone_requests().layer(client);
    tower::ServiceExt::oneshot(service, Rc::new(1))
        .await
        .expect("an answer");
    assert_eq!(count.get(), 2);
}
