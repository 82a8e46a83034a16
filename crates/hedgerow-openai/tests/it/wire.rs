//! Types that lose nothing.

use hedgerow::Usage;
use hedgerow_openai::anthropic::{
    self, Block, InputContent, Message, MessageCollector, MessageEvent, MessageUsage,
    MessagesRequest, TokenCount,
};
use hedgerow_openai::json::{Object, Raw};
use hedgerow_openai::openai::{
    self, ChatChunk, ChatCollector, ChatCompletion, ChatMessage, ChatRequest, ChatUsage,
    Completion, CompletionRequest, Content, Embeddings, EmbeddingsRequest, Models, OutputItem,
    Response, ResponseEvent, ResponseRequest, ResponseUsage, ToolCall, Vector,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

/// Reads and writes; what comes out is what went in, field by field and byte by byte, in whatever order.
fn same<T: DeserializeOwned + Serialize + Clone + PartialEq + std::fmt::Debug>(written: &str) -> T {
    let read: T =
        serde_json::from_str(written).unwrap_or_else(|error| panic!("{written}: {error}"));
    let again = text(&read);
    assert_eq!(leaves(&again), leaves(written), "{written}");
    assert_eq!(
        serde_json::from_str::<T>(&again).unwrap(),
        read,
        "{written}"
    );
    read
}

/// Every scalar with the path to it, as it is written.
fn leaves(json: &str) -> Vec<(String, String)> {
    fn walk(path: &str, raw: &Raw, into: &mut Vec<(String, String)>) {
        let text = raw.as_str();
        if text.starts_with('{') {
            into.push((path.to_owned(), "{}".to_owned()));
            for (key, raw) in &raw.read::<Object>().unwrap() {
                walk(&format!("{path}.{key}"), raw, into);
            }
        } else if text.starts_with('[') {
            into.push((path.to_owned(), "[]".to_owned()));
            for (at, raw) in raw.read::<Vec<Raw>>().unwrap().iter().enumerate() {
                walk(&format!("{path}[{at}]"), raw, into);
            }
        } else {
            into.push((path.to_owned(), text.to_owned()));
        }
    }
    let mut into = Vec::new();
    walk("", &serde_json::from_str(json).unwrap(), &mut into);
    into.sort();
    into
}

#[test]
fn a_chat_request_is_read_and_written_with_all_it_has() {
    let request: ChatRequest = same(
        r#"{"temperature":0.70,"model":"m","seed":12345678901234567890,"messages":[
            {"role":"developer","content":"d","name":"n"},
            {"role":"user","content":[{"type":"text","text":"see"},
                {"type":"image_url","image_url":{"url":"data:,","detail":"low"}}]},
            {"role":"assistant","content":null,"tool_calls":[
                {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}","x":1}},
                {"id":"c2","type":"custom","custom":{"name":"g","input":"i"}}],"audio":null},
            {"role":"tool","tool_call_id":"c1","content":"r"}],
          "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
          "stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},
          "max_completion_tokens":9,"n":2,"response_format":null,"x_vendor":{"deep":[1.0,1e3]}}"#,
    );
    assert!(request.wants_usage());
    assert_eq!(request.rest.get("temperature").unwrap().as_str(), "0.70");
    assert_eq!(request.messages[1].text(), "see");
    let calls = request.messages[2].tool_calls.as_ref().unwrap();
    assert_eq!(calls[0].function.as_ref().unwrap().arguments, "{\"a\":1}");
    assert!(calls[1].function.is_none());
    assert!(
        matches!(&request.messages[1].content, Some(Content::Parts(parts)) if parts.len() == 2)
    );
}

