//! Answers that count only once something has come of them.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::{BoxError, Class, Classify, GrpcJudge, HttpJudge, Verdict, cause_ref};
use hedgerow_http::sse::Event;
use hedgerow_http::{
    AwaitFirstContentLayer, AwaitFirstFrameLayer, Awaited, FirstEvent, HeldStream, ResumedBody,
    Seen, StreamBroken,
};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::MapErr;
use proptest::collection::vec;
use proptest::prelude::*;
use tower::{Layer, Service, ServiceExt};

use crate::script::{Script, Step};
use crate::sse_model::read_whole;

type Told = MapErr<Script, fn(u8) -> io::Error>;
type Answer = Response<ResumedBody<Told>>;

fn failing(code: u8) -> io::Error {
    io::Error::other(format!("failure {code}"))
}

fn see(event: &Event) -> Seen {
    match &*event.name() {
        "token" => Seen::Content,
        "failed" => Seen::Failed(Class::RETRYABLE),
        "refused" => Seen::Failed(Class::Fatal),
        _ => Seen::Preamble,
    }
}

fn layer() -> AwaitFirstContentLayer<fn(&Event) -> Seen> {
    AwaitFirstContentLayer::new(see as fn(&Event) -> Seen)
}

fn stream(steps: impl IntoIterator<Item = Step>) -> Response<Told> {
    of_kind("text/event-stream", steps)
}

fn of_kind(kind: &str, steps: impl IntoIterator<Item = Step>) -> Response<Told> {
    Response::builder()
        .header("content-type", kind)
        .body(Script::new(steps).map_err(failing as fn(u8) -> io::Error))
        .expect("valid")
}

/// Sends a request through `layer` to a server that answers `answer`.
async fn ask<L>(layer: L, answer: Response<Told>) -> Result<Answer, BoxError>
where
    L: Layer<Once>,
    L::Service: Service<Request<()>, Response = Answer, Error = BoxError>,
{
    let request = Request::new(());
    layer.layer(Once(Some(answer))).oneshot(request).await
}

struct Once(Option<Response<Told>>);

impl Service<Request<()>> for Once {
    type Response = Response<Told>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Told>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        std::future::ready(Ok(self.0.take().expect("asked once")))
    }
}

/// What is left of a body, step by step.
fn rest(mut body: ResumedBody<Told>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(None) => return steps,
            Poll::Pending => {}
            Poll::Ready(Some(Err(error))) => {
                let code = error.to_string().replace("failure ", "");
                steps.push(Step::Fails(code.parse().expect("a code")));
            }
            Poll::Ready(Some(Ok(frame))) => steps.push(match frame.into_data() {
                Ok(data) => Step::Data(data),
                Err(frame) => Step::Trailers(frame.into_trailers().expect("data or trailers")),
            }),
        }
    }
}

fn broken(result: &Result<Answer, BoxError>) -> Option<(u32, u64)> {
    let error = result.as_ref().err()?;
    let broken = cause_ref::<StreamBroken>(&**error)?;
    Some((broken.events, broken.bytes))
}

const BEGIN: &str = "event: begin\ndata: {}\n\n";
const TOKEN: &str = "event: token\ndata: a\n\n";

#[tokio::test]
async fn a_stream_broken_before_content_is_an_error_and_after_it_passes_through() {
    let before = [Step::data(BEGIN), Step::Pending, Step::Fails(7)];
    let result = ask(layer(), stream(before)).await;
    assert_eq!(broken(&result), Some((1, BEGIN.len() as u64)));
    let error = result.expect_err("broken");
    assert_eq!(
        error.to_string(),
        format!(
            "the answer broke before its first content (1 events, {} bytes)",
            BEGIN.len()
        )
    );
    assert!(
        cause_ref::<io::Error>(&*error).is_some(),
        "the body's own error is its source"
    );
    assert_eq!(
        HttpJudge.classify(&Err::<Response<()>, _>(error)),
        Class::RETRYABLE
    );

    let after = [Step::data(BEGIN), Step::data(TOKEN), Step::Fails(7)];
    let answer = ask(layer(), stream(after.clone()))
        .await
        .expect("it has begun");
    assert_eq!(rest(answer.into_body()), after);
}

#[tokio::test]
async fn a_stream_that_ends_before_content_is_an_error() {
    for steps in [
        vec![],
        vec![Step::data(BEGIN)],
        vec![Step::data(BEGIN), Step::trailers()],
    ] {
        let result = ask(layer(), stream(steps.clone())).await;
        assert!(broken(&result).is_some(), "{steps:?}");
        assert!(
            result
                .expect_err("broken")
                .to_string()
                .starts_with("the answer ended before")
        );
    }
}

