//! Backends that take and return a `Vec`.

use futures::future::join_all;
use hedgerow_batch::{BatchError, BatchLayer, from_vec};
use hedgerow_core::{BoxError, cause_ref};
use tower::{Layer, service_fn};

use crate::support::{Down, call, ends};

type Rows = Vec<Result<(u64, &'static str), Down>>;

fn is_missing(error: &BoxError) -> bool {
    matches!(cause_ref(&**error), Some(BatchError::MissingAnswer { .. }))
}

#[tokio::test(start_paused = true)]
async fn answers_are_given_out_in_order_and_errors_to_their_own_item() {
    let backend = from_vec(service_fn(async |ids: Vec<u64>| {
        let rows = ids
            .into_iter()
            .map(|id| if id == 1 { Err(Down(1)) } else { Ok((id, "x")) });
        Ok::<Rows, BoxError>(rows.collect())
    }));
    let service = BatchLayer::idle().layer(backend);
    let got = ends(join_all((0..4).map(|n| call(&service, n)))).await;
    for (n, got) in got.into_iter().enumerate() {
        match got {
            Ok((id, _)) => assert_eq!(id, n as u64),
            Err(error) => assert!(n == 1 && error.is::<Down>()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn too_few_answers_are_missing_and_too_many_are_counted() {
    for (given, missing, extra) in [(2, 2, 0), (4, 0, 0), (7, 0, 3)] {
        let backend = from_vec(service_fn(move |_: Vec<u64>| async move {
            Ok::<Rows, BoxError>(vec![Ok((0, "x")); given])
        }));
        let layer = BatchLayer::idle();
        let service = layer.layer(backend);
        let got = ends(join_all((0..4).map(|n| call(&service, n)))).await;
        let lost: Vec<_> = got.iter().filter_map(|got| got.as_ref().err()).collect();
        assert_eq!(lost.len(), missing);
        assert!(lost.into_iter().all(is_missing));
        assert_eq!(layer.handle().stats().extra, extra);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_wrong_place_is_given_to_nobody() {
    let backend = from_vec(service_fn(async |mut ids: Vec<u64>| {
        ids.swap(1, 2);
        Ok::<Rows, BoxError>(ids.into_iter().map(|id| Ok((id, "x"))).collect())
    }));
    let backend = backend.in_order_of(|id: &u64| *id, |row: &(u64, &str)| row.0);
    let service = BatchLayer::idle().layer(backend);
    let got = ends(join_all((0..4).map(|n| call(&service, n)))).await;
    for (n, got) in got.into_iter().enumerate() {
        match got {
            Ok((id, _)) => assert!(id == n as u64 && n != 1 && n != 2),
            Err(error) => {
                assert!(n == 1 || n == 2);
                assert!(matches!(cause_ref(&*error), Some(BatchError::WrongAnswer)));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn by_key_answers_come_in_any_order_and_those_without_a_row_are_missing() {
    let backend = from_vec(service_fn(async |ids: Vec<u64>| {
        let rows = ids.into_iter().rev().filter(|id| id % 2 == 0);
        let rows: Rows = rows
            .map(|id| Ok((id, "x")))
            .chain([Ok((77, "?"))])
            .collect();
        Ok::<_, BoxError>(rows)
    }));
    let backend = backend.by_key(|id: &u64| *id, |row: &(u64, &str)| row.0);
    let layer = BatchLayer::idle();
    let service = layer.layer(backend);
    let got = ends(join_all([4, 1, 2, 3, 4].map(|n| call(&service, n)))).await;
    let got: Vec<_> = got.into_iter().map(|got| got.map(|row| row.0)).collect();
    assert_eq!(got[0].as_ref().unwrap(), &4);
    assert!(is_missing(got[1].as_ref().unwrap_err()));
    assert_eq!(got[2].as_ref().unwrap(), &2);
    assert!(is_missing(got[3].as_ref().unwrap_err()));
    assert_eq!(got[4].as_ref().unwrap(), &4);
    assert_eq!(layer.handle().stats().extra, 1);
}

#[tokio::test(start_paused = true)]
async fn the_backends_own_error_is_shared_by_the_batch() {
    let backend = from_vec(service_fn(async |_: Vec<u64>| Err::<Rows, _>(Down(8))));
    let service = BatchLayer::idle().layer(backend);
    for got in ends(join_all((0..3).map(|n| call(&service, n)))).await {
        assert_eq!(cause_ref(&*got.unwrap_err()), Some(&Down(8)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_fails_that_batch_only() {
    let backend = from_vec(service_fn(async |ids: Vec<u64>| {
        Ok::<Rows, BoxError>(ids.into_iter().map(|id| Ok((id, "x"))).collect())
    }));
    let key = |row: &(u64, &str)| {
        assert!(row.0 != 13, "on purpose");
        row.0
    };
    let service = BatchLayer::idle().layer(backend.by_key(|id: &u64| *id, key));
    let error = call(&service, 13).await.unwrap_err();
    assert!(matches!(
        cause_ref(&*error),
        Some(BatchError::Panicked { .. })
    ));
    assert_eq!(call(&service, 14).await.unwrap().0, 14);
}
