//! What is refused, and with what words.

use hedgerow_sim::batch_api::MockBatchApi;
use serde_json::{Value, json};

use super::client::{CHAT, Client, api, line, new_batch, row, rows};

#[tokio::test(start_paused = true)]
async fn bad_uploads_are_refused_and_not_kept() {
    let (api, client) = api(MockBatchApi::settings().max_file_bytes(100));
    assert_eq!(client.upload_as("lunch", "x").await.status, 400);
    assert_eq!(client.upload_as("batch", "").await.status, 400);
    assert_eq!(
        client.upload_as("batch", &"x".repeat(101)).await.status,
        413
    );
    assert_eq!(
        client.upload_as("batch", &"x".repeat(100)).await.status,
        200
    );
    let form = "--f\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--f--\r\n";
    for (kind, body) in [
        ("application/json", "{}"),
        ("multipart/form-data; boundary=f", form),
        ("multipart/form-data; boundary=f", "--f\r\nbroken"),
    ] {
        let got = client
            .send("POST", "/v1/files", kind, body)
            .await
            .expect("an answer");
        assert_eq!(got.status, 400, "{got:?}");
        assert_eq!(got.json()["error"]["type"], "invalid_request_error");
    }
    assert_eq!((api.counts().uploads, api.counts().files), (7, 1));
    assert_eq!(api.files().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn bad_batches_are_refused() {
    let (api, client) = api(MockBatchApi::settings().strict(true));
    let file = client.upload(&rows(1)).await;
    let other = client.upload_as("vision", "x").await.json();
    let refused = async |change: &dyn Fn(&mut Value)| {
        let mut asked = new_batch(CHAT, &file);
        change(&mut asked);
        client.post("/v1/batches", &asked).await.status
    };
    let long = "x".repeat(513);
    let many: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    assert_eq!(
        refused(&|asked| asked["completion_window"] = json!("1h")).await,
        400
    );
    assert_eq!(
        refused(&|asked| asked["endpoint"] = json!("/v1/other")).await,
        400
    );
    assert_eq!(
        refused(&|asked| asked["input_file_id"] = json!("file-x")).await,
        400
    );
    assert_eq!(
        refused(&|asked| asked["input_file_id"] = other["id"].clone()).await,
        400
    );
    assert_eq!(
        refused(&|asked| asked["metadata"] = json!({"a": long})).await,
        400
    );
    assert_eq!(refused(&|asked| asked["metadata"] = json!(many)).await, 400);
    assert_eq!(
        refused(&|asked| asked["metadata"] = json!({"a": 1})).await,
        400
    );
    assert_eq!(refused(&|asked| *asked = json!([])).await, 400);
    assert_eq!(api.counts().batches, 0);
    assert_eq!(refused(&|_| {}).await, 200);
    let asked = new_batch("/v1/other", &file);
    let (_api, lax) = super::client::api(MockBatchApi::settings());
    let file = lax.upload(&line("a", "/v1/other", "{}")).await;
    let asked =
        json!({"input_file_id": file, "endpoint": asked["endpoint"], "completion_window": "1h"});
    assert_eq!(lax.post("/v1/batches", &asked).await.status, 200);
}

/// The codes of a batch that fails for its rows.
async fn codes(client: &Client, endpoint: &str, content: &str) -> Vec<(String, Value)> {
    let batch = client.submit(endpoint, content).await;
    let failed = client.poll(&batch).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert_eq!(failed["output_file_id"], Value::Null);
    let errors = failed["errors"]["data"].as_array().expect("a list");
    let code = |error: &Value| {
        (
            error["code"].as_str().unwrap_or("").to_owned(),
            error["line"].clone(),
        )
    };
    errors.iter().map(code).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_bad_rows_fails_and_says_which() {
    let settings = MockBatchApi::settings().max_rows(3).max_embedding_inputs(4);
    let (api, client) = api(settings);
    let good = row("a", "b");
    let other_model = line("c", CHAT, r#"{"model":"n"}"#);
    for (rows, code, number) in [
        (format!("{good}\n{{"), "invalid_json_line", json!(2)),
        (format!("{good}\n{good}"), "duplicate_custom_id", json!(2)),
        (
            format!("{good}\n\n{other_model}"),
            "mismatched_model",
            json!(3),
        ),
        (
            line("a", "/v1/embeddings", "{}"),
            "mismatched_url",
            json!(1),
        ),
        (
            r#"{"method":"POST"}"#.to_owned(),
            "missing_required_parameter",
            json!(1),
        ),
        (line("a", CHAT, "7"), "missing_required_parameter", json!(1)),
        (good.replace("POST", "GET"), "invalid_method", json!(1)),
        ("\n\n".to_owned(), "empty_file", Value::Null),
        (rows(4), "too_many_tasks", Value::Null),
    ] {
        assert_eq!(
            codes(&client, CHAT, &rows).await,
            [(code.to_owned(), number)],
            "{rows}"
        );
    }
    let inputs = |n: usize| {
        let inputs = json!({"input": vec!["x"; n]});
        line("a", "/v1/embeddings", &inputs.to_string())
    };
    let found = codes(&client, "/v1/embeddings", &inputs(5)).await;
    assert_eq!(found, [("too_many_inputs".to_owned(), Value::Null)]);
    // Nothing of it is paid for.
    assert_eq!((api.counts().batches, api.counts().rows), (0, 0));
    // At the limits all is well.
    client.submit(CHAT, &rows(3)).await;
    client.submit("/v1/embeddings", &inputs(4)).await;
    assert_eq!((api.counts().batches, api.counts().rows), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn unknown_things_are_not_found() {
    let (_api, client) = api(MockBatchApi::settings());
    for path in [
        "/v1/files/x",
        "/v1/files/x/content",
        "/v1/batches/x",
        "/v1/nothing",
        "/other",
    ] {
        let got = client.get(path).await;
        assert_eq!(got.status, 404, "{path}");
        assert!(got.json()["error"]["message"].is_string());
    }
    assert_eq!(
        client.post("/v1/batches/x/cancel", &json!({})).await.status,
        404
    );
    assert_eq!(client.post("/v1/batches/x", &json!({})).await.status, 404);
    assert_eq!(client.get("/v1/batches?limit=0").await.status, 400);
    assert_eq!(client.get("/v1/batches?limit=101").await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn only_the_right_key_is_let_in() {
    let (api, client) = api(MockBatchApi::settings().api_key("other"));
    let got = client.get("/v1/batches").await;
    assert_eq!(got.status, 401);
    assert_eq!(got.json()["error"]["code"], "invalid_api_key");
    assert_eq!(api.counts().lists, 0);
    let (_api, client) = super::client::api(MockBatchApi::settings().api_key("key"));
    assert_eq!(client.get("/v1/batches").await.status, 200);
}
