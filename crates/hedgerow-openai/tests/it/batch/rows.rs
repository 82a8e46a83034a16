//! What a call gets.

use futures::future::join_all;
use hedgerow_openai::batch::{BatchClient, RowAnswer};
use hedgerow_openai::openai::ChatRequest;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::fake::Fake;

pub(super) fn post(path: &str, body: &Value) -> Request<Full<bytes::Bytes>> {
    Request::post(format!("http://fake/v1{path}"))
        .body(body.to_string().into())
        .unwrap()
}

/// The body of the answer.
pub(super) async fn ask(client: &BatchClient, body: &Value) -> Value {
    let response = client.send(post("/chat/completions", body)).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_call_gets_its_own_answer_and_a_batch_has_one_endpoint_and_one_model() {
    let fake = Fake::new();
    let client = fake.client(BatchClient::builder().batch_size(10));
    let calls = (0..35).map(|n| {
        let client = &client;
        async move {
            let body = json!({"model": if n % 2 == 0 { "a" } else { "b" }, "n": n});
            assert_eq!(ask(client, &body).await, json!({"echo": body}));
        }
    });
    join_all(calls).await;
    let batches = fake.rows();
    let mut sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    // 18 of one model and 17 of the other, in tens.
    assert_eq!(sizes, [7, 8, 10, 10]);
    for rows in &batches {
        assert!(
            rows.iter()
                .all(|row| row["body"]["model"] == rows[0]["body"]["model"])
        );
        assert!(rows.iter().all(|row| row["url"] == "/v1/chat/completions"));
    }
    assert_eq!(client.open_rows(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_typed_call_is_answered_as_if_it_were_sent_by_itself() {
    let fake = Fake::with(|asked, state| {
        let id = asked
            .path
            .strip_prefix("/files/out-")?
            .strip_suffix("/content")?;
        let made = state.batches.iter().find(|made| made.id == id)?;
        let row = super::fake::lines(&state.files[&made.file].1).remove(0);
        let answer = json!({"choices": [{"message": {"role": "assistant", "content": "Rome"}}]});
        Some(Ok(http::Response::new(
            super::fake::line(&row, 200, &answer).into(),
        )))
    });
    let client = fake.client(BatchClient::builder());
    let question = ChatRequest::new("gpt-5-mini").user("What is the capital of Italy?");
    assert_eq!(client.chat(&question).await.unwrap().text(), "Rome");
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_in_which_batch_it_was_and_by_which_request() {
    let fake = Fake::new();
    let client = fake.client(BatchClient::builder());
    let response = client
        .send(post("/embeddings", &json!({"model": "e"})))
        .await
        .unwrap();
    assert_eq!(response.headers()["x-request-id"], "q");
    let answer = response.extensions().get::<RowAnswer>().unwrap();
    assert_eq!(answer.batch_id(), Some("batch-0"));
}
