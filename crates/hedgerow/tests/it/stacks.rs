//! The stacks that are ready to use, as data and as code.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::config::{DeadlineConfig, LayerConfig, StackConfig};
use hedgerow::{
    DeadlineExceeded, HttpClientLayer, LlmClientLayer, Overloaded, ReplayableBody,
    ServiceBuilderExt, WinnerInfo, cause_ref,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder, ServiceExt};

type Body = Full<Bytes>;
type Client<B> = BoxCloneSyncService<Request<B>, Response<String>, Infallible>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Each attempt takes and answers what the list says, the last item again and again.
fn client<B: Send + 'static>(script: &'static [(u64, u16)]) -> (Client<B>, Arc<AtomicU32>) {
    let sent: Arc<AtomicU32> = Arc::default();
    let counted = sent.clone();
    let service = tower::service_fn(move |_: Request<B>| {
        let nth = counted.fetch_add(1, Ordering::Relaxed) as usize;
        let (took, status) = script[nth.min(script.len() - 1)];
        async move {
            sleep(ms(took)).await;
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    (BoxCloneSyncService::new(service), sent)
}

fn request(method: Method, path: &str) -> Request<Body> {
    let request = Request::builder().method(method);
    let request = request.uri(format!("http://a.test{path}"));
    request.body(Full::from("body")).unwrap()
}

#[test]
fn the_files_say_what_the_code_says() {
    for (code, file) in [
        (
            StackConfig::http_client(),
            include_str!("../../src/config/http_client.toml"),
        ),
        (
            StackConfig::llm_client(),
            include_str!("../../src/config/llm_client.toml"),
        ),
    ] {
        assert_eq!(StackConfig::from_toml(file).unwrap(), code);
        assert_eq!(code.warnings(), []);
        let written = code.to_toml().unwrap();
        assert_eq!(StackConfig::from_toml(&written).unwrap(), code);
    }
}

#[test]
fn the_ready_made_stacks_stand_in_the_order_of_the_design() {
    let kinds =
        |stack: StackConfig| -> Vec<_> { stack.layers.iter().map(LayerConfig::kind).collect() };
    assert_eq!(
        kinds(StackConfig::http_client()),
        [
            "latency",
            "deadline",
            "replay_body",
            "retry",
            "hedge",
            "admission",
            "latency"
        ]
    );
    assert_eq!(
        kinds(StackConfig::llm_client()),
        [
            "latency",
            "deadline",
            "idempotent_paths",
            "replay_body",
            "retry",
            "hedge",
            "admission",
            "latency",
            "await_first"
        ]
    );
}

/// Everything that the layers show of themselves.
#[test]
fn the_layers_in_code_have_the_settings_of_the_stacks_as_data() {
    for (config, [retry, hedge], gate) in [
        {
            let layer = HttpClientLayer::new();
            let handles = [
                format!("{:?}", layer.retry()),
                format!("{:?}", layer.hedge()),
            ];
            (StackConfig::http_client(), handles, layer.gate())
        },
        {
            let layer = LlmClientLayer::new();
            let handles = [
                format!("{:?}", layer.retry()),
                format!("{:?}", layer.hedge()),
            ];
            (StackConfig::llm_client(), handles, layer.gate())
        },
    ] {
        let stack = config.build().unwrap();
        assert_eq!(format!("{:?}", stack.retries()[0]), retry);
        assert_eq!(format!("{:?}", stack.hedges()[0]), hedge);
        for gate in [&gate, &stack.gates()[0]] {
            let _permit = gate.try_permit().unwrap();
            let limit = gate.stats().limit;
            assert!(limit == Some(64) || limit == Some(16), "{limit:?}");
        }
        let deadline = config.layers.iter().find_map(|layer| match layer {
            LayerConfig::Deadline(DeadlineConfig { after, .. }) => *after,
            _ => None,
        });
        let shown = format!("{:?} {:?}", HttpClientLayer::new(), LlmClientLayer::new());
        let patience = format!("patience: {:?}", Some(deadline.unwrap().get()));
        assert!(shown.contains(&patience), "{patience} in {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_client_is_retried_and_hedged_in_one_line() {
    let (inner, sent) = client::<Body>(&[(10, 503), (10, 503), (10, 200)]);
    let layer = HttpClientLayer::new();
    let service = ServiceBuilder::new().layer(layer.clone()).service(inner);
    let answer = service.oneshot(request(Method::GET, "/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(sent.load(Ordering::Relaxed), 3);
    // The hedge follows a failure at once, the retry after its wait, both from one budget.
    let (hedge, retry) = (layer.hedge(), layer.retry());
    assert_eq!(hedge.stats().fired + retry.stats().retries, 2);
    assert!(hedge.budget().shares_with(retry.budget()));
    assert_eq!(retry.budget().available(), 48);
    // One call, and of its attempts the answer alone.
    assert_eq!(layer.calls().total().count(), 1);
    assert_eq!(
        layer.attempts().total().count() + layer.attempts().extras().count(),
        1
    );

    let (inner, sent) = client::<Body>(&[(1_000, 200), (10, 200)]);
    let service = ServiceBuilder::new().http_client_stack().service(inner);
    let start = Instant::now();
    let answer = service.oneshot(request(Method::GET, "/")).await.unwrap();
    assert!(answer.extensions().get::<WinnerInfo>().unwrap().hedge_won);
    assert_eq!(
        (sent.load(Ordering::Relaxed), start.elapsed()),
        (2, ms(110))
    );
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_once_but_to_a_language_model() {
    for (path, sends) in [("/v1/chat/completions", 2), ("/v1/orders", 1)] {
        let (inner, sent) = client::<Body>(&[(10, 503), (10, 200)]);
        let service = ServiceBuilder::new().llm_client_stack().service(inner);
        service.oneshot(request(Method::POST, path)).await.unwrap();
        assert_eq!(sent.load(Ordering::Relaxed), sends, "{path}");

        let (inner, sent) = client::<ReplayableBody<Body>>(&[(10, 503), (10, 200)]);
        let stack = StackConfig::llm_client().build().unwrap();
        let service = stack.http().layer(inner);
        service.oneshot(request(Method::POST, path)).await.unwrap();
        assert_eq!(sent.load(Ordering::Relaxed), sends, "{path} as data");
    }
    let (inner, sent) = client::<Body>(&[(10, 503), (10, 200)]);
    let service = ServiceBuilder::new().http_client_stack().service(inner);
    let post = request(Method::POST, "/v1/chat/completions");
    assert_eq!(service.oneshot(post).await.unwrap().status(), 503);
    assert_eq!(sent.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_ready_made_stack_ends_at_its_deadline() {
    let (inner, _) = client::<Body>(&[(3_600_000, 200)]);
    let layer = HttpClientLayer::new();
    let start = Instant::now();
    let call = layer.layer(inner).oneshot(request(Method::POST, "/"));
    let error = call.await.unwrap_err();
    // The only try ends after 10 s, and a POST has no other.
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert!(
        cause_ref::<hedgerow::TimedOut>(&*error).is_some(),
        "{error}"
    );

    let (inner, _) = client::<Body>(&[(3_600_000, 200)]);
    let start = Instant::now();
    let call = layer.layer(inner).oneshot(request(Method::GET, "/"));
    let error = call.await.unwrap_err();
    assert!(start.elapsed() <= Duration::from_secs(30));
    let ended = cause_ref::<DeadlineExceeded>(&*error).is_some()
        || cause_ref::<hedgerow::RetryExhausted>(&*error).is_some();
    assert!(ended, "{error}");
    assert_eq!(layer.gate().stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn a_gate_of_ones_own_admits_the_attempts() {
    let gate = hedgerow::Gate::builder()
        .concurrency(1)
        .max_depth(0)
        .build();
    let layer = LlmClientLayer::new().with_gate(gate.clone());
    let (inner, sent) = client::<Body>(&[(10, 200)]);
    let held = gate.try_permit().unwrap();
    let post = request(Method::POST, "/v1/orders");
    let error = layer.layer(inner).oneshot(post).await.unwrap_err();
    assert!(cause_ref::<Overloaded>(&*error).is_some(), "{error}");
    assert_eq!(sent.load(Ordering::Relaxed), 0);
    drop(held);
}

/// A stream whose role comes at once, and whose token after so many milliseconds.
fn streaming(request: &Request<Body>, ms: u64) -> Response<Streamed> {
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};

    assert!(request.uri().path().ends_with("/chat/completions"));
    let pieces = futures::stream::unfold(0_u32, move |nth| async move {
        let text = match nth {
            0 => "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n",
            1 => {
                sleep(Duration::from_millis(ms)).await;
                "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n"
            }
            _ => return None,
        };
        let frame = Frame::data(Bytes::from_static(text.as_bytes()));
        Some((Ok::<_, Infallible>(frame), nth + 1))
    });
    let mut answer = Response::new(StreamBody::new(Box::pin(pieces)).boxed_unsync());
    let kind = "text/event-stream".parse().unwrap();
    answer.headers_mut().insert("content-type", kind);
    answer
}

type Streamed = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

#[tokio::test(start_paused = true)]
async fn a_language_models_answer_counts_at_its_first_token() {
    let layer = LlmClientLayer::new();
    let client = tower::service_fn(|request: Request<Body>| {
        std::future::ready(Ok::<_, Infallible>(streaming(&request, 700)))
    });
    let service = layer.layer(client);
    let start = Instant::now();
    let post = request(Method::POST, "/v1/chat/completions");
    service.oneshot(post).await.unwrap();
    assert_eq!(start.elapsed(), ms(700));
    let attempt = layer.attempts().total().max().unwrap();
    assert!(attempt >= ms(700) && attempt <= ms(708), "{attempt:?}");
}