#[tokio::test]
async fn an_error_in_a_200_stream_is_a_failure_and_still_the_servers_own_words() {
    for (name, class) in [("failed", Class::RETRYABLE), ("refused", Class::Fatal)] {
        let failed = format!("event: {name}\ndata: no\n\n");
        let steps = [
            Step::data(BEGIN),
            Step::Data(failed.into()),
            Step::data("data: more\n\n"),
        ];
        let result = ask(layer(), stream(steps.clone())).await;
        assert_eq!(HttpJudge.classify(&result), class);
        let answer = result.expect("an answer");
        assert_eq!(answer.extensions().get(), Some(&Verdict(class)));
        assert_eq!(rest(answer.into_body()), steps);
    }
    // After the first content it is the caller's to read.
    let late = [Step::data(TOKEN), Step::data("event: failed\ndata: no\n\n")];
    let result = ask(layer(), stream(late)).await;
    assert_eq!(HttpJudge.classify(&result), Class::Success);
}

#[tokio::test]
async fn the_first_frame_that_is_not_empty_answers() {
    let steps = [
        Step::data(""),
        Step::Pending,
        Step::data("x"),
        Step::Fails(1),
    ];
    let answer = ask(AwaitFirstFrameLayer::new(), stream(steps.clone())).await;
    let steps = [Step::data(""), Step::data("x"), Step::Fails(1)];
    assert_eq!(rest(answer.expect("a frame").into_body()), steps);
    let before = [Step::data(""), Step::Fails(1)];
    let result = ask(AwaitFirstFrameLayer::new(), stream(before)).await;
    assert_eq!(broken(&result), Some((0, 0)));
    // An answer may be empty.
    let answer = ask(AwaitFirstFrameLayer::new(), stream([])).await;
    assert_eq!(rest(answer.expect("empty").into_body()), []);
}

#[tokio::test]
async fn grpc_failures_in_trailers_are_seen_where_a_first_message_should_be() {
    let trailers = |status: &'static str| {
        let mut map = HeaderMap::new();
        map.insert("grpc-status", HeaderValue::from_static(status));
        Step::Trailers(map)
    };
    for (status, class) in [
        ("0", Class::Success),
        ("14", Class::RETRYABLE),
        ("5", Class::Fatal),
    ] {
        let alone = of_kind("application/grpc", [trailers(status)]);
        let result = ask(AwaitFirstFrameLayer::new(), alone).await;
        assert_eq!(GrpcJudge.classify(&result), class, "{status}");
        let answer = result.expect("an answer");
        assert_eq!(rest(answer.into_body()), [trailers(status)]);
        // Behind a message they are the caller's.
        let message = [Step::data("\0\0\0\0\0"), trailers(status)];
        let result = ask(
            AwaitFirstFrameLayer::new(),
            of_kind("application/grpc", message),
        )
        .await;
        assert_eq!(GrpcJudge.classify(&result), Class::Success);
    }
}

#[tokio::test]
async fn what_is_no_stream_of_events_waits_for_its_first_frame() {
    for kind in ["application/json", "text/event-streams", "text/plain", ""] {
        let steps = [Step::data(BEGIN), Step::Fails(1)];
        let answer = ask(layer(), of_kind(kind, steps.clone()))
            .await
            .expect("a frame");
        assert_eq!(rest(answer.into_body()), steps, "{kind}");
    }
    for kind in [
        "text/event-stream; charset=utf-8",
        "Text/Event-Stream;x",
        "text/event-stream ",
    ] {
        let result = ask(layer(), of_kind(kind, [Step::data(BEGIN)])).await;
        assert!(broken(&result).is_some(), "{kind}");
    }
    let mut zipped = stream([Step::data(BEGIN)]);
    zipped
        .headers_mut()
        .insert("content-encoding", HeaderValue::from_static("gzip"));
    assert!(ask(layer(), zipped).await.is_ok());
}

#[tokio::test]
async fn answers_that_are_no_success_are_not_held() {
    for status in [404, 429, 503] {
        let mut answer = stream([Step::Fails(1)]);
        *answer.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        let answer = ask(layer(), answer).await.expect("its status says it all");
        assert_eq!(rest(answer.into_body()), [Step::Fails(1)]);
    }
}

