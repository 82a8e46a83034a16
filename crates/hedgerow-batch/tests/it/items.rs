//! Each item has its own outcome, at its own time.

use std::time::Duration;

use futures::future::{join, join_all};
use hedgerow_batch::{Batch, BatchError, BatchLayer, Linger};
use hedgerow_core::{Deadline, cause_ref};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt};

use crate::support::{Backend, Down, call, doubling, ends, ms};

#[tokio::test(start_paused = true)]
async fn g3_one_bad_item_fails_alone() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        for item in batch {
            if item.request == 2 {
                item.reply.fail(Down(2));
            } else {
                item.reply.answer(item.request);
            }
        }
        Ok(())
    });
    let service = BatchLayer::idle().layer(backend.clone());
    let got = ends(join_all((0..5).map(|n| call(&service, n)))).await;
    for (n, got) in got.into_iter().enumerate() {
        match got {
            Ok(answer) => assert!(n != 2 && answer == n as u64),
            Err(error) => {
                assert_eq!(n, 2);
                assert_eq!(error.downcast_ref(), Some(&Down(2)));
            }
        }
    }
    assert_eq!(backend.sizes(), [5]);
}

#[tokio::test(start_paused = true)]
async fn g3_a_missing_answer_is_a_typed_error_and_nobody_hangs() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        for item in batch {
            if item.request % 2 == 0 {
                item.reply.answer(item.request);
            }
        }
        Ok(())
    });
    let layer = BatchLayer::idle();
    let service = layer.layer(backend);
    let got = ends(join_all((0..6).map(|n| call(&service, n)))).await;
    for (n, got) in got.into_iter().enumerate() {
        match got {
            Ok(answer) => assert_eq!(answer, n as u64),
            Err(error) => {
                assert_eq!(n % 2, 1);
                let missing = cause_ref::<BatchError>(&*error);
                assert!(matches!(
                    missing,
                    Some(BatchError::MissingAnswer { size: 6 })
                ));
            }
        }
    }
    assert_eq!(layer.handle().stats().missing, 3);
}

#[tokio::test(start_paused = true)]
async fn g4_each_item_resolves_when_its_own_answer_is_there() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        for item in batch {
            sleep(ms(10)).await;
            item.reply.answer(item.request);
        }
        sleep(ms(1_000)).await;
        Ok(())
    });
    let service = BatchLayer::idle().layer(backend);
    let start = Instant::now();
    let calls = (0..5_u64).map(|n| {
        let service = service.clone();
        async move {
            call(&service, n).await.unwrap();
            start.elapsed().as_millis() as u64
        }
    });
    assert_eq!(ends(join_all(calls)).await, [10, 20, 30, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_may_outlive_the_backends_future_and_is_waited_for() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| {
        let replies = batch.into_parts().1;
        #[expect(
            clippy::disallowed_methods,
            reason = "a backend that hands replies to another task"
        )]
        tokio::spawn(async move {
            sleep(ms(500)).await;
            for (n, reply) in replies.into_iter().enumerate() {
                if n < 2 {
                    reply.answer(7);
                }
            }
        });
        async { Ok(()) }
    });
    let service = BatchLayer::idle().layer(backend);
    let start = Instant::now();
    let got = ends(join_all((0..3).map(|n| call(&service, n)))).await;
    assert_eq!(start.elapsed(), ms(500));
    assert_eq!(got.iter().filter(|got| got.is_ok()).count(), 2);
    let error = got
        .into_iter()
        .find_map(Result::err)
        .expect("one is missing");
    assert!(matches!(
        cause_ref(&*error),
        Some(BatchError::MissingAnswer { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_before_the_batch_fails_stays_answered() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        let mut items = batch.into_iter();
        items.next().expect("an item").reply.answer(1);
        sleep(ms(5)).await;
        Err(Down(9))
    });
    let service = BatchLayer::idle().layer(backend);
    let (first, second) = ends(join(call(&service, 1), call(&service, 2))).await;
    assert_eq!(first.unwrap(), 1);
    let error = second.unwrap_err();
    assert_eq!(cause_ref(&*error), Some(&Down(9)));
    let batch = cause_ref::<BatchError>(&*error);
    assert!(matches!(batch, Some(BatchError::Failed { size: 2, .. })));
}

/// A call beneath a deadline.
async fn until<S>(service: &S, n: u64, left: Duration) -> Result<u64, hedgerow_core::BoxError>
where
    S: Service<u64, Response = u64, Error = hedgerow_core::BoxError> + Clone,
{
    let mut service = service.clone();
    service.ready().await?;
    let deadline = Deadline::within(Instant::now().into_std(), left).expect("near");
    let call = deadline.scope(|| service.call(n));
    ends(call).await
}

#[tokio::test(start_paused = true)]
async fn no_item_waits_for_longer_than_half_of_what_is_left_of_its_deadline() {
    let backend = doubling(0);
    let service = BatchLayer::new(Linger::new(ms(1_000)).strict()).layer(backend.clone());
    let start = Instant::now();
    let (hurried, patient) = ends(join(until(&service, 1, ms(100)), call(&service, 2))).await;
    hurried.unwrap();
    patient.unwrap();
    assert_eq!(start.elapsed(), ms(50));
    assert_eq!(backend.batches(), [(50, vec![1, 2])]);
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_deadline_passes_in_the_queue_is_refused_then_and_not_sent() {
    let backend = doubling(500);
    let layer = BatchLayer::idle().max_in_flight(1);
    let service = layer.layer(backend.clone());
    let start = Instant::now();
    let first = call(&service, 0);
    let late = async {
        sleep(ms(1)).await;
        let got = until(&service, 1, ms(99)).await;
        (got, start.elapsed())
    };
    let patient = async {
        sleep(ms(2)).await;
        call(&service, 2).await
    };
    let (first, (late, patient)) = ends(join(first, join(late, patient))).await;
    first.unwrap();
    patient.unwrap();
    let (late, at) = late;
    assert_eq!(at, ms(100));
    let error = late.unwrap_err();
    let waited = ms(99);
    assert!(matches!(
        cause_ref(&*error),
        Some(BatchError::DeadlineExceeded { waited: w }) if *w == waited
    ));
    assert_eq!(backend.batches(), [(0, vec![0]), (500, vec![2])]);
}

#[tokio::test(start_paused = true)]
async fn the_backend_sees_the_last_deadline_of_a_batch_if_all_items_have_one() {
    for with_a_patient_one in [false, true] {
        let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let log = seen.clone();
        let backend = Backend::new(move |batch: Batch<u64, u64>, _| {
            log.lock().push(Deadline::current());
            let log = log.clone();
            async move {
                sleep(ms(1)).await;
                log.lock().push(Deadline::current());
                batch.into_iter().for_each(|item| item.reply.answer(0));
                Ok(())
            }
        });
        let service = BatchLayer::new(Linger::new(ms(5)).strict()).layer(backend);
        let now = Instant::now().into_std();
        let both = join(until(&service, 1, ms(100)), until(&service, 2, ms(300)));
        if with_a_patient_one {
            let (_, _) = ends(join(both, call(&service, 3))).await;
        } else {
            let (_, _) = ends(both).await;
        }
        let last = (!with_a_patient_one).then(|| Deadline::at(now + ms(300)));
        assert_eq!(*seen.lock(), [last; 2]);
    }
}
