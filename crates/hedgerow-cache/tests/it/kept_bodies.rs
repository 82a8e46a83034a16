//! HTTP answers that are kept when their bodies have passed.

#![expect(clippy::unwrap_used, reason = "a failed step of a test may panic")]

use std::sync::Arc;

use bytes::Bytes;
use hedgerow_cache::{
    ByteStore, CacheLayer, CoalesceLayer, Codec, DiskStore, HttpAnswer, HttpCodec, HttpKey,
    KeptBodies, MemoryStore, Store, Tenant,
};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tempfile::tempdir;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use crate::support::{ms, secs};
use crate::wire::{Asked, Ticker, data, get, read};

type Answers = MemoryStore<hedgerow_cache::Digest, Arc<HttpAnswer>>;

fn layer() -> CacheLayer<Answers, HttpKey, KeptBodies> {
    CacheLayer::new(MemoryStore::entries(100))
        .key(HttpKey::new(Tenant::everybody("test")))
        .ttl(secs(60))
        .http()
}

fn with_head(head: impl Fn(usize) -> http::response::Builder + Send + Sync + 'static) -> Ticker {
    let mut ticker = Ticker::new(2, 0);
    ticker.head = Arc::new(move |call| head(call).body(()).unwrap());
    ticker
}

/// What `Cache-Status` says, and the frames.
async fn ask<S, B>(service: &S, request: Asked) -> (String, Vec<String>)
where
    S: Service<Asked, Response = Response<B>, Error = hedgerow_core::BoxError> + Clone,
    B: Body<Data = Bytes, Error = hedgerow_core::BoxError>,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let said = response.headers().get_all("cache-status").iter();
    let said = said
        .map(|value| value.to_str().unwrap().to_owned())
        .collect::<Vec<_>>()
        .join(", ");
    (said, read(response.into_body()).await.unwrap().0)
}

/// F8: a stream replays as a stream.
#[tokio::test(start_paused = true)]
async fn an_answer_is_stored_when_its_body_has_passed_and_replays_frame_by_frame() {
    let ticker = Ticker::new(3, 50);
    let service = layer().layer(ticker.clone());
    let frames = vec!["0.0 ".to_owned(), "0.1 ".to_owned(), "0.2 ".to_owned()];
    let miss = ask(&service, get("/a")).await;
    assert_eq!(
        miss,
        ("hedgerow; fwd=uri-miss; stored".to_owned(), frames.clone())
    );
    sleep(secs(10)).await;
    let hit = ask(&service, get("/a")).await;
    assert_eq!(hit, ("hedgerow; hit; ttl=50".to_owned(), frames));
    assert_eq!(ticker.calls(), 1);
    let response = service.oneshot(get("/a")).await.unwrap();
    assert_eq!(response.headers()["age"], "10");
}

/// Who missed the store, and comes to the coalescer when the body it should have shared has passed, finds it.
#[tokio::test(start_paused = true)]
async fn each_key_is_paid_for_once_with_bodies_too() {
    let ticker = Ticker::new(3, 50);
    let cache = layer();
    let once = CoalesceLayer::new(HttpKey::new(Tenant::everybody("test"))).http();
    let service = cache.layer(once.lead(cache.lead()).layer(ticker.clone()));
    // The store is looked into when the call is made, and the coalescer when it is polled.
    let late = service.clone().call(get("/a"));
    let frames = ask(&service, get("/a")).await.1;
    let late = late.await.unwrap();
    assert_eq!(read(late.into_body()).await.unwrap().0, frames);
    assert_eq!(ticker.calls(), 1);
}

