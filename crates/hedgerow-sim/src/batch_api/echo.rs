//! Answers that repeat their question, in the form of each endpoint.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::Row;
use super::shared::DAY_ZERO;

/// The fields of requests that are looked at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow, default)]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

impl<'a> Asked<'a> {
    /// What is no object of this kind asks nothing.
    pub(super) fn read(body: &'a str) -> Self {
        serde_json::from_str(body).unwrap_or_default()
    }

    /// How many texts a request for embeddings asks about.
    pub(super) fn inputs(&self) -> usize {
        let Some(input) = self.input else { return 0 };
        match serde_json::from_str::<Vec<&RawValue>>(input.get()) {
            // A list of numbers is one text, of tokens.
            Ok(list) if list.first().is_some_and(|first| is_number(first)) => 1,
            Ok(list) => list.len(),
            Err(_) => 1,
        }
    }

    /// What was said last, as a JSON string.
    fn said(&self) -> &'a str {
        let text = |raw: &'a RawValue| raw.get().starts_with('"').then(|| raw.get());
        let list = self.messages.map(RawValue::get).unwrap_or("[]");
        let messages = serde_json::from_str::<Vec<Message<'a>>>(list).unwrap_or_default();
        let last = messages.last().and_then(|message| message.content);
        let said = last.or(self.prompt).or(self.input);
        said.and_then(text).unwrap_or("\"\"")
    }
}

fn is_number(raw: &RawValue) -> bool {
    raw.get()
        .starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

pub(super) fn body(row: &Row<'_>) -> String {
    let asked = Asked::read(row.body);
    let model = json!(asked.model.as_deref().unwrap_or("mock"));
    let (said, made) = (asked.said(), DAY_ZERO);
    match row.url {
        "/v1/chat/completions" => format!(
            r#"{{"id":"chatcmpl-mock","object":"chat.completion","created":{made},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{said},"refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}}}"#
        ),
        "/v1/completions" => format!(
            r#"{{"id":"cmpl-mock","object":"text_completion","created":{made},"model":{model},"choices":[{{"index":0,"text":{said},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}}}"#
        ),
        "/v1/embeddings" => {
            let vector = |index: usize| {
                format!(
                    r#"{{"object":"embedding","index":{index},"embedding":[0.5,-0.25,{index}.0]}}"#
                )
            };
            let vectors: Vec<String> = (0..asked.inputs()).map(vector).collect();
            let vectors = vectors.join(",");
            format!(
                r#"{{"object":"list","data":[{vectors}],"model":{model},"usage":{{"prompt_tokens":3,"total_tokens":3}}}}"#
            )
        }
        "/v1/responses" => format!(
            r#"{{"id":"resp_mock","object":"response","created_at":{made},"status":"completed","error":null,"incomplete_details":null,"instructions":null,"metadata":{{}},"model":{model},"output":[{{"type":"message","id":"msg_mock","status":"completed","role":"assistant","content":[{{"type":"output_text","text":{said},"annotations":[]}}]}}],"parallel_tool_calls":true,"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"usage":{{"input_tokens":3,"input_tokens_details":{{"cached_tokens":0,"cache_write_tokens":0}},"output_tokens":2,"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":5}}}}"#
        ),
        _ => row.body.to_owned(),
    }
}
