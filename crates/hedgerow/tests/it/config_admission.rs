//! A configured queue does what it says.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hedgerow::admission::{
    Aimd, AimdConfig, DropRule, Elasticity, Gradient, GradientConfig, LimitPolicy, Order, Vegas,
    VegasConfig,
};
use hedgerow::config::{
    AdmissionConfig, CostConfig, Describe, DropName, ExtrasConfig, LimitConfig, LimitName,
    OrderName, QueueConfig, RateConfig, Stack, StackConfig, WaitsIn,
};
use hedgerow::{AdmissionLayer, Gate, Overloaded, Priority, Queue, Rate, ShedReason, cause_ref};
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn admission(keys: &str) -> Stack {
    let toml = format!("[[layer]]\nkind = \"admission\"\n{keys}\n");
    StackConfig::from_toml(&toml).expect(&toml).build().unwrap()
}

type Log = Arc<Mutex<Vec<(u32, u64)>>>;

/// Answers after 10 ms; notes who started when, in milliseconds from now.
fn client() -> (BoxCloneSyncService<u32, u32, io::Error>, Log) {
    let log = Log::default();
    let noted = log.clone();
    let start = Instant::now();
    let service = tower::service_fn(move |n: u32| {
        let at = start.elapsed().as_millis() as u64;
        noted.lock().unwrap().push((n, at));
        async move {
            sleep(ms(10)).await;
            Ok(n)
        }
    });
    (BoxCloneSyncService::new(service), log)
}

async fn calls(stack: &Stack, n: u32) -> Vec<(u32, u64)> {
    let (client, log) = client();
    let service = stack.clone_requests().unwrap().layer(client);
    let calls = (0..n).map(|n| tokio::spawn(service.clone().oneshot(n)));
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let log = log.lock().unwrap();
    log.clone()
}

fn times(log: &[(u32, u64)]) -> Vec<u64> {
    log.iter().map(|(_, at)| *at).collect()
}

// === the defaults ===

fn built(config: &AdmissionConfig) -> String {
    format!("{:?}", config.build().unwrap())
}

#[test]
fn a_default_gate_is_the_plain_builders_and_what_is_set_the_setters() {
    let plain = format!("{:?}", Gate::builder().build());
    assert_eq!(built(&AdmissionConfig::default()), plain);

    let mut config = AdmissionConfig::concurrency(16);
    config.rates = vec![
        RateConfig::requests(500, Duration::from_secs(60).into()),
        RateConfig::tokens(90_000, Duration::from_secs(60).into()),
        RateConfig::spacing(ms(200).into()),
    ];
    config.rates[1].burst = Some(10_000);
    config.rates[1].per_key = true;
    config.queue = QueueConfig::new(OrderName::AdaptiveLifo, DropName::Codel);
    let set = Gate::builder()
        .concurrency(16)
        .rate(Rate::per_minute(500))
        .rate(Rate::tokens_per_minute(90_000).burst(10_000).per_key())
        .rate(Rate::spacing(ms(200)))
        .queue(Queue::adaptive_lifo().codel(ms(5), ms(100)))
        .build();
    assert_eq!(built(&config), format!("{set:?}"));
}

#[test]
fn the_defaults_of_admission_that_are_told_are_those_that_hold() {
    let admission = AdmissionConfig::describe();
    let told = |key: &str| admission.key(key).unwrap().default.clone().unwrap();
    for (key, wanted) in [
        ("concurrency", "none, no limit"),
        ("max_depth", "1000"),
        ("max_wait", "\"30s\""),
        ("cost", "1"),
        ("extras", "\"same\""),
        ("waits_in", "\"call\""),
        ("rates", "[]"),
    ] {
        assert_eq!(told(key), wanted, "{key}");
    }
    let builder = format!("{:?}", Gate::builder());
    assert!(
        builder.contains("max_depth: 1000, max_wait: 30s"),
        "{builder}"
    );
    assert_eq!(hedgerow::Ask::new().cost, 1);

    let queue = QueueConfig::describe();
    let told = |key: &str| queue.key(key).unwrap().default.clone().unwrap();
    assert_eq!(told("order"), "\"fifo\"");
    assert_eq!(told("drop"), "\"expired\"");
    assert_eq!(
        [told("after"), told("target"), told("interval")],
        ["\"10ms\"", "\"5ms\"", "\"100ms\""]
    );
    let overload = format!("{:?}", AdmissionLayer::overload(1).handle());
    let lifo = Order::AdaptiveLifo { after: ms(10) };
    let codel = DropRule::CoDel {
        target: ms(5),
        interval: ms(100),
    };
    assert!(
        overload.contains(&format!("order: {lifo:?}, rule: {codel:?}")),
        "{overload}"
    );
    assert_eq!(
        format!("{:?}", Queue::default()),
        format!("{:?}", Queue::fifo().drop_rule(DropRule::Expired))
    );
}

