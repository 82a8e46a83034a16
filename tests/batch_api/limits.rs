//! What a file may hold, and what a batch is made with.

use std::collections::BTreeMap;

use futures::future::join_all;
use hedgerow_sim::batch_api::MockBatchApi;

use crate::bed::{CHAT, bed, bed_with, body};

#[tokio::test(start_paused = true)]
async fn metadata_and_window_are_passed_on() {
    let bed = bed_with(MockBatchApi::settings(), |b| {
        b.completion_window("as soon as you can")
            .metadata("job", "nightly")
            .metadata("team", "\u{1f994}")
    });
    assert_eq!(bed.words(&["a"]).await, ["200"]);
    let batches = bed.api.batches().await;
    let mut metadata = batches[0].metadata.clone();
    assert!(metadata.remove("hedgerow_batch").is_some(), "{metadata:?}");
    let expected = [("job", "nightly"), ("team", "\u{1f994}")];
    assert_eq!(
        metadata,
        BTreeMap::from(expected.map(|(key, value)| (key.into(), value.into())))
    );
    assert_eq!(batches[0].completion_window, "as soon as you can");
    // By default an hour, and nothing but the mark of the client.
    let bed = self::bed(MockBatchApi::settings());
    assert_eq!(bed.words(&["a"]).await, ["200"]);
    let batches = bed.api.batches().await;
    assert_eq!(
        (&*batches[0].completion_window, batches[0].metadata.len()),
        ("1h", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn mixed_kinds_are_split_by_endpoint_and_model() {
    let bed = bed(MockBatchApi::settings());
    let asked: Vec<(&str, String)> = (0..40)
        .map(|n| {
            let path = ["/v1/responses", CHAT][n % 2];
            (path, body(["m", "n"][n / 2 % 2], &n.to_string()))
        })
        .collect();
    let got = join_all(asked.iter().map(|(path, body)| bed.ask(path, body))).await;
    assert!(got.iter().all(|got| got.word() == "200"), "{got:?}");
    let batches = bed.api.batches().await;
    let kinds: Vec<_> = batches
        .iter()
        .map(|batch| (batch.endpoint.clone(), batch.model.clone()))
        .collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert!(batches.iter().all(|batch| batch.rows == 10), "{batches:?}");
}

#[tokio::test(start_paused = true)]
async fn files_are_split_at_their_number_of_rows() {
    let bed = bed_with(MockBatchApi::settings().max_rows(100), |b| {
        b.batch_size(100)
    });
    let names: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(bed.words(&names).await.iter().all(|word| word == "200"));
    let rows: Vec<usize> = bed
        .api
        .batches()
        .await
        .iter()
        .map(|batch| batch.rows)
        .collect();
    assert_eq!(rows, [100, 100, 50]);
    bed.none_twice();
}

#[tokio::test(start_paused = true)]
async fn files_are_split_at_their_bytes() {
    // Some five rows of a thousand bytes fit; the mock refuses a file with one byte more.
    let most = 5_900;
    let bed = bed_with(MockBatchApi::settings().max_file_bytes(most), |b| {
        b.batch_bytes(most)
    });
    let asked: Vec<String> = (0..23).map(|n| body("m", &format!("{n:01000}"))).collect();
    let got = join_all(asked.iter().map(|body| bed.ask(CHAT, body))).await;
    assert!(got.iter().all(|got| got.word() == "200"), "{:?}", got[0]);
    assert_eq!(bed.counts().rows, 23);
    assert!(
        (5..=6).contains(&bed.counts().batches),
        "{:?}",
        bed.counts()
    );
    // A row that fits in no file is refused by itself.
    let got = bed.ask(CHAT, &body("m", &"x".repeat(6_000))).await;
    assert_eq!(got.word(), "TooLarge");
}

#[tokio::test(start_paused = true)]
async fn files_are_split_at_the_number_of_embedded_texts() {
    let settings = MockBatchApi::settings().max_embedding_inputs(10);
    let bed = bed_with(settings, |b| b.batch_inputs(10));
    let asked: Vec<String> = (0..9)
        .map(|n| format!(r#"{{"model":"m","input":["a{n}","b","c"]}}"#))
        .collect();
    let got = join_all(asked.iter().map(|body| bed.ask("/v1/embeddings", body))).await;
    assert!(got.iter().all(|got| got.word() == "200"), "{got:?}");
    let rows: Vec<usize> = bed
        .api
        .batches()
        .await
        .iter()
        .map(|batch| batch.rows)
        .collect();
    assert_eq!(rows, [3, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_openai_are_kept_by_default() {
    // All rows of one window, and the mock has OpenAI's limits: a file with more than 50,000 rows would fail.
    let bed = bed_with(MockBatchApi::settings(), |b| {
        b.batch_size(50_000).max_pending(200_000)
    });
    let calls = (0..50_001).map(|n| {
        let bed = &bed;
        async move {
            bed.ask(
                "/v1/embeddings",
                &format!(r#"{{"model":"m","input":"{n}"}}"#),
            )
            .await
            .word()
        }
    });
    let words = join_all(calls).await;
    assert!(words.iter().all(|word| word == "200"));
    let rows: Vec<usize> = bed
        .api
        .batches()
        .await
        .iter()
        .map(|batch| batch.rows)
        .collect();
    assert_eq!(rows, [50_000, 1]);
}
