//! A client that writes its requests by hand, so that it shares nothing with the server.

use bytes::Bytes;
use hedgerow_sim::batch_api::{ApiService, Disconnected, MockBatchApi, Settings};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(super) struct Client(ApiService);

/// An answer that came whole, or as far as it came.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) whole: bool,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes.to_vec()).expect("text")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    }
}

pub(super) fn api(settings: Settings) -> (MockBatchApi, Client) {
    let api = settings.without_socket().expect("a folder");
    let client = Client(api.service());
    (api, client)
}

/// A row of a chat.
pub(super) fn row(id: &str, said: &str) -> String {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": said}]});
    line(id, "/v1/chat/completions", &body.to_string())
}

pub(super) fn line(id: &str, url: &str, body: &str) -> String {
    format!(r#"{{"custom_id":"{id}","method":"POST","url":"{url}","body":{body}}}"#)
}

pub(super) fn rows(number: usize) -> String {
    let rows: Vec<String> = (0..number)
        .map(|n| row(&format!("r{n}"), &format!("hello {n}")))
        .collect();
    rows.join("\n")
}

pub(super) const CHAT: &str = "/v1/chat/completions";

impl Client {
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: impl Into<Bytes>,
    ) -> Result<Got, Disconnected> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://mock.invalid{path}"))
            .header("content-type", kind)
            .header("authorization", "Bearer key")
            .header("idempotency-key", "k")
            .body(Full::new(body.into()))
            .expect("a request");
        let answer = self.0.clone().oneshot(request).await?;
        let (head, mut body) = answer.into_parts();
        let (mut bytes, mut whole) = (Vec::new(), true);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().expect("data")),
                Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        let bytes = bytes.into();
        let (status, headers) = (head.status, head.headers);
        Ok(Got {
            status,
            headers,
            bytes,
            whole,
        })
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.send("GET", path, "", "").await.expect("an answer")
    }

    pub(super) async fn post(&self, path: &str, value: &Value) -> Got {
        self.try_post(path, value).await.expect("an answer")
    }

    pub(super) async fn try_post(&self, path: &str, value: &Value) -> Result<Got, Disconnected> {
        self.send("POST", path, "application/json", value.to_string())
            .await
    }

    pub(super) async fn upload_as(&self, purpose: &str, content: &str) -> Got {
        let body = format!(
            "--frontier\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n\
             --frontier\r\ncontent-disposition: form-data; name=\"file\"; filename=\"rows.jsonl\"\r\n\
             content-type: application/jsonl\r\n\r\n{content}\r\n--frontier--\r\n"
        );
        let kind = "multipart/form-data; boundary=frontier";
        self.send("POST", "/v1/files", kind, body)
            .await
            .expect("an answer")
    }

    /// Uploads rows, and gives the id of their file.
    pub(super) async fn upload(&self, content: &str) -> String {
        let got = self.upload_as("batch", content).await;
        assert_eq!(got.status, 200, "{got:?}");
        id(&got.json())
    }

    pub(super) async fn create(&self, endpoint: &str, file: &str) -> Got {
        self.post("/v1/batches", &new_batch(endpoint, file)).await
    }

    /// Uploads rows and makes a batch of them.
    pub(super) async fn submit(&self, endpoint: &str, content: &str) -> String {
        let file = self.upload(content).await;
        let got = self.create(endpoint, &file).await;
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(got.json()["status"], "validating");
        id(&got.json())
    }

    pub(super) async fn poll(&self, batch: &str) -> Value {
        let got = self.get(&format!("/v1/batches/{batch}")).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.json()
    }

    pub(super) async fn content(&self, file: &Value, query: &str) -> Got {
        let file = file.as_str().expect("a file");
        self.get(&format!("/v1/files/{file}/content{query}")).await
    }

    /// The lines of a file.
    pub(super) async fn lines(&self, file: &Value) -> Vec<Value> {
        let text = self.content(file, "").await.text();
        let value = |line| serde_json::from_str(line).expect("JSON");
        text.lines().map(value).collect()
    }
}

pub(super) fn new_batch(endpoint: &str, file: &str) -> Value {
    json!({"input_file_id": file, "endpoint": endpoint, "completion_window": "24h"})
}

pub(super) fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

pub(super) fn ids(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["custom_id"].as_str().unwrap_or(""))
        .collect()
}