fn limit(limit: &LimitConfig, policy: &impl std::fmt::Debug) {
    // A gate does not show its policy, so the told defaults are compared with the policy's own.
    let shown = format!("{policy:?}");
    for key in LimitConfig::describe().keys {
        let default = key.default.unwrap_or_default();
        let Ok(value) = serde_json::from_str::<serde_json::Value>(&default) else {
            continue;
        };
        let name = if key.key == "standing" {
            "queue"
        } else {
            &key.key
        };
        if let Some((_, rest)) = shown.split_once(&format!(" {name}: ")) {
            let held: serde_json::Value = serde_json::Deserializer::from_str(rest)
                .into_iter()
                .next()
                .unwrap()
                .unwrap();
            assert_eq!(held, value, "{} of {shown}", key.key);
        }
    }
    let mut config = AdmissionConfig::default();
    config.limit = Some(limit.clone());
    let gate = config.build().unwrap();
    assert_eq!(gate.stats().limit, Some(20));
}

#[test]
fn the_defaults_of_every_limit_are_the_policys() {
    limit(&LimitConfig::new(LimitName::Aimd), &Aimd::default());
    limit(&LimitConfig::new(LimitName::Vegas), &Vegas::default());
    limit(&LimitConfig::new(LimitName::Gradient), &Gradient::default());
    limit(
        &LimitConfig::new(LimitName::Elasticity),
        &Elasticity::default(),
    );
    // Every key that has a default is one that some policy shows.
    let shown = format!(
        "{:?}{:?}{:?}{:?}",
        Aimd::default(),
        Vegas::default(),
        Gradient::default(),
        Elasticity::default()
    );
    for key in LimitConfig::describe().keys {
        let name = if key.key == "standing" {
            "queue"
        } else {
            &key.key
        };
        let known = name == "policy" || shown.contains(&format!(" {name}: "));
        assert!(known, "{name}: {shown}");
    }
}

/// What a refused or slow call does to a limit shows which settings it was given.
#[tokio::test(start_paused = true)]
async fn a_limit_moves_as_its_settings_say() {
    for (keys, after) in [
        ("limit = { policy = \"aimd\", initial = 40 }", 36),
        (
            "limit = { policy = \"aimd\", initial = 40, backoff = 0.5 }",
            20,
        ),
        (
            "limit = { policy = \"aimd\", initial = 40, backoff = 0.5, min = 30 }",
            30,
        ),
        (
            "limit = { policy = \"aimd\", initial = 100, max = 100 }",
            90,
        ),
        ("concurrency = 40", 40),
    ] {
        let stack = admission(keys);
        let service = stack
            .clone_requests()
            .unwrap()
            .layer(tower::service_fn(async |_: u32| {
                Err::<u32, _>(io::Error::other("no"))
            }));
        service.oneshot(1).await.unwrap_err();
        let gate = &stack.gates()[0];
        let _permit = gate.try_permit().unwrap();
        assert_eq!(gate.stats().limit, Some(after), "{keys}");
    }
    let configs = (
        AimdConfig::default().initial(3),
        VegasConfig::default().initial(3),
        GradientConfig::default().initial(3),
    );
    let plain: [Box<dyn LimitPolicy>; 3] = [
        Box::new(Aimd::new(configs.0)),
        Box::new(Vegas::new(configs.1)),
        Box::new(Gradient::new(configs.2)),
    ];
    for (name, plain) in ["aimd", "vegas", "gradient"].into_iter().zip(plain) {
        let stack = admission(&format!("limit = {{ policy = \"{name}\", initial = 3 }}"));
        let _permit = stack.gates()[0].try_permit().unwrap();
        assert_eq!(stack.gates()[0].stats().limit, Some(plain.limit()));
    }
}

// === what it does ===

#[tokio::test(start_paused = true)]
async fn concurrency_lets_so_many_run_at_once() {
    let stack = admission("concurrency = 2");
    assert_eq!(times(&calls(&stack, 5).await), [0, 0, 10, 10, 20]);
    let stats = stack.gates()[0].stats();
    assert_eq!((stats.started, stats.finished, stats.active), (5, 5, 0));
}

