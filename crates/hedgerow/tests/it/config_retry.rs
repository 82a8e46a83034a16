//! Configured retries and deadlines, and one budget for retries and hedges.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hedgerow::config::{
    BudgetConfig, BudgetShare, Describe, GateSource, JitterConfig, RetryConfig, Stack, StackConfig,
};
use hedgerow::{
    BoxError, Deadline, DeadlineExceeded, RetryExhausted, RetryLayer, ShedReason, StopReason,
    TimedOut, cause_ref,
};
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

type Client = BoxCloneSyncService<u32, u32, io::Error>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn stack(toml: &str) -> Stack {
    StackConfig::from_toml(toml).expect(toml).build().unwrap()
}

/// Fails so many times after 10 ms each, then answers.
fn failing(times: u32) -> (Client, Arc<AtomicU32>) {
    let sent: Arc<AtomicU32> = Arc::default();
    let counted = sent.clone();
    let service = tower::service_fn(move |n: u32| {
        let nth = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(ms(10)).await;
            if nth < times {
                return Err(io::Error::other("no"));
            }
            Ok(n + 1)
        }
    });
    (BoxCloneSyncService::new(service), sent)
}

async fn call(stack: &Stack, client: Client) -> (Result<u32, BoxError>, Duration) {
    let start = Instant::now();
    let service = stack.clone_requests().unwrap().layer(client);
    (service.oneshot(41).await, start.elapsed())
}

#[test]
fn a_default_retry_is_the_plain_constructor_and_what_is_set_the_setters() {
    let plain = format!("{:?}", RetryLayer::exponential());
    let configured = format!("{:?}", RetryConfig::default().build().unwrap());
    assert!(plain.contains("attempts: 4"), "{plain}");
    assert_eq!(configured, plain);

    let mut config = RetryConfig::default();
    config.attempts = Some(6);
    config.attempt_timeout = Some(ms(200).into());
    config.deadline = Some(ms(900).into());
    config.pushback_cap = Some(ms(5).into());
    config.timeouts_are_final = true;
    config.budget = Some(BudgetConfig::Share(BudgetShare::new(25.0, 7)));
    let set = RetryLayer::exponential()
        .attempts(6)
        .attempt_timeout(ms(200))
        .deadline(ms(900))
        .pushback_cap(ms(5))
        .timeouts_are_final()
        .budget(hedgerow::Budget::percent(25.0).depth(7));
    assert_eq!(format!("{:?}", config.build().unwrap()), format!("{set:?}"));
}

#[test]
fn the_defaults_of_a_retry_that_are_told_are_those_that_hold() {
    let told = |key: &str| {
        let retry = RetryConfig::describe();
        retry.key(key).unwrap().default.clone().unwrap()
    };
    for (key, wanted) in [
        ("attempts", "4"),
        ("base", "\"1s\""),
        ("cap", "\"30s\""),
        ("jitter", "\"full\""),
        ("pushback_cap", "\"30s\""),
        ("gate_percentile", "50.0"),
        ("latency", "\"none\""),
        ("timeouts_are_final", "false"),
        ("forget_answers", "false"),
        ("budget", "10 percent of depth 50"),
    ] {
        assert_eq!(told(key), wanted, "{key}");
    }
    let waits = format!("{:?}", hedgerow::Exponential::default());
    assert!(
        waits.contains("base: 1s, cap: 30s, jitter: Full"),
        "{waits}"
    );
    let layer = format!("{:?}", RetryLayer::exponential());
    assert!(
        layer.contains("pushback_cap: 30s") && layer.contains("gated: false"),
        "{layer}"
    );
    let budget = RetryLayer::exponential().handle().budget().clone();
    assert_eq!(
        (budget.per_100_calls(), budget.burst()),
        (Some(10.0), Some(50))
    );
}