#[test]
fn every_other_type_of_openai_is_read_and_written_with_all_it_has() {
    let answer: ChatCompletion = same(
        r#"{"id":"1","object":"chat.completion","created":1.7e9,"model":"m","system_fingerprint":"fp",
          "choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null,"reasoning_content":"hm"},
            "logprobs":null,"finish_reason":"stop"}],
          "usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,
            "prompt_tokens_details":{"cached_tokens":3}},"service_tier":null}"#,
    );
    assert_eq!(answer.text(), "hi");
    assert_eq!(answer.used(), Some(Usage::new(5, 7)));
    assert_eq!(answer.created.unwrap().as_f64(), 1.7e9);

    let chunk: ChatChunk = same(
        r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,
          "delta":{"role":"assistant","content":"h","tool_calls":[{"index":0,"id":"c","type":"function",
          "function":{"name":"f","arguments":""}}]},"logprobs":null,"finish_reason":null}],"usage":null,
          "obfuscation":"abc"}"#,
    );
    assert_eq!(chunk.text(), "h");
    assert_eq!(chunk.used(), None);

    let request: CompletionRequest =
        same(r#"{"model":"m","prompt":["a","b"],"echo":true,"n":null}"#);
    assert_eq!(request.prompt.unwrap().as_str(), r#"["a","b"]"#);
    let completion: Completion = same(
        r#"{"id":"1","object":"text_completion","created":1,"model":"m",
          "choices":[{"text":"t","index":0,"logprobs":null,"finish_reason":"length"}],"usage":null}"#,
    );
    assert_eq!(completion.text(), "t");

    let request: EmbeddingsRequest =
        same(r#"{"model":"m","input":["a","b"],"user":"u","dimensions":2}"#);
    assert_eq!(request.texts().unwrap(), ["a", "b"]);
    let tokens: EmbeddingsRequest = same(r#"{"model":"m","input":[1,2]}"#);
    assert_eq!(tokens.texts(), None);
    let answer: Embeddings = same(
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-3]},
          {"object":"embedding","index":1,"embedding":"AACAPwAAAMA="}],"model":"m",
          "usage":{"prompt_tokens":4,"total_tokens":4}}"#,
    );
    assert_eq!(answer.data[0].embedding.read().unwrap(), [0.1, -0.001]);
    assert_eq!(answer.data[1].embedding.read().unwrap(), [1.0, -2.0]);
    assert_eq!(answer.used(), Some(Usage::new(4, 0)));

    let models: Models = same(
        r#"{"object":"list","data":[{"id":"m","object":"model","created":1,"owned_by":"o","x":[]}]}"#,
    );
    assert_eq!(models.data[0].id, "m");

    let request: ResponseRequest = same(
        r#"{"model":"m","input":[{"role":"user","content":"x"}],"instructions":null,"stream":false,"store":true}"#,
    );
    assert_eq!(request.stream, Some(false));
    let response: Response = same(
        r#"{"id":"r","object":"response","created_at":1.5,"status":"completed","error":null,
          "incomplete_details":null,"model":"m","output":[{"type":"reasoning","id":"rs","summary":[]},
          {"type":"message","id":"x","role":"assistant","status":"completed","content":[
            {"type":"output_text","text":"a","annotations":[]},{"type":"refusal","refusal":"no"}]},
          {"type":"function_call","id":"f","call_id":"c","name":"n","arguments":"{}","status":"completed"}],
          "usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,
            "output_tokens_details":{"reasoning_tokens":1},"total_tokens":3},"tools":[],"temperature":1.0}"#,
    );
    assert_eq!(response.text(), "a");
    assert_eq!(response.used(), Some(Usage::new(1, 2)));
    assert_eq!(response.function_calls().count(), 1);
    let event: ResponseEvent = same(
        r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"x","output_index":0,
          "content_index":0,"delta":"a","logprobs":[]}"#,
    );
    assert_eq!(event.text().as_deref(), Some("a"));

    let error: openai::ErrorEnvelope =
        same(r#"{"error":{"message":"m","type":"t","param":null,"code":429,"inner":{}}}"#);
    assert_eq!(error.error.code().as_deref(), Some("429"));
}