#[tokio::test(start_paused = true)]
async fn rates_let_so_many_start_in_a_time() {
    for (rate, starts) in [
        ("{ spacing = \"100ms\" }", [0, 100, 200, 300]),
        ("{ requests = 2, per = \"1s\" }", [0, 0, 500, 1_000]),
        (
            "{ requests = 2, per = \"1s\", burst = 1 }",
            [0, 500, 1_000, 1_500],
        ),
        ("{ tokens = 10, per = \"1s\" }", [0, 0, 500, 1_000]),
    ] {
        let stack = admission(&format!("rates = [{rate}]\ncost = 5"));
        assert_eq!(times(&calls(&stack, 4).await), starts, "{rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_its_order_depth_and_longest_wait() {
    let who = |log: Vec<(u32, u64)>| log.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    let fifo = admission("concurrency = 1");
    assert_eq!(who(calls(&fifo, 4).await), [0, 1, 2, 3]);
    let lifo = admission("concurrency = 1\nqueue = { order = \"adaptive_lifo\", after = \"0s\" }");
    assert_eq!(who(calls(&lifo, 4).await), [0, 3, 2, 1]);

    for (keys, reason, after) in [
        ("max_depth = 0", ShedReason::QueueFull, 0),
        ("max_wait = \"4ms\"", ShedReason::WaitedTooLong, 4),
        (
            "queue = { drop = \"codel\", target = \"1ms\", interval = \"6ms\" }",
            ShedReason::Standing,
            6,
        ),
    ] {
        let stack = admission(&format!("concurrency = 1\n{keys}"));
        let gate = stack.gates()[0].clone();
        let permit = gate.try_permit().unwrap();
        let (client, _) = client();
        let service = stack.clone_requests().unwrap().layer(client);
        let start = Instant::now();
        let call = tokio::spawn(service.oneshot(1));
        tokio::task::yield_now().await;
        // CoDel keeps the last, twice as many as may run at once.
        let last = if keys.contains("codel") { 2 } else { 0 };
        let kept: Vec<_> = (0..last)
            .map(|_| tokio::spawn(gate.permit().into_future()))
            .collect();
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(cause_ref::<Overloaded>(&*error).unwrap().reason(), reason);
        assert_eq!(start.elapsed(), ms(after), "{keys}");
        drop((permit, kept));
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_waits_in_readiness_is_not_ready_while_its_place_is_taken() {
    let stack = admission("concurrency = 1\nwaits_in = \"ready\"");
    let (client, log) = client();
    let mut first = stack.clone_requests().unwrap().layer(client);
    let mut second = first.clone();
    let running = first.ready().await.unwrap().call(1);
    let ready = tokio::time::timeout(ms(5), second.ready()).await;
    assert!(ready.is_err(), "there is one place");
    running.await.unwrap();
    second.ready().await.unwrap().call(2).await.unwrap();
    assert_eq!(*log.lock().unwrap(), [(1, 0), (2, 15)]);
}

// === HTTP ===

type Body = http_body_util::Empty<bytes::Bytes>;
type Kept = Request<hedgerow::ReplayableBody<Body>>;

fn get(headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = Request::get("http://a.test/p").body(Body::new()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn key_priority_and_cost_are_read_off_headers() {
    let stack = admission(
        "concurrency = 1\nrates = [{ tokens = 100, per = \"1h\" }]\n\
         key = \"header:x-tenant\"\npriority = \"header:x-priority\"\ncost = \"header:x-tokens\"\n",
    );
    let gate = stack.gates()[0].clone();
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = order.clone();
    let seen = gate.clone();
    let service = stack.http().layer(tower::service_fn(move |request: Kept| {
        let name = request.headers()["x-name"].to_str().unwrap().to_owned();
        let tenant = request.headers().get("x-tenant").cloned();
        noted.lock().unwrap().push(name);
        let seen = seen.clone();
        async move {
            if let Some(tenant) = tenant {
                let tenant = tenant.to_str().unwrap().to_owned();
                assert_eq!(seen.key(tenant).active, 1);
            }
            sleep(ms(10)).await;
            Ok::<_, io::Error>(Response::new(String::new()))
        }
    }));
    let first = gate.try_permit().unwrap();
    let requests = [
        vec![
            ("x-name", "idle"),
            ("x-priority", "IDLE"),
            ("x-tokens", "30"),
        ],
        vec![
            ("x-name", "low"),
            ("x-priority", "low"),
            ("x-tokens", " 20 "),
        ],
        vec![("x-name", "plain"), ("x-tenant", "t"), ("x-tokens", "many")],
        vec![("x-name", "high"), ("x-priority", "high")],
    ];
    let calls: Vec<_> = requests
        .iter()
        .map(|headers| tokio::spawn(service.clone().oneshot(get(headers))))
        .collect();
    sleep(ms(1)).await;
    drop(first);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["high", "plain", "low", "idle"]);
    // 1 for the permit, 30 and 20 as written, 1 for each that says no number.
    assert_eq!(gate.left(0, None).await, Some(100 - 1 - 30 - 20 - 1 - 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_moves_a_limit_by_its_protocol() {
    for (keys, status, grpc, after) in [
        ("", 503, "", 18),
        ("", 404, "", 20),
        ("protocol = \"grpc\"", 200, "14", 18),
        ("protocol = \"grpc\"", 200, "0", 20),
    ] {
        let stack = admission(&format!("limit = {{ policy = \"aimd\" }}\n{keys}"));
        let service = stack
            .http()
            .layer(tower::service_fn(move |_: Kept| async move {
                let mut response = Response::new(String::new());
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                if !grpc.is_empty() {
                    let value = grpc.parse().unwrap();
                    response.headers_mut().insert("grpc-status", value);
                }
                Ok::<_, io::Error>(response)
            }));
        service.oneshot(get(&[])).await.unwrap();
        let gate = &stack.gates()[0];
        let _permit = gate.try_permit().unwrap();
        assert_eq!(gate.stats().limit, Some(after), "{keys} {status} {grpc}");
    }
}

#[tokio::test(start_paused = true)]
async fn extra_copies_are_admitted_as_extras_say() {
    for (extras, sent) in [("same", 2), ("now_only", 1), ("idle", 2)] {
        let toml = format!(
            "[[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"5ms\"\n\
             [[layer]]\nkind = \"admission\"\nconcurrency = 2\nextras = \"{extras}\"\n"
        );
        let stack = StackConfig::from_toml(&toml).unwrap().build().unwrap();
        let gate = stack.gates()[0].clone();
        let (client, log) = client();
        let service = stack.clone_requests().unwrap().layer(client);
        let held = gate.try_permit().unwrap();
        let call = tokio::spawn(service.oneshot(1));
        sleep(ms(7)).await;
        // The copy came at 5 ms, and finds a place now or has been refused.
        drop(held);
        call.await.unwrap().unwrap();
        assert_eq!(log.lock().unwrap().len(), sent, "{extras}");
    }
    let normal = ExtrasConfig::Normal;
    assert_eq!(
        hedgerow::admission::Extras::from(normal),
        hedgerow::admission::Extras::With(Priority::Normal)
    );
}

// === mistakes ===

#[track_caller]
fn told(keys: &str) -> Vec<String> {
    let toml = format!("[[layer]]\nkind = \"admission\"\n{keys}\n");
    let errors = StackConfig::from_toml(&toml).expect_err(keys);
    for mistake in errors.mistakes() {
        let problem = mistake.problem();
        assert!(mistake.line().is_some(), "{mistake}");
        assert!(
            ["write", "did you mean", "leave", "give", "at most"]
                .iter()
                .any(|word| problem.contains(word)),
            "{problem}"
        );
    }
    let keys = errors.mistakes().iter().map(|mistake| {
        let key = mistake.key().strip_prefix("layer[0].");
        key.unwrap_or(mistake.key()).to_owned()
    });
    keys.collect()
}

#[test]
fn each_mistake_of_admission_is_told_of_its_own_key() {
    for (keys, wanted) in [
        ("concurrency = 0", &["concurrency"][..]),
        ("concurrency = 1000001", &["concurrency"]),
        ("concurrency = 5\nlimit = { policy = \"aimd\" }", &["limit"]),
        ("concurrency_per_key = 0", &["concurrency_per_key"]),
        ("max_depth = 10000001", &["max_depth"]),
        ("max_wait = \"9000h\"", &["max_wait"]),
        ("max_waits = \"1s\"", &["max_waits"]),
        ("key = \"user\"", &["key"]),
        ("priority = \"x-priority\"", &["priority"]),
        ("cost = \"x-cost\"", &["cost"]),
        ("cost = 1.5", &["cost"]),
        ("extras = \"high\"", &["extras"]),
        ("waits_in = \"queue\"", &["waits_in"]),
        ("limit = { policy = \"fixed\" }", &["limit.policy"]),
        ("limit = { initial = 5 }", &["limit.policy"]),
        (
            "limit = { policy = \"aimd\", initial = 0 }",
            &["limit.initial"],
        ),
        ("limit = { policy = \"vegas\", min = 30 }", &["limit.min"]),
        (
            "limit = { policy = \"vegas\", alpha = 0.6, beta = 0.7 }",
            &["limit.alpha", "limit.beta"],
        ),
        (
            "limit = { policy = \"vegas\", alpha = 0.2 }",
            &["limit.alpha"],
        ),
        (
            "limit = { policy = \"vegas\", alpha = 0.3, beta = 0.2 }",
            &["limit.beta"],
        ),
        (
            "limit = { policy = \"gradient\", alpha = 0.3 }",
            &["limit.alpha"],
        ),
        (
            "limit = { policy = \"gradient\", tolerance = 0.5, standing = 0, smoothing = 2 }",
            &["limit.smoothing", "limit.standing", "limit.tolerance"],
        ),
        (
            "limit = { policy = \"aimd\", backoff = 1, slow_after = \"25h\", tolerate = 0.6 }",
            &["limit.backoff", "limit.slow_after", "limit.tolerate"],
        ),
        (
            "limit = { policy = \"elasticity\", target = 1 }",
            &["limit.target"],
        ),
        ("rates = [{}]", &["rates[0]"]),
        ("rates = [{ requests = 5 }]", &["rates[0].per"]),
        (
            "rates = [{ requests = 0, per = \"1s\" }]",
            &["rates[0].requests"],
        ),
        ("rates = [{ tokens = 5, per = \"0s\" }]", &["rates[0].per"]),
        (
            "rates = [{ tokens = 5, per = \"1s\", burst = 0 }]",
            &["rates[0].burst"],
        ),
        (
            "rates = [{ tokens = 5, requests = 5, per = \"1s\" }]",
            &["rates[0]"],
        ),
        (
            "rates = [{ spacing = \"1s\", per = \"1s\" }]",
            &["rates[0].per"],
        ),
        ("rates = [{ spacing = \"0s\" }]", &["rates[0].spacing"]),
        (
            "rates = [{ spacing = \"1s\" }, { spacing = \"1s\" }]",
            &["rates[1]"],
        ),
        (
            "rates = [{ spacing = \"1s\" }, { spacing = \"2s\" }, { spacing = \"3s\" }, { spacing = \"4s\" }, { spacing = \"5s\" }]",
            &["rates[4]"],
        ),
        ("queue = { order = \"lifo\" }", &["queue.order"]),
        ("queue = { after = \"1s\" }", &["queue.after"]),
        (
            "queue = { target = \"1s\", interval = \"1s\" }",
            &["queue.target", "queue.interval"],
        ),
        (
            "queue = { drop = \"codel\", target = \"1s\" }",
            &["queue.target"],
        ),
        (
            "queue = { drop = \"codel\", interval = \"1ms\" }",
            &["queue.interval"],
        ),
        (
            "queue = { drop = \"codel\", interval = \"9000h\" }",
            &["queue.interval"],
        ),
        (
            "waits_in = \"ready\"\nkey = \"host\"\npriority = \"header:a\"\ncost = 2\nextras = \"idle\"\nprotocol = \"grpc\"\nconcurrency_per_key = 2\nmax_depth = 5\nmax_wait = \"1s\"\nqueue = { drop = \"none\" }\nrates = [{ spacing = \"1s\", per_key = true }]",
            &[
                "key",
                "priority",
                "cost",
                "extras",
                "protocol",
                "concurrency_per_key",
                "max_depth",
                "max_wait",
                "queue.drop",
                "rates[0].per_key",
            ],
        ),
    ] {
        assert_eq!(told(keys), wanted, "{keys}");
    }
}

#[test]
fn rates_of_one_name_are_told_apart_by_names() {
    let stack = admission(
        "rates = [{ spacing = \"1s\", name = \"a\" }, { spacing = \"1s\", name = \"b\" }]",
    );
    assert_eq!(stack.gates().len(), 1);
}

#[test]
fn a_gate_alone_reads_no_requests() {
    let mut config = AdmissionConfig::concurrency(4);
    config.key = Some("host".to_owned());
    config.priority = Some("header:x-p".to_owned());
    config.cost = Some(CostConfig::Fixed(2));
    config.extras = ExtrasConfig::Idle;
    config.waits_in = WaitsIn::Call;
    let errors = config.build().unwrap_err();
    let keys: Vec<_> = errors.mistakes().iter().map(|m| m.key()).collect();
    assert_eq!(keys, ["key", "priority", "cost", "extras"]);
    assert!(errors.to_string().contains("write .key(..) in code"));
    let mut ready = AdmissionConfig::concurrency(4);
    ready.waits_in = WaitsIn::Ready;
    assert_eq!(ready.build().unwrap_err().mistakes()[0].key(), "waits_in");
}
