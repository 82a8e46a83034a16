//! A provider that is made of the library's own types.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use bytes::Bytes;
use futures::stream;
use hedgerow_openai::json::{Object, Raw};
use hedgerow_openai::openai::{
    self, ChatChunk, ChatCompletion, ChatMessage, ChatRequest, ChatUsage, Completion,
    CompletionRequest, Embeddings, EmbeddingsRequest, Model, Models, OutputItem, ResponseRequest,
    ResponseUsage, ToolCall, Vector,
};
use hedgerow_openai::{anthropic, server};
use http::{HeaderMap, Response, StatusCode, Uri};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const CREATED: u64 = 1_700_000_000;
pub(crate) const KEY: &str = "a-key";

/// A provider on a free loopback port, gone when it is dropped.
pub(crate) struct Provider {
    addr: SocketAddr,
    log: Log,
    _task: JoinSet<()>,
}

/// Each request that was understood: its path, and its body.
type Log = Arc<Mutex<Vec<(String, Bytes)>>>;

type Answer = Response<Body>;

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let log = Log::default();
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/completions", post(completion))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/responses", post(response))
            .route("/v1/models", get(models))
            .route("/v1/models/{id}", get(model))
            .route("/v1/messages", post(message))
            .route("/v1/messages/count_tokens", post(count_tokens))
            .with_state(log.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self {
            addr,
            log,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The bodies that have come to `path`.
    pub(crate) fn bodies(&self, path: &str) -> Vec<Bytes> {
        let log = self.log.lock();
        let here = log.iter().filter(|(of, _)| of == path);
        here.map(|(_, body)| body.clone()).collect()
    }
}

fn whole(answer: Response<Bytes>) -> Answer {
    answer.map(Body::from)
}

/// Each event is a frame of its own.
fn streamed(events: impl IntoIterator<Item = Bytes>) -> Answer {
    let frames: Vec<_> = events.into_iter().map(Ok::<_, Infallible>).collect();
    server::events(Body::from_stream(stream::iter(frames)))
}

/// Reads a request and keeps its body; what is none is refused as OpenAI refuses it.
fn read<T: DeserializeOwned>(
    log: &Log,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<T, Box<Answer>> {
    let refuse = |status, message: String| {
        let error = openai::ErrorEnvelope::new(status, message);
        Box::new(whole(error.respond(status)))
    };
    if server::api_key(headers) != Some(KEY) {
        return Err(refuse(StatusCode::UNAUTHORIZED, "who are you?".to_owned()));
    }
    let request = serde_json::from_slice(body);
    let request = request.map_err(|error| refuse(StatusCode::BAD_REQUEST, error.to_string()))?;
    log.lock().push((uri.path().to_owned(), body.clone()));
    Ok(request)
}

/// What the SDK has sent in all, for this text: a first one is refused.
fn seen(log: &Log, text: &str) -> usize {
    let log = log.lock();
    let said = |body: &Bytes| {
        body.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    log.iter().filter(|(_, body)| said(body)).count()
}

/// The refusals that the texts of requests ask for.
fn refusal(log: &Log, text: &str) -> Option<Answer> {
    let (status, code) = match text {
        "too many" => (StatusCode::TOO_MANY_REQUESTS, Some("rate_limit_exceeded")),
        "too many once" if seen(log, text) == 1 => (StatusCode::TOO_MANY_REQUESTS, None),
        "wrong" => (StatusCode::BAD_REQUEST, Some("context_length_exceeded")),
        "broken" => (StatusCode::INTERNAL_SERVER_ERROR, None),
        _ => return None,
    };
    let mut error = openai::ErrorEnvelope::new(status, "as you wish");
    if let Some(code) = code {
        error = error.code(code).param("messages");
    }
    let mut answer = error.respond(status);
    match text {
        "too many" => server::come_back_after(&mut answer, Duration::from_millis(1_500)),
        "too many once" => server::come_back_after(&mut answer, Duration::from_millis(1)),
        "broken" => {
            let headers = answer.headers_mut();
            headers.insert("x-should-retry", http::HeaderValue::from_static("false"));
        }
        _ => {}
    }
    let headers = answer.headers_mut();
    headers.insert("x-request-id", http::HeaderValue::from_static("req_1"));
    Some(whole(answer))
}

async fn chat(State(log): State<Log>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let request: ChatRequest = match read(&log, &uri, &headers, &body) {
        Ok(request) => request,
        Err(refused) => return *refused,
    };
    let text = request
        .messages
        .last()
        .map(ChatMessage::text)
        .unwrap_or_default();
    if let Some(refused) = refusal(&log, &text) {
        return refused;
    }
    let mut answer = ChatCompletion::new("chatcmpl-1", &request.model, CREATED)
        .set("system_fingerprint", "fp_1");
    let (message, reason) = match &*text {
        "use tools" => {
            let mut message = ChatMessage::new("assistant", "");
            message.content = None;
            message.rest.put("content", null());
            let call = |id: &str, city: &str| {
                ToolCall::function(id, "weather", format!("{{\"city\": \"{city}\"}}"))
            };
            message.tool_calls = Some(vec![call("call_1", "Rome"), call("call_2", "Oslo")]);
            (message, "tool_calls")
        }
        "refuse" => {
            let mut message = ChatMessage::new("assistant", "");
            message.content = None;
            message.refusal = Some("I will not".to_owned());
            (message, "stop")
        }
        text => (
            ChatMessage::new("assistant", format!("You said: {text} \u{1f994}")),
            "stop",
        ),
    };
    for _ in 0..request.n.unwrap_or(1) {
        answer = answer.choice(message.clone(), reason);
    }
    answer.usage = Some(ChatUsage::new(11, 7));
    if request.stream != Some(true) {
        return whole(server::json(&answer));
    }
    let chunks = answer.to_chunks(request.wants_usage());
    let mut events: Vec<Bytes> = chunks.iter().map(ChatChunk::to_sse).collect();
    if text == "break the stream" {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let error = serde_json::to_string(&openai::ErrorEnvelope::new(status, "it broke"));
        let error = error.expect("an error is JSON");
        events.truncate(2);
        events.push(format!("data: {error}\n\n").into());
    } else {
        events.insert(1, Bytes::from_static(b": still there\n\n"));
        events.push(ChatChunk::done());
    }
    streamed(events)
}

fn null() -> Raw {
    Raw::default()
}

async fn completion(State(log): State<Log>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let request: CompletionRequest = match read(&log, &uri, &headers, &body) {
        Ok(request) => request,
        Err(refused) => return *refused,
    };
    let prompt = request
        .prompt
        .as_ref()
        .and_then(|prompt| prompt.read::<String>().ok());
    let text = format!("{} and so on", prompt.unwrap_or_default());
    let mut answer =
        Completion::new("cmpl-1", &request.model, CREATED).choice(0, text, Some("length"));
    answer.usage = Some(ChatUsage::new(3, 3));
    if request.stream == Some(true) {
        let pieces = answer.to_chunks(request.wants_usage());
        return streamed(
            pieces
                .iter()
                .map(Completion::to_sse)
                .chain([Completion::done()]),
        );
    }
    whole(server::json(&answer))
}

async fn embeddings(State(log): State<Log>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let request: EmbeddingsRequest = match read(&log, &uri, &headers, &body) {
        Ok(request) => request,
        Err(refused) => return *refused,
    };
    let base64 = request.encoding_format.as_deref() == Some("base64");
    let texts = request.texts().unwrap_or_default();
    let vectors = texts.iter().map(|text| {
        let numbers = [
            f32::from(u8::try_from(text.len()).unwrap_or(u8::MAX)),
            -0.5,
            0.25,
        ];
        if base64 {
            Vector::base64(&numbers)
        } else {
            Vector::floats(&numbers)
        }
    });
    let mut answer = Embeddings::new(&request.model, vectors);
    answer.usage = Some(ChatUsage::new(4, 0));
    whole(server::json(&answer))
}

async fn response(State(log): State<Log>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let request: ResponseRequest = match read(&log, &uri, &headers, &body) {
        Ok(request) => request,
        Err(refused) => return *refused,
    };
    let input = request
        .input
        .as_ref()
        .and_then(|input| input.read::<String>().ok());
    let input = input.unwrap_or_default();
    let mut answer = openai::Response::new("resp_1", request.model.unwrap_or_default(), CREATED)
        .item(OutputItem::message("msg_1", format!("You said: {input}")));
    if input == "use tools" {
        answer = answer.item(OutputItem::function_call(
            "fc_1",
            "call_1",
            "weather",
            "{\"city\": \"Rome\"}",
        ));
    }
    answer.usage = Some(ResponseUsage::new(11, 7));
    if request.stream == Some(true) {
        return streamed(answer.to_events().iter().map(openai::ResponseEvent::to_sse));
    }
    whole(server::json(&answer))
}

async fn models() -> Answer {
    whole(server::json(&Models::new([Model::new(
        "model-1", "us", CREATED,
    )])))
}

async fn model(Path(id): Path<String>) -> Answer {
    if id == "model-1" {
        return whole(server::json(&Model::new(id, "us", CREATED)));
    }
    let status = StatusCode::NOT_FOUND;
    whole(
        openai::ErrorEnvelope::new(status, "no such model")
            .code("model_not_found")
            .respond(status),
    )
}

fn refuse(status: u16, message: impl Into<String>) -> Answer {
    let status = StatusCode::from_u16(status).expect("a status");
    let error = anthropic::ErrorEnvelope::new(status, message).request_id("req_1");
    let mut answer = error.respond(status);
    let headers = answer.headers_mut();
    headers.insert("request-id", http::HeaderValue::from_static("req_1"));
    if status == StatusCode::TOO_MANY_REQUESTS {
        server::come_back_after(&mut answer, Duration::from_millis(1_500));
    }
    whole(answer)
}

fn read_message(
    log: &Log,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<anthropic::MessagesRequest, Box<Answer>> {
    if server::api_key(headers) != Some(KEY) || !headers.contains_key("anthropic-version") {
        return Err(Box::new(refuse(401, "who are you?")));
    }
    let request = serde_json::from_slice(body);
    let request = request.map_err(|error| Box::new(refuse(400, error.to_string())))?;
    log.lock().push((uri.path().to_owned(), body.clone()));
    Ok(request)
}

fn last_text(request: &anthropic::MessagesRequest) -> String {
    match request.messages.last().map(|message| &message.content) {
        Some(anthropic::InputContent::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

async fn message(State(log): State<Log>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let request = match read_message(&log, &uri, &headers, &body) {
        Ok(request) => request,
        Err(refused) => return *refused,
    };
    let text = last_text(&request);
    match &*text {
        "too many" => return refuse(429, "slow down"),
        "overloaded" => return refuse(529, "too much to do"),
        "overloaded once" if seen(&log, &text) == 1 => {
            let mut answer = refuse(529, "too much to do");
            server::come_back_after(&mut answer, Duration::from_millis(1));
            return answer;
        }
        "wrong" => return refuse(400, "max_tokens: too large"),
        _ => {}
    }
    let mut answer = anthropic::Message::new("msg_1", &request.model).block(
        anthropic::Block::text(format!("You said: {text} \u{1f994}")),
    );
    answer.stop_reason = Some("end_turn".to_owned());
    if text == "use tools" {
        let mut input = Object::new();
        input.put("city", Raw::text("Rome"));
        let input = Raw::of(&input).expect("an object is JSON");
        answer = answer.block(anthropic::Block::tool_use("toolu_1", "weather", input));
        answer.stop_reason = Some("tool_use".to_owned());
    }
    answer.rest.put("stop_sequence", null());
    answer.usage = Some(anthropic::MessageUsage::new(11, 7));
    if request.stream != Some(true) {
        return whole(server::json(&answer));
    }
    let mut events = answer.to_events();
    events.insert(1, anthropic::MessageEvent::ping());
    if text == "break the stream" {
        let status = StatusCode::from_u16(529).expect("a status");
        events.truncate(4);
        let error = anthropic::ErrorEnvelope::new(status, "too much to do");
        events.push(anthropic::MessageEvent::Error(error));
    }
    streamed(events.iter().map(anthropic::MessageEvent::to_sse))
}

async fn count_tokens(State(log): State<Log>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    match read_message(&log, &uri, &headers, &body) {
        Ok(_) => whole(server::json(&anthropic::TokenCount::new(14))),
        Err(refused) => *refused,
    }
}
