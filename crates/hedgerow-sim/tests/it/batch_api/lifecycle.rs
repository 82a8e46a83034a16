//! A batch from its file to its answers.

use std::time::Duration;

use hedgerow_sim::batch_api::{Answer, MockBatchApi, Script, Share, Stage, Status};
use serde_json::{Value, json};

use super::client::{CHAT, api, id, ids, line, row, rows};

#[tokio::test(start_paused = true)]
async fn every_row_is_echoed_in_the_output_file() {
    let (api, client) = api(MockBatchApi::settings());
    let batch = client.submit(CHAT, &rows(3)).await;
    let done = client.poll(&batch).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(
        done["request_counts"],
        json!({"total": 3, "completed": 3, "failed": 0})
    );
    assert_eq!(done["error_file_id"], Value::Null);
    let lines = client.lines(&done["output_file_id"]).await;
    assert_eq!(ids(&lines), ["r0", "r1", "r2"]);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["error"], Value::Null);
        assert_eq!(line["response"]["status_code"], 200);
        let said = &line["response"]["body"]["choices"][0]["message"]["content"];
        assert_eq!(*said, format!("hello {n}"));
    }
    let counts = api.counts();
    assert_eq!((counts.uploads, counts.files, counts.creates), (1, 1, 1));
    assert_eq!((counts.batches, counts.rows, counts.rows_again), (1, 3, 0));
    assert_eq!((counts.polls, counts.downloads), (1, 1));
    assert_eq!(api.times_accepted("r1"), 1);
    assert_eq!(api.times_accepted("r3"), 0);
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_is_echoed_in_its_own_form() {
    let (_api, client) = api(MockBatchApi::settings());
    let body = |line: Value| line["response"]["body"].clone();
    for (endpoint, asked, pointer, expected) in [
        (
            "/v1/completions",
            r#"{"prompt":"p"}"#,
            "/choices/0/text",
            json!("p"),
        ),
        (
            "/v1/responses",
            r#"{"input":"i"}"#,
            "/output/0/content/0/text",
            json!("i"),
        ),
        (
            "/v1/embeddings",
            r#"{"input":["a","b"]}"#,
            "/data/1/index",
            json!(1),
        ),
        (
            "/v1/embeddings",
            r#"{"input":[1,2,3]}"#,
            "/data/1",
            Value::Null,
        ),
        ("/v1/other/path", r#"{"x": 1.50}"#, "/x", json!(1.5)),
    ] {
        let batch = client.submit(endpoint, &line("a", endpoint, asked)).await;
        let done = client.poll(&batch).await;
        let lines = client.lines(&done["output_file_id"]).await;
        let body = body(lines[0].clone());
        let found = body.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{endpoint}: {body}");
        // The synchronous endpoint says the same.
        let asked = serde_json::from_str(asked).expect("JSON");
        assert_eq!(client.post(endpoint, &asked).await.json(), body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_through_its_stages_as_it_is_polled() {
    let script = |_: &_| {
        Script::stepwise()
            .stage(Stage::of(Status::Other("resting")).polls(2))
            .stage(Stage::of(Status::InProgress).polls(0))
    };
    let (_api, client) = api(MockBatchApi::settings().script(script));
    let batch = client.submit(CHAT, &rows(1)).await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(client.poll(&batch).await["status"].clone());
    }
    let expected = [
        "validating",
        "in_progress",
        "finalizing",
        "resting",
        "resting",
        "completed",
        "completed",
    ];
    assert_eq!(seen, expected);
    let done = client.poll(&batch).await;
    for time in [
        "created_at",
        "in_progress_at",
        "finalizing_at",
        "completed_at",
        "expires_at",
    ] {
        assert!(done[time].is_u64(), "{time}: {done}");
    }
    for time in ["failed_at", "expired_at", "cancelling_at", "cancelled_at"] {
        assert!(done[time].is_null(), "{time}: {done}");
    }
    assert_eq!(
        done["expires_at"].as_u64(),
        done["created_at"].as_u64().map(|at| at + 86_400)
    );
}

#[tokio::test(start_paused = true)]
async fn stages_may_last_for_a_time_and_are_not_prolonged_by_late_polls() {
    let second = Duration::from_secs(1);
    let script = move |_: &_| {
        Script::instant()
            .stage(Stage::of(Status::InProgress).lasting(10 * second))
            .stage(Stage::of(Status::Finalizing).lasting(10 * second))
    };
    let (_api, client) = api(MockBatchApi::settings().script(script));
    let batch = client.submit(CHAT, &rows(1)).await;
    assert_eq!(client.poll(&batch).await["status"], "in_progress");
    tokio::time::advance(15 * second).await;
    assert_eq!(client.poll(&batch).await["status"], "finalizing");
    tokio::time::advance(4 * second).await;
    assert_eq!(client.poll(&batch).await["status"], "finalizing");
    tokio::time::advance(second).await;
    assert_eq!(client.poll(&batch).await["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn partial_results_grow_line_by_line() {
    let script = |_: &_| {
        Script::instant()
            .stage(Stage::of(Status::InProgress))
            .stage(Stage::of(Status::InProgress).done(Share::of(1, 2)))
            .stage(Stage::of(Status::InProgress).done(Share::of(3, 4)))
    };
    let (_api, client) = api(MockBatchApi::settings().script(script));
    let batch = client.submit(CHAT, &rows(8)).await;
    assert_eq!(client.poll(&batch).await["output_file_id"], Value::Null);
    let half = client.poll(&batch).await;
    assert_eq!(
        half["request_counts"],
        json!({"total": 8, "completed": 4, "failed": 0})
    );
    let file = &half["output_file_id"];
    let got = client.content(file, "").await;
    assert_eq!(got.header("x-incomplete"), Some("true"));
    assert_eq!(got.header("x-last-line"), Some("4"));
    assert_eq!(got.text().lines().count(), 4);
    client.poll(&batch).await;
    let got = client.content(file, "?offset=4").await;
    assert_eq!(got.header("x-incomplete"), Some("true"));
    assert_eq!(got.header("x-last-line"), Some("6"));
    assert!(
        got.text().contains("\"r4\"") && got.text().contains("\"r5\""),
        "{got:?}"
    );
    assert_eq!(got.text().lines().count(), 2);
    client.poll(&batch).await;
    let got = client.content(file, "?offset=6").await;
    assert_eq!(got.header("x-incomplete"), Some("false"));
    assert_eq!(got.header("x-last-line"), Some("8"));
    assert_eq!(got.text().lines().count(), 2);
    assert_eq!(client.content(file, "?offset=8").await.text(), "");
    assert_eq!(client.content(file, "?offset=99").await.text(), "");
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_refused_stand_in_the_error_file() {
    let settings = MockBatchApi::settings().answer(|row| match row.custom_id() {
        "r0" => Answer::refusal(400, "no"),
        "r1" => Answer::error("internal", "broken"),
        _ => Answer::new(201, r#"{"a": 1.50, "a": "\u00e9"}"#),
    });
    let (_api, client) = api(settings);
    let batch = client.submit(CHAT, &rows(3)).await;
    let done = client.poll(&batch).await;
    assert_eq!(
        done["request_counts"],
        json!({"total": 3, "completed": 1, "failed": 2})
    );
    let errors = client.lines(&done["error_file_id"]).await;
    assert_eq!(ids(&errors), ["r0", "r1"]);
    assert_eq!(errors[0]["response"]["status_code"], 400);
    assert_eq!(errors[0]["response"]["body"]["error"]["message"], "no");
    assert_eq!(errors[1]["response"], Value::Null);
    assert_eq!(
        errors[1]["error"],
        json!({"code": "internal", "message": "broken"})
    );
    // A body stands there byte for byte.
    let text = client.content(&done["output_file_id"], "").await.text();
    assert!(
        text.contains(r#""body":{"a": 1.50, "a": "\u00e9"}}"#),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_answers_has_no_output_file() {
    let settings = MockBatchApi::settings().answer(|_| Answer::refusal(500, "no"));
    let (_api, client) = api(settings);
    let batch = client.submit(CHAT, &rows(2)).await;
    let done = client.poll(&batch).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(done["output_file_id"], Value::Null);
    assert_eq!(client.lines(&done["error_file_id"]).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_batch_keeps_what_was_finished() {
    for listed in [true, false] {
        let script = move |_: &_| match listed {
            true => Script::instant().expires(Share::of(1, 4)),
            false => Script::instant()
                .expires(Share::of(1, 4))
                .without_the_rest(),
        };
        let (_api, client) = api(MockBatchApi::settings().script(script));
        let batch = client.submit(CHAT, &rows(4)).await;
        let done = client.poll(&batch).await;
        assert_eq!(done["status"], "expired");
        assert!(done["expired_at"].is_u64());
        assert_eq!(
            done["request_counts"],
            json!({"total": 4, "completed": 1, "failed": 3})
        );
        assert_eq!(ids(&client.lines(&done["output_file_id"]).await), ["r0"]);
        if !listed {
            assert_eq!(done["error_file_id"], Value::Null);
            continue;
        }
        let errors = client.lines(&done["error_file_id"]).await;
        assert_eq!(ids(&errors), ["r1", "r2", "r3"]);
        assert!(
            errors
                .iter()
                .all(|line| line["error"]["code"] == "batch_expired")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_batch_keeps_what_was_finished() {
    let script = |_: &_| {
        let half = Stage::of(Status::InProgress).done(Share::of(1, 2));
        Script::instant()
            .stage(half.until_released())
            .cancelling_for(1)
    };
    let (api, client) = api(MockBatchApi::settings().script(script));
    let batch = client.submit(CHAT, &rows(4)).await;
    client.poll(&batch).await;
    let cancel = format!("/v1/batches/{batch}/cancel");
    assert_eq!(
        client.post(&cancel, &json!({})).await.json()["status"],
        "cancelling"
    );
    // Asking again changes nothing.
    assert_eq!(
        client.post(&cancel, &json!({})).await.json()["status"],
        "cancelling"
    );
    assert_eq!(client.poll(&batch).await["status"], "cancelling");
    let done = client.poll(&batch).await;
    assert_eq!(done["status"], "cancelled");
    assert_eq!(
        ids(&client.lines(&done["output_file_id"]).await),
        ["r0", "r1"]
    );
    let errors = client.lines(&done["error_file_id"]).await;
    assert!(
        errors
            .iter()
            .all(|line| line["error"]["code"] == "batch_cancelled")
    );
    assert_eq!(errors.len(), 2);
    let again = client.post(&cancel, &json!({})).await;
    assert_eq!(again.status, 409);
    assert_eq!(api.counts().cancels, 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_stands_still_until_it_is_released() {
    let (api, client) = api(MockBatchApi::settings().script(|_| Script::stuck()));
    let batch = client.submit(CHAT, &rows(1)).await;
    for _ in 0..20 {
        assert_eq!(client.poll(&batch).await["status"], "in_progress");
    }
    api.release();
    assert_eq!(client.poll(&batch).await["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn lists_show_the_newest_first_and_page_through_all() {
    let (api, client) = api(MockBatchApi::settings());
    let mut made = Vec::new();
    for n in 0..5 {
        let file = client.upload(&row("a", "b")).await;
        let asked = json!({
            "input_file_id": file, "endpoint": CHAT, "completion_window": "1h",
            "metadata": {"n": n.to_string()},
        });
        made.push(id(&client.post("/v1/batches", &asked).await.json()));
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/batches?limit=2".to_owned());
    loop {
        let page = client.get(&path).await.json();
        for batch in page["data"].as_array().expect("a list") {
            let number = made.iter().position(|made| *made == id(batch));
            assert_eq!(batch["metadata"]["n"], number.expect("made").to_string());
            assert_eq!(batch["completion_window"], "1h");
            seen.push(id(batch));
        }
        if page["has_more"] == false {
            break;
        }
        let last = page["last_id"].as_str().expect("an id");
        path = format!("/v1/batches?limit=2&after={last}");
    }
    made.reverse();
    assert_eq!(seen, made);
    assert_eq!(api.counts().lists, 3);
    // Listing does not count as polling.
    assert_eq!(api.counts().polls, 0);
    // The same row five times: paid for five times.
    assert_eq!((api.times_accepted("a"), api.counts().rows_again), (5, 4));
    assert_eq!(api.accepted_twice(), ["a"; 4]);
}

#[tokio::test(start_paused = true)]
async fn the_owner_sees_batches_as_their_clients_asked_for_them() {
    let (api, client) = api(MockBatchApi::settings().script(|new| {
        assert_eq!(
            (new.rows, new.model.as_deref(), &*new.endpoint),
            (2, Some("m"), CHAT)
        );
        Script::stuck()
    }));
    let batch = client.submit(CHAT, &rows(2)).await;
    let views = api.batches().await;
    let [view] = &views[..] else {
        panic!("{views:?}")
    };
    assert_eq!(view.id, batch);
    assert_eq!(
        (view.rows, view.done, view.model.as_deref()),
        (2, 0, Some("m"))
    );
    let log: Vec<_> = api
        .log()
        .into_iter()
        .map(|seen| (seen.on, seen.status))
        .collect();
    use hedgerow_sim::batch_api::On;
    assert_eq!(log, [(On::Upload, 200), (On::Create, 200)]);
}

#[tokio::test(start_paused = true)]
async fn a_strict_api_shows_no_part_of_the_results_and_ignores_an_offset() {
    let script =
        |_: &_| Script::instant().stage(Stage::of(Status::InProgress).done(Share::of(1, 2)));
    let settings = MockBatchApi::settings().strict(true).script(script);
    let (_api, client) = api(settings);
    let batch = client.submit(CHAT, &rows(4)).await;
    let half = client.poll(&batch).await;
    assert_eq!(half["request_counts"]["completed"], 2);
    assert_eq!(half["output_file_id"], Value::Null);
    let file = client.poll(&batch).await["output_file_id"].clone();
    let got = client.content(&file, "?offset=3").await;
    assert_eq!(got.text().lines().count(), 4);
    assert_eq!(got.header("x-last-line"), None);
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_be_listed_late() {
    let time = Duration::from_secs(60);
    let (_api, client) = api(MockBatchApi::settings().listed_after(time));
    let batch = client.submit(CHAT, &rows(1)).await;
    let listed = async || client.get("/v1/batches").await.json()["data"].clone();
    assert_eq!(listed().await, json!([]));
    assert_eq!(client.poll(&batch).await["status"], "completed");
    tokio::time::advance(time).await;
    assert_eq!(id(&listed().await[0]), batch);
}

#[tokio::test(start_paused = true)]
async fn a_key_makes_one_batch_if_the_api_knows_of_keys() {
    for (idempotent, batches) in [(true, 1), (false, 2)] {
        let (api, client) = api(MockBatchApi::settings().idempotent(idempotent));
        let file = client.upload(&rows(1)).await;
        let made = client.create(CHAT, &file).await.json();
        let again = client.create(CHAT, &file).await.json();
        assert_eq!(made["id"] == again["id"], idempotent);
        assert_eq!(api.counts().batches, batches);
    }
}
