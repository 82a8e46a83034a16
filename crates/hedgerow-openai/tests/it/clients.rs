//! What clients send, and what they make of answers.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::Class;
use hedgerow_openai::anthropic::MessagesRequest;
use hedgerow_openai::openai::{ChatRequest, CompletionRequest, EmbeddingsRequest, ResponseRequest};
use hedgerow_openai::{Anthropic, ApiError, CallError, OpenAi, Provider as Wire};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Service, ServiceExt};

use crate::script::{Http, Piece, Provider, data};

pub(crate) fn openai(provider: &Provider) -> OpenAi<Http> {
    OpenAi::builder()
        .base_url("http://h.test")
        .api_key("sk-key")
        .build(provider.http())
}

pub(crate) fn anthropic(provider: &Provider) -> Anthropic<Http> {
    Anthropic::builder()
        .base_url("http://h.test/")
        .api_key("a-key")
        .build(provider.http())
}

pub(crate) const CHAT: &str = r#"{"choices":[{"message":{"role":"assistant","content":"Rome"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
pub(crate) const MESSAGE: &str = r#"{"type":"message","content":[{"type":"text","text":"Rome"}],"usage":{"input_tokens":3,"output_tokens":2}}"#;

pub(crate) fn chat() -> ChatRequest {
    ChatRequest::new("m").user("Where?")
}

pub(crate) fn message() -> MessagesRequest {
    MessagesRequest::new("m", 9).user("Where?")
}

fn api(error: &CallError) -> &ApiError {
    error.api().unwrap_or_else(|| panic!("{error:?}"))
}

