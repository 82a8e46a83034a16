//! What becomes of bodies.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use hedgerow_core::{BodyBytes, Idempotent, Replay, ReplayBody};
use hedgerow_http::{HttpBuildError, ReplayBodyLayer, ReplayBodyStats, ReplayableBody};
use http::Request;
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};

use crate::script::{Hint, Script, Step, next, next_now, through};

fn put(body: Script) -> Request<Script> {
    Request::put("http://h.test/").body(body).expect("valid")
}

fn stats(change: impl FnOnce(&mut ReplayBodyStats)) -> ReplayBodyStats {
    let mut stats = ReplayBodyStats::default();
    change(&mut stats);
    stats
}

async fn rest(body: &mut ReplayableBody<Script>) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = next(body).await {
        steps.push(step);
    }
    steps
}

#[tokio::test]
async fn a_body_that_is_there_is_read_whole_by_every_copy() {
    let layer = ReplayBodyLayer::new();
    let steps = [
        Step::data("one"),
        Step::data(""),
        Step::data("two"),
        Step::trailers(),
    ];
    let mut request = through(&layer, put(Script::new(steps.clone())));
    assert!(request.body().is_shared());
    // A copy is whole wherever the one it is made of stands.
    assert_eq!(next(request.body_mut()).await, Some(Step::data("one")));
    let mut copy = request.replay().expect("PUT, and the body was there");
    let mut copy_of_copy = copy.replay().expect("and again");
    assert_eq!(rest(copy.body_mut()).await, steps);
    assert_eq!(rest(request.body_mut()).await, steps[1..]);
    drop((request, copy));
    assert_eq!(rest(copy_of_copy.body_mut()).await, steps);
    assert_eq!(layer.stats(), stats(|s| s.shared = 1));
}

#[tokio::test]
async fn a_copy_dropped_half_way_does_not_touch_another() {
    let layer = ReplayBodyLayer::new();
    let steps = [Step::data("a"), Step::data("b"), Step::data("c")];
    let mut request = through(&layer, put(Script::new(steps.clone())));
    let mut copy = request.replay().expect("shared");
    assert_eq!(next(request.body_mut()).await, Some(Step::data("a")));
    assert_eq!(next(copy.body_mut()).await, Some(Step::data("a")));
    drop(request);
    assert_eq!(rest(copy.body_mut()).await, steps[1..]);
}

#[test]
fn a_shared_body_knows_its_length_and_its_end() {
    let layer = ReplayBodyLayer::new();
    let mut request = through(
        &layer,
        put(Script::new([Step::data("abc"), Step::data("de")])),
    );
    let body = request.body_mut();
    let mut seen = vec![(body.size_hint().exact(), body.is_end_stream())];
    for _ in 0..2 {
        next_now(body);
        seen.push((body.size_hint().exact(), body.is_end_stream()));
    }
    assert_eq!(seen, [(Some(5), false), (Some(2), false), (Some(0), true)]);
}

/// An exact length would make HTTP/1.1 send a `Content-Length`, and no trailers.
#[test]
fn trailers_keep_a_body_of_unknown_length_so() {
    let layer = ReplayBodyLayer::new();
    let steps = [Step::data("abc"), Step::trailers()];
    for (hint, exact) in [(Hint::None, None), (Hint::Exact, Some(3))] {
        let request = through(&layer, put(Script::new(steps.clone()).hint(hint)));
        let said = request.body().size_hint();
        assert_eq!((said.lower(), said.exact()), (3, exact), "{hint:?}");
    }
}

#[tokio::test]
async fn an_empty_body_stays_empty() {
    let layer = ReplayBodyLayer::new();
    let request = Request::get("http://h.test/").body(Empty::<Bytes>::new());
    let mut request = through(&layer, request.expect("valid"));
    assert!(request.body().is_end_stream());
    assert_eq!(request.body().size_hint().exact(), Some(0));
    assert!(request.body_mut().replay_body().is_some());
    assert!(request.into_body().frame().await.is_none());
}