/// Each default that is a value, written out, changes nothing.
#[test]
fn writing_a_default_of_a_retry_out_changes_nothing() {
    for key in RetryConfig::describe().keys {
        let value = serde_json::from_str::<serde_json::Value>(&key.default.unwrap());
        let (Ok(value), true) = (value, key.key != "gate_percentile") else {
            continue;
        };
        let built = |layer: serde_json::Value| {
            let json = serde_json::json!({"layer": [layer]}).to_string();
            format!("{:?}", StackConfig::from_json(&json).expect(&json).build())
        };
        let with = built(serde_json::json!({"kind": "retry", key.key.as_str(): value}));
        assert_eq!(
            with,
            built(serde_json::json!({"kind": "retry"})),
            "{}",
            key.key
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_configured_retry_waits_as_it_says() {
    for (keys, waits) in [
        ("jitter = \"none\"", 1_000 + 2_000 + 4_000),
        (
            "jitter = \"none\"\nbase = \"100ms\"\ncap = \"250ms\"",
            100 + 200 + 250,
        ),
        ("wait = \"50ms\"", 150),
        ("wait = \"0s\"", 0),
    ] {
        let stack = stack(&format!("[[layer]]\nkind = \"retry\"\n{keys}\n"));
        let (client, sent) = failing(3);
        let (result, took) = call(&stack, client).await;
        assert_eq!(result.expect(keys), 42);
        assert_eq!(sent.load(Ordering::Relaxed), 4, "{keys}");
        assert_eq!(took, ms(40 + waits), "{keys}");
        let stats = stack.retries()[0].stats();
        assert_eq!((stats.requests, stats.retries, stats.recovered), (1, 3, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_is_a_deadline_that_a_retry_plans_within() {
    let toml = "total_timeout = \"1s\"\n[[layer]]\nkind = \"retry\"\nwait = \"700ms\"\n";
    let (client, sent) = failing(9);
    let (result, took) = call(&stack(toml), client).await;
    // The second wait would last until 1,420 ms: the failure itself comes back, and at once.
    let error = result.unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().to_string(), "no");
    assert_eq!((sent.load(Ordering::Relaxed), took), (2, ms(720)));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_timeout_is_retried_unless_it_is_final() {
    let slow = || {
        let service = tower::service_fn(async |_: u32| {
            std::future::pending::<Result<u32, io::Error>>().await
        });
        BoxCloneSyncService::new(service)
    };
    for (keys, tries, took) in [
        ("", 4, 430),
        ("timeouts_are_final = true", 1, 100),
        ("attempts = 2", 2, 210),
    ] {
        let stack = stack(&format!(
            "[[layer]]\nkind = \"retry\"\nwait = \"10ms\"\nattempt_timeout = \"100ms\"\n{keys}\n"
        ));
        let (result, elapsed) = call(&stack, slow()).await;
        let error = result.unwrap_err();
        let exhausted = cause_ref::<RetryExhausted>(&*error).expect(keys);
        assert_eq!(exhausted.info.tries.len(), tries, "{keys}");
        assert_eq!(cause_ref::<TimedOut>(&*error).unwrap().after, ms(100));
        assert_eq!(elapsed, ms(took), "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_and_a_hedge_share_one_budget_that_the_outer_one_feeds_once() {
    let stack = stack(
        "[[layer]]\nkind = \"retry\"\nwait = \"0s\"\nbudget = { percent = 50, depth = 3 }\n\
         [[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"1h\"\nbudget = \"shared\"\n",
    );
    let retry = stack.retries()[0].clone();
    let hedge = stack.hedges()[0].clone();
    assert_eq!(retry.budget().available(), 3);
    assert_eq!(hedge.budget().available(), 3);
    // The primary fails, and so does the copy that follows at once; then a try of both again.
    let (client, sent) = failing(3);
    let (result, _) = call(&stack, client).await;
    assert_eq!(result.unwrap(), 42);
    assert_eq!(sent.load(Ordering::Relaxed), 4);
    assert_eq!(retry.budget().available(), 0);
    assert_eq!(hedge.budget().available(), 0);
    // Half a token a call, once: two calls bring one.
    for available in [0, 1] {
        let (client, _) = failing(0);
        call(&stack, client).await.0.unwrap();
        assert_eq!(hedge.budget().available(), available);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_draws_from_the_budget_of_a_hedge_further_out() {
    let stack = stack(
        "[[layer]]\nkind = \"hedge\"\nstrategy = \"off\"\nbudget = { percent = 0, depth = 1 }\n\
         [[layer]]\nkind = \"retry\"\nwait = \"0s\"\nbudget = \"shared\"\n",
    );
    let (client, sent) = failing(9);
    call(&stack, client).await.0.unwrap_err();
    assert_eq!(sent.load(Ordering::Relaxed), 2);
    assert_eq!(stack.retries()[0].stats().failed_by(StopReason::Budget), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_cannot_fit_is_not_sent_by_the_shared_latencies() {
    let stack = stack(
        "total_timeout = \"10s\"\n\
         [[layer]]\nkind = \"deadline\"\nafter = \"50ms\"\n\
         [[layer]]\nkind = \"retry\"\nwait = \"0s\"\nlatency = \"shared\"\n\
         [[layer]]\nkind = \"latency\"\n",
    );
    let client = |fails: bool| {
        let service = tower::service_fn(move |n: u32| async move {
            sleep(ms(30)).await;
            if fails {
                Err(io::Error::other("no"))
            } else {
                Ok(n)
            }
        });
        BoxCloneSyncService::new(service)
    };
    for _ in 0..200 {
        call(&stack, client(false)).await.0.unwrap();
    }
    // 30 ms have passed of 50, and the usual 30 do not fit.
    let (result, took) = call(&stack, client(true)).await;
    result.unwrap_err();
    assert_eq!(took, ms(30));
    assert_eq!(stack.retries()[0].stats().failed_by(StopReason::Gate), 1);
}

// === HTTP ===

type Answers = BoxCloneSyncService<
    Request<hedgerow::ReplayableBody<http_body_util::Empty<bytes::Bytes>>>,
    Response<String>,
    BoxError,
>;

/// Answers with these, then with 200; each carries the deadline that its request did.
fn answering(statuses: &'static [u16], header: &'static str) -> (Answers, Arc<AtomicU32>) {
    let sent: Arc<AtomicU32> = Arc::default();
    let counted = sent.clone();
    let service = tower::service_fn(
        move |request: Request<hedgerow::ReplayableBody<http_body_util::Empty<bytes::Bytes>>>| {
            let nth = counted.fetch_add(1, Ordering::Relaxed) as usize;
            async move {
                sleep(ms(10)).await;
                let status = statuses.get(nth).copied().unwrap_or(200);
                let mut response = Response::new(String::new());
                if let Some(deadline) = request.extensions().get::<Deadline>() {
                    response.extensions_mut().insert(*deadline);
                }
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                if !header.is_empty() {
                    let (name, value) = header.split_once(": ").unwrap();
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                Ok::<_, BoxError>(response)
            }
        },
    );
    (BoxCloneSyncService::new(service), sent)
}

fn get() -> Request<http_body_util::Empty<bytes::Bytes>> {
    Request::get("http://a.test/")
        .body(Default::default())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_retried_by_its_protocol() {
    for (keys, status, header, tries, status_wanted) in [
        ("", 503, "", 2, 200),
        ("", 404, "", 1, 404),
        ("", 501, "", 1, 501),
        ("protocol = \"grpc\"", 200, "grpc-status: 14", 4, 200),
        ("protocol = \"http\"", 200, "grpc-status: 14", 1, 200),
        ("protocol = \"http\"", 409, "", 1, 409),
        ("protocol = \"openai\"", 409, "", 2, 200),
        ("protocol = \"anthropic\"", 409, "", 1, 409),
        ("protocol = \"anthropic\"", 529, "", 2, 200),
        (
            "protocol = \"openai\"",
            500,
            "x-should-retry: false",
            1,
            500,
        ),
    ] {
        let stack = stack(&format!(
            "[[layer]]\nkind = \"retry\"\nwait = \"0s\"\n{keys}\n"
        ));
        let statuses: &[u16] = Box::leak(Box::new([status]));
        let (client, sent) = answering(statuses, header);
        let answer = stack.http().layer(client).oneshot(get()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status_wanted, "{keys} {status}");
        assert_eq!(sent.load(Ordering::Relaxed), tries, "{keys} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_up_to_the_cap() {
    for (keys, waited) in [("", 7_000), ("pushback_cap = \"2s\"", 2_000)] {
        let stack = stack(&format!("[[layer]]\nkind = \"retry\"\n{keys}\n"));
        let (client, _) = answering(&[429], "retry-after: 7");
        let start = Instant::now();
        stack.http().layer(client).oneshot(get()).await.unwrap();
        assert_eq!(start.elapsed(), ms(20 + waited), "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_read_off_a_header_and_the_extensions_and_only_shortens() {
    let stack = stack(
        "total_timeout = \"none\"\n[[layer]]\nkind = \"deadline\"\nafter = \"8ms\"\nheader = \"x-timeout\"\n",
    );
    let now = Instant::now();
    for (header, extension, after) in [
        ("", None, 8),
        ("5ms", None, 5),
        ("1h", None, 8),
        ("soon", None, 8),
        ("5ms", Some(3), 3),
        ("5ms", Some(7), 5),
    ] {
        let mut request = get();
        if !header.is_empty() {
            let value = header.parse().unwrap();
            request.headers_mut().insert("x-timeout", value);
        }
        let start = Instant::now();
        if let Some(extension) = extension {
            let deadline = Deadline::within(start.into_std(), ms(extension)).unwrap();
            request.extensions_mut().insert(deadline);
        }
        let (client, _) = answering(&[], "");
        let error = stack
            .http()
            .layer(client)
            .oneshot(request)
            .await
            .unwrap_err();
        let exceeded = cause_ref::<DeadlineExceeded>(&*error).unwrap();
        assert_eq!(exceeded.after, ms(after), "{header:?} {extension:?}");
        assert_eq!(start.elapsed(), ms(after), "{header:?} {extension:?}");
    }
    assert!(now.elapsed() > ms(30));
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_is_written_into_a_requests_extensions() {
    let (client, _) = answering(&[], "");
    let now = Instant::now();
    let answer = stack("total_timeout = \"2s\"")
        .http()
        .layer(client)
        .oneshot(get());
    let answer = answer.await.unwrap();
    let deadline = answer.extensions().get::<Deadline>().unwrap();
    assert_eq!(deadline.instant(), (now + ms(2_000)).into_std());
}

/// The queue says when to come again; what it can never take is final.
#[tokio::test(start_paused = true)]
async fn a_refusal_at_the_gate_is_retried_when_the_gate_says_so() {
    let stack = stack(
        "[[layer]]\nkind = \"retry\"\nwait = \"1h\"\n\
         [[layer]]\nkind = \"admission\"\nrates = [{ requests = 1, per = \"2s\" }]\nmax_wait = \"0s\"\n",
    );
    let (client, sent) = failing(0);
    let service = stack.clone_requests().unwrap().layer(client);
    let start = Instant::now();
    service.clone().oneshot(1).await.unwrap();
    service.clone().oneshot(1).await.unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), 2);
    assert_eq!(start.elapsed(), ms(2_010));
    assert_eq!(stack.gates()[0].stats().shed_total(), 1);

    let stack = self::stack(
        "[[layer]]\nkind = \"retry\"\nwait = \"0s\"\n\
         [[layer]]\nkind = \"admission\"\nrates = [{ tokens = 10, per = \"2s\" }]\ncost = 11\n",
    );
    let (client, _) = failing(0);
    call(&stack, client).await.0.unwrap_err();
    assert_eq!(stack.gates()[0].stats().shed_for(ShedReason::TooLarge), 1);
}

// === mistakes ===

#[test]
fn each_mistake_of_a_retry_and_a_deadline_is_told_of_its_own_key() {
    for (layer, keys) in [
        ("kind = \"retry\"\nattempts = 0", &["attempts"][..]),
        (
            "kind = \"retry\"\nattempts = 65\nbase = \"0s\"",
            &["attempts", "base"],
        ),
        ("kind = \"retry\"\nbase = \"40s\"", &["base"]),
        ("kind = \"retry\"\ncap = \"25h\"", &["cap"]),
        ("kind = \"retry\"\nbase = \"1s\"\ncap = \"25h\"", &["cap"]),
        (
            "kind = \"retry\"\nbase = \"0s\"\ncap = \"25h\"",
            &["base", "cap"],
        ),
        ("kind = \"retry\"\nbase = \"2s\"\ncap = \"1s\"", &["base"]),
        (
            "kind = \"retry\"\nwait = \"1s\"\nbase = \"2s\"\ncap = \"1s\"\njitter = \"full\"",
            &["base", "cap", "jitter"],
        ),
        (
            "kind = \"retry\"\nattempt_timeout = \"0s\"\ndeadline = \"0s\"",
            &["attempt_timeout", "deadline"],
        ),
        ("kind = \"retry\"\njitter = \"most\"", &["jitter"]),
        (
            "kind = \"retry\"\ngate_percentile = 50",
            &["gate_percentile"],
        ),
        ("kind = \"retry\"\nlatency = \"shared\"", &["latency"]),
        ("kind = \"retry\"\nlatency = \"own\"", &["latency"]),
        ("kind = \"retry\"\nbudget = \"shared\"", &["budget"]),
        (
            "kind = \"retry\"\nbudget = { percent = -1 }",
            &["budget.percent"],
        ),
        ("kind = \"retry\"\nattempts_ = 3", &["attempts_"]),
        (
            "kind = \"deadline\"\nafter = \"0s\"\nheader = \"a b\"",
            &["after", "header"],
        ),
        ("kind = \"deadline\"\nafter = 5", &["after"]),
    ] {
        let toml = format!("[[layer]]\n{layer}\n");
        let errors = StackConfig::from_toml(&toml).expect_err(layer);
        let told: Vec<_> = errors
            .mistakes()
            .iter()
            .map(|m| m.key().to_owned())
            .collect();
        let wanted: Vec<_> = keys.iter().map(|key| format!("layer[0].{key}")).collect();
        assert_eq!(told, wanted, "{layer}\n{errors}");
        for mistake in errors.mistakes() {
            let problem = mistake.problem();
            assert!(
                problem.contains("write")
                    || problem.contains("did you mean")
                    || problem.contains("leave"),
                "{problem}"
            );
        }
    }
    let gated = "[[layer]]\nkind = \"retry\"\nlatency = \"shared\"\ngate_percentile = 100\n[[layer]]\nkind = \"latency\"\n";
    let errors = StackConfig::from_toml(gated).unwrap_err();
    assert_eq!(errors.mistakes()[0].key(), "layer[0].gate_percentile");
}

#[test]
fn a_retry_alone_and_plain_requests_know_no_http() {
    let mut config = RetryConfig::default();
    config.protocol = Some(hedgerow::config::Protocol::Http);
    config.latency = GateSource::Shared;
    config.jitter = Some(JitterConfig::Decorrelated);
    let errors = config.build().unwrap_err();
    let keys: Vec<_> = errors.mistakes().iter().map(|m| m.key()).collect();
    assert_eq!(keys, ["protocol", "latency"]);

    let stack = stack(
        "[[layer]]\nkind = \"deadline\"\nheader = \"x-timeout\"\n\
         [[layer]]\nkind = \"retry\"\nprotocol = \"http\"\n\
         [[layer]]\nkind = \"admission\"\nkey = \"host\"\ncost = \"header:x-cost\"\npriority = \"header:x-p\"\nprotocol = \"grpc\"\n",
    );
    let errors = stack.clone_requests::<u32>().unwrap_err();
    let keys: Vec<_> = errors.mistakes().iter().map(|m| m.key()).collect();
    assert_eq!(
        keys,
        [
            "layer[0].header",
            "layer[1].protocol",
            "layer[2].key",
            "layer[2].priority",
            "layer[2].cost",
            "layer[2].protocol"
        ]
    );
}