#[tokio::test]
async fn a_request_has_its_path_its_key_and_its_body_and_nothing_else() {
    let provider = Provider::default();
    let client = openai(&provider);
    provider.answers_json(200, CHAT);
    assert_eq!(client.chat(&chat()).await.unwrap().text(), "Rome");
    provider.answers_json(200, r#"{"choices":[{"text":"!"}]}"#);
    client
        .completion(&CompletionRequest::new("m", "Ro"))
        .await
        .unwrap();
    provider.answers_json(200, r#"{"data":[]}"#);
    client
        .embeddings(&EmbeddingsRequest::new("m", "x"))
        .await
        .unwrap();
    provider.answers_json(200, r#"{"status":"completed"}"#);
    client
        .response(&ResponseRequest::new("m", "x"))
        .await
        .unwrap();
    provider.answers_json(200, r#"{"data":[]}"#);
    client.models().await.unwrap();
    provider.answers_json(200, r#"{"id":"a"}"#);
    client.model("a").await.unwrap();

    let asked = provider.asked();
    let lines: Vec<_> = asked
        .iter()
        .map(|asked| format!("{} {}", asked.head.method, asked.head.uri))
        .collect();
    assert_eq!(
        lines,
        [
            "POST http://h.test/v1/chat/completions",
            "POST http://h.test/v1/completions",
            "POST http://h.test/v1/embeddings",
            "POST http://h.test/v1/responses",
            "GET http://h.test/v1/models",
            "GET http://h.test/v1/models/a",
        ]
    );
    let first = &asked[0];
    assert_eq!(
        first.body,
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": "Where?"}]})
    );
    assert_eq!(first.head.headers["authorization"], "Bearer sk-key");
    assert!(first.head.headers["authorization"].is_sensitive());
    assert_eq!(first.head.headers["content-type"], "application/json");
    assert!(
        first
            .head
            .extensions
            .get::<hedgerow::Idempotent>()
            .is_none()
    );
    assert!(!asked[4].head.headers.contains_key("content-type"));
}

#[tokio::test]
async fn anthropics_request_has_its_own_headers() {
    let provider = Provider::default();
    let client = anthropic(&provider);
    provider.answers_json(200, MESSAGE);
    let answer = client.message(&message()).await.unwrap();
    assert_eq!(
        (answer.text(), answer.used().unwrap().total()),
        ("Rome".to_owned(), 5)
    );
    provider.answers_json(200, r#"{"input_tokens":14}"#);
    assert_eq!(
        client.count_tokens(&message()).await.unwrap().input_tokens,
        14
    );
    let asked = provider.asked();
    assert_eq!(asked[0].head.uri, "http://h.test/v1/messages");
    assert_eq!(asked[0].head.headers["x-api-key"], "a-key");
    assert_eq!(asked[0].head.headers["anthropic-version"], "2023-06-01");
    assert_eq!(asked[1].head.uri, "http://h.test/v1/messages/count_tokens");
    assert_eq!(
        asked[1].body,
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": "Where?"}]})
    );
}

#[tokio::test]
async fn a_refusal_tells_its_status_sort_code_message_request_and_pushback() {
    let provider = Provider::default();
    let response = Response::builder()
        .status(429)
        .header("x-request-id", "req_7")
        .header("retry-after", "20")
        .header("x-ratelimit-remaining-requests", "0");
    let body = r#"{"error":{"message":"slow down","type":"requests","param":"model","code":"rate_limit_exceeded"}}"#;
    provider.answers(response.body(vec![data(body)]).unwrap());
    let error = openai(&provider).chat(&chat()).await.unwrap_err();
    let told = api(&error);
    assert_eq!(told.provider, Wire::OpenAi);
    assert_eq!(told.status, 429);
    assert_eq!(told.kind.as_deref(), Some("requests"));
    assert_eq!(told.code.as_deref(), Some("rate_limit_exceeded"));
    assert_eq!(told.param.as_deref(), Some("model"));
    assert_eq!(told.message, "slow down");
    assert_eq!(told.request_id.as_deref(), Some("req_7"));
    assert_eq!(told.pushback.after, Some(Duration::from_secs(20)));
    assert_eq!(told.pushback.requests.remaining, Some(0));
    assert!(!told.is_in_band());
    let after = Some(Duration::from_secs(20));
    assert_eq!(error.class(), Class::Retryable { after });
    assert_eq!(
        error.to_string(),
        "429 Too Many Requests, requests, rate_limit_exceeded: slow down (in `model`) (request req_7)"
    );

    let response = Response::builder()
        .status(529)
        .header("request-id", "req_8")
        .header("x-should-retry", "true");
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded","details":{"error_code":"x"}},"request_id":"other"}"#;
    provider.answers(response.body(vec![data(body)]).unwrap());
    let error = anthropic(&provider).message(&message()).await.unwrap_err();
    let told = api(&error);
    assert_eq!(
        (
            told.status.as_u16(),
            told.kind.as_deref(),
            told.code.as_deref()
        ),
        (529, Some("overloaded_error"), Some("x"))
    );
    assert_eq!(told.request_id.as_deref(), Some("req_8"));
    assert_eq!(error.class(), Class::RETRYABLE);
}

#[tokio::test]
async fn a_refusal_in_any_form_is_a_refusal() {
    for (body, says) in [
        (
            "<html>\n<h1>Bad Gateway</h1>",
            "<html>\n<h1>Bad Gateway</h1>",
        ),
        ("", "nothing"),
        (r#"{"error":"no such model"}"#, "no such model"),
        (r#"{"error":{"code":1}}"#, "no message"),
        (r#"{"detail":"not found"}"#, r#"{"detail":"not found"}"#),
        ("\u{0}\u{1}", "\u{0}\u{1}"),
    ] {
        let provider = Provider::default();
        provider.answers_json(404, body);
        let error = openai(&provider).chat(&chat()).await.unwrap_err();
        assert_eq!(api(&error).message, says, "{body:?}");
        assert_eq!(api(&error).status, 404);
        assert_eq!(error.class(), Class::Fatal);
    }
    // One that breaks, or never ends, is one nevertheless.
    let provider = Provider::default();
    let response = Response::builder().status(503);
    provider.answers(
        response
            .body(vec![data("{\"error\":"), Piece::Breaks])
            .unwrap(),
    );
    let error = openai(&provider).chat(&chat()).await.unwrap_err();
    assert_eq!(api(&error).status, 503);
    let flood: Vec<Piece> = std::iter::repeat_n(data("x".repeat(1 << 16)), 100)
        .chain([Piece::Hangs])
        .collect();
    provider.answers(Response::builder().status(500).body(flood).unwrap());
    let error = openai(&provider).chat(&chat()).await.unwrap_err();
    assert!(api(&error).message.len() < 300);
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn an_error_in_a_good_answer_is_an_error() {
    let provider = Provider::default();
    let client = openai(&provider);
    for (body, class) in [
        (
            r#"{"error":{"message":"m","type":"server_error"}}"#,
            Class::RETRYABLE,
        ),
        (r#"{"error":{"message":"m","code":502}}"#, Class::RETRYABLE),
        (r#"{"error":{"message":"m","code":400}}"#, Class::Fatal),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error"}}"#,
            Class::Fatal,
        ),
        (
            r#"{"error":{"message":"m","code":"insufficient_quota"}}"#,
            Class::Fatal,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"rate_limit_exceeded"}}"#,
            Class::RETRYABLE,
        ),
        (
            r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
            Class::Fatal,
        ),
    ] {
        provider.answers_json(200, body);
        let error = client.chat(&chat()).await.unwrap_err();
        assert!(api(&error).is_in_band(), "{body}");
        assert_eq!(
            (&*api(&error).message, error.class()),
            ("m", class),
            "{body}"
        );
    }
    provider.answers_json(
        200,
        r#"{"status":"failed","error":{"code":"server_error","message":"m"}}"#,
    );
    let error = client
        .response(&ResponseRequest::new("m", "x"))
        .await
        .unwrap_err();
    assert_eq!(api(&error).code.as_deref(), Some("server_error"));
    provider.answers_json(
        200,
        r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#,
    );
    let error = anthropic(&provider).message(&message()).await.unwrap_err();
    assert_eq!(api(&error).kind.as_deref(), Some("api_error"));
    assert_eq!(error.class(), Class::RETRYABLE);
}

#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    let provider = Provider::default();
    let client = openai(&provider);
    provider.answers_json(200, "<html>login</html>");
    let error = client.chat(&chat()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer is no ChatCompletion; it begins with `<html>login</html>`"
    );
    assert_eq!(error.class(), Class::Fatal);

    provider.answers(Response::new(vec![data("{\"cho"), Piece::Breaks]));
    let error = client.chat(&chat()).await.unwrap_err();
    assert!(
        matches!(error, CallError::Body { received: 5, .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), Class::RETRYABLE);

    provider.fails();
    let error = client.chat(&chat()).await.unwrap_err();
    assert!(matches!(error, CallError::Transport(_)), "{error:?}");

    let error = client.get::<()>("/a b").await.unwrap_err();
    assert!(error.to_string().contains("`/a b`"), "{error}");
    let keys = std::collections::HashMap::from([((1, 2), 3)]);
    let error = client.post::<(), _>("/x", &keys).await.unwrap_err();
    assert!(matches!(error, CallError::Request(_)), "{error:?}");
    assert_eq!(provider.asked().len(), 3, "nothing was sent");
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let provider = Provider::default();
    let client: OpenAi<_> = OpenAi::builder()
        .no_api_key()
        .max_body_bytes(CHAT.len())
        .build(provider.http());
    provider.answers_json(200, CHAT);
    client.chat(&chat()).await.unwrap();
    let flood = vec![data(CHAT), data(" "), Piece::Hangs];
    provider.answers(Response::new(flood));
    let error = client.chat(&chat()).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { max_bytes } if max_bytes == CHAT.len()));
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn statuses_are_retried_as_each_provider_means_them() {
    for status in 400..600_u16 {
        let wanted = |conflict| {
            let again = matches!(status, 408 | 429 | 500 | 502..) || (status == 409 && conflict);
            if again {
                Class::RETRYABLE
            } else {
                Class::Fatal
            }
        };
        let provider = Provider::default();
        provider.answers_json(status, "{}");
        let error = openai(&provider).chat(&chat()).await.unwrap_err();
        assert_eq!(error.class(), wanted(true), "{status}");
        provider.answers_json(status, "{}");
        let error = anthropic(&provider).message(&message()).await.unwrap_err();
        assert_eq!(error.class(), wanted(false), "{status}");
    }
    for (status, said, class) in [
        (400, "true", Class::RETRYABLE),
        (503, "false", Class::Fatal),
    ] {
        let provider = Provider::default();
        let response = Response::builder()
            .status(status)
            .header("x-should-retry", said);
        provider.answers(response.body(Vec::new()).unwrap());
        let error = openai(&provider).chat(&chat()).await.unwrap_err();
        assert_eq!(error.class(), class, "{status}, {said}");
    }
}

/// Panics when it is called and was not made ready; a clone was not.
struct Strict {
    http: Http,
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        let http = self.http.clone();
        Self { http, ready: false }
    }
}

impl Service<Request<Full<Bytes>>> for Strict {
    type Response = <Http as Service<Request<Full<Bytes>>>>::Response;
    type Error = <Http as Service<Request<Full<Bytes>>>>::Error;
    type Future = <Http as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.ready = true;
        self.http.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called un-ready");
        self.http.call(request)
    }
}

#[tokio::test]
async fn a_client_is_a_service_that_calls_what_was_made_ready() {
    let provider = Provider::default();
    let strict = Strict {
        http: provider.http(),
        ready: false,
    };
    let mut client: OpenAi<_> = OpenAi::builder().no_api_key().build(strict);
    for _ in 0..3 {
        provider.answers_json(200, CHAT);
        let ready = ServiceExt::<ChatRequest>::ready(&mut client).await.unwrap();
        let answer = ready.call(chat()).await.unwrap();
        assert_eq!(answer.text(), "Rome");
        provider.answers_json(200, CHAT);
        client.chat(&chat()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_may_mark_what_it_sends_as_safe_to_send_twice() {
    let provider = Provider::default();
    let client: OpenAi<_> = OpenAi::builder()
        .no_api_key()
        .idempotent()
        .build(provider.http());
    provider.answers_json(200, CHAT);
    client.chat(&chat()).await.unwrap();
    let asked = &provider.asked()[0];
    assert!(
        asked
            .head
            .extensions
            .get::<hedgerow::Idempotent>()
            .is_some()
    );
    assert!(!asked.head.headers.contains_key("authorization"));
}

#[test]
fn neither_key_nor_headers_are_ever_shown() {
    let provider = Provider::default();
    let builder = OpenAi::builder()
        .api_key("sk-secret")
        .header("x-other", "hidden");
    let client: OpenAi<_> = builder.build(provider.http());
    let other = Anthropic::builder()
        .api_key("sk-secret")
        .header("x-other", "hidden");
    let another: Anthropic<_> = other.build(provider.http());
    for shown in [
        format!("{builder:?}"),
        format!("{client:?}"),
        format!("{other:?}"),
        format!("{another:#?}"),
    ] {
        assert!(
            !shown.contains("secret") && !shown.contains("hidden"),
            "{shown}"
        );
    }
}

#[test]
#[should_panic(expected = "it begins with neither `https://` nor `http://`")]
fn a_bad_address_is_refused_when_the_client_is_built() {
    let _: OpenAi<()> = OpenAi::builder()
        .no_api_key()
        .base_url("localhost:8080")
        .build(());
}
