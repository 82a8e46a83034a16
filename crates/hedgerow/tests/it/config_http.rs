//! A stack from a file around a client of HTTP requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::config::{Stack, StackConfig};
use hedgerow::{ReplayableBody, WinnerInfo};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

/// A body without copies of its own.
type Erased = UnsyncBoxBody<Bytes, Infallible>;
type Client =
    BoxCloneSyncService<Request<ReplayableBody<Erased>>, Response<Full<Bytes>>, Infallible>;

/// The first attempt takes 1 s and the others 20 ms; each answers with the request's body.
fn client() -> (Client, Arc<AtomicU32>) {
    answering(StatusCode::OK, 1_000, "")
}

fn answering(first: StatusCode, ms: u64, grpc: &'static str) -> (Client, Arc<AtomicU32>) {
    let attempts: Arc<AtomicU32> = Arc::default();
    let counted = attempts.clone();
    let service = tower::service_fn(move |request: Request<ReplayableBody<Erased>>| {
        let nth = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            sleep(Duration::from_millis(if nth == 0 { ms } else { 20 })).await;
            let mut response = Response::new(Full::new(body));
            if nth == 0 {
                *response.status_mut() = first;
                if !grpc.is_empty() {
                    response
                        .headers_mut()
                        .insert("grpc-status", grpc.parse().unwrap());
                }
            }
            Ok::<_, Infallible>(response)
        }
    });
    (BoxCloneSyncService::new(service), attempts)
}

fn stack(layers: &[&str]) -> Stack {
    let toml: Vec<_> = layers
        .iter()
        .map(|layer| format!("[[layer]]\nkind = {layer}\n"))
        .collect();
    StackConfig::from_toml(&toml.concat())
        .unwrap()
        .build()
        .unwrap()
}

const FIXED: &str = "\"hedge\"\nstrategy = \"fixed\"\ndelay = \"50ms\"";
const REPLAY: &str = "\"replay_body\"\ncap_bytes = 100";

fn request(method: &str, body: &'static str) -> Request<Erased> {
    let body = Full::from(body).boxed_unsync();
    Request::builder()
        .method(method)
        .uri("http://a.test/b.C/D")
        .body(body)
        .unwrap()
}

/// How long the call took, what it was answered, and how many attempts there were.
async fn send(layers: &[&str], request: Request<Erased>) -> (u128, Response<Bytes>, u32) {
    let (client, attempts) = client();
    let service = stack(layers).http().layer(client);
    let start = Instant::now();
    let response = service.oneshot(request).await.unwrap();
    let took = start.elapsed().as_millis();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        took,
        Response::from_parts(head, body),
        attempts.load(Ordering::Relaxed),
    )
}

#[tokio::test(start_paused = true)]
async fn a_get_is_hedged_and_its_answer_tells_the_winner() {
    let (ms, response, attempts) = send(&[FIXED], request("GET", "")).await;
    assert_eq!((ms, attempts), (70, 2));
    let info = response.extensions().get::<WinnerInfo>().unwrap();
    assert!(info.hedge_won);
    assert_eq!(info.strategy, "fixed");
}