#[tokio::test]
async fn a_stream_that_never_comes_to_its_point_is_handed_on_when_enough_is_held() {
    let endless = |text: &'static str| stream((0..10_000).map(move |_| Step::data(text)));
    let held = |answer: &Response<ResumedBody<Told>>| answer.body().size_hint().lower();
    let answer = ask(layer(), endless(BEGIN)).await.expect("64 events");
    assert_eq!(held(&answer), 64 * BEGIN.len() as u64);
    assert_eq!(rest(answer.into_body()).len(), 10_000);
    // Comments are no events, but they are bytes.
    let comment = ":                                                              \n";
    assert_eq!(comment.len(), 64);
    let answer = ask(layer(), endless(comment)).await.expect("256 KiB");
    assert_eq!(held(&answer), 64 * 4_096);
    // One byte at a time, and nothing at all.
    let answer = ask(layer(), endless(":")).await.expect("4,096 frames");
    assert_eq!(held(&answer), 4_096);
    let answer = ask(AwaitFirstFrameLayer::new(), endless(""))
        .await
        .expect("4,096 frames");
    assert_eq!(rest(answer.into_body()).len(), 10_000);
    let answer = ask(layer().max_events(2), endless(BEGIN))
        .await
        .expect("2 events");
    assert_eq!(held(&answer), 2 * BEGIN.len() as u64);
    let answer = ask(layer().max_bytes(100), endless(":"))
        .await
        .expect("100 bytes, and one");
    assert_eq!(held(&answer), 101);
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    assert!(layer().try_max_events(0).is_err());
    assert!(layer().try_max_bytes(0).is_err());
    assert!(layer().try_max_bytes((8 << 20) + 1).is_err());
    let error = layer().try_max_bytes(0).expect_err("refused").to_string();
    assert!(error.contains("like 64 and 262_144"), "{error}");
}

#[tokio::test]
async fn a_format_that_panics_withholds_nothing() {
    let panics: fn(&Event) -> Seen = |_| panic!("on purpose");
    let steps = [Step::data(BEGIN), Step::data(TOKEN)];
    let answer = ask(AwaitFirstContentLayer::new(panics), stream(steps.clone())).await;
    assert_eq!(rest(answer.expect("handed on").into_body()), steps);
}

#[tokio::test(start_paused = true)]
async fn every_answer_that_was_held_tells_one_event() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let recorder = {
        let told = told.clone();
        move |event: &FirstEvent| told.lock().unwrap().push(*event)
    };
    let ask = async |steps: Vec<Step>| {
        let _ = ask(layer().recorder(recorder.clone()), stream(steps)).await;
        told.lock().unwrap().pop()
    };
    let held = |event: Option<FirstEvent>| match event.expect("one event") {
        FirstEvent::Committed(held, why) => ("committed", held, Some(why)),
        FirstEvent::Refused(held, _) => ("refused", held, None),
        FirstEvent::Broken(held) => ("broken", held, None),
        other => panic!("{other:?}"),
    };
    let (how, stream, why) = held(ask(vec![Step::data(BEGIN), Step::data(TOKEN)]).await);
    assert_eq!((how, why), ("committed", Some(Awaited::Content)));
    assert_eq!((stream.events, stream.frames), (1, 2));
    assert_eq!(stream.bytes, (BEGIN.len() + TOKEN.len()) as u64);
    let (how, _, why) = held(ask(vec![Step::data(BEGIN); 70]).await);
    assert_eq!((how, why), ("committed", Some(Awaited::Full)));
    assert_eq!(held(ask(vec![Step::data(BEGIN)]).await).0, "broken");
    assert_eq!(
        held(ask(vec![Step::data("event: failed\ndata\n\n")]).await).0,
        "refused"
    );

    // One that its caller leaves.
    let mut service = layer().recorder(recorder.clone()).layer(Slow);
    {
        let mut call = pin!(service.call(Request::new(())));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    let Some(FirstEvent::Cancelled(left)) = told.lock().unwrap().pop() else {
        panic!("its caller left");
    };
    assert_eq!((left.waited, left.frames), (Duration::from_secs(3), 0));
    let panics = |_: &FirstEvent| panic!("on purpose");
    let answer = layer().recorder(panics).layer(Slow).ready().await.map(drop);
    assert!(answer.is_ok());
}

/// Answers at once with a body that never comes.
struct Slow;

impl Service<Request<()>> for Slow {
    type Response = Response<Never>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Never>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        std::future::ready(Ok(Response::new(Never)))
    }
}

struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

// === Whatever comes, however it is cut ===

const PIECES: [&str; 8] = [
    BEGIN,
    TOKEN,
    "data: hello\r\n\r\n",
    ": ping\n\n",
    "event: failed\rdata: x\r\r",
    "event: refused\ndata\n\n",
    "data: half",
    "event: token\n",
];

#[derive(Clone, Copy, Debug)]
struct Caps {
    events: u32,
    bytes: u64,
}