/// The answer is stored when the body ends, before anybody can find that it has.
#[tokio::test(start_paused = true)]
async fn a_lead_stores_a_body_the_moment_it_is_whole() {
    let ticker = Ticker::new(3, 50);
    let cache = layer();
    let once = CoalesceLayer::new(HttpKey::new(Tenant::everybody("test"))).http();
    // Nothing of the cache itself is around the coalescer.
    let service = once.lead(cache.lead()).layer(ticker.clone());
    let answer = service.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(cache.store().stats().entries, 0);
    let frames = read(answer.into_body()).await.unwrap().0;
    assert_eq!(cache.store().stats().entries, 1);
    // The next flight asks the lead first, which has it, with its head.
    let again = service.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(read(again.into_body()).await.unwrap().0, frames);
    assert_eq!(ticker.calls(), 1);

    // One that breaks off, that nobody reads to its end, or that no cache may keep, it has not.
    let mut ticker = Ticker::new(3, 50);
    ticker.frames = Arc::new(|call| match call {
        0 => vec![data("a"), Err("broken off")],
        _ => vec![data("a"), data("b")],
    });
    let cache = layer();
    let once = CoalesceLayer::new(HttpKey::new(Tenant::everybody("test"))).http();
    let service = once.lead(cache.lead()).layer(ticker.clone());
    let broken = service.clone().oneshot(get("/a")).await.unwrap();
    assert!(read(broken.into_body()).await.is_err());
    let mut left = service.clone().oneshot(get("/a")).await.unwrap();
    left.body_mut().frame().await.unwrap().unwrap();
    drop(left);
    assert_eq!((cache.store().stats().entries, ticker.calls()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_or_is_not_read_to_its_end_is_not_stored() {
    let mut ticker = Ticker::new(3, 50);
    ticker.frames = Arc::new(|call| match call {
        0 => vec![data("a"), Err("broken off")],
        _ => vec![data("a"), data("b")],
    });
    let service = layer().layer(ticker.clone());
    let broken = service.clone().oneshot(get("/a")).await.unwrap();
    assert!(read(broken.into_body()).await.is_err());
    let mut left = service
        .clone()
        .oneshot(get("/a"))
        .await
        .unwrap()
        .into_body();
    assert!(left.frame().await.is_some());
    drop(left);
    assert_eq!(
        ask(&service, get("/a")).await.0,
        "hedgerow; fwd=uri-miss; stored"
    );
    assert_eq!(ask(&service, get("/a")).await.0, "hedgerow; hit; ttl=60");
    assert_eq!((ticker.calls(), ticker.alive()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_passes_whole_and_is_not_stored() {
    let ticker = Ticker::new(100, 0);
    let service = layer()
        .keep(KeptBodies::new().max_body(300))
        .layer(ticker.clone());
    for call in 0..2 {
        let (_, frames) = ask(&service, get("/a")).await;
        assert_eq!((frames.len(), &*frames[0]), (100, &*format!("{call}.0 ")));
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_empty_bodies_and_heads_come_again() {
    let mut ticker = with_head(|_| {
        Response::builder()
            .status(203)
            .header("x", "1")
            .header("x", "2")
    });
    ticker.frames = Arc::new(|_| {
        let mut trailers = HeaderMap::new();
        trailers.insert("t", "v".parse().unwrap());
        vec![Ok(Frame::trailers(trailers))]
    });
    let service = layer().layer(ticker.clone());
    for _ in 0..2 {
        let response = service.clone().oneshot(get("/a")).await.unwrap();
        assert_eq!(response.status(), StatusCode::NON_AUTHORITATIVE_INFORMATION);
        assert_eq!(response.headers().get_all("x").iter().count(), 2);
        assert_eq!(
            read(response.into_body()).await.unwrap().1.unwrap()["t"],
            "v"
        );
    }
    assert_eq!(ticker.calls(), 1);
    // A body that says it is empty is polled by nobody.
    let empty = tower::service_fn(async |_: Asked| {
        Ok::<_, hedgerow_core::BoxError>(Response::new(http_body_util::Full::new(Bytes::new())))
    });
    let layer = layer();
    let service = layer.layer(empty);
    drop(service.clone().oneshot(get("/a")).await.unwrap());
    drop(service.oneshot(get("/a")).await.unwrap());
    assert_eq!(layer.handle().stats().hits, 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_kept_is_told_by_status_and_headers() {
    let never = [
        (200, "cache-control", "no-store"),
        (200, "cache-control", "max-age=60, private"),
        (200, "cache-control", "no-cache"),
        (200, "cache-control", "max-age=0"),
        (200, "cache-control", "max-age=60, s-maxage=0"),
        (200, "cache-control", "s-maxage=, max-age=60"),
        (200, "set-cookie", "a=b"),
        (200, "vary", "*"),
        (206, "x", "y"),
        (302, "x", "y"),
        (400, "x", "y"),
        (404, "x", "y"),
        (429, "x", "y"),
        (500, "x", "y"),
        (501, "x", "y"),
    ];
    for (status, name, value) in never {
        let ticker = with_head(move |_| Response::builder().status(status).header(name, value));
        let service = layer().layer(ticker.clone());
        for _ in 0..2 {
            let (said, _) = ask(&service, get("/a")).await;
            assert_eq!(said, "hedgerow; fwd=uri-miss", "{status} {name}: {value}");
        }
        assert_eq!(ticker.calls(), 2, "{status} {name}: {value}");
    }
    for (status, name, value) in [
        (200, "x", "y"),
        (301, "x", "y"),
        (200, "cache-control", "public, max-age=5"),
        (200, "cache-control", "max-age=50, s-maxage=5"),
    ] {
        let ticker = with_head(move |_| Response::builder().status(status).header(name, value));
        let service = layer().layer(ticker.clone());
        ask(&service, get("/a")).await;
        ask(&service, get("/a")).await;
        assert_eq!(ticker.calls(), 1, "{status} {name}: {value}");
        sleep(ms(5_001)).await;
        ask(&service, get("/a")).await;
        assert_eq!(ticker.calls(), if value.ends_with("=5") { 2 } else { 1 });
    }
    // On request.
    let ticker = with_head(|_| Response::builder().status(404));
    let service = layer().negative(secs(5)).layer(ticker.clone());
    ask(&service, get("/a")).await;
    ask(&service, get("/a")).await;
    assert_eq!(ticker.calls(), 1);
    let ticker = with_head(|_| Response::builder().header("cache-control", "no-cache"));
    let service = layer()
        .keep(KeptBodies::new().ignore_cache_control())
        .layer(ticker.clone());
    ask(&service, get("/a")).await;
    ask(&service, get("/a")).await;
    assert_eq!(ticker.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_must_be_asked_for_again_is_never_served_stale() {
    for (control, stale) in [
        ("max-age=5", true),
        ("max-age=5, must-revalidate", false),
        ("Proxy-Revalidate, max-age=5", false),
        ("s-maxage=5", false),
    ] {
        let ticker = with_head(move |call| {
            let status = if call == 0 { 200 } else { 503 };
            let head = Response::builder().status(status);
            head.header("cache-control", control)
        });
        let layer = layer()
            .stale_while_revalidate(secs(30))
            .stale_if_error(secs(60));
        let service = layer.layer(ticker);
        ask(&service, get("/a")).await;
        sleep(ms(5_001)).await;
        let (_, frames) = ask(&service, get("/a")).await;
        assert_eq!(frames[0] == "0.0 ", stale, "{control}");
        // Nor does it stand in.
        sleep(secs(40)).await;
        let (_, frames) = ask(&service, get("/a")).await;
        assert_eq!(frames[0] == "0.0 ", stale, "{control}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_very_many_frames_passes_whole_and_is_not_stored() {
    let mut ticker = Ticker::new(0, 0);
    ticker.frames = Arc::new(|_| std::iter::once(data("a")).chain(flood()).collect());
    let layer = layer();
    let service = layer.layer(ticker.clone());
    for _ in 0..2 {
        let (_, frames) = ask(&service, get("/a")).await;
        assert_eq!(frames.len(), FLOOD + 1);
    }
    assert_eq!((ticker.calls(), layer.handle().stats().stored), (2, 0));
}

const FLOOD: usize = 1 << 16;

fn flood() -> impl Iterator<Item = crate::wire::Said> {
    (0..FLOOD).map(|_| data(""))
}

#[tokio::test(start_paused = true)]
async fn cache_status_says_where_an_answer_is_from() {
    let ticker = with_head(|call| {
        let status = if call == 2 { 503 } else { 200 };
        Response::builder()
            .status(status)
            .header("cache-status", "origin; hit")
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
    });
    let layer = layer()
        .stale_while_revalidate(secs(10))
        .stale_if_error(secs(100));
    let service = layer.layer(ticker.clone());
    assert_eq!(
        ask(&service, get("/a")).await.0,
        "origin; hit, hedgerow; fwd=uri-miss; stored"
    );
    let hit = service.clone().oneshot(get("/a")).await.unwrap();
    assert!(!hit.headers().contains_key("connection") && !hit.headers().contains_key("x-hop"));
    drop(hit);
    assert_eq!(
        ask(&service, get("/a")).await.0,
        "origin; hit, hedgerow; hit; ttl=60"
    );
    sleep(secs(65)).await;
    // Refreshed behind the caller, with its body.
    assert_eq!(
        ask(&service, get("/a")).await.0,
        "origin; hit, hedgerow; hit; ttl=-5"
    );
    sleep(ms(10)).await;
    assert_eq!(ask(&service, get("/a")).await.1[0], "1.0 ");
    sleep(secs(80)).await;
    assert_eq!(
        ask(&service, get("/a")).await,
        (
            "origin; hit, hedgerow; hit; ttl=-20; detail=stale-if-error".to_owned(),
            vec!["1.0 ".to_owned(), "1.1 ".to_owned()]
        )
    );
    assert_eq!(
        ask(&service, get("/a")).await.0,
        "origin; hit, hedgerow; fwd=stale; stored"
    );
    let mut asked = get("/a");
    asked
        .headers_mut()
        .insert("cache-control", "no-cache".parse().unwrap());
    assert_eq!(
        ask(&service, asked).await.0,
        "origin; hit, hedgerow; fwd=bypass"
    );
}

#[tokio::test]
async fn http_answers_are_the_same_after_a_restart() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("answers");
    let ticker = Ticker::new(3, 0);
    let mut said = Vec::new();
    for _ in 0..2 {
        let disk = DiskStore::open(&path).unwrap();
        let layer = CacheLayer::new(disk.by(HttpCodec))
            .key(HttpKey::new(Tenant::everybody("test")))
            .ttl(secs(3_600))
            .http();
        said.push(ask(&layer.layer(ticker.clone()), get("/a")).await.1);
        layer.store().get_ref().flush().await.unwrap();
    }
    assert_eq!((said[0] == said[1], ticker.calls()), (true, 1));
}

#[test]
fn bytes_that_are_no_answer_are_no_answer() {
    let mut answer = Vec::new();
    for length in 0..400 {
        answer.resize(length, 7);
        assert!(HttpCodec.decode(&answer).is_err());
    }
    // A count that is a lie takes no memory.
    let mut lie = vec![1, 200, 0];
    lie.extend(u64::MAX.to_le_bytes());
    assert!(HttpCodec.decode(&lie).is_err());
}

#[tokio::test(start_paused = true)]
async fn over_a_coalescer_a_stream_is_shared_and_kept() {
    let ticker = Ticker::new(5, 10);
    let key = HttpKey::new(Tenant::everybody("test"));
    let once = CoalesceLayer::new(key).http();
    let service = layer().layer(once.layer(ticker.clone()));
    let both = futures::future::join_all((0..8).map(|_| ask(&service, get("/a")))).await;
    assert!(both.iter().all(|(_, frames)| frames.len() == 5));
    assert_eq!(ask(&service, get("/a")).await.0, "hedgerow; hit; ttl=60");
    assert_eq!(ticker.calls(), 1);
}
