//! What comes out is the same, whatever is around what.

use hedgerow::MemoryStore;

use crate::experiment::{ALL, Asker, CANDIDATES, PUZZLES};
use crate::layers::{Order, When};
use crate::model::Model;

fn store() -> MemoryStore<(String, u32), String> {
    MemoryStore::entries(10_000)
}

/// What the program gets without any layer of ours: the k-th who asks gets the k-th answer.
fn expected() -> Vec<Vec<String>> {
    let of = |at: usize| {
        let (puzzle, candidate) = (at / CANDIDATES, at % CANDIDATES);
        let plan = format!("plan {puzzle} > 0.{candidate}");
        let draft = format!("draft: {plan} > 0.0");
        let votes = (0..3).map(|vote| format!("vote: {draft} > 0.{vote}"));
        [plan, draft.clone()].into_iter().chain(votes).collect()
    };
    (0..PUZZLES * CANDIDATES).map(of).collect()
}

/// L4: the same answers in the same order with and without batching, for any order of the layers, any size of
/// a batch and any policy; another namespace gets them once more, and so does a second run, and neither makes
/// a call.
#[tokio::test(start_paused = true)]
async fn answers_are_the_same_with_and_without_batching_and_a_second_run_makes_no_call() {
    for (at, order) in Order::ALL.into_iter().enumerate() {
        for when in When::ALL {
            for size in [1, 5, 64] {
                let case = format!("{order:?} {when:?} {size}");
                let (model, store) = (Model::default(), store());
                let first = Asker::new(order.build(store.clone(), &model, when, size), "first");
                assert_eq!(first.run().await.unwrap(), expected(), "{case}");
                assert_eq!(model.calls(), ALL, "{case}");
                let other = Asker::new(first.pipeline.clone(), "another");
                assert_eq!(other.run().await.unwrap(), expected(), "{case}");
                // As after a restart, and with the layers in another order.
                let next = Order::ALL[(at + 1) % Order::ALL.len()];
                let again = Asker::new(next.build(store, &model, when, size), "first");
                assert_eq!(again.run().await.unwrap(), expected(), "{case}");
                assert_eq!(model.calls(), ALL, "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_many_ask_one_by_one_reaches_the_model_together() {
    let model = Model::default();
    let pipeline = Order::Inside.build(store(), &model, When::Linger, 64);
    Asker::new(pipeline, "").run().await.unwrap();
    let batches = model.batches();
    assert_eq!(batches[0], PUZZLES * CANDIDATES, "all first questions");
    assert_eq!(batches.iter().sum::<usize>(), ALL);
    assert!(batches.len() <= ALL / 3, "{batches:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_twice_under_one_number_is_paid_once() {
    for order in Order::ALL {
        for when in When::ALL {
            let model = Model::default();
            let mut asker = Asker::new(order.build(store(), &model, when, 64), "");
            asker.twice = true;
            assert_eq!(asker.run().await.unwrap(), expected(), "{order:?} {when:?}");
            assert_eq!(model.calls(), ALL, "{order:?} {when:?}");
        }
    }
}