/// What should become of these frames: how many are held, and the verdict; `None` if it is broken.
fn expected(steps: &[Step], caps: Caps) -> Option<(usize, Option<Class>)> {
    let mut bytes = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Data(data) => bytes.extend_from_slice(data),
            Step::Trailers(_) | Step::Fails(_) => return None,
            Step::Pending => continue,
        }
        let mut preamble = 0;
        for (name, ..) in read_whole(&bytes).events {
            match name.as_str() {
                "token" => return Some((at + 1, None)),
                "failed" => return Some((at + 1, Some(Class::RETRYABLE))),
                "refused" => return Some((at + 1, Some(Class::Fatal))),
                _ => preamble += 1,
            }
            if preamble >= caps.events {
                return Some((at + 1, None));
            }
        }
        if bytes.len() as u64 > caps.bytes {
            return Some((at + 1, None));
        }
    }
    None
}

fn cut(text: &str, cuts: &[usize], end: Option<Step>, pending: bool) -> Vec<Step> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let mut steps = Vec::new();
    for ends in cuts.windows(2) {
        steps.push(Step::Data(bytes.slice(ends[0]..ends[1])));
        if pending {
            steps.push(Step::Pending);
        }
    }
    steps.extend(end);
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    #[test]
    fn what_is_held_is_delivered_byte_for_byte_at_every_cut(
        pieces in vec(proptest::sample::select(&PIECES[..]), 0..8),
        cuts in vec(any::<usize>(), 0..10),
        end in proptest::option::of(prop_oneof![Just(Step::Fails(9)), Just(Step::trailers())]),
        pending: bool,
        events in 1..6_u32,
        bytes in prop_oneof![1..120_u64, Just(262_144)],
    ) {
        let steps = cut(&pieces.concat(), &cuts, end, pending);
        let caps = Caps { events, bytes };
        let layer = layer().max_events(events).max_bytes(bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let result = runtime.block_on(ask(layer, stream(steps.clone())));
        match expected(&steps, caps) {
            None => prop_assert!(broken(&result).is_some()),
            Some((held, verdict)) => {
                let answer = result.expect("handed on");
                let told = answer.extensions().get().map(|Verdict(class)| *class);
                prop_assert_eq!(told, verdict);
                let held: u64 = steps[..held].iter().map(Step::bytes).sum();
                prop_assert_eq!(answer.body().size_hint().lower(), held);
                let whole: Vec<Step> =
                    steps.into_iter().filter(|step| *step != Step::Pending).collect();
                prop_assert_eq!(rest(answer.into_body()), whole);
            }
        }
    }
}

#[tokio::test]
async fn two_bodies_around_one_another_are_one_with_the_same_frames() {
    let steps = [
        Step::data(BEGIN),
        Step::data(TOKEN),
        Step::data("x"),
        Step::Fails(1),
    ];
    let inner = ask(layer(), stream(steps.clone())).await.expect("a token");
    // The first frame is taken a second time, from what the first layer held.
    let served = Mutex::new(Some(inner));
    let again = tower::service_fn(move |_: Request<()>| {
        let answer = served.lock().expect("whole").take().expect("asked once");
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let outer = AwaitFirstFrameLayer::new()
        .layer(again)
        .oneshot(Request::new(()));
    let body = outer.await.expect("a frame").into_body().flatten();
    let held = (BEGIN.len() + TOKEN.len()) as u64;
    assert_eq!(body.size_hint().lower(), held);
    assert_eq!(rest(body), steps);
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn what_is_held_is_counted_under_a_prefix_of_choice() {
    use hedgerow_core::Recorder;
    use hedgerow_http::telemetry::{Metrics, Traces};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let recorder = DebuggingRecorder::new();
    let shown = recorder.snapshotter();
    let metrics = Metrics::new().prefix("models").label("at", "eu");
    metrics::with_local_recorder(&recorder, || {
        let held = HeldStream::default();
        for event in [
            FirstEvent::Committed(held, Awaited::Content),
            FirstEvent::Committed(held, Awaited::Full),
            FirstEvent::Refused(held, Class::Fatal),
            FirstEvent::Refused(held, Class::RETRYABLE),
            FirstEvent::Broken(held),
            FirstEvent::Cancelled(held),
        ] {
            metrics.record(&event);
        }
    });
    let mut counted: Vec<String> = shown
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(_, _, _, value)| matches!(value, DebugValue::Counter(1)))
        .map(|(key, ..)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
            format!("{} {}", key.key().name(), labels.join(" "))
        })
        .collect();
    counted.sort_unstable();
    let wanted = [
        "broken broken",
        "cancelled cancelled",
        "committed content",
        "committed full",
        "refused fatal",
        "refused retryable",
    ];
    assert_eq!(
        counted,
        wanted.map(|rest| format!("models_held_total eu {rest}"))
    );
    assert!(Metrics::new().try_prefix("9").is_err());
    assert!(Traces::new().try_prefix("").is_err());
}
