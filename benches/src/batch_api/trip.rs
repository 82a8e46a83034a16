//! A row written and an answer read, and nothing else.

use std::borrow::Cow;
use std::hint::black_box;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::client::question;

const ROWS: usize = 200_000;

#[derive(Serialize)]
struct Asked<'a> {
    custom_id: &'a str,
    method: &'a str,
    url: &'a str,
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    response: Response<'a>,
}

#[derive(Deserialize)]
struct Response<'a> {
    status_code: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// How many of them a thread does in a second.
pub(super) fn per_second() -> anyhow::Result<f64> {
    let body = question(1_000_000);
    let custom_id = "0".repeat(64);
    let line = format!(
        r#"{{"id":"batch_req_1","custom_id":"{custom_id}","response":{{"status_code":200,"request_id":"req_1","body":{{"id":"chatcmpl-mock","object":"chat.completion","created":1700000000,"model":"gpt-5-mini","choices":[{{"index":0,"message":{{"role":"assistant","content":"What is the square of 1000000?","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}}}}},"error":null}}"#
    );
    let start = Instant::now();
    for _ in 0..ROWS {
        let asked = serde_json::to_string(&Asked {
            custom_id: &custom_id,
            method: "POST",
            url: "/v1/chat/completions",
            body: serde_json::from_str(black_box(&body))?,
        })?;
        let answered: Answered<'_> = serde_json::from_str(black_box(&line))?;
        black_box((asked, answered.custom_id));
        black_box((answered.response.status_code, answered.response.body));
    }
    Ok(ROWS as f64 / start.elapsed().as_secs_f64())
}
