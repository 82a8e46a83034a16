//! Identical items of one batch are sent once.

use std::sync::Arc;

use futures::future::{join, join_all};
use hedgerow_batch::{Batch, BatchLayer, Linger};
use hedgerow_core::{ByClone, cause_ref};
use tokio::time::timeout;
use tower::Layer;

use crate::support::{Backend, Down, call, doubling, ends, ms};

#[tokio::test(start_paused = true)]
async fn many_identical_items_get_one_answer_each() {
    let backend = doubling(0);
    let layer = BatchLayer::idle().dedup(|n: &u64| n % 3);
    let service = layer.layer(backend.clone());
    let got = ends(join_all((0..9).map(|n| call(&service, n)))).await;
    let got: Vec<u64> = got.into_iter().map(Result::unwrap).collect();
    assert_eq!(got, [0, 2, 4, 0, 2, 4, 0, 2, 4]);
    assert_eq!(backend.batches(), [(0, vec![0, 1, 2])]);
    let stats = layer.handle().stats();
    assert_eq!((stats.twins, stats.answered), (6, 9));
}

#[tokio::test(start_paused = true)]
async fn the_first_of_them_may_leave_and_the_others_are_answered() {
    for leaves_at in [5, 15] {
        let backend = doubling(20);
        let layer = BatchLayer::new(Linger::new(ms(10)).strict()).dedup(|n: &u64| *n);
        let service = layer.layer(backend.clone());
        let first = timeout(ms(leaves_at), call(&service, 1));
        let (first, others) = ends(join(first, join_all([1, 1].map(|n| call(&service, n))))).await;
        assert!(first.is_err());
        assert!(others.into_iter().all(|got| got.unwrap() == 2));
        assert_eq!(backend.sizes(), [1]);
        assert_eq!(layer.handle().stats().open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_of_them_leave_the_backend_is_cancelled() {
    let backend = doubling(1_000);
    let service = BatchLayer::idle()
        .dedup(|n: &u64| *n)
        .layer(backend.clone());
    let calls = [1, 1, 1].map(|n| timeout(ms(5 + n), call(&service, n)));
    assert!(ends(join_all(calls)).await.iter().all(Result::is_err));
    assert_eq!(backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn they_share_an_error_and_a_missing_answer() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        for item in batch {
            if item.request == 1 {
                item.reply.fail(Down(1));
            }
        }
        Ok(())
    });
    let layer = BatchLayer::idle().dedup(|n: &u64| *n);
    let service = layer.layer(backend);
    let got = ends(join_all([1, 2, 1, 2].map(|n| call(&service, n)))).await;
    assert_eq!(got.iter().filter(|got| got.is_err()).count(), 4);
    let down = got.iter().filter_map(|got| got.as_ref().err());
    let down = down.filter(|error| cause_ref::<Down>(&***error).is_some());
    assert_eq!(down.count(), 2);
    assert_eq!(layer.handle().stats().missing, 2);
}

#[tokio::test(start_paused = true)]
async fn they_stay_together_when_a_poisonous_item_is_searched_for() {
    let backend = Backend::new(|batch: Batch<u64, u64>, _| async move {
        if batch.requests().any(|n| *n == 3) {
            return Err(Down(3));
        }
        batch
            .into_iter()
            .for_each(|item| item.reply.answer(item.request));
        Ok(())
    });
    let layer = BatchLayer::idle().dedup(|n: &u64| *n).bisect(ByClone);
    let service = layer.layer(backend);
    let asked = [1, 3, 2, 1, 3, 2, 4];
    let got = ends(join_all(asked.map(|n| call(&service, n)))).await;
    for (n, got) in asked.into_iter().zip(got) {
        assert_eq!(got.ok(), (n != 3).then_some(n));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_finds_nothing_the_same() {
    let backend = doubling(0);
    let key = |_: &u64| -> u64 { panic!("on purpose") };
    let service = BatchLayer::idle().dedup(key).layer(backend.clone());
    let got = ends(join_all([1, 1].map(|n| call(&service, n)))).await;
    assert!(got.into_iter().all(|got| got.unwrap() == 2));
    assert_eq!(backend.sizes(), [2]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_panics_when_it_is_copied_fails_the_copy_alone() {
    struct Answer(Arc<()>);
    impl Clone for Answer {
        fn clone(&self) -> Self {
            assert!(Arc::strong_count(&self.0) == 0, "on purpose");
            Self(self.0.clone())
        }
    }
    let backend = Backend::new(|batch: Batch<u64, Answer>, _| async move {
        for item in batch {
            item.reply.answer(Answer(Arc::new(())));
        }
        Ok(())
    });
    let service = BatchLayer::idle().dedup(|n: &u64| *n).layer(backend);
    let got = ends(join_all([1, 1].map(|n| call(&service, n)))).await;
    assert_eq!(got.iter().filter(|got| got.is_ok()).count(), 1);
}
