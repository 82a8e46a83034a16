//! gRFC A6 as a table: how attempts end, what is sent after, and what it does to the throttle.

use std::collections::VecDeque;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hedgerow::grpc::{MethodHandle, ServiceConfig, ServiceConfigLayer};
use hedgerow::{BoxError, Deadline, cause_ref};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt};

use End::{Broken, Fails, Head, Http, NeverSent, Trailers};

type Body = Full<Bytes>;

/// How an attempt ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Its head comes without a status: committed.
    Head,
    /// It ends in its head, with `OK`.
    Trailers,
    /// It ends in its head with this code.
    Fails(u32),
    /// The same, with pushback.
    Pushes(u32, &'static str),
    /// A proxy answers.
    Http(u16),
    /// No connection.
    NeverSent,
    /// The connection breaks.
    Broken,
}

#[derive(Clone)]
struct Channel {
    script: Arc<Mutex<VecDeque<(u64, End)>>>,
    sent: Arc<Mutex<Vec<(Instant, HeaderMap)>>>,
}

impl Channel {
    fn new(script: &[(u64, End)]) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.iter().copied().collect())),
            sent: Arc::default(),
        }
    }

    /// When each attempt was sent, in milliseconds from the first.
    fn times(&self) -> Vec<u128> {
        let sent = self.sent.lock().unwrap();
        let first = sent.first().map(|(at, _)| *at);
        sent.iter()
            .map(|(at, _)| (*at - first.unwrap()).as_millis())
            .collect()
    }

    /// What each attempt said in this header.
    fn header(&self, name: &str) -> Vec<Option<String>> {
        let sent = self.sent.lock().unwrap();
        let text = |(_, headers): &(_, HeaderMap)| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        sent.iter().map(text).collect()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<&'static str>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let headers = request.headers().clone();
        self.sent.lock().unwrap().push((Instant::now(), headers));
        let next = self.script.lock().unwrap().pop_front();
        let Some((after, end)) = next else {
            return Box::pin(ready(Err(io::Error::other("not in the script"))));
        };
        Box::pin(async move {
            if after > 0 {
                sleep(Duration::from_millis(after)).await;
            }
            let head = |status: u16, headers: &[(&str, String)]| {
                let mut head = Response::builder().status(status);
                for (name, value) in headers {
                    head = head.header(*name, value);
                }
                Ok(head.body("body").unwrap())
            };
            let status = |code: u32| ("grpc-status", code.to_string());
            match end {
                Head => head(200, &[]),
                Trailers => head(200, &[status(0)]),
                Fails(code) => head(200, &[status(code)]),
                End::Pushes(code, ms) => {
                    head(200, &[status(code), ("grpc-retry-pushback-ms", ms.into())])
                }
                Http(code) => head(code, &[]),
                NeverSent => Err(io::ErrorKind::ConnectionRefused.into()),
                Broken => Err(io::ErrorKind::ConnectionReset.into()),
            }
        })
    }
}

/// What the caller gets: the code of a head, 0 for a committed answer, or the kind of an error.
#[derive(Debug, PartialEq)]
enum Got {
    Code(u32),
    Status(Code),
    Error(io::ErrorKind),
}

fn got(result: &Result<Response<&'static str>, BoxError>) -> Got {
    match result {
        Ok(answer) if answer.status() != 200 => Got::Code(u32::from(answer.status().as_u16())),
        Ok(answer) => {
            let status = answer.headers().get("grpc-status");
            Got::Code(status.map_or(0, |code| code.to_str().unwrap().parse().unwrap()))
        }
        Err(error) => match cause_ref::<Status>(&**error) {
            Some(status) => Got::Status(status.code()),
            None => Got::Error(
                cause_ref::<io::Error>(&**error)
                    .expect("the channel's")
                    .kind(),
            ),
        },
    }
}

fn request() -> Request<Body> {
    Request::post("http://h.test/test.Echo/Get")
        .body(Body::from("question"))
        .unwrap()
}

/// The time from one attempt to the next.
#[derive(Clone, Copy, Debug)]
enum Gap {
    /// Exactly so many milliseconds, within the timer's grain.
    Ms(u128),
    /// A backoff around so many milliseconds.
    Around(u128),
}

impl Gap {
    fn holds(self, gap: u128) -> bool {
        match self {
            Self::Ms(ms) => (ms..=ms + 1).contains(&gap),
            Self::Around(ms) => (ms * 8 / 10..=ms * 12 / 10 + 1).contains(&gap),
        }
    }
}

