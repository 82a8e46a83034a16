//! A cache and a coalescer from a file.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hedgerow::cache::{CacheLayer, CoalesceLayer, KeptBodies, MemoryStore, SharedBodies};
use hedgerow::config::{
    CacheConfig, CoalesceConfig, ConfigErrors, Describe, HttpKeyConfig, Stack, StackBody,
    StackConfig, StoreConfig,
};
use hedgerow::{BoxError, ReplayableBody, ResumedBody};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

type Sent = Full<Bytes>;
type Client = BoxCloneSyncService<Request<ReplayableBody<Sent>>, Response<Sent>, Infallible>;
type Service = BoxCloneSyncService<Request<Sent>, Response<ResumedBody<StackBody<Sent>>>, BoxError>;

/// Answers after 20 ms with its number and the request's body; `/fails` with a 503 at first.
fn client() -> (Client, Arc<AtomicU32>) {
    let calls: Arc<AtomicU32> = Arc::default();
    let counted = calls.clone();
    let service = tower::service_fn(move |request: Request<ReplayableBody<Sent>>| {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let fails = request.uri().path() == "/fails" && n == 0;
            let body = request.into_body().collect().await?.to_bytes();
            sleep(Duration::from_millis(20)).await;
            let said = format!("{n} {}", String::from_utf8_lossy(&body));
            let mut response = Response::new(Full::from(said));
            if fails {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok::<_, Infallible>(response)
        }
    });
    (BoxCloneSyncService::new(service), calls)
}

fn read(toml: &str) -> Result<StackConfig, ConfigErrors> {
    StackConfig::from_toml(toml)
}

fn around(stack: &Stack) -> (Service, Arc<AtomicU32>) {
    let (client, calls) = client();
    (stack.http().layer(client), calls)
}

fn asks(who: &str, path: &str, body: &'static str) -> Request<Sent> {
    Request::post(format!("http://a.test{path}"))
        .header("authorization", who)
        .body(Full::from(body))
        .unwrap()
}

