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

#[tokio::test(start_paused = true)]
async fn beneath_a_batch_layer_what_it_has_collected_goes_at_once() {
    use hedgerow::BatchLayer;
    use tower::{Layer, ServiceExt};

    let fake = Fake::new();
    let client = fake.client(BatchClient::builder());
    let layer = BatchLayer::linger(std::time::Duration::from_millis(100)).max_size(100);
    let service = layer.layer(client.backend());
    let start = tokio::time::Instant::now();
    let calls = (0..10).map(|n| {
        let service = service.clone();
        async move {
            let body = json!({"model": "m", "n": n});
            let response = service
                .oneshot(post("/chat/completions", &body))
                .await
                .unwrap();
            let got = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(
                serde_json::from_slice::<Value>(&got).unwrap(),
                json!({"echo": body})
            );
        }
    });
    join_all(calls).await;
    assert_eq!(fake.rows().len(), 1);
    // Without another ten seconds of collecting.
    assert!(start.elapsed().as_secs() < 8, "{:?}", start.elapsed());
}

/// A client of reqwest's, and one that answers in its types.
#[tokio::test(start_paused = true)]
async fn a_request_of_reqwest_goes_through_unchanged() {
    let fake = Fake::new();
    let client = fake.client(BatchClient::builder());
    let request = reqwest::Client::new()
        .post("http://fake/v1/chat/completions")
        .header("content-type", "application/json")
        .body(r#"{"model": "m",  "x": 1.0}"#)
        .build()
        .unwrap();
    let request: Request<reqwest::Body> = request.try_into().unwrap();
    let response = client.send(request).await.unwrap().map(reqwest::Body::wrap);
    let text = reqwest::Response::from(response).text().await.unwrap();
    assert_eq!(text, r#"{"echo":{"model":"m","x":1.0}}"#);
}
