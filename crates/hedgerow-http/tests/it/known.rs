//! The formats of model providers, as they are seen on the wire.

use bytes::Bytes;
use hedgerow_core::Class;
use hedgerow_http::sse::Reader;
use hedgerow_http::{KnownFormat, Seen, StreamFormat};

/// What a format sees in an event of this name and data.
fn seen(format: KnownFormat, name: &str, data: &str) -> Seen {
    let mut chunk = Bytes::from(format!("event: {name}\ndata: {data}\n\n"));
    let event = Reader::new().read(&mut chunk).expect("small");
    format.see(&event.expect("one event"))
}

const RETRY: Seen = Seen::Failed(Class::RETRYABLE);
const FINAL: Seen = Seen::Failed(Class::Fatal);

fn table(format: KnownFormat, cases: &[(&str, Seen)]) {
    for (data, wanted) in cases {
        assert_eq!(seen(format, "", data), *wanted, "{format:?} {data}");
    }
}

#[test]
fn a_chat_begins_with_its_first_token() {
    table(
        KnownFormat::OpenAiChat,
        &[
            (
                r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}"#,
                Seen::Preamble,
            ),
            (
                r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
                Seen::Preamble,
            ),
            (
                r#"{"choices":[],"usage":{"total_tokens":3}}"#,
                Seen::Preamble,
            ),
            (r#"{"choices":null,"error":null}"#, Seen::Preamble),
            (
                r#"{"choices":[{"delta":{"tool_calls":[],"function_call":null}}]}"#,
                Seen::Preamble,
            ),
            (r#"{"choices":[{"delta":null}]}"#, Seen::Preamble),
            (r#"{"choices":[{"delta":{"content":"Hi"}}]}"#, Seen::Content),
            (
                r#"{"choices":[{"delta":{"content":""}},{"delta":{"content":" "}}]}"#,
                Seen::Content,
            ),
            (r#"{"choices":[{"delta":{"refusal":"No"}}]}"#, Seen::Content),
            (
                r#"{"choices":[{"delta":{"role":"assistant","reasoning_content":"Hm"}}]}"#,
                Seen::Content,
            ),
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}]}}]}"#,
                Seen::Content,
            ),
            (
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
                Seen::Content,
            ),
            ("[DONE]", Seen::Content),
        ],
    );
}

#[test]
fn completions_begin_with_text() {
    table(
        KnownFormat::OpenAiCompletions,
        &[
            (
                r#"{"choices":[{"text":"","index":0,"finish_reason":null}]}"#,
                Seen::Preamble,
            ),
            (
                r#"{"choices":[{"text":"a","index":0,"finish_reason":null}]}"#,
                Seen::Content,
            ),
            (
                r#"{"choices":[{"text":"","finish_reason":"length"}]}"#,
                Seen::Content,
            ),
        ],
    );
}

#[test]
fn responses_begin_with_a_delta_that_is_not_empty() {
    table(
        KnownFormat::OpenAiResponses,
        &[
            (
                r#"{"type":"response.created","response":{"error":null,"output":[]}}"#,
                Seen::Preamble,
            ),
            (r#"{"type":"response.queued"}"#, Seen::Preamble),
            (
                r#"{"type":"response.in_progress","response":{}}"#,
                Seen::Preamble,
            ),
            (
                r#"{"type":"response.output_item.added","item":{"type":"message"}}"#,
                Seen::Preamble,
            ),
            (r#"{"type":"response.content_part.added"}"#, Seen::Preamble),
            (
                r#"{"type":"response.web_search_call.searching"}"#,
                Seen::Preamble,
            ),
            (
                r#"{"type":"response.output_text.delta","delta":""}"#,
                Seen::Preamble,
            ),
            (
                r#"{"type":"keepalive","sequence_number":3}"#,
                Seen::Preamble,
            ),
            (
                r#"{"type":"response.output_text.delta","delta":"Hi"}"#,
                Seen::Content,
            ),
            (
                r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
                Seen::Content,
            ),
            (
                r#"{"type":"response.image_generation_call.partial_image"}"#,
                Seen::Content,
            ),
            (
                r#"{"type":"response.completed","response":{"error":null}}"#,
                Seen::Content,
            ),
            (r#"{"type":"response.incomplete"}"#, Seen::Content),
            (
                r#"{"type":"error","code":"server_error","message":"x","param":null}"#,
                RETRY,
            ),
            (
                r#"{"type":"error","code":"invalid_prompt","message":"x"}"#,
                FINAL,
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","code":null}}"#,
                FINAL,
            ),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}"#,
                RETRY,
            ),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"invalid_prompt"}}}"#,
                FINAL,
            ),
        ],
    );
    assert_eq!(
        seen(KnownFormat::OpenAiResponses, "response.created", "{}"),
        Seen::Preamble
    );
}

