//! Streamed answers.

use futures::{FutureExt, StreamExt};
use hedgerow::Usage;
use hedgerow_core::Class;
use hedgerow_openai::CallError;
use hedgerow_openai::anthropic::{Block, Message, MessageUsage};
use hedgerow_openai::openai::{
    ChatChunk, ChatCompletion, ChatDelta, ChatMessage, ChatUsage, CompletionRequest, OutputItem,
    Response, ResponseRequest, ResponseUsage, StreamOptions,
};
use proptest::prelude::*;

use crate::clients::{anthropic, chat, message, openai};
use crate::script::{Piece, Provider, data};

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.build().unwrap().block_on(future)
}

fn chat_answer() -> ChatCompletion {
    let mut answer = ChatCompletion::new("id", "m", 7).choice(
        ChatMessage::new("assistant", "h\u{e9}llo \u{1f994}"),
        "stop",
    );
    answer.usage = Some(ChatUsage::new(3, 4));
    answer
}

fn chat_stream() -> String {
    let chunks = chat_answer().to_chunks(true);
    let events = chunks
        .iter()
        .map(ChatChunk::to_sse)
        .chain([ChatChunk::done()]);
    events
        .map(|event| String::from_utf8(event.to_vec()).unwrap())
        .collect()
}

fn message_answer() -> Message {
    let mut answer = Message::new("id", "m").block(Block::text("hello"));
    answer.stop_reason = Some("end_turn".to_owned());
    answer.usage = Some(MessageUsage::new(3, 4));
    answer
}

fn message_stream() -> String {
    let events = message_answer().to_events();
    events
        .iter()
        .map(|event| String::from_utf8(event.to_sse().to_vec()).unwrap())
        .collect()
}

fn response_answer() -> Response {
    let mut answer = Response::new("id", "m", 7).item(OutputItem::message("i", "hello"));
    answer.usage = Some(ResponseUsage::new(3, 4));
    answer
}

fn response_stream() -> String {
    let events = response_answer().to_events();
    events
        .iter()
        .map(|event| String::from_utf8(event.to_sse().to_vec()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_stream_is_asked_for_with_its_usage_unless_something_stands_there() {
    let provider = Provider::default();
    let client = openai(&provider);
    provider.streams(vec![data(chat_stream())]);
    client.chat_stream(&chat()).await.unwrap();
    let asked = &provider.asked()[0];
    assert_eq!(asked.head.headers["accept"], "text/event-stream");
    assert_eq!(asked.body["stream"], true);
    assert_eq!(
        asked.body["stream_options"],
        serde_json::json!({"include_usage": true})
    );

    let mut request = chat();
    request.stream_options = Some(StreamOptions::default().set("include_obfuscation", false));
    provider.streams(vec![data(chat_stream())]);
    client.chat_stream(&request).await.unwrap();
    let asked = &provider.asked()[1];
    assert_eq!(
        asked.body["stream_options"],
        serde_json::json!({"include_obfuscation": false})
    );

    provider.streams(vec![data(response_stream())]);
    client
        .response_stream(&ResponseRequest::new("m", "x"))
        .await
        .unwrap();
    assert_eq!(
        provider.asked()[2].body,
        serde_json::json!({"model": "m", "input": "x", "stream": true})
    );
    provider.streams(vec![data(message_stream())]);
    anthropic(&provider)
        .message_stream(&message())
        .await
        .unwrap();
    assert_eq!(provider.asked()[3].body["stream"], true);
}

#[tokio::test]
async fn each_wire_is_streamed_with_its_usage() {
    let provider = Provider::default();
    let client = openai(&provider);

    provider.streams(vec![data(chat_stream())]);
    let mut stream = client.chat_stream(&chat()).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = stream.next().await {
        text.push_str(chunk.unwrap().text());
    }
    assert_eq!(
        (text.as_str(), stream.usage()),
        ("h\u{e9}llo \u{1f994}", Some(Usage::new(3, 4)))
    );
    assert!(stream.next().await.is_none());

    let pieces = r#"{"choices":[{"index":0,"text":"he"}]}|{"choices":[{"index":0,"text":"llo","finish_reason":"stop"}]}|{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}|[DONE]"#;
    provider.streams(
        pieces
            .split('|')
            .map(|piece| data(format!("data: {piece}\n\n")))
            .collect(),
    );
    let mut stream = client
        .completion_stream(&CompletionRequest::new("m", "x"))
        .await
        .unwrap();
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        text.push_str(piece.unwrap().text());
    }
    assert_eq!(
        (text.as_str(), stream.usage()),
        ("hello", Some(Usage::new(3, 4)))
    );

    provider.streams(vec![data(response_stream())]);
    let mut stream = client
        .response_stream(&ResponseRequest::new("m", "x"))
        .await
        .unwrap();
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        text.push_str(&event.unwrap().text().unwrap_or_default());
    }
    assert_eq!(
        (text.as_str(), stream.usage()),
        ("hello", Some(Usage::new(3, 4)))
    );

    provider.streams(vec![data(message_stream())]);
    let mut stream = anthropic(&provider)
        .message_stream(&message())
        .await
        .unwrap();
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        text.push_str(event.unwrap().text().unwrap_or_default());
    }
    assert_eq!(
        (text.as_str(), stream.usage()),
        ("hello", Some(Usage::new(3, 4)))
    );
}

