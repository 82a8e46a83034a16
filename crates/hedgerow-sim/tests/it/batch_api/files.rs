//! Files: kept, described, deleted.

use hedgerow_sim::batch_api::MockBatchApi;
use serde_json::json;

use super::client::{CHAT, api, id, rows};

#[tokio::test(start_paused = true)]
async fn a_file_is_given_back_as_it_came() {
    let (api, client) = api(MockBatchApi::settings());
    let content = rows(1_000);
    let got = client.upload_as("batch", &content).await.json();
    assert_eq!(got["bytes"], content.len());
    assert_eq!(
        (&got["object"], &got["purpose"]),
        (&json!("file"), &json!("batch"))
    );
    assert_eq!(got["filename"], "rows.jsonl");
    let back = client.content(&got["id"], "").await;
    assert_eq!(back.text(), content);
    let described = client.get(&format!("/v1/files/{}", id(&got))).await.json();
    assert_eq!(described, got);
    assert_eq!(api.counts().file_bytes, content.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_file_is_gone() {
    let (api, client) = api(MockBatchApi::settings());
    let file = client.upload(&rows(1)).await;
    assert_eq!(api.files(), [&*file]);
    let path = format!("/v1/files/{file}");
    let gone = client
        .send("DELETE", &path, "", "")
        .await
        .expect("an answer");
    assert_eq!(
        gone.json(),
        json!({"id": file, "object": "file", "deleted": true})
    );
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.get(&format!("{path}/content")).await.status, 404);
    assert_eq!(client.create(CHAT, &file).await.status, 400);
    assert!(api.files().is_empty());
    assert_eq!(api.counts().deletes, 1);
}

#[tokio::test(start_paused = true)]
async fn files_are_listed_by_purpose() {
    let (_api, client) = api(MockBatchApi::settings());
    let batch = client.submit(CHAT, &rows(1)).await;
    let done = client.poll(&batch).await;
    let list = client.get("/v1/files?purpose=batch_output").await.json();
    assert_eq!(list["data"][0]["id"], done["output_file_id"]);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    let list = client.get("/v1/files").await.json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
}