#[tokio::test(start_paused = true)]
async fn a_body_is_sent_twice_only_beneath_replay_body_and_within_its_cap() {
    let (ms, response, attempts) = send(&[REPLAY, FIXED], request("PUT", "data")).await;
    assert_eq!((ms, attempts, &**response.body()), (70, 2, &b"data"[..]));
    for (layers, body) in [
        (&[FIXED][..], "data"),
        (&[FIXED, REPLAY], "data"),
        (&["\"replay_body\"\ncap_bytes = 3", FIXED], "data"),
    ] {
        let (ms, response, attempts) = send(layers, request("PUT", body)).await;
        assert_eq!(
            (ms, attempts, response.body()),
            (1_000, 1, &Bytes::from(body)),
            "{layers:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_once_unless_its_path_is_named() {
    assert_eq!(send(&[REPLAY, FIXED], request("POST", "data")).await.2, 1);
    let paths = "\"idempotent_paths\"\npaths = [\"/b.C/*\"]";
    let (ms, response, attempts) = send(&[paths, REPLAY, FIXED], request("POST", "data")).await;
    assert_eq!((ms, attempts, &**response.body()), (70, 2, &b"data"[..]));
    let other = "\"idempotent_paths\"\npaths = [\"/b.X/*\"]";
    assert_eq!(
        send(&[other, REPLAY, FIXED], request("POST", "data"))
            .await
            .2,
        1
    );
}

#[tokio::test(start_paused = true)]
async fn the_protocol_says_what_an_answer_is_worth() {
    let grpc = format!("{FIXED}\nprotocol = \"grpc\"");
    for (layer, status, code, attempts) in [
        (FIXED, StatusCode::SERVICE_UNAVAILABLE, "", 2),
        (FIXED, StatusCode::NOT_FOUND, "", 1),
        (FIXED, StatusCode::OK, "14", 1),
        (&grpc, StatusCode::OK, "14", 2),
        (&grpc, StatusCode::OK, "5", 1),
    ] {
        let (client, counted) = answering(status, 10, code);
        let service = stack(&[layer]).http().layer(client);
        service.oneshot(request("GET", "")).await.unwrap();
        assert_eq!(
            counted.load(Ordering::Relaxed),
            attempts,
            "{layer} {status} {code}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn keys_learn_by_themselves() {
    // 150 calls of 20 ms teach the host a; the host b, which nobody knows, begins at 300 ms.
    let stack =
        stack(&["\"hedge\"\npercentile = 50\ninitial = \"300ms\"\nkey = \"host\"\nmax_keys = 5"]);
    let layer = stack.http();
    let (client, attempts) = answering(StatusCode::OK, 20, "");
    let service = layer.layer(client);
    for _ in 0..150 {
        service.clone().oneshot(request("GET", "")).await.unwrap();
    }
    let learnt = attempts.load(Ordering::Relaxed);

    let (slow, attempts) = answering(StatusCode::OK, 1_000, "");
    let start = Instant::now();
    layer.layer(slow).oneshot(request("GET", "")).await.unwrap();
    let known = start.elapsed().as_millis();
    assert!(
        (39..=45).contains(&known),
        "{known} ms after {learnt} attempts"
    );
    assert_eq!(attempts.load(Ordering::Relaxed), 2);

    let (slow, _) = answering(StatusCode::OK, 1_000, "");
    let mut unknown = request("GET", "");
    *unknown.uri_mut() = "http://b.test/".parse().unwrap();
    let start = Instant::now();
    layer.layer(slow).oneshot(unknown).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 320);
}

#[tokio::test(start_paused = true)]
async fn keys_are_read_off_path_and_headers_too() {
    for (key, other) in [
        ("path", "http://a.test/other"),
        ("header:x-shard", "http://a.test/b.C/D"),
    ] {
        let hedge = format!("\"hedge\"\npercentile = 50\ninitial = \"300ms\"\nkey = \"{key}\"");
        let layer = stack(&[&hedge]).http();
        let (client, _) = answering(StatusCode::OK, 20, "");
        let service = layer.layer(client);
        for _ in 0..150 {
            service.clone().oneshot(request("GET", "")).await.unwrap();
        }
        let (slow, _) = answering(StatusCode::OK, 1_000, "");
        let mut unknown = request("GET", "");
        *unknown.uri_mut() = other.parse().unwrap();
        unknown
            .headers_mut()
            .insert("x-shard", "7".parse().unwrap());
        let start = Instant::now();
        layer.layer(slow).oneshot(unknown).await.unwrap();
        assert_eq!(start.elapsed().as_millis(), 320, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_times_out_says_so_and_drops_every_attempt() {
    let toml = format!("total_timeout = \"60ms\"\n[[layer]]\nkind = {FIXED}\n");
    let stack = StackConfig::from_toml(&toml).unwrap().build().unwrap();
    let (client, attempts) = client();
    let error = stack
        .http()
        .layer(client)
        .oneshot(request("GET", ""))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the deadline passed after 60ms");
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    assert_eq!(stack.hedges()[0].stats().cancelled, 1);
}

type Streams = BoxCloneSyncService<Request<ReplayableBody<Erased>>, Response<Erased>, Infallible>;

/// A stream whose head is there at once, and whose token comes after so many milliseconds.
fn streaming(ms: [u64; 2]) -> (Streams, Arc<AtomicU32>) {
    use http_body::Frame;
    use http_body_util::StreamBody;

    let attempts: Arc<AtomicU32> = Arc::default();
    let counted = attempts.clone();
    let service = tower::service_fn(move |request: Request<ReplayableBody<Erased>>| {
        let nth = counted.fetch_add(1, Ordering::Relaxed) as usize;
        let left = request.headers().get("grpc-timeout").cloned();
        let pieces = futures::stream::once(async move {
            sleep(Duration::from_millis(ms[nth.min(1)])).await;
            let token =
                format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{nth}\"}}}}]}}\n\n");
            Ok::<_, Infallible>(Frame::data(Bytes::from(token)))
        });
        let mut response = Response::new(StreamBody::new(Box::pin(pieces)).boxed_unsync());
        let kind = "text/event-stream".parse().unwrap();
        response.headers_mut().insert("content-type", kind);
        if let Some(left) = left {
            response.headers_mut().insert("x-told", left);
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    (BoxCloneSyncService::new(service), attempts)
}

#[tokio::test(start_paused = true)]
async fn a_file_makes_races_be_won_by_first_tokens_and_tells_deadlines() {
    for (layers, took, winner) in [
        (&[FIXED, "\"await_first\""][..], 60, "1"),
        (&[FIXED, "\"await_first\"\nof = \"openai_chat\""], 60, "1"),
        (&[FIXED, "\"await_first\"\nof = \"frame\""], 60, "1"),
        (&[FIXED], 0, "0"),
    ] {
        let tells = ["\"send_deadline\"\nheader = \"grpc-timeout\""];
        let layers: Vec<_> = layers.iter().copied().chain(tells).collect();
        let (client, attempts) = streaming([1_000, 10]);
        let service = stack(&layers).http().layer(client);
        let mut request = request("GET", "");
        *request.uri_mut() = "http://a.test/v1/chat/completions".parse().unwrap();
        let start = Instant::now();
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(start.elapsed().as_millis(), took, "{layers:?}");
        // A copy is sent 50 ms later, so that less is left for it of the 30 s.
        let told = if winner == "1" {
            "29950000u"
        } else {
            "30000000u"
        };
        assert_eq!(response.headers()["x-told"], told);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(std::str::from_utf8(&body).unwrap().contains(winner));
        assert_eq!(
            attempts.load(Ordering::Relaxed),
            1 + u32::from(winner == "1")
        );
    }
}

/// What the caller waits is heard, less the way back, kept by the deadline, and told to the server.
#[tokio::test(start_paused = true)]
async fn a_file_hears_how_long_its_caller_waits() {
    let hears =
        "\"receive_deadline\"\nheader = \"grpc-timeout\"\nat_most = \"9s\"\nreserve = \"50ms\"";
    let tells = "\"send_deadline\"\nheader = \"grpc-timeout\"";
    for (asked, told) in [
        (Some("2S"), "1950000u"),
        (Some("60S"), "9000000u"),
        (None, "9000000u"),
    ] {
        let (client, _) = streaming([0, 0]);
        let service = stack(&[hears, "\"deadline\"", tells]).http().layer(client);
        let mut request = request("GET", "");
        if let Some(asked) = asked {
            request
                .headers_mut()
                .insert("grpc-timeout", asked.parse().unwrap());
        }
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.headers()["x-told"], told, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_has_left_is_not_served_on() {
    let client = tower::service_fn(|_: Request<ReplayableBody<Erased>>| {
        std::future::pending::<Result<Response<Erased>, Infallible>>()
    });
    let client: Streams = BoxCloneSyncService::new(client);
    let service = stack(&["\"receive_deadline\"", "\"deadline\""])
        .http()
        .layer(client);
    let mut request = request("GET", "");
    request
        .headers_mut()
        .insert("hedgerow-timeout-ms", "120".parse().unwrap());
    let start = Instant::now();
    let error = service.oneshot(request).await.unwrap_err();
    assert!(
        hedgerow::cause_ref::<hedgerow::DeadlineExceeded>(&*error).is_some(),
        "{error}"
    );
    assert_eq!(start.elapsed().as_millis(), 120);
}
