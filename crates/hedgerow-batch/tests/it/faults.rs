//! A backend that fails, panics, hangs or never gets ready spoils its own batch and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::future::{join, join_all};
use hedgerow_batch::{Batch, BatchError, BatchEvent, BatchLayer, DEFAULT_TIMEOUT};
use hedgerow_core::{BoxError, cause_ref};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service};

use crate::support::{Backend, Down, Work, call, ends, ms};

/// Misbehaves with its first batch.
fn bad_at_first<F, W>(bad: F) -> Backend<u64, u64>
where
    F: Fn(Batch<u64, u64>) -> W + Send + Sync + 'static,
    W: Future<Output = Result<(), Down>> + Send + 'static,
{
    Backend::new(move |batch: Batch<u64, u64>, n| -> Work {
        if n == 0 {
            return Box::pin(bad(batch));
        }
        Box::pin(async {
            for item in batch {
                item.reply.answer(item.request);
            }
            Ok(())
        })
    })
}

/// The errors of the first batch of three; then the next batch goes well.
async fn spoil(layer: BatchLayer<u64, u64>, backend: Backend<u64, u64>) -> Vec<BoxError> {
    let service = layer.layer(backend.clone());
    let first = ends(join_all((0..3).map(|n| call(&service, n)))).await;
    let second = ends(join_all((0..3).map(|n| call(&service, n)))).await;
    for (n, got) in second.into_iter().enumerate() {
        assert_eq!(got.ok(), Some(n as u64));
    }
    assert_eq!(backend.sizes(), [3, 3]);
    assert_eq!(backend.alive(), 0);
    let stats = layer.handle().stats();
    assert_eq!((stats.entered, stats.open()), (6, 0));
    first.into_iter().map(Result::unwrap_err).collect()
}

