//! Races that are won by the first token, and streams that break before it.

use bytes::Bytes;
use hedgerow::{
    AwaitFirstContentLayer, BoxError, Budget, ByPath, HedgeLayer, Idempotent, KnownFormat, Latency,
    LatencyLayer, OpenAiJudge, ResumedBody, RetryLayer, StreamBroken, cause_ref,
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response};
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::ms;
use crate::timed::{DONE, Model, Plan, ROLE, Stream};

const FIRST: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"first\"}}]}\n\n";
const SECOND: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"second\"}}]}\n\n";
const OVERLOADED: &str =
    "data: {\"error\":{\"type\":\"server_error\",\"message\":\"overloaded\"}}\n\n";
const REFUSED: &str =
    "data: {\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no such model\"}}\n\n";

fn plan(pieces: impl IntoIterator<Item = (u64, Result<&'static str, ()>)>) -> Plan {
    Plan {
        status: 200,
        head_ms: 0,
        pieces: pieces.into_iter().collect(),
    }
}

fn chat() -> Request<Empty<Bytes>> {
    Request::post("http://model.test/v1/chat/completions")
        .extension(Idempotent)
        .body(Empty::new())
        .expect("valid")
}

fn awaits() -> AwaitFirstContentLayer<ByPath> {
    AwaitFirstContentLayer::llm()
}

/// What is read of an answer, and how it ends.
async fn read<B>(answer: Response<B>) -> (String, bool)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut body = answer.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let data = frame.into_data().unwrap_or_default();
                text.push_str(std::str::from_utf8(&data).expect("UTF-8"));
            }
            Err(_) => return (text, false),
        }
    }
    (text, true)
}

fn hedged(
    model: &Model,
) -> impl Service<Request<Empty<Bytes>>, Response = Response<ResumedBody<Stream>>, Error = BoxError>
{
    ServiceBuilder::new()
        .layer(
            HedgeLayer::fixed(ms(100))
                .http()
                .budget(Budget::unlimited()),
        )
        .layer(awaits())
        .service(model.clone())
}