#[tokio::test]
async fn the_cap_is_the_largest_body_that_is_shared() {
    for (cap, shared) in [(6, true), (5, false)] {
        let layer = ReplayBodyLayer::new().cap_bytes(cap);
        let steps = [Step::data("abc"), Step::data("def"), Step::data("")];
        let mut request = through(&layer, put(Script::new(steps.clone())));
        assert_eq!(request.replay().is_some(), shared);
        assert_eq!(rest(request.body_mut()).await, steps);
        let wanted = stats(|s| {
            if shared {
                s.shared = 1;
            } else {
                s.too_large = 1;
            }
        });
        assert_eq!(layer.stats(), wanted);
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_polled() {
    let layer = ReplayBodyLayer::new().cap_bytes(2);
    for hint in [Hint::Exact, Hint::Lower] {
        let body = Script::new([Step::data("abc")]).hint(hint);
        let polls = body.polls.clone();
        let request = through(&layer, put(body));
        assert_eq!(polls.load(Ordering::Relaxed), 0);
        let original = request.into_body().into_inner().expect("untouched");
        assert_eq!(original.polls.load(Ordering::Relaxed), 0);
    }
    assert_eq!(layer.stats(), stats(|s| s.too_large = 2));
}

/// The frame that went beyond the cap counts as what is there.
#[test]
fn a_body_that_passes_through_says_what_is_there_of_it() {
    let layer = ReplayBodyLayer::new().cap_bytes(5);
    let steps = [Step::data("abc"), Step::data("def"), Step::data("ghi")];
    let mut request = through(&layer, put(Script::new(steps)));
    let body = request.body_mut();
    let mut seen = vec![body.size_hint().lower()];
    for _ in 0..2 {
        next_now(body);
        seen.push(body.size_hint().lower());
    }
    assert_eq!((seen, body.size_hint().upper()), (vec![6, 3, 0], None));
}

#[tokio::test]
async fn countless_small_frames_are_not_kept() {
    let layer = ReplayBodyLayer::new();
    for (frames, shared) in [(1_024, true), (1_025, false)] {
        let steps = vec![Step::data(""); frames];
        let body = Script::new(steps.clone());
        let polls = body.polls.clone();
        let mut request = through(&layer, put(body));
        assert_eq!(request.body().is_shared(), shared);
        assert_eq!(polls.load(Ordering::Relaxed), 1_025);
        assert_eq!(rest(request.body_mut()).await, steps);
    }
}

#[tokio::test]
async fn a_body_still_arriving_passes_through_whole_and_once() {
    let layer = ReplayBodyLayer::new();
    let steps = [
        Step::data("a"),
        Step::Pending,
        Step::data("b"),
        Step::trailers(),
    ];
    let mut request = through(&layer, put(Script::new(steps)));
    assert!(request.replay().is_none());
    assert!(!request.body().is_shared());
    let wanted = [Step::data("a"), Step::data("b"), Step::trailers()];
    assert_eq!(rest(request.body_mut()).await, wanted);
    assert_eq!(layer.stats(), stats(|s| s.streaming = 1));
}

#[tokio::test]
async fn an_error_of_the_body_comes_where_it_came() {
    let layer = ReplayBodyLayer::new();
    let steps = [Step::data("a"), Step::Fails(9), Step::data("b")];
    let mut request = through(&layer, put(Script::new(steps.clone())));
    assert!(request.replay().is_none());
    assert_eq!(rest(request.body_mut()).await, steps);
    assert_eq!(layer.stats(), stats(|s| s.failed = 1));
}

#[tokio::test]
async fn a_request_that_may_be_sent_once_is_not_looked_at() {
    let layer = ReplayBodyLayer::new();
    let post = |body: Script| Request::post("http://h.test/").body(body).expect("valid");
    let body = Script::new([Step::data("a")]);
    let polls = body.polls.clone();
    let request = through(&layer, post(body));
    assert_eq!(polls.load(Ordering::Relaxed), 0);
    assert!(request.into_body().into_inner().is_ok());

    let mut marked = post(Script::new([Step::data("a")]));
    marked.extensions_mut().insert(Idempotent);
    assert!(through(&layer, marked).replay().is_some());
    let mut keyed = post(Script::new([Step::data("a")]));
    keyed
        .headers_mut()
        .insert("idempotency-key", "7".parse().expect("valid"));
    assert!(through(&layer, keyed).replay().is_some());
    let wanted = stats(|s| {
        s.shared = 2;
        s.not_replayable = 1;
    });
    assert_eq!(layer.stats(), wanted);
    assert_eq!(layer.stats().passed(), 1);
}

#[test]
fn the_head_is_left_as_it_is() {
    let request = Request::put("http://h.test/a?b")
        .version(http::Version::HTTP_2)
        .header("x", "1")
        .extension(7_u8)
        .body(Full::new(Bytes::from_static(b"x")))
        .expect("valid");
    let seen = through(&ReplayBodyLayer::new(), request);
    assert_eq!((seen.method().as_str(), seen.uri().path()), ("PUT", "/a"));
    assert_eq!(
        (seen.version(), &seen.headers()["x"]),
        (http::Version::HTTP_2, &"1".parse().expect("valid"))
    );
    assert_eq!(seen.extensions().get(), Some(&7_u8));
}

#[test]
fn clones_of_a_layer_share_the_counts() {
    let layer = ReplayBodyLayer::new();
    for layer in [layer.clone(), layer.clone().cap_bytes(1)] {
        through(&layer, put(Script::new([Step::data("a")])));
    }
    assert_eq!(layer.stats(), stats(|s| s.shared = 2));
}

#[test]
fn a_cap_of_nothing_is_refused_with_what_to_write() {
    let error = ReplayBodyLayer::new()
        .try_cap_bytes(0)
        .expect_err("refused");
    assert_eq!(error, HttpBuildError::Cap);
    assert!(
        error.to_string().contains("write how many bytes"),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "write how many bytes")]
fn the_plain_setter_panics_with_the_reason() {
    let _ = ReplayBodyLayer::new().cap_bytes(0);
}

#[test]
fn bodies_are_send_sync_and_unpin_as_far_as_what_they_hold_is() {
    fn whole<T: Send + Sync + Unpin + 'static>() {}
    whole::<ReplayableBody<Full<Bytes>>>();
    whole::<ReplayableBody<Script>>();
}

#[test]
fn what_has_nothing_in_it_has_copies_without_a_layer_and_anything_else_passes_through() {
    let mut empty = ReplayableBody::passing_through(Empty::<Bytes>::new());
    assert!(empty.is_shared() && empty.replay_body().is_some());
    let mut full = ReplayableBody::passing_through(Full::<Bytes>::from("data"));
    assert!(!full.is_shared() && full.replay_body().is_none());
    assert!(full.into_inner().is_ok());
}

#[test]
fn a_request_can_be_prepared_without_a_service() {
    let layer = ReplayBodyLayer::new().cap_bytes(4);
    assert_eq!(layer.cap(), 4);
    let put = |body| Request::put("http://h.test/").body(Full::<Bytes>::from(body));
    assert!(layer.apply(put("data").expect("valid")).body().is_shared());
    assert!(
        !layer
            .apply(put("larger").expect("valid"))
            .body()
            .is_shared()
    );
    assert_eq!(layer.stats(), stats(|s| (s.shared, s.too_large) = (1, 1)));
}

/// Some layers know by other means what may be sent twice.
#[test]
fn bodies_of_requests_that_are_sent_once_are_shared_if_that_is_asked_for() {
    let post = || Request::post("http://h.test/").body(Full::<Bytes>::from("data"));
    let layer = ReplayBodyLayer::new();
    assert!(!layer.apply(post().expect("valid")).body().is_shared());
    let layer = layer.every_request();
    let mut request = layer.apply(post().expect("valid"));
    assert!(request.body().is_shared());
    assert!(hedgerow_core::copy_of(&mut request).is_some());
    assert!(request.replay().is_none(), "its head still says no");
    assert_eq!(
        layer.stats(),
        stats(|s| (s.shared, s.not_replayable) = (1, 1))
    );
}

#[tokio::test]
async fn the_bytes_of_a_body_that_is_whole_in_memory_can_be_looked_at() {
    let layer = ReplayBodyLayer::new().cap_bytes(8);
    let bytes = |steps: &[Step]| {
        let request = through(&layer, put(Script::new(steps.to_vec())));
        request.body().body_bytes()
    };
    let data = Step::data;
    assert_eq!(bytes(&[]).as_deref(), Some(&b""[..]));
    assert_eq!(bytes(&[data("one")]).as_deref(), Some(&b"one"[..]));
    let pieces = [data("one"), data(""), data("two")];
    assert_eq!(bytes(&pieces).as_deref(), Some(&b"onetwo"[..]));
    // What is not all there, and what says more than its bytes.
    assert_eq!(bytes(&[data("one"), Step::Pending, data("two")]), None);
    assert_eq!(bytes(&[data("one"), Step::Fails(1)]), None);
    assert_eq!(bytes(&[data("larger"), data("than eight")]), None);
    assert_eq!(bytes(&[data("one"), Step::trailers()]), None);
    assert_eq!(bytes(&[Step::trailers()]), None);

    // One that was begun is not whole any more; a copy of it is. Looking reads nothing.
    let mut request = through(&layer, put(Script::new(pieces.to_vec())));
    assert!(request.body().body_bytes().is_some());
    assert_eq!(next(request.body_mut()).await, Some(data("one")));
    assert_eq!(request.body().body_bytes(), None);
    let copy = request.replay().expect("PUT, and the body was there");
    assert_eq!(copy.body().body_bytes().as_deref(), Some(&b"onetwo"[..]));
    assert_eq!(rest(request.body_mut()).await, pieces[1..]);

    // Of one frame nothing is copied.
    let sent = Bytes::from(vec![7; 5]);
    let request = Request::put("http://h.test/").body(Full::new(sent.clone()));
    let request = layer.apply(request.expect("valid"));
    let seen = request.body().body_bytes().expect("it is there");
    assert_eq!((seen.as_ptr(), seen.len()), (sent.as_ptr(), sent.len()));
}
