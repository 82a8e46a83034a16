//! A batch that fails as a whole is searched for the item that poisons it.

use futures::future::{join, join_all, poll_fn};
use hedgerow_batch::{Batch, BatchError, BatchLayer, Reason};
use hedgerow_core::{ByClone, ReplayWith, cause_ref};
use tokio::time::sleep;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service};

use crate::support::{Backend, Down, call, ends, ms};

/// Fails, or panics, as a whole if a poisonous item is in a batch.
fn poisoned(poison: &'static [u64], panics: bool) -> Backend<u64, u64> {
    Backend::new(move |batch: Batch<u64, u64>, _| async move {
        if batch.requests().any(|n| poison.contains(n)) {
            assert!(!panics, "on purpose");
            return Err(Down(0));
        }
        batch
            .into_iter()
            .for_each(|item| item.reply.answer(item.request));
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_item_among_a_hundred_fails_alone_wherever_it_is() {
    for poison in [&[0_u64], &[37], &[99]] {
        for panics in [false, true] {
            let backend = poisoned(poison, panics);
            let layer = BatchLayer::idle().bisect(ByClone);
            let service = layer.layer(backend.clone());
            let got = ends(join_all((0..100).map(|n| call(&service, n)))).await;
            for (n, got) in got.into_iter().enumerate() {
                assert_eq!(
                    got.is_err(),
                    poison.contains(&(n as u64)),
                    "{poison:?}: {n}"
                );
            }
            // Two halves for each of seven levels.
            assert!(backend.sizes().len() <= 1 + 14, "{:?}", backend.sizes());
            assert_eq!(layer.handle().stats().open(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_is_not_asked_for_each_item() {
    let everything: &'static [u64] = (0..100).collect::<Vec<u64>>().leak();
    let backend = poisoned(everything, false);
    let layer = BatchLayer::idle().bisect(ByClone);
    let service = layer.layer(backend.clone());
    for got in ends(join_all((0..100).map(|n| call(&service, n)))).await {
        assert_eq!(cause_ref(&*got.unwrap_err()), Some(&Down(0)));
    }
    assert_eq!(backend.sizes().len(), 1 + 14);
    assert_eq!(layer.handle().stats().sent_for(Reason::Bisect), 14);
}

#[tokio::test(start_paused = true)]
async fn without_it_all_share_the_error_and_nothing_is_sent_twice() {
    let backend = poisoned(&[3], false);
    let service = BatchLayer::idle().layer(backend.clone());
    for got in ends(join_all((0..10).map(|n| call(&service, n)))).await {
        let error = got.unwrap_err();
        assert!(matches!(
            cause_ref(&*error),
            Some(BatchError::Failed { size: 10, .. })
        ));
    }
    assert_eq!(backend.sizes(), [10]);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_sent_only_once_and_what_is_answered_is_not_sent_again() {
    let backend = Backend::new(|batch: Batch<u64, u64>, n| async move {
        for item in batch {
            if n > 0 || item.request == 5 {
                item.reply.answer(100 + n as u64);
            }
        }
        if n == 0 { Err(Down(0)) } else { Ok(()) }
    });
    let odd_once = ReplayWith(|n: &mut u64| (*n).is_multiple_of(2).then_some(*n));
    let service = BatchLayer::idle().bisect(odd_once).layer(backend.clone());
    let got = ends(join_all((0..6).map(|n| call(&service, n)))).await;
    let ok: Vec<bool> = got.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, false, true, true]);
    assert_eq!(got[5].as_ref().unwrap(), &100);
    let again: Vec<_> = backend
        .batches()
        .into_iter()
        .skip(1)
        .map(|(_, n)| n)
        .collect();
    assert_eq!(again, [vec![0], vec![2, 4]]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_the_search_is_not_sent_again() {
    let backend = Backend::new(|batch: Batch<u64, u64>, n| async move {
        sleep(ms(10)).await;
        if n == 0 {
            return Err(Down(0));
        }
        batch.into_iter().for_each(|item| item.reply.answer(1));
        Ok(())
    });
    let layer = BatchLayer::idle().max_in_flight(1).bisect(ByClone);
    let service = layer.layer(backend.clone());
    let calls = (0..4_u64).map(|n| {
        let left = if n == 2 { 15 } else { 1_000 };
        tokio::time::timeout(ms(left), call(&service, n))
    });
    let got = ends(join_all(calls)).await;
    assert!(got[2].is_err());
    let sent: Vec<_> = backend.batches().into_iter().map(|(_, n)| n).collect();
    assert_eq!(sent, [vec![0, 1, 2, 3], vec![0, 1], vec![3]]);
}

/// Drained while the halves wait until the backend is ready.
#[tokio::test(start_paused = true)]
async fn halves_that_wait_for_readiness_are_sent_by_a_drain_too() {
    let backend = Backend::new(|batch: Batch<u64, u64>, n| async move {
        sleep(ms(10)).await;
        if n == 0 {
            return Err(Down(0));
        }
        batch.into_iter().for_each(|item| item.reply.answer(1));
        Ok(())
    });
    let gate = ConcurrencyLimit::new(backend.clone(), 1);
    let mut held = gate.clone();
    let layer = BatchLayer::idle().bisect(ByClone);
    let service = layer.layer(gate);
    let calls = join_all((0..4).map(|n| call(&service, n)));
    let drain = async {
        sleep(ms(5)).await;
        // It has the place as soon as the batch has failed.
        poll_fn(|cx| held.poll_ready(cx)).await.unwrap();
        let handle = layer.handle();
        let open = async {
            sleep(ms(50)).await;
            drop(held);
        };
        join(handle.drain(ms(1_000)), open).await;
    };
    let (got, ()) = ends(join(calls, drain)).await;
    assert!(got.iter().all(Result::is_ok), "{got:?}");
    let sent: Vec<_> = backend.batches().into_iter().map(|(_, n)| n).collect();
    assert_eq!(sent, [vec![0, 1, 2, 3], vec![0, 1], vec![2, 3]]);
}