#[test]
fn every_type_of_anthropic_is_read_and_written_with_all_it_has() {
    let request: MessagesRequest = same(
        r#"{"model":"m","max_tokens":100,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
          "messages":[{"role":"user","content":"x"},{"role":"assistant","content":[
            {"type":"tool_use","id":"t","name":"f","input":{"a":1.0}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"}]}]}],
          "stream":true,"temperature":1.0,"thinking":{"type":"enabled","budget_tokens":1024}}"#,
    );
    assert!(matches!(&request.messages[0].content, InputContent::Text(text) if text == "x"));
    let message: Message = same(
        r#"{"id":"m","type":"message","role":"assistant","model":"x","content":[
            {"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"a","citations":null},
            {"type":"tool_use","id":"t","name":"f","input":{"a": 1.0,  "b":[]}}],
          "stop_reason":"tool_use","stop_sequence":null,
          "usage":{"input_tokens":3,"cache_creation_input_tokens":4,"cache_read_input_tokens":5,
            "output_tokens":6,"service_tier":"standard","cache_creation":{"ephemeral_1h_input_tokens":0}},
          "container":null}"#,
    );
    assert_eq!(message.text(), "a");
    assert_eq!(message.used(), Some(Usage::new(12, 6)));
    let input = message.tool_uses().next().unwrap().input.as_ref().unwrap();
    assert_eq!(input.as_str(), r#"{"a": 1.0,  "b":[]}"#);
    for (event, kind) in [
        (
            r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"x",
              "content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
            "message_start",
        ),
        (
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""},"x":1}"#,
            "content_block_start",
        ),
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"a":1}}}"#,
            "content_block_delta",
        ),
        (
            r#"{"type":"content_block_stop","index":0}"#,
            "content_block_stop",
        ),
        (
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}"#,
            "message_delta",
        ),
        (
            r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"x":1}}"#,
            "message_stop",
        ),
        (r#"{"type":"ping"}"#, "ping"),
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m","details":null},"request_id":"r"}"#,
            "error",
        ),
        (r#"{"type":"brand_new","a":[1.0]}"#, "brand_new"),
    ] {
        let read: MessageEvent = same(event);
        assert_eq!(read.kind(), kind);
        assert_eq!(matches!(read, MessageEvent::Other(_)), kind == "brand_new");
    }
    assert_eq!(
        same::<TokenCount>(r#"{"input_tokens":14,"x":0}"#).input_tokens,
        14
    );
}