use Gap::{Around, Ms};

const RETRY: &str = r#""retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "0.3s",
    "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"]}"#;
const HEDGE: &str = r#""hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.05s",
    "nonFatalStatusCodes": ["UNAVAILABLE", "ABORTED"]}"#;
const ONCE: &str = r#""waitForReady": false"#;

fn layer(policy: &str, tokens: f64) -> ServiceConfigLayer {
    let text = format!(
        r#"{{"methodConfig": [{{"name": [{{"service": "test.Echo"}}], {policy}}}],
            "retryThrottling": {{"maxTokens": {tokens}, "tokenRatio": 0.1}}}}"#
    );
    ServiceConfigLayer::new(&ServiceConfig::from_json(&text).expect("a service config"))
}

struct Case {
    name: &'static str,
    policy: &'static str,
    script: &'static [(u64, End)],
    got: Got,
    gaps: &'static [Gap],
    /// Tokens after the call, of 10.
    tokens: f64,
}

fn cases() -> Vec<Case> {
    let case = |name, policy, script, got, gaps, tokens| Case {
        name,
        policy,
        script,
        got,
        gaps,
        tokens,
    };
    let status = Got::Code;
    vec![
        // 1. OK.
        case("ok", RETRY, &[(5, Head)], status(0), &[], 10.0),
        case(
            "ok in the head alone",
            RETRY,
            &[(5, Trailers)],
            status(0),
            &[],
            10.0,
        ),
        case("ok, hedged", HEDGE, &[(5, Head)], status(0), &[], 10.0),
        // 2. A code of the list.
        case(
            "retried to the end",
            RETRY,
            &[
                (0, Fails(14)),
                (0, Fails(10)),
                (0, Fails(14)),
                (0, Fails(10)),
                (0, Head),
            ],
            status(10),
            &[Around(100), Around(200), Around(300)],
            6.0,
        ),
        case(
            "retried until it succeeds",
            RETRY,
            &[(0, Fails(14)), (0, Head)],
            status(0),
            &[Around(100)],
            9.1,
        ),
        case(
            "a loss sends the next hedge at once",
            HEDGE,
            &[(20, Fails(14)), (20, Fails(14)), (20, Head)],
            status(0),
            &[Ms(20), Ms(20)],
            8.1,
        ),
        case(
            "later hedges count from it",
            HEDGE,
            &[(20, Fails(14)), (500, Head), (500, Head)],
            status(0),
            &[Ms(20), Ms(50)],
            9.1,
        ),
        case(
            "a loss beside others sends the next at once",
            HEDGE,
            &[(500, Head), (10, Fails(14)), (30, Head)],
            status(0),
            &[Ms(50), Ms(10)],
            9.1,
        ),
        case(
            "when all hedges fail it is the first's failure",
            HEDGE,
            &[(20, Fails(10)), (20, Fails(14)), (20, Fails(14)), (0, Head)],
            status(10),
            &[Ms(20), Ms(20)],
            7.0,
        ),
        // 3. Any other code.
        case(
            "not of the list",
            RETRY,
            &[(0, Fails(13)), (0, Head)],
            status(13),
            &[],
            10.0,
        ),
        case(
            "a fatal one ends all hedges",
            HEDGE,
            &[(500, Head), (10, Fails(3)), (0, Head)],
            status(3),
            &[Ms(50)],
            10.0,
        ),
        // 4. No more.
        case(
            "no more",
            RETRY,
            &[(0, End::Pushes(14, "-1")), (0, Head)],
            status(14),
            &[],
            9.0,
        ),
        case(
            "no more, unreadable",
            RETRY,
            &[(0, End::Pushes(14, "soon")), (0, Head)],
            status(14),
            &[],
            9.0,
        ),
        case(
            "no more, not of the list",
            RETRY,
            &[(0, End::Pushes(5, "-1")), (0, Head)],
            status(5),
            &[],
            9.0,
        ),
        case(
            "no more hedges, but those that run",
            HEDGE,
            &[(120, Head), (10, End::Pushes(14, "-7")), (0, Head)],
            status(0),
            &[Ms(50)],
            9.1,
        ),
        // 5. In n ms.
        case(
            "in 0 ms",
            RETRY,
            &[(0, End::Pushes(14, "0")), (0, Head)],
            status(0),
            &[Ms(0)],
            9.1,
        ),
        case(
            "in 700 ms, then anew",
            RETRY,
            &[
                (0, Fails(14)),
                (0, End::Pushes(14, "700")),
                (0, Fails(14)),
                (0, Head),
            ],
            status(0),
            &[Around(100), Ms(700), Around(100)],
            7.1,
        ),
        case(
            "a wait does not make a code retryable",
            RETRY,
            &[(0, End::Pushes(5, "10")), (0, Head)],
            status(5),
            &[],
            10.0,
        ),
        case(
            "a hedge in 80 ms, the next from there",
            HEDGE,
            &[(10, End::Pushes(14, "80")), (500, Head), (1, Head)],
            status(0),
            &[Ms(90), Ms(50)],
            9.1,
        ),
        case(
            "a hedge held back by it",
            HEDGE,
            &[(300, Head), (10, End::Pushes(14, "100")), (20, Head)],
            status(0),
            &[Ms(50), Ms(110)],
            9.1,
        ),
        // Never sent: again at once, without a token, and not counted.
        case(
            "never sent",
            RETRY,
            &[(0, NeverSent), (0, Head)],
            status(0),
            &[Ms(0)],
            10.0,
        ),
        case(
            "never sent, without a policy",
            ONCE,
            &[(0, NeverSent), (0, Head)],
            status(0),
            &[Ms(0)],
            10.0,
        ),
        case(
            "never sent, twice: as unavailable",
            RETRY,
            &[(0, NeverSent), (0, NeverSent), (0, Head)],
            status(0),
            &[Ms(0), Around(100)],
            9.1,
        ),
        case(
            "never sent does not count",
            RETRY,
            &[
                (0, NeverSent),
                (0, Fails(14)),
                (0, Fails(14)),
                (0, Fails(14)),
                (0, Fails(14)),
                (0, Head),
            ],
            status(14),
            &[Ms(0), Around(100), Around(200), Around(300)],
            6.0,
        ),
        case(
            "never sent twice, without a policy",
            ONCE,
            &[(0, NeverSent), (0, NeverSent), (0, Head)],
            Got::Error(io::ErrorKind::ConnectionRefused),
            &[Ms(0)],
            10.0,
        ),
        // Other failures of the channel, and of what stands before a server.
        case(
            "a broken connection is unavailable",
            RETRY,
            &[(0, Broken), (0, Head)],
            status(0),
            &[Around(100)],
            9.1,
        ),
        case(
            "a broken connection, without a policy",
            ONCE,
            &[(0, Broken), (0, Head)],
            Got::Error(io::ErrorKind::ConnectionReset),
            &[],
            10.0,
        ),
        case(
            "a proxy's 503 is unavailable",
            RETRY,
            &[(0, Http(503)), (0, Head)],
            status(0),
            &[Around(100)],
            9.1,
        ),
        case(
            "a proxy's 404 is not",
            RETRY,
            &[(0, Http(404)), (0, Head)],
            status(404),
            &[],
            10.0,
        ),
        // Without a policy a server's word still counts.
        case(
            "once",
            ONCE,
            &[(0, Fails(14)), (0, Head)],
            status(14),
            &[],
            10.0,
        ),
        case(
            "once, no more",
            ONCE,
            &[(0, End::Pushes(14, "-1")), (0, Head)],
            status(14),
            &[],
            9.0,
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_class_of_outcome_does_what_the_proposal_says() {
    for case in cases() {
        let channel = Channel::new(case.script);
        let layer = layer(case.policy, 10.0);
        let result = layer.layer(channel.clone()).oneshot(request()).await;
        let name = case.name;
        assert_eq!(got(&result), case.got, "{name}");
        let times = channel.times();
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let hold = gaps
            .iter()
            .zip(case.gaps)
            .all(|(gap, wanted)| wanted.holds(*gap));
        assert!(
            hold && gaps.len() == case.gaps.len(),
            "{name}: {gaps:?}, wanted {:?}",
            case.gaps
        );
        let tokens = layer.throttle().expect("it has one").tokens();
        assert!(
            (tokens - case.tokens).abs() < 1e-9,
            "{name}: {tokens} tokens"
        );
    }
}

/// Of 4 tokens half is 2: at it nothing is repeated, above it everything.
#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_at_half_of_the_tokens_and_below() {
    for (policy, wanted) in [(RETRY, [2, 1, 1, 1, 1]), (HEDGE, [2, 1, 1, 1, 1])] {
        let layer = layer(policy, 4.0);
        for (at, sent) in wanted.into_iter().enumerate() {
            let channel = Channel::new(&[(0, Fails(14)), (0, Fails(14)), (0, Fails(14))]);
            let result = layer.layer(channel.clone()).oneshot(request()).await;
            assert_eq!(got(&result), Got::Code(14));
            assert_eq!(channel.times().len(), sent, "call {at}");
        }
        assert_eq!(layer.throttle().unwrap().tokens(), 0.0);
        // 21 successes bring 2.1: above half again.
        for _ in 0..21 {
            let channel = Channel::new(&[(0, Head)]);
            let result = layer.layer(channel).oneshot(request()).await;
            assert_eq!(got(&result), Got::Code(0));
        }
        let slow = Channel::new(&[(500, Head), (500, Head), (500, Head)]);
        let result = layer.layer(slow.clone()).oneshot(request()).await;
        assert_eq!(got(&result), Got::Code(0));
        let hedged = if policy == HEDGE { 3 } else { 1 };
        assert_eq!(slow.times().len(), hedged);
    }
}

/// A throttle holds a hedge back that is due, and what runs goes on.
#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_held_back_does_not_end_those_that_run() {
    let layer = layer(HEDGE, 2.0);
    layer.throttle().unwrap().failed();
    let channel = Channel::new(&[(300, Head), (0, Head)]);
    let result = layer.layer(channel.clone()).oneshot(request()).await;
    assert_eq!((got(&result), channel.times().len()), (Got::Code(0), 1));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_tells_how_many_came_before_and_so_does_its_answer() {
    let channel = Channel::new(&[(0, Fails(14)), (0, NeverSent), (0, Fails(14)), (0, Head)]);
    let answer = layer(RETRY, 10.0)
        .layer(channel.clone())
        .oneshot(request())
        .await;
    let some = |n: &str| Some(n.to_owned());
    let previous = channel.header("grpc-previous-rpc-attempts");
    assert_eq!(previous, [None, some("1"), some("1"), some("2")]);
    let transparent = channel.header("grpc-transparent-retry-attempts");
    assert_eq!(transparent, [None, None, some("1"), None]);
    let answer = answer.expect("an answer");
    assert_eq!(answer.headers()["grpc-previous-rpc-attempts"], "2");

    let channel = Channel::new(&[(500, Head), (500, Head), (10, Head)]);
    let answer = layer(HEDGE, 10.0)
        .layer(channel.clone())
        .oneshot(request())
        .await;
    let previous = channel.header("grpc-previous-rpc-attempts");
    assert_eq!(previous, [None, some("1"), some("2")]);
    assert_eq!(
        answer.expect("an answer").headers()["grpc-previous-rpc-attempts"],
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_first_attempt_tells_of_none() {
    let channel = Channel::new(&[(0, Head)]);
    let answer = layer(RETRY, 10.0)
        .layer(channel)
        .oneshot(request())
        .await
        .unwrap();
    assert!(answer.headers().get("grpc-previous-rpc-attempts").is_none());
}

/// Five, whatever the config says, unless the program says otherwise.
#[tokio::test(start_paused = true)]
async fn a_config_cannot_ask_for_more_attempts_than_the_program_allows() {
    let fails: Vec<_> = (0..20).map(|_| (0, Fails(14))).collect();
    for (policy, key) in [
        ("retryPolicy", "retryableStatusCodes"),
        ("hedgingPolicy", "nonFatalStatusCodes"),
    ] {
        let waits = if policy == "retryPolicy" {
            r#""initialBackoff": "0.1s", "maxBackoff": "0.1s", "backoffMultiplier": 1,"#
        } else {
            ""
        };
        let text = format!(
            r#"{{"methodConfig": [{{"name": [{{}}], "{policy}": {{"maxAttempts": 12, {waits} "{key}": [14]}}}}]}}"#
        );
        let config = ServiceConfig::from_json(&text).expect("a service config");
        for (layer, attempts) in [
            (ServiceConfigLayer::new(&config), 5),
            (ServiceConfigLayer::at_most(&config, 8), 8),
            (ServiceConfigLayer::at_most(&config, 1), 1),
        ] {
            let channel = Channel::new(&fails);
            let result = layer.layer(channel.clone()).oneshot(request()).await;
            assert_eq!(
                (got(&result), channel.times().len()),
                (Got::Code(14), attempts),
                "{policy}"
            );
        }
        for odd in [0, 65] {
            assert!(ServiceConfigLayer::try_at_most(&config, odd).is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_all_hedges_are_sent_at_once() {
    let policy = r#""hedgingPolicy": {"maxAttempts": 3}"#;
    let channel = Channel::new(&[(300, Head), (200, Head), (100, Head)]);
    let result = layer(policy, 10.0)
        .layer(channel.clone())
        .oneshot(request())
        .await;
    assert_eq!(
        (got(&result), channel.times()),
        (Got::Code(0), vec![0, 0, 0])
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_repeated_and_takes_a_token() {
    let policy = r#""retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "0.1s",
        "backoffMultiplier": 1, "perAttemptRecvTimeout": "0.2s"}"#;
    let layer = layer(policy, 10.0);
    let channel = Channel::new(&[(9_000, Head), (10, Head)]);
    let result = layer.layer(channel.clone()).oneshot(request()).await;
    assert_eq!(got(&result), Got::Code(0));
    assert!(
        (280..=322).contains(&channel.times()[1]),
        "{:?}",
        channel.times()
    );
    assert!((layer.throttle().unwrap().tokens() - 9.1).abs() < 1e-9);
    let hangs = Channel::new(&[(9_000, Head), (9_000, Head), (9_000, Head)]);
    let result = layer.layer(hangs.clone()).oneshot(request()).await;
    assert_eq!(
        (got(&result), hangs.times().len()),
        (Got::Status(Code::DeadlineExceeded), 3)
    );
}

/// The config's time, or the caller's if it is shorter, over all attempts; each is told what is left.
#[tokio::test(start_paused = true)]
async fn a_calls_time_covers_all_attempts_and_each_is_told_what_is_left() {
    for (timeout, header, wanted) in [
        ("0.4s", "10S", 400),
        ("10s", "400m", 400),
        ("0.4s", "", 400),
    ] {
        for policy in [RETRY, HEDGE, ONCE] {
            let policy = format!(r#"{policy}, "timeout": "{timeout}""#);
            let channel = Channel::new(&[(5_000, Head), (5_000, Head), (5_000, Head)]);
            let start = Instant::now();
            let mut request = request();
            if !header.is_empty() {
                request
                    .headers_mut()
                    .insert("grpc-timeout", header.parse().unwrap());
            }
            let result = layer(&policy, 10.0)
                .layer(channel.clone())
                .oneshot(request)
                .await;
            assert_eq!(
                got(&result),
                Got::Status(Code::DeadlineExceeded),
                "{policy}"
            );
            let took = start.elapsed().as_millis();
            assert!((wanted..=wanted + 1).contains(&took), "{policy}: {took}");
            let told = channel.header("grpc-timeout");
            for (told, at) in told.iter().zip(channel.times()) {
                let told = told.as_deref().expect("each is told");
                let nanos: u128 = told[..told.len() - 1].parse().unwrap();
                let unit = match &told[told.len() - 1..] {
                    "n" => 1,
                    "u" => 1_000,
                    "m" => 1_000_000,
                    other => panic!("{other}"),
                };
                let left = nanos * unit / 1_000_000;
                assert!(
                    (wanted - at - 1..=wanted - at).contains(&left),
                    "{left} at {at}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_holds_already_is_kept() {
    let channel = Channel::new(&[(5_000, Head)]);
    let deadline = Deadline::within(Instant::now().into_std(), Duration::from_millis(70)).unwrap();
    let mut service = layer(ONCE, 10.0).layer(channel);
    let call = deadline.scope(|| service.call(request()));
    let start = Instant::now();
    assert_eq!(got(&call.await), Got::Status(Code::DeadlineExceeded));
    assert!(start.elapsed() <= Duration::from_millis(72));
}

/// 1 s and then 1.6 s, each spread by a fifth, as gRPC's clients connect.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_connection_gets_one_until_the_time_is_over() {
    let none = [(0, NeverSent); 4];
    let script: Vec<_> = none.into_iter().chain([(0, Head)]).collect();
    let channel = Channel::new(&script);
    let result = layer(r#""waitForReady": true"#, 10.0)
        .layer(channel.clone())
        .oneshot(request())
        .await;
    assert_eq!(got(&result), Got::Code(0));
    let gaps: Vec<_> = channel
        .times()
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    for (gap, wanted) in gaps
        .iter()
        .zip([Ms(0), Around(1_000), Around(1_600), Around(2_560)])
    {
        assert!(wanted.holds(*gap), "{gaps:?}");
    }
    let channel = Channel::new(&[(0, NeverSent); 9]);
    let policy = r#""waitForReady": true, "timeout": "2s""#;
    let start = Instant::now();
    let result = layer(policy, 10.0).layer(channel).oneshot(request()).await;
    assert!(matches!(
        got(&result),
        Got::Error(io::ErrorKind::ConnectionRefused) | Got::Status(Code::DeadlineExceeded)
    ));
    assert!(start.elapsed() <= Duration::from_millis(2_002));
}

/// The method, or else its service, or else the default; nothing is taken from the others.
#[tokio::test(start_paused = true)]
async fn the_nearest_name_holds_whole() {
    let config = ServiceConfig::from_json(
        r#"{"methodConfig": [
            {"name": [{}], "timeout": "9s"},
            {"name": [{"service": "test.Echo"}, {"service": "test.Other"}], "timeout": "5s",
             "hedgingPolicy": {"maxAttempts": 2}},
            {"name": [{"service": "test.Echo", "method": "Get"}], "waitForReady": true}
        ]}"#,
    )
    .expect("a service config");
    let timeout = |path| {
        config
            .method(path)
            .and_then(|method| method.timeout)
            .map(|time| time.as_secs())
    };
    assert_eq!(timeout("/test.Echo/Get"), None);
    assert_eq!(timeout("/test.Echo/Set"), Some(5));
    assert_eq!(timeout("/test.Other/Get"), Some(5));
    assert_eq!(timeout("/test.Third/Get"), Some(9));
    assert_eq!(timeout("/test.Echo/Get/More"), Some(9));
    let layer = ServiceConfigLayer::new(&config);
    assert!(layer.handle("/test.Echo/Get").is_none());
    assert!(matches!(
        layer.handle("/test.Echo/Set"),
        Some(MethodHandle::Hedge(_))
    ));
    assert!(layer.throttle().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_policys_counts_are_shared_by_all_its_calls() {
    let layer = layer(RETRY, 10.0);
    for _ in 0..3 {
        let channel = Channel::new(&[(0, Fails(14)), (0, Head)]);
        layer
            .layer(channel)
            .oneshot(request())
            .await
            .expect("an answer");
    }
    let Some(MethodHandle::Retry(handle)) = layer.handle("/test.Echo/Get") else {
        panic!("it is retried");
    };
    assert_eq!((handle.stats().requests, handle.stats().retries), (3, 3));
}

/// The instance that was made ready is the one that is called first.
#[tokio::test(start_paused = true)]
async fn readiness_is_respected() {
    for policy in [RETRY, HEDGE, ONCE] {
        let twice = [(10, Fails(14)), (10, Head), (10, Fails(14)), (10, Head)];
        let channel = Channel::new(&twice);
        let limited = tower::limit::ConcurrencyLimit::new(channel, 1);
        let mut service = layer(policy, 10.0).layer(limited);
        for _ in 0..2 {
            let result = service.ready().await.expect("ready").call(request()).await;
            result.expect("an answer");
        }
    }
}

/// A caller may leave at any time, and nothing runs on.
#[tokio::test(start_paused = true)]
async fn leaving_drops_every_attempt() {
    for policy in [RETRY, HEDGE] {
        for at in 0..160 {
            let channel = Channel::new(&[(40, Fails(14)), (70, Fails(14)), (90, Head)]);
            let limited = tower::limit::ConcurrencyLimit::new(channel, 3);
            let call = layer(policy, 10.0)
                .layer(limited.clone())
                .oneshot(request());
            let _ = tokio::time::timeout(Duration::from_millis(at), call).await;
            let mut free = Vec::new();
            for _ in 0..3 {
                let mut one = limited.clone();
                futures::poll!(std::pin::pin!(one.ready()))
                    .is_ready()
                    .then_some(())
                    .expect("free");
                free.push(one);
            }
        }
    }
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_path() {
    let text = r#"{
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfigs": [],
        "methodConfig": [
            {"name": [{"method": "Get"}, {"service": "a/b"}, {"service": "a", "methods": "x"}, 7],
             "timeout": "3", "waitForReady": "yes", "maxRequestMessageBytes": 5},
            {"name": [{"service": "b"}, {"service": "b", "method": null}],
             "retryPolicy": {"maxAttempts": 1, "initialBackoff": "0s", "maxBackoff": 3,
                "retryableStatusCodes": ["UNAVAILABLE", "OK", "unavailable", 17]},
             "hedgingPolicy": {"maxAttempts": 2.5, "hedgingDelay": "-1s", "nonFatalStatusCodes": "ABORTED"}},
            {"name": [{"service": "c"}], "retryPolicy": {"backoffMultiplier": 0}},
            {"timeout": "1s"},
            "none"
        ],
        "retryThrottling": {"maxTokens": 1001, "tokenRatio": 0.1}
    }"#;
    let mistakes = ServiceConfig::from_json(text).expect_err("it is full of them");
    let mut keys: Vec<_> = mistakes
        .mistakes()
        .iter()
        .map(|mistake| mistake.key())
        .collect();
    keys.sort_unstable();
    let mut wanted = vec![
        "methodConfigs",
        "methodConfig[0].name[0].service",
        "methodConfig[0].name[1].service",
        "methodConfig[0].name[2].methods",
        "methodConfig[0].name[3]",
        "methodConfig[0].timeout",
        "methodConfig[0].waitForReady",
        "methodConfig[1]",
        "methodConfig[1].hedgingPolicy.hedgingDelay",
        "methodConfig[1].hedgingPolicy.maxAttempts",
        "methodConfig[1].hedgingPolicy.nonFatalStatusCodes",
        "methodConfig[1].name[1]",
        "methodConfig[1].retryPolicy.backoffMultiplier",
        "methodConfig[1].retryPolicy.initialBackoff",
        "methodConfig[1].retryPolicy.maxAttempts",
        "methodConfig[1].retryPolicy.maxBackoff",
        "methodConfig[1].retryPolicy.retryableStatusCodes[1]",
        "methodConfig[1].retryPolicy.retryableStatusCodes[2]",
        "methodConfig[1].retryPolicy.retryableStatusCodes[3]",
        "methodConfig[2].retryPolicy.backoffMultiplier",
        "methodConfig[2].retryPolicy.initialBackoff",
        "methodConfig[2].retryPolicy.maxAttempts",
        "methodConfig[2].retryPolicy.maxBackoff",
        "methodConfig[2].retryPolicy.retryableStatusCodes",
        "methodConfig[4]",
        "retryThrottling",
    ];
    wanted.sort_unstable();
    assert_eq!(keys, wanted, "{mistakes}");
    let shown = mistakes.to_string();
    assert!(shown.contains("write `methodConfig`"), "{shown}");
}

#[test]
fn what_is_for_others_is_named_and_null_is_nothing() {
    let config = ServiceConfig::from_json(
        r#"{"loadBalancingConfig": [{"round_robin": {}}], "retryThrottling": null, "methodConfig": [
            {"timeout": "1s"},
            {"name": [{"service": "a", "method": null}], "timeout": null, "retryPolicy": null,
             "maxResponseMessageBytes": 9}
        ]}"#,
    )
    .expect("a service config");
    let ignored = [
        "loadBalancingConfig",
        "methodConfig[0]",
        "methodConfig[1].maxResponseMessageBytes",
    ];
    let mut named = config.ignored().to_vec();
    named.sort_unstable();
    assert_eq!(named, ignored);
    assert_eq!(
        (config.method("/a/b").unwrap().timeout, config.throttling()),
        (None, None)
    );
    assert!(
        ServiceConfig::from_json("{}")
            .expect("says nothing")
            .method("/a/b")
            .is_none()
    );
    assert!(ServiceConfig::from_json("{").is_err());
    assert!(ServiceConfig::from_json(r#"{"methodConfig": [], "methodConfig": []}"#).is_err());
    assert!(ServiceConfig::from_json("[]").is_err());
}

/// Cloned and spawned, as tonic's users do.
#[tokio::test]
async fn around_a_channel_it_is_a_service_that_generated_clients_take() {
    fn generated<T>(_: &T)
    where
        T: tonic::client::GrpcService<tonic::body::Body, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    {
    }
    let channel = tonic::transport::Channel::from_static("http://127.0.0.1:1").connect_lazy();
    generated(&layer(HEDGE, 10.0).grpc().layer(channel));
}