#[tokio::test(start_paused = true)]
async fn early_headers_with_a_late_first_token_lose_the_race() {
    let plans = [
        plan([(1, Ok(ROLE)), (1_000, Ok(FIRST)), (1_001, Ok(DONE))]),
        plan([(20, Ok(ROLE)), (30, Ok(SECOND)), (31, Ok(DONE))]),
    ];
    let hedge = || {
        HedgeLayer::fixed(ms(100))
            .http()
            .budget(Budget::unlimited())
    };
    let model = Model::new(plans.clone());
    let service = ServiceBuilder::new()
        .layer(hedge())
        .layer(awaits())
        .service(model.clone());
    let start = Instant::now();
    let answer = service.oneshot(chat()).await.expect("an answer");
    assert_eq!(start.elapsed(), ms(130), "the copy's first token");
    assert_eq!(model.dropped(), [0], "the loser is gone at once");
    let (text, whole) = read(answer).await;
    assert!(whole);
    assert_eq!(text, [ROLE, SECOND, DONE].concat());

    // Without the layer its head wins, and the caller waits for its token.
    let model = Model::new(plans);
    let hedge = HedgeLayer::fixed(ms(100))
        .http()
        .budget(Budget::unlimited());
    let service = ServiceBuilder::new().layer(hedge).service(model.clone());
    let start = Instant::now();
    let answer = service.oneshot(chat()).await.expect("an answer");
    assert_eq!(start.elapsed(), ms(0));
    assert!(read(answer).await.0.contains("first"));
    assert_eq!(start.elapsed(), ms(1_001));
    assert_eq!(model.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_5xx_or_an_error_in_a_stream_is_not_a_win() {
    let busy = Plan {
        status: 503,
        ..plan([(0, Ok("busy"))])
    };
    for loser in [busy, plan([(5, Ok(ROLE)), (6, Ok(OVERLOADED))])] {
        let model = Model::new([loser, plan([(40, Ok(SECOND)), (41, Ok(DONE))])]);
        let (text, _) = read(hedged(&model).oneshot(chat()).await.expect("an answer")).await;
        assert_eq!(text, [SECOND, DONE].concat());
        assert_eq!(model.calls(), 2);
    }
}

fn retrying(
    model: &Model,
) -> impl Service<Request<Empty<Bytes>>, Response = Response<ResumedBody<Stream>>, Error = BoxError>
{
    ServiceBuilder::new()
        .layer(RetryLayer::exponential().attempts(3).accept(OpenAiJudge))
        .layer(awaits())
        .service(model.clone())
}

#[tokio::test(start_paused = true)]
async fn a_stream_broken_before_content_is_retried_and_after_content_never() {
    let good = plan([(0, Ok(ROLE)), (10, Ok(SECOND)), (20, Ok(DONE))]);
    for early in [
        plan([(0, Ok(ROLE)), (5, Err(()))]),
        plan([(0, Err(()))]),
        plan([(0, Ok(ROLE))]),
        plan([(0, Ok("data: {\"choices\":[{\"del"))]),
    ] {
        let model = Model::new([early.clone(), early, good.clone()]);
        let answer = retrying(&model).oneshot(chat()).await.expect("the third");
        let (text, whole) = read(answer).await;
        assert!(whole);
        assert_eq!(
            text,
            [ROLE, SECOND, DONE].concat(),
            "nothing of the others is seen"
        );
        assert_eq!(model.calls(), 3);
    }
    let late = plan([(0, Ok(ROLE)), (5, Ok(FIRST)), (6, Err(()))]);
    let model = Model::new([late, good]);
    let answer = retrying(&model)
        .oneshot(chat())
        .await
        .expect("it has begun");
    let (text, whole) = read(answer).await;
    assert!(!whole, "the caller sees that it broke");
    assert_eq!(text, [ROLE, FIRST].concat());
    assert_eq!(model.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn if_every_stream_breaks_the_caller_learns_how() {
    let model = Model::new([plan([(0, Ok(ROLE)), (5, Err(()))])]);
    let error = retrying(&model)
        .oneshot(chat())
        .await
        .map(drop)
        .expect_err("broken");
    let broken = cause_ref::<StreamBroken>(&*error).expect("as it broke");
    assert_eq!((broken.events, broken.bytes), (1, ROLE.len() as u64));
    assert_eq!(model.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_in_band_error_is_retried_and_at_the_end_told_in_the_servers_own_words() {
    let fails = plan([(0, Ok(ROLE)), (5, Ok(OVERLOADED))]);
    let model = Model::new([fails.clone(), plan([(0, Ok(SECOND)), (1, Ok(DONE))])]);
    let answer = retrying(&model).oneshot(chat()).await.expect("the second");
    assert_eq!(read(answer).await.0, [SECOND, DONE].concat());

    let model = Model::new([fails]);
    let answer = retrying(&model)
        .oneshot(chat())
        .await
        .expect("its last answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(read(answer).await.0, [ROLE, OVERLOADED].concat());
    assert_eq!(model.calls(), 3);

    // What names the request is not asked for again.
    let model = Model::new([plan([(0, Ok(REFUSED))])]);
    let answer = retrying(&model).oneshot(chat()).await.expect("an answer");
    assert_eq!(read(answer).await.0, REFUSED);
    assert_eq!(model.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_latency_outside_is_the_time_to_the_first_token() {
    let model = Model::new([plan([(5, Ok(ROLE)), (400, Ok(FIRST)), (9_000, Ok(DONE))])]);
    let latency = Latency::new();
    let service = ServiceBuilder::new()
        .layer(LatencyLayer::new(latency.clone()))
        .layer(AwaitFirstContentLayer::new(KnownFormat::OpenAiChat))
        .service(model);
    let start = Instant::now();
    let answer = service.oneshot(chat()).await.expect("an answer");
    assert_eq!(start.elapsed(), ms(400));
    let told = latency.total().max().expect("one latency");
    assert!(told >= ms(400) && told <= ms(404), "{told:?}");
    assert!(read(answer).await.1);
}

/// Whoever leaves takes everything along, at any time.
#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_at_any_millisecond() {
    for at in 0..140 {
        let model = Model::new([
            plan([(1, Ok(ROLE)), (50, Ok(ROLE)), (1_000, Ok(FIRST))]),
            plan([(20, Ok(ROLE)), (30, Ok(SECOND)), (31, Ok(DONE))]),
        ]);
        let call = hedged(&model).oneshot(chat());
        let answer = tokio::time::timeout(ms(at), call).await;
        drop(answer);
        let mut gone = model.dropped();
        gone.sort_unstable();
        let all: Vec<usize> = (0..model.calls()).collect();
        assert_eq!(gone, all, "left after {at} ms");
    }
}