async fn ask(service: &Service, request: Request<Sent>) -> String {
    let answer = service.clone().oneshot(request).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

const KEPT: &str = r#"
    [[layer]]
    kind = "idempotent_paths"
    paths = ["/a", "/fails"]

    [[layer]]
    kind = "replay_body"

    [[layer]]
    kind = "cache"
    ttl = "10s"
    stale_if_error = "1h"
    key = { tenant = "header:authorization", methods = ["POST"], ignore = ["user"] }

    [[layer]]
    kind = "coalesce"

    [[layer]]
    kind = "retry"
    attempts = 2
    wait = "1s"

    [[layer]]
    kind = "hedge"
    strategy = "fixed"
    delay = "50ms"
    latency = "shared"

    [[layer]]
    kind = "admission"
    concurrency = 1

    [[layer]]
    kind = "latency"
"#;

#[tokio::test(start_paused = true)]
async fn from_a_file_answers_are_kept_and_shared_by_what_requests_say() {
    let config = read(KEPT).unwrap();
    assert_eq!(config.warnings(), []);
    let stack = config.build().unwrap();
    let (service, calls) = around(&stack);
    // Members that say nothing are ignored, and so is the order.
    let same = [
        r#"{"q":1,"user":"x"}"#,
        r#"{"user":"y","q":1.0}"#,
        r#"{"q":1}"#,
    ];
    let answers = join_all(same.map(|body| ask(&service, asks("me", "/a", body)))).await;
    assert_eq!(
        answers,
        [
            format!("0 {}", same[0]),
            format!("0 {}", same[0]),
            format!("0 {}", same[0])
        ]
    );
    assert_eq!(ask(&service, asks("me", "/a", same[2])).await, answers[0]);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // Another tenant, and another question.
    assert!(
        ask(&service, asks("you", "/a", same[0]))
            .await
            .starts_with("1 ")
    );
    assert!(
        ask(&service, asks("me", "/a", r#"{"q":2}"#))
            .await
            .starts_with("2 ")
    );
    let (caches, coalescers) = (stack.caches(), stack.coalescers());
    assert_eq!((caches.len(), coalescers.len()), (1, 1));
    assert_eq!((caches[0].stats().hits, caches[0].stats().misses), (1, 5));
    assert_eq!(
        (coalescers[0].stats().led, coalescers[0].stats().followed),
        (3, 2)
    );
    // A hit and a follower took no permit.
    assert_eq!(stack.gates()[0].stats().started, 3);
    sleep(Duration::from_secs(11)).await;
    assert!(
        ask(&service, asks("me", "/a", same[2]))
            .await
            .starts_with("3 ")
    );
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_beneath_and_never_kept() {
    let stack = read(KEPT).unwrap().build().unwrap();
    let (service, calls) = around(&stack);
    let start = Instant::now();
    // The hedge has the next copy at hand when all in flight have failed.
    assert_eq!(ask(&service, asks("me", "/fails", "x")).await, "1 x");
    assert_eq!(start.elapsed().as_millis(), 40);
    assert_eq!(ask(&service, asks("me", "/fails", "x")).await, "1 x");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hit_says_so_in_its_head_and_hedged_calls_still_race_beneath() {
    let stack = read(KEPT).unwrap().build().unwrap();
    let (service, _) = around(&stack);
    for wanted in ["hedgerow; fwd=uri-miss; stored", "hedgerow; hit; ttl=10"] {
        let answer = service
            .clone()
            .oneshot(asks("me", "/a", "x"))
            .await
            .unwrap();
        assert_eq!(answer.headers()["cache-status"], wanted);
        answer.into_body().collect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_coalescer_alone_shares_calls_and_keeps_nothing() {
    let toml = "[[layer]]\nkind = \"coalesce\"\nkey = { tenant = \"everybody\" }\n";
    let stack = read(toml).unwrap().build().unwrap();
    let (service, calls) = around(&stack);
    let get = || {
        Request::get("http://a.test/a")
            .body(Full::default())
            .unwrap()
    };
    let answers = join_all((0..5).map(|_| ask(&service, get()))).await;
    assert_eq!(answers, ["0 "; 5]);
    assert_eq!(ask(&service, get()).await, "1 ");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// Reading looks at a file's settings; building opens it.
#[tokio::test]
async fn a_file_is_opened_when_the_stack_is_built_and_survives_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.redb");
    let mut cache = CacheConfig::new(HttpKeyConfig::new("everybody"));
    cache.store = StoreConfig::file(&path);
    let config = StackConfig::new([cache.clone().into(), CoalesceConfig::default().into()]);
    let config = read(&config.to_toml().unwrap()).unwrap();
    assert!(!path.exists());
    let get = || {
        Request::get("http://a.test/a")
            .body(Full::default())
            .unwrap()
    };
    for wanted in [1, 0] {
        let stack = config.build().unwrap();
        assert!(path.exists());
        let second = config.build().unwrap_err();
        assert_eq!(second.mistakes()[0].key(), "layer[0].store.path");
        let (service, calls) = around(&stack);
        assert_eq!(ask(&service, get()).await, "0 ");
        assert_eq!(calls.load(Ordering::Relaxed), wanted);
        drop((service, stack));
    }
    // In memory over the file.
    cache.store.entries = Some(10);
    let stack = StackConfig::new([cache.into()]).build().unwrap();
    let (service, calls) = around(&stack);
    assert_eq!(ask(&service, get()).await, "0 ");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn every_mistake_of_a_cache_and_a_coalescer_is_told_at_once() {
    let errors = read(
        r#"
        [[layer]]
        kind = "cache"
        ttl = "0s"
        negative = "0s"
        max_refreshes = 0
        refresh_patience = "0s"
        key = { tenant = "acme", methods = ["post", "GE T"], headers = ["é"], ignore = ["a..b", ""] }
        store = { entries = 1, bytes = 2, disk_bytes = 5, start_afresh_if_damaged = true }

        [[layer]]
        kind = "coalesce"
        max_flights = 0
        behind_bytes = 0
        budget = "shared"

        [[layer]]
        kind = "cache"
        key = { tenants = "everybody" }
        store = { path = "", bytes = 5 }

        [[layer]]
        kind = "coalesce"
        "#,
    )
    .unwrap_err();
    let mut keys: Vec<_> = errors
        .mistakes()
        .iter()
        .map(|mistake| mistake.key())
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "layer[0].key.headers[0]",
            "layer[0].key.ignore[0]",
            "layer[0].key.ignore[1]",
            "layer[0].key.methods[0]",
            "layer[0].key.methods[1]",
            "layer[0].key.tenant",
            "layer[0].max_refreshes",
            "layer[0].negative",
            "layer[0].refresh_patience",
            "layer[0].store.disk_bytes",
            "layer[0].store.entries",
            "layer[0].store.start_afresh_if_damaged",
            "layer[0].ttl",
            "layer[1].behind_bytes",
            "layer[1].budget",
            "layer[1].max_flights",
            "layer[2].key.tenant",
            "layer[2].key.tenants",
        ]
    );
    let alone = read("[[layer]]\nkind = \"coalesce\"\n").unwrap_err();
    assert_eq!(alone.mistakes()[0].key(), "layer[0].key");
    assert!(alone.to_string().contains("no cache outside of it"));
    let disk = "[[layer]]\nkind = \"cache\"\nkey = { tenant = \"everybody\" }\n\
                store = { path = \"x\", disk_bytes = 5 }\n";
    assert_eq!(
        read(disk).unwrap_err().mistakes()[0].key(),
        "layer[0].store.disk_bytes"
    );
}

#[test]
fn a_stack_of_plain_requests_refuses_both_and_says_what_to_write() {
    let toml = "[[layer]]\nkind = \"cache\"\nkey = { tenant = \"everybody\" }\n\
                [[layer]]\nkind = \"coalesce\"\n";
    let errors = read(toml)
        .unwrap()
        .build()
        .unwrap()
        .clone_requests::<u32>()
        .unwrap_err();
    let keys: Vec<_> = errors
        .mistakes()
        .iter()
        .map(|mistake| mistake.key())
        .collect();
    assert_eq!(keys, ["layer[0].kind", "layer[1].kind"]);
    let text = errors.to_string();
    assert!(
        text.contains("CacheLayer::new(store).key(f)") && text.contains("CoalesceLayer::new(f)")
    );
}

/// The numbers that the description shows are those of the layers.
#[test]
fn their_defaults_are_the_constructors() {
    let shows = |layer: String, wanted: &[&str]| {
        for one in wanted {
            assert!(layer.contains(one), "{one} in {layer}");
        }
    };
    let default = |of: &hedgerow::config::Description, key: &str| {
        let key = of.key(key).unwrap().default.clone().unwrap();
        key.trim_matches('"').to_owned()
    };
    let cache = CacheConfig::describe();
    let plain = format!("{:?}", CacheLayer::new(MemoryStore::<u32, u32>::entries(1)));
    assert_eq!(default(&cache, "ttl"), "60s");
    assert_eq!(default(&cache, "refresh_patience"), "30s");
    shows(
        plain,
        &[
            "ttl: 60s",
            "while_revalidating: 0ns",
            "on_error: 0ns",
            "negative: None",
        ],
    );
    let bounds = format!(
        "Background(Some(({}, 30s)))",
        default(&cache, "max_refreshes")
    );
    shows(format!("{:?}", CacheLayer::new(())), &[&bounds]);
    let body = format!("max_body: {}", default(&cache, "max_body_bytes"));
    shows(format!("{:?}", KeptBodies::new()), &[&body, "heeds: true"]);
    let built = CacheConfig::new(HttpKeyConfig::new("everybody"))
        .build()
        .unwrap();
    shows(
        format!("{built:?}"),
        &["ttl: 60s", &bounds, "negative: None"],
    );

    let coalesce = CoalesceConfig::describe();
    let flights = format!("max_flights: {}", default(&coalesce, "max_flights"));
    let plain = format!("{:?}", CoalesceLayer::new(()));
    shows(plain, &[&flights, "on_failure: TryOnceMore"]);
    let behind = format!("behind: {}", default(&coalesce, "behind_bytes"));
    shows(format!("{:?}", SharedBodies::new()), &[&behind]);
    let built = CoalesceConfig::new(HttpKeyConfig::new("everybody"))
        .build()
        .unwrap();
    shows(format!("{built:?}"), &[&flights, "on_failure: TryOnceMore"]);
    let budget = CoalesceLayer::new(()).handle().budget().clone();
    assert_eq!(
        (budget.per_100_calls(), budget.burst()),
        (Some(10.0), Some(50))
    );
    assert_eq!(
        coalesce.key("budget").unwrap().default.as_deref(),
        Some("10 percent of depth 50")
    );
}

#[test]
fn what_is_written_is_explained_with_what_is_not() {
    let explained = read(KEPT).unwrap().explain().to_string();
    for line in [
        "layer[2] cache",
        "ttl = \"10s\"",
        "tenant = \"header:authorization\"",
        "store = 67108864 bytes of memory  # default",
        "layer[3] coalesce",
        "key = that of the cache outside of it  # default",
        "budget = { percent = 10, depth = 50 }  # default",
    ] {
        assert!(explained.contains(line), "{line} in\n{explained}");
    }
    // Nothing is refreshed.
    assert!(!explained.contains("max_refreshes"));
}