proptest! {
    /// However a network cuts a stream, it is put together to what the call would have answered whole.
    #[test]
    fn at_every_cut_a_stream_is_the_whole_answer(cuts in prop::collection::vec(0.0..1.0_f64, 0..12)) {
        let cut = |stream: &str| {
            let at = |part: &f64| (part * stream.len() as f64) as usize;
            let mut cuts: Vec<usize> = cuts.iter().map(at).chain([0, stream.len()]).collect();
            cuts.sort_unstable();
            let bytes = bytes::Bytes::copy_from_slice(stream.as_bytes());
            cuts.windows(2).map(|two| Piece::Data(bytes.slice(two[0]..two[1]))).collect::<Vec<_>>()
        };
        block_on(async {
            let provider = Provider::default();
            provider.streams(cut(&chat_stream()));
            let stream = openai(&provider).chat_stream(&chat()).await.unwrap();
            prop_assert_eq!(stream.collect().await.unwrap(), chat_answer());
            provider.streams(cut(&message_stream()));
            let stream = anthropic(&provider).message_stream(&message()).await.unwrap();
            let mut got = stream.collect().await.unwrap();
            got.rest = message_answer().rest;
            prop_assert_eq!(got, message_answer());
            provider.streams(cut(&response_stream()));
            let request = ResponseRequest::new("m", "x");
            let stream = openai(&provider).response_stream(&request).await.unwrap();
            prop_assert_eq!(stream.collect().await.unwrap(), response_answer());
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn an_error_inside_of_a_stream_is_an_error_and_its_end() {
    let provider = Provider::default();
    let part = r#"data: {"choices":[{"delta":{"content":"a"}}]}"#;
    for told in [
        r#"data: {"error":{"message":"m","type":"server_error"}}"#,
        r#"data: {"choices":[],"error":{"message":"m","type":"server_error"}}"#,
        "event: error\ndata: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}",
        r#"data: {"object":"error","message":"m","type":"InternalServerError","code":500}"#,
    ] {
        provider.streams(vec![
            data(format!("{part}\n\n{told}\n\n{part}\n\n")),
            Piece::Hangs,
        ]);
        let mut stream = openai(&provider).chat_stream(&chat()).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().text(), "a");
        let error = stream.next().await.unwrap().unwrap_err();
        let api = error.api().unwrap();
        assert_eq!(
            (&*api.message, api.is_in_band(), error.class()),
            ("m", true, Class::RETRYABLE)
        );
        assert!(stream.next().await.is_none());
        assert_eq!(provider.alive(), 0, "{told}");
    }

    let whole = message_stream();
    let (begins, _) = whole.split_once("event: message_delta").unwrap();
    let told = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n";
    provider.streams(vec![data(format!("{begins}{told}")), Piece::Hangs]);
    let stream = anthropic(&provider)
        .message_stream(&message())
        .await
        .unwrap();
    let error = stream.collect().await.unwrap_err();
    assert_eq!(
        error.api().unwrap().kind.as_deref(),
        Some("overloaded_error")
    );

    for told in [
        r#"{"type":"error","code":"server_error","message":"m","param":null,"sequence_number":3}"#,
        r#"{"type":"error","error":{"message":"m","code":"server_error"}}"#,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"m"}}}"#,
    ] {
        provider.streams(vec![data(format!("data: {told}\n\n")), Piece::Hangs]);
        let request = ResponseRequest::new("m", "x");
        let mut stream = openai(&provider).response_stream(&request).await.unwrap();
        let error = stream.next().await.unwrap().unwrap_err();
        let api = error.api().unwrap();
        assert_eq!(
            (&*api.message, api.code.as_deref()),
            ("m", Some("server_error")),
            "{told}"
        );
    }
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn a_stream_that_ends_before_its_answer_is_an_error_wherever_it_is_cut() {
    let provider = Provider::default();
    let whole = message_stream();
    let last = whole.find("event: message_stop").unwrap();
    for cut in 0..last {
        if !whole.is_char_boundary(cut) {
            continue;
        }
        provider.streams(vec![data(&whole[..cut])]);
        let stream = anthropic(&provider)
            .message_stream(&message())
            .await
            .unwrap();
        let error = stream.collect().await.unwrap_err();
        assert!(
            matches!(error, CallError::CutOff { .. }),
            "{cut}: {error:?}"
        );
        assert_eq!(error.class(), Class::RETRYABLE);
    }
    // Of a chat, some end with the last reason and without a word.
    let whole = chat_stream();
    let ends = whole.find("\"finish_reason\":\"stop\"").unwrap();
    let ends = ends + whole[ends..].find("\n\n").unwrap() + 2;
    for cut in (0..whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
        provider.streams(vec![data(&whole[..cut])]);
        let stream = openai(&provider).chat_stream(&chat()).await.unwrap();
        assert_eq!(
            stream.collect().await.is_ok(),
            cut >= ends,
            "{cut} of {ends}"
        );
    }
    let whole = response_stream();
    let (cut, _) = whole.split_once("event: response.completed").unwrap();
    provider.streams(vec![data(cut)]);
    let request = ResponseRequest::new("m", "x");
    let stream = openai(&provider).response_stream(&request).await.unwrap();
    assert!(matches!(
        stream.collect().await,
        Err(CallError::CutOff { events: 8 })
    ));
}

#[tokio::test]
async fn a_stream_that_breaks_says_after_how_much() {
    let provider = Provider::default();
    provider.streams(vec![
        data("data: {\"choices\":[]}\n\ndata: {"),
        Piece::Breaks,
    ]);
    let mut stream = openai(&provider).chat_stream(&chat()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Body { received: 14, .. }),
        "{error:?}"
    );
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn what_is_no_stream_is_told_apart() {
    let provider = Provider::default();
    let client = openai(&provider);
    provider.answers_json(200, r#"{"choices":[]}"#);
    let error = client.chat_stream(&chat()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer is no event stream but `application/json`"
    );
    provider.answers_json(200, r#"{"error":{"message":"m"}}"#);
    let error = client.chat_stream(&chat()).await.unwrap_err();
    assert_eq!(error.api().unwrap().message, "m");
    provider.answers_json(429, r#"{"error":{"message":"m"}}"#);
    let error = client.chat_stream(&chat()).await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 429);
    provider.streams(vec![data("data: {\"choices\":\n\n")]);
    let mut stream = client.chat_stream(&chat()).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("is no ChatChunk"), "{error}");
}

#[tokio::test]
async fn dropping_a_stream_or_its_future_drops_the_body() {
    let provider = Provider::default();
    let client = openai(&provider);
    provider.streams(vec![data("data: {\"choices\":[]}\n\n"), Piece::Hangs]);
    let mut stream = client.chat_stream(&chat()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    // A wait that is given up loses nothing, and ends nothing.
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(provider.alive(), 1);
    drop(stream);
    assert_eq!(provider.alive(), 0);

    provider.streams(vec![Piece::Hangs]);
    let stream = client.chat_stream(&chat()).await.unwrap();
    assert!(stream.collect().now_or_never().is_none());
    assert_eq!(provider.alive(), 0);
    provider.answers(http::Response::new(vec![Piece::Hangs]));
    let request = chat();
    assert!(client.chat(&request).now_or_never().is_none());
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn the_body_is_let_go_when_the_answer_is_whole_even_if_it_never_ends() {
    let provider = Provider::default();
    for whole in [chat_stream(), response_stream()] {
        provider.streams(vec![data(whole), Piece::Hangs]);
    }
    let client = openai(&provider);
    let mut stream = client.chat_stream(&chat()).await.unwrap();
    while stream.next().await.is_some() {}
    assert_eq!(provider.alive(), 0);
    let request = ResponseRequest::new("m", "x");
    let events: Vec<_> = client
        .response_stream(&request)
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(events, response_answer().to_events());
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn a_first_content_is_waited_for_and_what_came_before_is_kept() {
    let provider = Provider::default();
    let client = openai(&provider);
    provider.streams(vec![data(chat_stream())]);
    let stream = client.chat_stream(&chat()).await.unwrap();
    let stream = stream.first_content().await.unwrap();
    assert_eq!(stream.collect().await.unwrap(), chat_answer());

    // A role is none, a comment neither.
    let role =
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n: ping\n\n";
    provider.streams(vec![data(role), Piece::Hangs]);
    let stream = client.chat_stream(&chat()).await.unwrap();
    assert!(stream.first_content().now_or_never().is_none());
    assert_eq!(provider.alive(), 0);
    provider.streams(vec![data(role), Piece::Breaks]);
    let stream = client.chat_stream(&chat()).await.unwrap();
    assert!(matches!(
        stream.first_content().await,
        Err(CallError::Body { .. })
    ));

    // Reasoning of a field without a name is.
    let thinks = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n";
    provider.streams(vec![data(role), data(thinks), Piece::Hangs]);
    let stream = client.chat_stream(&chat()).await.unwrap();
    let mut stream = stream.first_content().now_or_never().unwrap().unwrap();
    assert!(stream.next().await.is_some() && stream.next().await.is_some());

    // Nor an event that holds nothing.
    provider.streams(vec![
        data("event: keepalive\ndata:\n\ndata: \n\n"),
        data(chat_stream()),
    ]);
    let stream = client.chat_stream(&chat()).await.unwrap();
    assert_eq!(stream.collect().await.unwrap(), chat_answer());

    let whole = message_stream();
    let (start, delta) = whole.split_once("event: content_block_delta").unwrap();
    provider.streams(vec![
        data(start),
        data("event: ping\ndata: {}\n\n"),
        Piece::Hangs,
    ]);
    let stream = anthropic(&provider)
        .message_stream(&message())
        .await
        .unwrap();
    assert!(stream.first_content().now_or_never().is_none());
    let delta = format!("event: content_block_delta{delta}");
    provider.streams(vec![data(start), data(delta)]);
    let stream = anthropic(&provider)
        .message_stream(&message())
        .await
        .unwrap();
    let stream = stream.first_content().await.unwrap();
    assert_eq!(stream.collect().await.unwrap().text(), "hello");
}

#[tokio::test]
async fn what_is_held_before_a_first_content_is_bounded() {
    let provider = Provider::default();
    let client = openai(&provider);
    let none = ChatChunk::new("i", "m", 7)
        .delta(0, ChatDelta::default())
        .to_sse();
    provider.streams(std::iter::repeat_n(Piece::Data(none.clone()), 1_000).collect());
    let mut stream = client
        .chat_stream(&chat())
        .await
        .unwrap()
        .first_content()
        .await
        .unwrap();
    assert!(format!("{stream:?}").contains("held: 64"), "{stream:?}");
    let mut got = 0;
    while let Some(Ok(_)) = stream.next().await {
        got += 1;
    }
    assert_eq!(got, 1_000);
    let large = format!(
        "data: {{\"choices\":[],\"x\":\"{}\"}}\n\n",
        "x".repeat(100 << 10)
    );
    provider.streams(std::iter::repeat_n(data(large), 10).collect());
    let stream = client
        .chat_stream(&chat())
        .await
        .unwrap()
        .first_content()
        .await
        .unwrap();
    assert!(format!("{stream:?}").contains("held: 3"), "{stream:?}");
}

#[tokio::test]
async fn events_and_collected_answers_are_bounded() {
    let provider = Provider::default();
    let client: hedgerow_openai::OpenAi<_> = hedgerow_openai::OpenAi::builder()
        .no_api_key()
        .max_event_bytes(1_000)
        .max_body_bytes(3_000)
        .build(provider.http());
    let chunk = |size: usize| {
        data(format!(
            "data: {{\"choices\":[],\"x\":\"{}\"}}\n\n",
            "x".repeat(size)
        ))
    };
    provider.streams(vec![chunk(900), chunk(1_000), Piece::Hangs]);
    let mut stream = client.chat_stream(&chat()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Event(_)), "{error:?}");
    // A line that never ends.
    provider.streams(
        std::iter::repeat_n(data("x".repeat(900)), 3)
            .chain([Piece::Hangs])
            .collect(),
    );
    let mut stream = client.chat_stream(&chat()).await.unwrap();
    assert!(matches!(
        stream.next().await,
        Some(Err(CallError::Event(_)))
    ));
    provider.streams(
        std::iter::repeat_n(chunk(900), 4)
            .chain([Piece::Hangs])
            .collect(),
    );
    let stream = client.chat_stream(&chat()).await.unwrap();
    let error = stream.collect().await.unwrap_err();
    assert!(
        matches!(error, CallError::TooLarge { max_bytes: 3_000 }),
        "{error:?}"
    );
    assert_eq!(provider.alive(), 0);
}
