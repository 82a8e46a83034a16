//! The layers over services.

use std::convert::Infallible;
use std::time::Duration;

use futures::future::join_all;
use hedgerow_admission::{
    AdmissionLayer, Ask, Extras, Gate, Overloaded, Priority, Rate, ReadyAdmissionLayer, ShedReason,
};
use hedgerow_core::{Attempt, BoxError, Deadline, cause_ref};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::support::{Log, ms, settle};

fn slow(
    log: &Log<u64>,
) -> impl Service<u64, Response = u64, Error = Infallible, Future: Send> + Clone + use<> {
    let log = log.clone();
    tower::service_fn(move |n: u64| {
        log.add(n);
        async move {
            sleep(ms(10)).await;
            Ok::<_, Infallible>(n)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn requests_wait_in_their_future_and_hold_nothing_below() {
    // Two places below, one gate above that admits one: who waits above must not hold a place below.
    let log = Log::new();
    let below = ServiceBuilder::new()
        .concurrency_limit(2)
        .service(slow(&log));
    let mut service = AdmissionLayer::concurrency(1).layer(below.clone());
    let calls: Vec<_> = {
        let mut calls = Vec::new();
        for n in 0..4 {
            calls.push(tokio::spawn(service.ready().await.expect("always").call(n)));
        }
        calls
    };
    settle().await;
    assert_eq!(log.all(), [0]);
    // The other place below is free for somebody else.
    timeout(ms(11), below.clone().oneshot(99))
        .await
        .expect("not held")
        .expect("it answers");
    for call in calls {
        call.await.expect("no panic").expect("admitted");
    }
    assert_eq!(log.all(), [0, 99, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polls_holds_up_nobody() {
    let log = Log::new();
    let layer = AdmissionLayer::concurrency(1);
    let mut service = layer.layer(slow(&log));
    let first = service.ready().await.expect("always").call(0);
    let forgotten = service.ready().await.expect("always").call(1);
    let third = service.ready().await.expect("always").call(2);
    let both = timeout(ms(21), async { (first.await, third.await) }).await;
    let both = both.expect("nobody waits for the one that is not polled");
    assert_eq!((both.0.expect("free"), both.1.expect("its turn")), (0, 2));
    // It joins when it is polled, as if it came then.
    assert_eq!(layer.handle().stats().entered, 2);
    assert_eq!(forgotten.await.expect("free"), 1);
    assert_eq!(layer.handle().stats().entered, 3);
    assert_eq!(log.all(), [0, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_from_above_ends_the_wait() {
    let log = Log::new();
    let layer = AdmissionLayer::concurrency(1);
    let mut service = layer.layer(slow(&log));
    let _first = service.ready().await.expect("always").call(0);
    let deadline = Deadline::at((Instant::now() + ms(4)).into_std());
    let began = Instant::now();
    let second = {
        let service = service.ready().await.expect("always");
        deadline.scope(|| service.call(1))
    };
    let error = second.await.expect_err("the place is taken");
    let overloaded = cause_ref::<Overloaded>(&*error).expect("its own error");
    assert_eq!(overloaded.reason(), ShedReason::DeadlinePassed);
    assert_eq!(began.elapsed(), ms(4));
}

#[tokio::test(start_paused = true)]
async fn what_panics_while_it_reads_a_request_refuses_it_and_leaks_nothing() {
    let log = Log::new();
    let layer = AdmissionLayer::concurrency(1)
        .key(|n: &u64| -> u64 {
            if *n == 7 { panic!("on purpose") } else { *n }
        })
        .settle(|_: &u64| -> Option<u64> { panic!("on purpose") });
    let gate = layer.handle();
    let mut service = layer.layer(slow(&log));
    let error = service
        .ready()
        .await
        .expect("always")
        .call(7)
        .await
        .expect_err("refused");
    let overloaded = cause_ref::<Overloaded>(&*error).expect("its own error");
    assert_eq!(overloaded.reason(), ShedReason::AskPanicked);
    for n in 0..3 {
        service
            .ready()
            .await
            .expect("always")
            .call(n)
            .await
            .expect("admitted");
    }
    let stats = gate.stats();
    assert_eq!((stats.active, stats.started, stats.finished), (0, 3, 3));
    assert_eq!(stats.shed_for(ShedReason::AskPanicked), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_gives_its_place_back() {
    let layer = AdmissionLayer::concurrency(1);
    let gate = layer.handle();
    let mut service = layer.layer(tower::service_fn(
        async |n: u64| -> Result<u64, Infallible> {
            assert!(n != 1, "on purpose");
            Ok(n)
        },
    ));
    let call = service.ready().await.expect("always").call(1);
    tokio::spawn(call).await.expect_err("it panics");
    assert_eq!(gate.stats().active, 0);
    service
        .ready()
        .await
        .expect("always")
        .call(2)
        .await
        .expect("the place is free");
}

#[tokio::test(start_paused = true)]
async fn extra_copies_can_be_second_class() {
    let log = Log::new();
    let gate = Gate::builder().concurrency(1).build();
    let held = gate.permit().await.expect("free");
    let mut second_class = AdmissionLayer::new(gate.clone())
        .extras(Extras::With(Priority::Idle))
        .layer(slow(&log));
    let mut now_only = AdmissionLayer::new(gate.clone())
        .extras(Extras::NowOnly)
        .layer(slow(&log));
    let call = |service: &mut _, n| {
        let service: &mut hedgerow_admission::AdmissionService<_, _, ()> = service;
        Attempt::new(1).scope(|| Service::call(service, n))
    };
    let refused = call(&mut now_only, 1).await.expect_err("it need not wait");
    assert!(cause_ref::<Overloaded>(&*refused).is_some());
    let extra = tokio::spawn(call(&mut second_class, 2));
    settle().await;
    let primary = tokio::spawn(second_class.call(3));
    settle().await;
    drop(held);
    primary.await.expect("no panic").expect("admitted");
    extra.await.expect("no panic").expect("admitted");
    assert_eq!(log.all(), [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_back_pressure_that_load_shed_sees() {
    let log = Log::new();
    let gate = Gate::builder().concurrency(2).build();
    let service = ServiceBuilder::new()
        .load_shed()
        .layer(ReadyAdmissionLayer::new(gate.clone()))
        .service(slow(&log));
    let calls = (0..5).map(|n| {
        let service = service.clone();
        async move {
            let mut service = service;
            service.ready().await?.call(n).await
        }
    });
    let results: Vec<Result<u64, BoxError>> = join_all(calls).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    assert_eq!((gate.stats().active, gate.stats().queued), (0, 0));
    assert_eq!(service.oneshot(9).await.expect("free again"), 9);
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_a_rate_and_gives_back_what_it_did_not_use() {
    let gate = Gate::builder().rate(Rate::per_second(1)).build();
    let log = Log::new();
    let mut service = ReadyAdmissionLayer::new(gate.clone()).layer(slow(&log));
    service.ready().await.expect("the first");
    drop(service.clone());
    let ready = service;
    drop(ready);
    // It was made ready and never called: nothing was sent.
    let mut service = ReadyAdmissionLayer::new(gate).layer(slow(&log));
    let began = Instant::now();
    service
        .ready()
        .await
        .expect("given back")
        .call(1)
        .await
        .expect("admitted");
    assert_eq!(began.elapsed(), ms(10));
    service
        .ready()
        .await
        .expect("in time")
        .call(2)
        .await
        .expect("admitted");
    assert_eq!(began.elapsed(), ms(1_010));
}

#[tokio::test(start_paused = true)]
async fn all_that_is_asked_can_be_read_by_one_function() {
    let gate = Gate::builder().rate(Rate::tokens_per_minute(100)).build();
    let mut service = AdmissionLayer::new(gate.clone())
        .ask(|n: &u64| Ask::new().cost(*n).patience(Duration::ZERO))
        .layer(slow(&Log::new()));
    service
        .ready()
        .await
        .expect("always")
        .call(60)
        .await
        .expect("fits");
    let error = service
        .ready()
        .await
        .expect("always")
        .call(60)
        .await
        .expect_err("not now");
    assert!(
        cause_ref::<Overloaded>(&*error)
            .expect("its own")
            .retry_after()
            .is_some()
    );
}