#[test]
fn messages_begin_with_the_first_content_block_delta() {
    let messages = KnownFormat::AnthropicMessages;
    table(
        messages,
        &[
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":1}}}"#,
                Seen::Preamble,
            ),
            (
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                Seen::Preamble,
            ),
            (r#"{"type": "ping"}"#, Seen::Preamble),
            (r#"{"type":"content_block_stop","index":0}"#, Seen::Preamble),
            (
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
                Seen::Content,
            ),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}"#,
                Seen::Content,
            ),
            (r#"{"type":"message_stop"}"#, Seen::Content),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                RETRY,
            ),
            (
                r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#,
                RETRY,
            ),
            (
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
                RETRY,
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#,
                FINAL,
            ),
            (
                r#"{"type":"error","error":{"type":"authentication_error","message":"x"}}"#,
                FINAL,
            ),
            (r#"{"error":{"type":"not_found_error"}}"#, FINAL),
        ],
    );
    // Without a type in the data the event's name tells.
    assert_eq!(seen(messages, "content_block_delta", "{}"), Seen::Content);
    assert_eq!(seen(messages, "error", "{}"), RETRY);
}

#[test]
fn an_error_in_a_chat_is_worth_what_its_type_or_code_says() {
    let of = |error: &str| {
        seen(
            KnownFormat::OpenAiChat,
            "",
            &format!("{{\"error\":{error}}}"),
        )
    };
    for retry in [
        r#"{"message":"The server had an error","type":"server_error","param":null,"code":null}"#,
        r#"{"message":"Rate limit","type":"tokens","code":"rate_limit_exceeded"}"#,
        r#"{"message":"overloaded","code":503}"#,
        r#"{"message":"overloaded","code":"529"}"#,
        r#"{"message":"invalid_request_error, 400"}"#,
        r#""internal""#,
        "{}",
        // Somebody's own numbers, such as gRPC's UNAVAILABLE: not known, as their names would not be.
        r#"{"message":"try again","code":14}"#,
        r#"{"message":"try again","code":0}"#,
        r#"{"message":"try again","code":1040}"#,
        r#"{"message":"try again","code":70000}"#,
        r#"{"message":"try again","code":-1}"#,
    ] {
        assert_eq!(of(retry), RETRY, "{retry}");
    }
    for last in [
        r#"{"type":"invalid_request_error","code":"context_length_exceeded"}"#,
        r#"{"type":"insufficient_quota","code":"insufficient_quota"}"#,
        r#"{"message":"bad","code":400}"#,
        r#"{"message":"bad","code":"401"}"#,
        r#"{"message":"no","code":501}"#,
        r#"{"type":"invalid_request_error","code":3}"#,
    ] {
        assert_eq!(of(last), FINAL, "{last}");
    }
    // As vLLM tells it.
    let vllm =
        r#"{"object":"error","message":"x","type":"BadRequestError","param":null,"code":400}"#;
    assert_eq!(seen(KnownFormat::OpenAiChat, "", vllm), FINAL);
    let vllm = r#"{"object":"error","message":"x","type":"InternalServerError","code":500}"#;
    assert_eq!(seen(KnownFormat::OpenAiCompletions, "", vllm), RETRY);
}

#[test]
fn what_is_not_understood_is_never_withheld() {
    let formats = [
        KnownFormat::OpenAiChat,
        KnownFormat::OpenAiCompletions,
        KnownFormat::OpenAiResponses,
        KnownFormat::AnthropicMessages,
    ];
    for format in formats {
        for odd in [
            "hello",
            "{",
            "[1]",
            "null",
            r#"{"type":7}"#,
            "\u{fffd}",
            r#"{"choices":[3]}"#,
        ] {
            assert_eq!(seen(format, "", odd), Seen::Content, "{format:?} {odd}");
        }
        // A hundred thousand brackets, and no stack overflow.
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        assert_eq!(seen(format, "", &deep), Seen::Content);
    }
}

#[test]
fn a_path_says_which_format_is_spoken() {
    let cases = [
        ("/v1/chat/completions", Some(KnownFormat::OpenAiChat)),
        ("/chat/completions/", Some(KnownFormat::OpenAiChat)),
        (
            "/openai/deployments/x/chat/completions",
            Some(KnownFormat::OpenAiChat),
        ),
        ("/v1/completions", Some(KnownFormat::OpenAiCompletions)),
        ("/v1/responses", Some(KnownFormat::OpenAiResponses)),
        ("/v1/messages", Some(KnownFormat::AnthropicMessages)),
        ("/v1/messages/count_tokens", None),
        ("/v1/embeddings", None),
        ("/", None),
        ("", None),
    ];
    for (path, wanted) in cases {
        assert_eq!(KnownFormat::of_path(path), wanted, "{path}");
    }
}
