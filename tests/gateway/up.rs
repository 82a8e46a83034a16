//! A scripted upstream, a gateway in front of it, and a client.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use hedgerow_gateway::{Gateway, GatewayConfig};
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// An upstream on a free loopback port, gone when it is dropped.
pub(crate) struct Up {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: JoinSet<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type Reply = BoxFuture<'static, Response<Body>>;

impl Up {
    /// Answers the nth request, from 0, as `script` says.
    pub(crate) async fn start(
        script: impl Fn(usize, Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, script) = (Arc::clone(&asked), Arc::new(script));
        let router = Router::new().fallback(move |request: Request| {
            let (log, script) = (Arc::clone(&log), Arc::clone(&script));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes());
                let asked = Asked {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    body: body.unwrap_or_default(),
                };
                let at = {
                    let mut log = log.lock();
                    log.push(asked.clone());
                    log.len() - 1
                };
                script(at, asked).await
            }
        });
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self {
            addr,
            asked,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

/// JSON, after so many milliseconds.
pub(crate) fn json(status: u16, body: &str, after_ms: u64) -> Reply {
    let answer = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .expect("an answer");
    Box::pin(async move {
        sleep(Duration::from_millis(after_ms)).await;
        answer
    })
}

/// Events, each after so many milliseconds.
pub(crate) fn events(all: Vec<(u64, String)>) -> Reply {
    let frames = stream::iter(all).then(async |(ms, text)| {
        sleep(Duration::from_millis(ms)).await;
        Ok::<_, io::Error>(Bytes::from(text))
    });
    let answer = Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(frames))
        .expect("an answer");
    Box::pin(async move { answer })
}

/// A chunk of a chat that says `text`.
pub(crate) fn chunk(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"up-1\",\"choices\":\
         [{{\"index\":0,\"delta\":{{\"content\":{text:?}}}}}]}}\n\n"
    )
}

/// A gateway as the file says, with `{url}` for the upstream's address.
pub(crate) async fn gateway(file: &str) -> Gateway {
    let config = GatewayConfig::from_toml(&format!("listen = \"127.0.0.1:0\"\n{file}"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    Gateway::bind(&config).await.expect("it listens")
}

/// The part of a file that names an upstream.
pub(crate) fn upstream(name: &str, up: &Up) -> String {
    let url = up.url();
    format!("[[upstream]]\nname = {name:?}\nurl = {url:?}\nkey_style = \"none\"\n")
}

pub(crate) fn at(gateway: &Gateway, path: &str) -> String {
    format!("http://{}{path}", gateway.address())
}

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// Asks a chat.
pub(crate) async fn chat(gateway: &Gateway, body: &str) -> reqwest::Response {
    post(gateway, CHAT, body).await
}

pub(crate) async fn post(gateway: &Gateway, path: &str, body: &str) -> reqwest::Response {
    client()
        .post(at(gateway, path))
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send()
        .await
        .expect("an answer")
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

/// An answer's body as JSON.
pub(crate) async fn value(answer: reqwest::Response) -> Value {
    let bytes = answer.bytes().await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

pub(crate) fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().expect("a text"))
}

/// The count with this line's beginning on the page of metrics.
pub(crate) async fn metric(gateway: &Gateway, line: &str) -> u64 {
    let page = client()
        .get(at(gateway, "/metrics"))
        .send()
        .await
        .expect("a page");
    let page = page.text().await.expect("a text");
    let found = page.lines().find_map(|found| found.strip_prefix(line));
    let count = found.unwrap_or_else(|| panic!("no {line} in\n{page}"));
    count.trim().parse().expect("a number")
}

/// Until `holds`.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it comes about");
}
