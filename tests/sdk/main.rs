//! Unmodified SDKs of two providers against a server that is made of the library's own types.
//!
//! They stand in `HEDGEROW_SDKS`, which `tests/all` sets, or else where `tests/all` has left them, below
//! `target/sdks`: for each version a folder `NAME==VERSION`, a Python environment; `node==VERSION` has Node and
//! its packages. Without one a test says so and does nothing; with `HEDGEROW_SDKS` or `CI=true` it fails.

mod batches;
mod gateway;
mod server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use hedgerow_openai::anthropic::MessagesRequest;
use hedgerow_openai::openai::{ChatRequest, CompletionRequest, EmbeddingsRequest, ResponseRequest};
use hedgerow_openai::{Anthropic, OpenAi};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;
use tokio::time::timeout;

use crate::server::{KEY, Provider};

/// Long enough for a machine with much else to do; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

const SDKS: &str = "HEDGEROW_SDKS";

/// The environments of `sdk`, one for each version. None if there is none and that is no failure.
fn environments(sdk: &str) -> Vec<PathBuf> {
    let told = std::env::var_os(SDKS).map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let folder = told.clone().unwrap_or_else(|| root.join("target/sdks"));
    let of = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{sdk}==")) && path.join(".have").exists()
    };
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(of).collect();
    found.sort();
    if found.is_empty() {
        let folder = folder.display();
        let note = format!(
            "{sdk} SDK: left out, there is none in {folder}: run tests/all once, or set {SDKS}"
        );
        let needed = told.is_some() || std::env::var("CI").as_deref() == Ok("true");
        assert!(!needed, "{note}");
        // Not by a macro, whose output is kept back when a test passes.
        let _ = writeln!(std::io::stderr(), "{note}");
    }
    found
}

