//! Every fault happens to the requests it is for, as often as it should, and with its effect.

use std::time::Duration;

use hedgerow_sim::batch_api::{Answer, Fault, MockBatchApi, On, Script, Share, Stage, Status};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::client::{CHAT, api, ids, line, new_batch, row, rows};

#[tokio::test(start_paused = true)]
async fn a_refused_request_changes_nothing_and_says_when_to_come_back() {
    let fault = Fault::on(On::Upload)
        .status(429)
        .retry_after(Duration::from_millis(1_500));
    let (api, client) = api(MockBatchApi::settings().fault(fault));
    let got = client.upload_as("batch", &rows(1)).await;
    assert_eq!(got.status, 429);
    assert_eq!(
        (got.header("retry-after"), got.header("retry-after-ms")),
        (Some("2"), Some("1500"))
    );
    assert_eq!(got.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!((api.counts().uploads, api.counts().files), (1, 0));
    assert!(api.files().is_empty());
    client.upload(&rows(1)).await;
}

#[tokio::test(start_paused = true)]
async fn faults_are_for_a_model_or_an_endpoint_and_can_spare_the_first() {
    let settings = MockBatchApi::settings()
        .fault(Fault::on(On::Upload).status(429).model("n").always())
        .fault(
            Fault::on(On::Create)
                .status(500)
                .endpoint("/v1/embeddings")
                .skip(1)
                .times(2),
        );
    let (_api, client) = api(settings);
    let of = |model: &str| line("a", CHAT, &json!({"model": model}).to_string());
    assert_eq!(client.upload_as("batch", &of("m")).await.status, 200);
    assert_eq!(client.upload_as("batch", &of("n")).await.status, 429);
    assert_eq!(client.upload_as("batch", &of("n")).await.status, 429);
    let file = client.upload(&line("a", "/v1/embeddings", "{}")).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.create("/v1/embeddings", &file).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 500, 500, 200]);
    let file = client.upload(&row("a", "b")).await;
    assert_eq!(client.create(CHAT, &file).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_hung_up_on_may_have_made_a_batch() {
    let settings = MockBatchApi::settings()
        .fault(Fault::on(On::Create).hang_up_before())
        .fault(Fault::on(On::Create).hang_up_after());
    let (api, client) = api(settings);
    let file = client.upload(&rows(2)).await;
    let asked = new_batch(CHAT, &file);
    assert!(client.try_post("/v1/batches", &asked).await.is_err());
    assert_eq!(api.counts().rows, 0);
    assert!(client.try_post("/v1/batches", &asked).await.is_err());
    assert_eq!(api.counts().rows, 2);
    let list = client.get("/v1/batches").await.json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_download_is_refused_cut_or_replaced() {
    let settings = MockBatchApi::settings()
        .fault(Fault::on(On::Download).status(503).times(2))
        .fault(Fault::on(On::Download).cut_after(100))
        .fault(Fault::on(On::Download).answered_with("junk"));
    let (api, client) = api(settings);
    let batch = client.submit(CHAT, &rows(10)).await;
    let file = client.poll(&batch).await["output_file_id"].clone();
    assert_eq!(client.content(&file, "").await.status, 503);
    assert_eq!(client.content(&file, "").await.status, 503);
    let cut = client.content(&file, "").await;
    assert_eq!(
        (cut.status.as_u16(), cut.bytes.len(), cut.whole),
        (200, 100, false)
    );
    assert_eq!(client.content(&file, "").await.bytes, "junk");
    let whole = client.content(&file, "").await;
    assert!(whole.whole && whole.bytes.starts_with(&cut.bytes));
    assert_eq!(whole.text().lines().count(), 10);
    assert_eq!(api.counts().downloads, 5);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_late_or_never() {
    let time = Duration::from_secs(60);
    let settings = MockBatchApi::settings()
        .fault(Fault::on(On::Poll).stall(time))
        .fault(Fault::on(On::Poll).hang());
    let (_api, client) = api(settings);
    let batch = client.submit(CHAT, &rows(1)).await;
    let start = Instant::now();
    assert_eq!(client.poll(&batch).await["status"], "completed");
    assert_eq!(start.elapsed(), time);
    assert!(timeout(1_000 * time, client.poll(&batch)).await.is_err());
    assert_eq!(client.poll(&batch).await["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_poll_may_find_nothing_any_more() {
    let settings = MockBatchApi::settings().fault(Fault::on(On::Poll).status(404).skip(1).always());
    let (api, client) = api(settings.script(|_| Script::stuck()));
    let batch = client.submit(CHAT, &rows(1)).await;
    client.poll(&batch).await;
    let path = format!("/v1/batches/{batch}");
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.get(&path).await.status, 404);
    api.clear_faults();
    assert_eq!(client.get(&path).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn lines_may_be_junk_null_missing_double_or_unknown() {
    let settings = MockBatchApi::settings().answer(|row| match row.custom_id() {
        "r0" => Answer::echo(row).after_junk(&b"{\"custom_id\": \xff"[..]),
        "r1" => Answer::null_response(),
        "r2" => Answer::null_body(),
        "r3" => Answer::null_id("{}"),
        "r4" => Answer::missing(),
        "r5" => Answer::echo(row).twice(),
        "r6" => Answer::echo(row).with_unknown_fields(),
        "r7" => Answer::line("}{"),
        _ => Answer::echo(row),
    });
    let (_api, client) = api(settings);
    let batch = client.submit(CHAT, &rows(9)).await;
    let done = client.poll(&batch).await;
    let bytes = client.content(&done["output_file_id"], "").await.bytes;
    let lines: Vec<Option<Value>> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).ok())
        .collect();
    let id = |n: usize| lines[n].as_ref().map(|line| line["custom_id"].clone());
    assert_eq!((id(0), id(1)), (None, Some(json!("r0"))));
    let line = |n: usize| lines[n].clone().expect("JSON");
    assert_eq!(
        (&line(2)["response"], &line(2)["error"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(line(3)["response"]["body"], Value::Null);
    assert_eq!(
        (id(4), &line(4)["response"]["status_code"]),
        (Some(Value::Null), &json!(200))
    );
    assert_eq!((id(5), id(6)), (Some(json!("r5")), Some(json!("r5"))));
    assert_eq!(id(7), Some(json!("r6")));
    assert!(line(7)["x_unknown"].is_object() && line(7)["response"]["x_unknown"].is_object());
    assert_eq!((id(8), id(9)), (None, Some(json!("r8"))));
    // Behind the last line there is nothing.
    assert_eq!((lines.len(), bytes.last()), (11, Some(&b'\n')));
}

#[tokio::test(start_paused = true)]
async fn a_shuffled_batch_has_every_row_once_in_another_order() {
    let script = |_: &_| {
        let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
        Script::instant().shuffled(7).stage(half)
    };
    let (_api, client) = api(MockBatchApi::settings().script(script));
    let batch = client.submit(CHAT, &rows(100)).await;
    let file = client.poll(&batch).await["output_file_id"].clone();
    let half = client.lines(&file).await;
    client.poll(&batch).await;
    let all = client.lines(&file).await;
    assert_eq!(all[..50], half[..]);
    let mut numbers: Vec<usize> = ids(&all)
        .into_iter()
        .map(|id| id[1..].parse().expect("a number"))
        .collect();
    assert!(!numbers.is_sorted());
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_fail_be_cancelled_or_speak_of_unknown_things() {
    let script = |new: &hedgerow_sim::batch_api::NewBatch| match new.number {
        0 => Script::instant().fails("token_limit_exceeded", "too many enqueued tokens"),
        1 => Script::instant().is_cancelled(Share::of(1, 2)),
        _ => Script::instant().with_unknown_fields(),
    };
    let (_api, client) = api(MockBatchApi::settings().script(script));
    let batch = client.submit(CHAT, &rows(2)).await;
    let failed = client.poll(&batch).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["errors"]["data"][0]["code"], "token_limit_exceeded");
    let batch = client.submit(CHAT, &rows(2)).await;
    let cancelled = client.poll(&batch).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(
        ids(&client.lines(&cancelled["output_file_id"]).await),
        ["r0"]
    );
    let batch = client.submit(CHAT, &rows(2)).await;
    assert!(client.poll(&batch).await["x_unknown"].is_object());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_rows_are_answered_loses_none() {
    let (_api, client) = api(MockBatchApi::settings());
    let batch = client.submit(CHAT, &rows(5_000)).await;
    // Each look gets as far as its first pause.
    for _ in 0..5 {
        let mut looking = Box::pin(client.poll(&batch));
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(looking.as_mut().poll(context).is_pending());
    }
    let done = client.poll(&batch).await;
    let lines = client.lines(&done["output_file_id"]).await;
    let expected: Vec<String> = (0..5_000).map(|n| format!("r{n}")).collect();
    assert_eq!(ids(&lines), expected);
}