#[tokio::test(start_paused = true)]
async fn g7_a_failed_flush_fails_that_batch_only() {
    let backend = bad_at_first(|batch| async {
        drop(batch);
        sleep(ms(3)).await;
        Err(Down(1))
    });
    for error in spoil(BatchLayer::idle(), backend).await {
        assert_eq!(cause_ref(&*error), Some(&Down(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn g7_a_backend_that_panics_in_its_future_fails_that_batch_only() {
    let backend = bad_at_first(|batch| async move {
        sleep(ms(3)).await;
        assert!(batch.is_empty(), "on purpose");
        Ok(())
    });
    for error in spoil(BatchLayer::idle(), backend).await {
        let error = cause_ref::<BatchError>(&*error);
        assert!(matches!(error, Some(BatchError::Panicked { size: 3 })));
    }
}

#[tokio::test(start_paused = true)]
async fn g7_a_backend_that_panics_in_its_call_fails_that_batch_only() {
    let backend = bad_at_first(|batch| {
        assert!(batch.is_empty(), "on purpose");
        async { Ok(()) }
    });
    // The call itself panics: the helper's log counts it as alive no more.
    for error in spoil(BatchLayer::idle(), backend).await {
        let error = cause_ref::<BatchError>(&*error);
        assert!(matches!(error, Some(BatchError::Panicked { size: 3 })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_when_it_is_dropped_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let backend = bad_at_first(|batch| async {
        let _bomb = Bomb;
        sleep(ms(100)).await;
        drop(batch);
        Ok(())
    });
    let layer = BatchLayer::idle().timeout(ms(10));
    for error in spoil(layer, backend).await {
        let error = cause_ref::<BatchError>(&*error);
        assert!(matches!(error, Some(BatchError::TimedOut { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_is_dropped_after_the_timeout() {
    let backend = bad_at_first(|batch| async {
        std::future::pending::<()>().await;
        drop(batch);
        Ok(())
    });
    let layer = BatchLayer::idle().timeout(ms(250)).max_in_flight(1);
    let start = Instant::now();
    for error in spoil(layer.clone(), backend).await {
        let error = cause_ref::<BatchError>(&*error);
        assert!(matches!(error, Some(BatchError::TimedOut { after }) if *after == ms(250)));
    }
    assert_eq!(start.elapsed(), ms(250));
    assert_eq!(layer.handle().stats().timed_out_batches, 1);
}

#[tokio::test(start_paused = true)]
async fn while_one_batch_hangs_the_next_goes_out() {
    let backend = bad_at_first(|batch| async {
        std::future::pending::<()>().await;
        drop(batch);
        Ok(())
    });
    let layer = BatchLayer::linger(ms(5));
    let service = layer.layer(backend.clone());
    let hung = tokio::time::timeout(ms(1_000), call(&service, 1));
    let next = async {
        sleep(ms(1)).await;
        let start = Instant::now();
        call(&service, 2).await.unwrap();
        start.elapsed()
    };
    let (hung, next) = ends(join(hung, next)).await;
    assert!(hung.is_err());
    assert_eq!(next, ms(5));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_reaches_nobody_and_is_counted() {
    let backend = bad_at_first(|batch| {
        #[expect(clippy::disallowed_methods, reason = "a backend that answers too late")]
        tokio::spawn(async {
            sleep(ms(500)).await;
            batch.into_iter().for_each(|item| item.reply.answer(99));
        });
        async {
            sleep(ms(1)).await;
            Err(Down(1))
        }
    });
    let layer = BatchLayer::idle();
    let handle = layer.handle();
    for error in spoil(layer, backend).await {
        assert_eq!(cause_ref(&*error), Some(&Down(1)));
    }
    sleep(ms(600)).await;
    assert_eq!((handle.stats().late, handle.stats().answered), (3, 3));
}

/// Ready as a script says, by the number of the poll.
#[derive(Clone)]
struct Gated {
    inner: Backend<u64, u64>,
    polls: Arc<AtomicUsize>,
    script: fn(usize) -> Poll<Result<(), Down>>,
}

impl Service<Batch<u64, u64>> for Gated {
    type Response = ();
    type Error = Down;
    type Future = Work;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Down>> {
        let poll = (self.script)(self.polls.fetch_add(1, Ordering::Relaxed));
        if poll.is_pending() {
            cx.waker().wake_by_ref();
        }
        poll
    }

    fn call(&mut self, batch: Batch<u64, u64>) -> Work {
        self.inner.call(batch)
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_or_panics_in_getting_ready_fails_one_batch_and_is_asked_again() {
    let inner = crate::support::doubling(0);
    let gated = Gated {
        inner: inner.clone(),
        polls: Arc::default(),
        script: |n| match n {
            0 => Poll::Ready(Err(Down(5))),
            1 | 3 => Poll::Pending,
            2 => panic!("on purpose"),
            _ => Poll::Ready(Ok(())),
        },
    };
    let layer = BatchLayer::idle().bisect(hedgerow_core::ByClone);
    let service = layer.layer(gated);
    let error = call(&service, 1).await.unwrap_err();
    assert_eq!(cause_ref(&*error), Some(&Down(5)));
    let error = call(&service, 2).await.unwrap_err();
    assert!(matches!(
        cause_ref(&*error),
        Some(BatchError::Panicked { .. })
    ));
    assert_eq!(call(&service, 3).await.unwrap(), 6);
    assert_eq!(inner.batches(), [(0, vec![3])]);
}

#[tokio::test(start_paused = true)]
async fn until_the_backend_is_ready_the_batch_goes_on_growing() {
    let inner = crate::support::doubling(0);
    let gate = tower::limit::ConcurrencyLimit::new(inner.clone(), 1);
    let mut held = gate.clone();
    futures::future::poll_fn(|cx| held.poll_ready(cx))
        .await
        .unwrap();
    let service = BatchLayer::linger(ms(0)).layer(gate);
    let drip = (0..5).map(|n| {
        let service = service.clone();
        async move {
            sleep(ms(n)).await;
            call(&service, n).await.unwrap()
        }
    });
    let open = async {
        sleep(ms(10)).await;
        drop(held);
    };
    ends(join(join_all(drip), open)).await;
    assert_eq!(inner.batches(), [(10, vec![0, 1, 2, 3, 4])]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_everybody_has_left_before_the_backend_is_ready_is_neither_sent_nor_told() {
    let inner = crate::support::doubling(0);
    let gate = tower::limit::ConcurrencyLimit::new(inner.clone(), 1);
    let mut held = gate.clone();
    futures::future::poll_fn(|cx| held.poll_ready(cx))
        .await
        .unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let layer = BatchLayer::idle().on_event(move |event: &BatchEvent| {
        if let BatchEvent::Dispatched { size, .. } = event {
            tells.lock().push(*size);
        }
    });
    let service = layer.layer(gate);
    let mut left = Box::pin(call(&service, 1));
    assert!(crate::support::settle(&mut left).await.is_none());
    drop(left);
    drop(held);
    sleep(ms(10)).await;
    assert_eq!((inner.batches(), told.lock().clone()), (vec![], vec![]));
    assert_eq!(call(&service, 2).await.unwrap(), 4);
    assert_eq!(inner.batches(), [(10, vec![2])]);
    assert_eq!(*told.lock(), [1]);
}

/// Nothing was said of a timeout, and the callers have none.
#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_is_dropped_after_a_minute_unless_told_otherwise() {
    let hangs = || Backend::<u64, u64>::new(|_, _| std::future::pending());
    let (minute, never) = (hangs(), hangs());
    let service = BatchLayer::idle().layer(minute.clone());
    let start = Instant::now();
    let error = call(&service, 1).await.unwrap_err();
    assert_eq!(start.elapsed(), DEFAULT_TIMEOUT);
    assert_eq!(DEFAULT_TIMEOUT.as_secs(), 60);
    assert!(matches!(
        cause_ref(&*error),
        Some(BatchError::TimedOut { after }) if *after == DEFAULT_TIMEOUT
    ));
    assert_eq!(minute.alive(), 0);
    let service = BatchLayer::idle().no_timeout().layer(never.clone());
    let hour = tokio::time::timeout(60 * DEFAULT_TIMEOUT, call(&service, 1)).await;
    assert!(hour.is_err());
    sleep(ms(1)).await;
    assert_eq!(never.alive(), 0);
}

#[test]
fn a_runtime_that_is_shut_down_leaves_nobody_behind_and_another_one_serves_on() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let inner = crate::support::doubling(1_000);
    let (first, second) = (runtime(), runtime());
    let layer = BatchLayer::idle();
    let service = {
        let _inside = first.enter();
        layer.layer(inner)
    };
    // One item is in flight, another one waits.
    let mut calls = first.block_on(async {
        let mut calls = [1, 2].map(|n| Box::pin(call_owned(service.clone(), n)));
        for call in &mut calls {
            assert!(crate::support::settle(call).await.is_none());
        }
        calls
    });
    drop(first);
    second.block_on(async {
        for call in &mut calls {
            let error = call.await.unwrap_err();
            assert!(matches!(cause_ref(&*error), Some(BatchError::Aborted)));
        }
        assert_eq!(call(&service, 3).await.unwrap(), 6);
    });
    assert_eq!(layer.handle().stats().open(), 0);
}

async fn call_owned<S>(service: S, n: u64) -> Result<u64, BoxError>
where
    S: Service<u64, Response = u64, Error = BoxError> + Clone,
{
    tower::ServiceExt::oneshot(service, n).await
}

#[test]
fn without_a_runtime_poll_ready_says_so_and_nothing_panics() {
    let mut service = {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        BatchLayer::idle().layer(crate::support::doubling(0))
    };
    let ready = futures::future::poll_fn(|cx| service.poll_ready(cx));
    let error = futures::executor::block_on(ready).unwrap_err();
    assert!(matches!(cause_ref(&*error), Some(BatchError::NoRuntime)));
    let error = futures::executor::block_on(service.call(1)).unwrap_err();
    assert!(matches!(cause_ref(&*error), Some(BatchError::NoRuntime)));
}