/// Runs `script` with a server's address and the key; it says `ok` of each check, and `all` at its end.
/// Returns how many checks there were.
async fn run(environment: &Path, script: &str, url: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sdk")
        .join(script);
    let mut command = if script.ends_with(".py") {
        let mut python = Command::new(environment.join("bin/python"));
        python.arg("-IB").arg(path).arg(url).arg(KEY);
        python
    } else {
        let mut node = Command::new(environment.join("bin/node"));
        node.arg(path).arg(url).arg(KEY).arg(environment);
        node
    };
    let named = std::env::vars_os().map(|(name, _)| name);
    for name in named {
        // Neither a proxy nor an address or a key of the user's own.
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.ends_with("_PROXY") || text.starts_with("OPENAI_") || text.starts_with("ANTHROPIC_")
        {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.expect("the SDK ends in time").expect("Python runs");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}:\n{out}\n{err}", output.status);
    let lines: Vec<String> = out.lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.last().map(String::as_str), Some("all"), "{out}");
    lines.iter().filter(|line| line.starts_with("ok ")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_python_is_served() {
    for sdk in environments("openai") {
        let provider = Provider::start().await;
        let checks = run(&sdk, "openai_sdk.py", &provider.url()).await;
        assert_eq!(checks, 22, "{}", sdk.display());
        // What it sends is kept whole by the types that read it.
        all_kept::<ChatRequest>(&provider, "/v1/chat/completions");
        all_kept::<CompletionRequest>(&provider, "/v1/completions");
        all_kept::<EmbeddingsRequest>(&provider, "/v1/embeddings");
        all_kept::<ResponseRequest>(&provider, "/v1/responses");
        // It has tried as often as it was asked to.
        let asked = |text: &str| {
            let bodies = provider.bodies("/v1/chat/completions");
            let text = format!("\"content\":\"{text}\"");
            let said = |body: &&Bytes| String::from_utf8_lossy(body).contains(&text);
            bodies.iter().filter(said).count()
        };
        assert_eq!(
            (asked("too many once"), asked("broken"), asked("too many")),
            (2, 1, 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_anthropic_sdk_for_python_is_served() {
    for sdk in environments("anthropic") {
        let provider = Provider::start().await;
        let checks = run(&sdk, "anthropic_sdk.py", &provider.url()).await;
        assert_eq!(checks, 14, "{}", sdk.display());
        all_kept::<MessagesRequest>(&provider, "/v1/messages");
        all_kept::<MessagesRequest>(&provider, "/v1/messages/count_tokens");
    }
}

/// What an SDK has sent, read by the library and written again, is what it was.
fn all_kept<T: DeserializeOwned + Serialize>(provider: &Provider, path: &str) {
    let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
    let bodies = provider.bodies(path);
    assert!(!bodies.is_empty(), "{path}");
    for body in bodies {
        let read: T = serde_json::from_slice(&body).expect("a request");
        let written = serde_json::to_vec(&read).expect("JSON");
        assert_eq!(value(&written), value(&body));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_node_is_served() {
    for sdk in environments("node") {
        let provider = Provider::start().await;
        assert_eq!(run(&sdk, "openai_sdk.mjs", &provider.url()).await, 14);
        all_kept::<ChatRequest>(&provider, "/v1/chat/completions");
        all_kept::<ResponseRequest>(&provider, "/v1/responses");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_anthropic_sdk_for_node_is_served() {
    for sdk in environments("node") {
        let provider = Provider::start().await;
        assert_eq!(run(&sdk, "anthropic_sdk.mjs", &provider.url()).await, 7);
        all_kept::<MessagesRequest>(&provider, "/v1/messages");
    }
}

fn hyper() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The library's clients over a real socket, by the same server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_library_are_served() {
    let provider = Provider::start().await;
    let client = OpenAi::builder()
        .base_url(provider.url())
        .api_key(KEY)
        .build(hyper());
    let question = ChatRequest::new("m").user("hello");
    let done = client.complete(question.clone()).await.expect("an answer");
    assert_eq!(done.value.text(), "You said: hello \u{1f994}");
    assert_eq!(
        done.usage.map(|usage| (usage.input, usage.output)),
        Some((11, 7))
    );
    let stream = client
        .complete_streamed(question)
        .await
        .expect("a stream")
        .value;
    let collected = stream.collect().await.expect("an answer");
    assert_eq!(collected, done.value);
    let response = client
        .response(&ResponseRequest::new("m", "hello"))
        .await
        .expect("a response");
    let stream = client
        .response_stream(&ResponseRequest::new("m", "hello"))
        .await
        .expect("a stream");
    assert_eq!(stream.collect().await.expect("a response"), response);
    assert_eq!(client.models().await.expect("models").data.len(), 1);
    let error = client
        .chat(&ChatRequest::new("m").user("too many"))
        .await
        .expect_err("a refusal");
    let api = error.api().expect("the provider's");
    assert_eq!(api.code.as_deref(), Some("rate_limit_exceeded"));
    assert_eq!(api.pushback.after, Some(Duration::from_millis(1_500)));
    assert_eq!(api.request_id.as_deref(), Some("req_1"));

    let client = Anthropic::builder()
        .base_url(provider.url())
        .api_key(KEY)
        .build(hyper());
    let question = MessagesRequest::new("m", 100).user("use tools");
    let done = client.complete(question.clone()).await.expect("an answer");
    let stream = client
        .complete_streamed(question.clone())
        .await
        .expect("a stream")
        .value;
    let collected = stream.collect().await.expect("an answer");
    assert_eq!(collected.content, done.value.content);
    assert_eq!(collected.used(), done.usage);
    assert_eq!(
        client
            .count_tokens(&question)
            .await
            .expect("a count")
            .input_tokens,
        14
    );
    let error = client
        .message(&MessagesRequest::new("m", 9).user("overloaded"))
        .await
        .expect_err("a refusal");
    assert_eq!(
        error.api().expect("the provider's").kind.as_deref(),
        Some("overloaded_error")
    );
}