#[test]
fn a_null_is_written_again_until_something_takes_its_place() {
    let mut chunk: ChatChunk = same(r#"{"usage":null,"choices":null}"#);
    chunk.usage = Some(ChatUsage::new(1, 2));
    assert_eq!(
        text(&chunk),
        r#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3},"choices":null}"#
    );
}

#[test]
fn a_key_that_stands_twice_and_one_that_is_missing_are_refused_by_name() {
    for (json, says) in [
        (
            r#"{"model":"a","messages":[],"model":"b"}"#,
            "the key `model` stands twice",
        ),
        (
            r#"{"model":"a","messages":[],"n":null,"n":1}"#,
            "the key `n` stands twice",
        ),
        (r#"{"messages":[]}"#, "missing field `model`"),
        (r#"{"model":"a"}"#, "missing field `messages`"),
        (r#"{"model":null,"messages":[]}"#, "expected a string"),
        (r#"{"model":"a","messages":{}}"#, "expected a sequence"),
        (r#"[]"#, "an object (ChatRequest)"),
    ] {
        let error = serde_json::from_str::<ChatRequest>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
    // What nobody reads may stand twice: it is not ours to judge.
    same::<ChatRequest>(r#"{"model":"a","messages":[],"x":1,"x":2}"#);
}

#[test]
fn a_field_that_has_a_name_is_not_set_by_its_key() {
    let error = ChatRequest::new("m").try_set("model", "other").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`model` is a field of ChatRequest: set the field"
    );
    let request = ChatRequest::new("m").set("top_p", 0.5).set("top_p", 1);
    assert_eq!(text(&request), r#"{"model":"m","messages":[],"top_p":1}"#);
}

#[test]
fn an_object_is_changed_where_one_asks_and_nowhere_else() {
    let mut object: Object = serde_json::from_str(r#"{"a":1.0,"b":{"c": 2},"a":3}"#).unwrap();
    assert_eq!(object.get("a").unwrap().as_str(), "3");
    assert_eq!(object.repeated_key(), Some("a"));
    object.set("a", &true).unwrap();
    assert_eq!(text(&object), r#"{"a":true,"b":{"c": 2}}"#);
    object.set("d", "x").unwrap();
    assert_eq!(object.remove("b").unwrap().as_str(), r#"{"c": 2}"#);
    assert_eq!(object.remove("b"), None);
    assert_eq!(text(&object), r#"{"a":true,"d":"x"}"#);
    assert_eq!(object.repeated_key(), None);
    assert!(object.read::<String>("a").is_err());
    assert_eq!(object.read::<String>("zz").unwrap(), None);
}

#[test]
fn vectors_are_the_same_in_both_ways_to_write_them() {
    let numbers = [0.1_f32, -0.0, f32::MAX, f32::MIN_POSITIVE, 1.0];
    for vector in [Vector::floats(&numbers), Vector::base64(&numbers)] {
        let read = vector.read().unwrap();
        assert_eq!(read.map_bits(), numbers.to_vec().map_bits());
    }
    for (raw, says) in [
        (r#""AAA=""#, "2 bytes, no multiple of 4"),
        (r#""%""#, "not base64"),
        ("{}", "neither a list of numbers nor base64"),
    ] {
        let vector: Vector = serde_json::from_str(raw).unwrap();
        let error = vector.read().unwrap_err().to_string();
        assert!(error.contains(says), "{raw}: {error}");
    }
}

trait Bits {
    fn map_bits(self) -> Vec<u32>;
}

impl Bits for Vec<f32> {
    fn map_bits(self) -> Vec<u32> {
        self.into_iter().map(f32::to_bits).collect()
    }
}

#[test]
fn an_event_is_one_line_whatever_line_breaks_its_raw_values_hold() {
    let chunk: ChatChunk =
        serde_json::from_str("{\"x\":{\r\n \"a\": [\n1,\r2\n]\n},\"choices\":[]}").unwrap();
    let event = chunk.to_sse();
    let event = std::str::from_utf8(&event).unwrap();
    assert_eq!(event.find(['\r', '\n']), Some(event.len() - 2), "{event:?}");
    let data = event.strip_prefix("data: ").unwrap();
    assert_eq!(leaves(data.trim()), leaves(&text(&chunk)));
    let named = MessageEvent::ping().to_sse();
    assert_eq!(&named[..], b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    assert_eq!(&ChatChunk::done()[..], b"data: [DONE]\n\n");
}

fn whole_chat() -> ChatCompletion {
    let call = |id: &str| ToolCall::function(id, "f", "{\"a\": 1}");
    let mut calls = ChatMessage::new("assistant", "");
    calls.content = None;
    calls.tool_calls = Some(vec![call("c1"), call("c2")]);
    let mut answer = ChatCompletion::new("id", "m", 7)
        .set("system_fingerprint", "fp")
        .choice(
            ChatMessage::new("assistant", "hello").set("reasoning_content", "hm"),
            "stop",
        )
        .choice(calls, "tool_calls");
    answer.usage = Some(ChatUsage::new(3, 4));
    answer
}

#[test]
fn a_whole_chat_and_its_stream_are_made_of_each_other() {
    let answer = whole_chat();
    let chunks = answer.to_chunks(true);
    assert_eq!(
        chunks.iter().filter(|chunk| chunk.usage.is_some()).count(),
        1
    );
    assert!(chunks.last().unwrap().choices().is_empty());
    let mut collector = ChatCollector::new();
    for chunk in chunks {
        assert!(!collector.is_finished() || chunk.choices().is_empty());
        collector.add(same(&text(&chunk)));
    }
    assert!(collector.is_finished());
    assert_eq!(collector.finish(), answer);
    // The usage chunk only when asked.
    assert!(
        answer
            .to_chunks(false)
            .iter()
            .all(|chunk| chunk.usage.is_none() && !chunk.choices().is_empty())
    );
}

#[test]
fn calls_without_an_index_are_told_apart_by_their_ids() {
    let mut collector = ChatCollector::new();
    for delta in [
        r#"{"id":"a","function":{"name":"f","arguments":"{"}}"#,
        r#"{"function":{"arguments":"}"}}"#,
        r#"{"id":"b","function":{"name":"g","arguments":"{}"}}"#,
    ] {
        collector.add(
            serde_json::from_str(&format!(
                r#"{{"choices":[{{"delta":{{"tool_calls":[{delta}]}}}}]}}"#
            ))
            .unwrap(),
        );
    }
    let answer = collector.finish();
    let calls: Vec<_> = answer
        .tool_calls()
        .iter()
        .map(|call| call.function.as_ref().unwrap())
        .collect();
    assert_eq!(
        (calls.len(), &*calls[0].arguments, &*calls[1].name),
        (2, "{}", "g")
    );
}

#[test]
fn a_whole_message_and_its_stream_are_made_of_each_other() {
    let mut message = Message::new("id", "m")
        .block(
            serde_json::from_str(r#"{"type":"thinking","thinking":"hm","signature":"sig"}"#)
                .unwrap(),
        )
        .block(Block::text("hello"))
        .block(Block::tool_use(
            "t",
            "f",
            Raw::of(&serde_json::json!({"a": [1]})).unwrap(),
        ));
    message.stop_reason = Some("tool_use".to_owned());
    message.usage = Some(MessageUsage::new(3, 4).set("service_tier", "standard"));
    let mut collector = MessageCollector::new();
    let events = message.to_events();
    let kinds: Vec<_> = events.iter().map(|event| event.kind().to_owned()).collect();
    assert_eq!(kinds.first().unwrap(), "message_start");
    assert_eq!(kinds[kinds.len() - 2..], ["message_delta", "message_stop"]);
    for event in events {
        assert!(!collector.is_finished());
        collector.add(same(&text(&event)));
    }
    assert!(collector.is_finished());
    let mut got = collector.finish();
    // The start says of both that they are not known yet.
    for name in ["stop_reason", "stop_sequence"] {
        assert!(got.rest.remove(name).unwrap().is_null());
    }
    assert_eq!(got, message);
}

#[test]
fn a_tools_input_that_is_cut_off_is_kept_as_the_text_it_is() {
    let mut collector = MessageCollector::new();
    for event in Message::new("id", "m")
        .block(Block::tool_use(
            "t",
            "f",
            Raw::of(&serde_json::json!({"a": 1})).unwrap(),
        ))
        .to_events()
    {
        let cut = text(&event).replace(r#"{\"a\":1}"#, r#"{\"a\":"#);
        collector.add(serde_json::from_str(&cut).unwrap());
    }
    let message = collector.finish();
    assert_eq!(
        message.content[0].input.as_ref().unwrap().as_str(),
        r#""{\"a\":""#
    );
}

#[test]
fn a_streamed_response_is_numbered_and_ends_with_the_whole() {
    let mut response = Response::new("r", "m", 7)
        .item(OutputItem::message("msg", "hello"))
        .item(OutputItem::function_call("fc", "call", "f", "{\"a\":1}"));
    response.usage = Some(ResponseUsage::new(3, 4));
    let events = response.to_events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.sequence_number, u64::try_from(number).ok());
        assert_eq!(event.is_last(), number + 1 == events.len());
        same::<ResponseEvent>(&text(event));
    }
    let kinds: Vec<_> = events.iter().map(|event| &*event.kind).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let said: String = events.iter().filter_map(ResponseEvent::text).collect();
    assert_eq!(said, "hello");
    assert_eq!(events.last().unwrap().response.as_ref(), Some(&response));
}

#[test]
fn later_usage_of_a_message_takes_the_place_of_earlier_and_is_not_added() {
    let mut usage: MessageUsage = serde_json::from_str(
        r#"{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}"#,
    )
    .unwrap();
    usage.update(&serde_json::from_str(r#"{"output_tokens":9,"input_tokens":null}"#).unwrap());
    assert_eq!(usage.used(), Usage::new(15, 9));
    let body = anthropic::ErrorEnvelope::new(http::StatusCode::BAD_REQUEST, "m").request_id("req");
    assert!(text(&body).contains("\"request_id\":\"req\""));
}

fn raw() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        "\"([ a-z\u{e9}]|\\\\u[0-9a-c][0-9a-f]{3}|\\\\[nt\"/\\\\]){0,6}\"",
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(" ,"))),
            prop::collection::vec(("[a-c]", inner), 0..4).prop_map(|all| {
                let fields: Vec<_> = all
                    .iter()
                    .map(|(key, raw)| format!("\"{key}\": {raw}"))
                    .collect();
                format!("{{ {} }}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    /// Unknown fields, at every level, go out byte for byte as they came in.
    #[test]
    fn what_nobody_knows_goes_out_as_it_came_in(a in raw(), b in raw(), c in raw(), d in raw()) {
        let written = format!(
            r#"{{"x1":{a},"model":"m","choices":[{{"x2":{b},"index":0,"message":{{"role":"r","x3":{c}}}}}],"usage":{{"x4":{d}}}}}"#
        );
        let answer: ChatCompletion = serde_json::from_str(&written).unwrap();
        let kept = |object: &Object, key: &str| object.get(key).unwrap().as_str().to_owned();
        prop_assert_eq!(&kept(&answer.rest, "x1"), &a);
        prop_assert_eq!(&kept(&answer.choices[0].rest, "x2"), &b);
        prop_assert_eq!(&kept(&answer.choices[0].message.rest, "x3"), &c);
        let again = text(&answer);
        for raw in [&a, &b, &c, &d] {
            prop_assert!(again.contains(raw.as_str()), "{} in {}", raw, again);
        }
        prop_assert_eq!(leaves(&again), leaves(&written));
        let object: Object = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(text(&object), written);
    }
}
