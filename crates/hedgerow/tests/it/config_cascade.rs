//! A cascade from a file: it does what it says, and every mistake is told.

use std::time::Duration;

use hedgerow::config::{CascadeConfig, CascadePlan, SpendCapConfig, TierConfig};
use hedgerow::{BoxError, CascadeInfo, CascadeMistake, Outcome, TimedOut, cause_ref};
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

type Client = BoxCloneSyncService<u32, String, BoxError>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Takes so many milliseconds, the first attempt ten times as many if it is `uneven`.
fn client(name: &'static str, takes: u64, uneven: bool) -> Client {
    let service = tower::service_fn(move |_: u32| async move {
        let first = !hedgerow::Attempt::current().is_extra();
        sleep(ms(if uneven && first { 10 * takes } else { takes })).await;
        Ok::<_, BoxError>(name.to_owned())
    });
    BoxCloneSyncService::new(service)
}

fn failing(after: u64) -> Client {
    BoxCloneSyncService::new(tower::service_fn(move |_: u32| async move {
        sleep(ms(after)).await;
        Err::<String, BoxError>("down".into())
    }))
}

fn plan(toml: &str) -> CascadePlan {
    CascadeConfig::from_toml(toml).unwrap().build().unwrap()
}

fn told(toml: &str) -> Vec<String> {
    let errors = CascadeConfig::from_toml(toml).expect_err(toml).to_string();
    errors.lines().map(str::to_owned).collect()
}

const THREE: &str = r#"
total_timeout = "5s"
spend_cap = { per_100_calls = 100, depth = 30 }

[[tier]]
name = "small"

[[tier]]
name = "medium"
after = "100ms"
cost = 5
hedge = { strategy = "fixed", delay = "20ms" }

[[tier]]
name = "large"
after = "1s"
cost = 20
"#;

#[tokio::test(start_paused = true)]
async fn a_cascade_from_toml_asks_its_tiers_in_their_order_at_their_times() {
    let plan = plan(THREE);
    // From a list, in any order.
    let services = vec![
        ("large".to_owned(), client("large", 10, false)),
        ("small".to_owned(), client("small", 3_000, false)),
        ("medium".to_owned(), client("medium", 50, true)),
    ];
    let mut cascade = plan.clone_requests(services).unwrap().build().unwrap();
    let start = Instant::now();
    let answer = cascade.ready().await.unwrap().call(1).await.unwrap();
    // The medium tier starts at 100 ms; its copy, sent 20 ms later, takes 50 ms.
    assert_eq!((answer.as_str(), start.elapsed()), ("medium", ms(170)));
    let stats = cascade.handle().stats();
    let [small, medium, large] = stats.tiers.as_slice() else {
        panic!("{stats:?}");
    };
    assert_eq!((small.dropped, medium.answered, large.started), (1, 1, 0));
    assert_eq!((medium.hedges, stats.cost), (1, 11.0));
    let [(name, hedge)] = &plan.hedges()[..] else {
        panic!("one hedge");
    };
    assert_eq!((*name, hedge.stats().hedge_wins), ("medium", 1));
    // The cap is the plan's: the copies of a hedge are paid from the hedge's own budget.
    assert_eq!(plan.spend_cap().unwrap().spent(), 5.0);
}

#[tokio::test(start_paused = true)]
async fn cascades_of_one_plan_share_its_spend_cap_and_its_hedges() {
    let plan = plan(THREE);
    let services = || {
        [
            ("small", failing(10)),
            ("medium", failing(10)),
            ("large", client("large", 10, false)),
        ]
    };
    for left in [1.0, 0.0] {
        let cascade = plan.clone_requests(services()).unwrap().build().unwrap();
        assert_eq!(cascade.clone().oneshot(1).await.is_ok(), left > 0.0);
    }
    // 30 less 25, and 1 for the second call, of which the medium tier took 5.
    assert_eq!(plan.spend_cap().unwrap().available(), 1.0);
    assert_eq!(plan.hedges()[0].1.stats().requests, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_configured_cascade_ends_after_30_seconds_unless_something_else_is_written() {
    for (written, seconds) in [
        ("", 30),
        ("total_timeout = \"7s\"", 7),
        ("total_timeout = \"none\"", 100),
    ] {
        let plan = plan(&format!("{written}\n[[tier]]\nname = \"a\"\n"));
        let cascade = plan.clone_requests([("a", client("a", 100_000, false))]);
        let start = Instant::now();
        let _ = cascade.unwrap().build().unwrap().oneshot(1).await;
        assert_eq!(start.elapsed(), Duration::from_secs(seconds), "{written}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_timeout_ends_a_tiers_attempts_and_is_cut_off_in_its_latencies() {
    let plan = plan(
        r#"
        [[tier]]
        name = "a"
        attempt_timeout = "40ms"
        latency = { window = 50 }
        hedge = { strategy = "fixed", delay = "10s", latency = "shared" }
        [[tier]]
        name = "b"
        after = "10s"
        "#,
    );
    let services = [("a", client("a", 30, true)), ("b", client("b", 1, false))];
    let cascade = plan.clone_requests(services).unwrap().build().unwrap();
    let answer = cascade.clone().informed().oneshot(1).await.unwrap();
    // The primary is given up after 40 ms, and the copy that follows answers 30 ms later.
    assert_eq!((answer.value.as_str(), answer.info.elapsed), ("a", ms(70)));
    let [(name, latency)] = &plan.latencies()[..] else {
        panic!("one histogram");
    };
    assert_eq!((*name, latency.window_size()), ("a", 50));
    assert_eq!(
        (latency.total().count(), latency.total().censored()),
        (1, 1)
    );
    assert_eq!(latency.extras().count(), 1);

    // Without a hedge the tier has timed out, and the next one starts at once.
    let slow = "[[tier]]\nname = \"a\"\nattempt_timeout = \"40ms\"\n";
    let plan = self::plan(&format!("{slow}[[tier]]\nname = \"b\"\nafter = \"10s\"\n"));
    let services = [("a", client("a", 99, false)), ("b", client("b", 1, false))];
    let cascade = plan.clone_requests(services).unwrap().build().unwrap();
    let answer = cascade.informed().oneshot(1).await.unwrap();
    assert_eq!((answer.value.as_str(), answer.info.elapsed), ("b", ms(41)));
    assert_eq!(answer.info.attempts[0].outcome, Outcome::TimedOut);

    let services = [("a", client("a", 99, false)), ("b", failing(1))];
    let error = plan.clone_requests(services).unwrap().build().unwrap();
    let error = error.oneshot(1).await.unwrap_err();
    assert_eq!(cause_ref::<TimedOut>(&*error).unwrap().after, ms(40));
}

#[tokio::test(start_paused = true)]
async fn over_http_a_5xx_of_a_tier_or_of_its_hedge_is_no_answer() {
    let plan = plan(
        r#"
        [[tier]]
        name = "replica"
        hedge = { strategy = "fixed", delay = "10ms", max_hedges = 1 }
        [[tier]]
        name = "primary"
        after = "1s"
        cost = 3
        "#,
    );
    let answering = |status: StatusCode| {
        tower::service_fn(move |_: Request<()>| async move {
            sleep(ms(20)).await;
            let mut response = Response::new(());
            *response.status_mut() = status;
            Ok::<_, BoxError>(response)
        })
    };
    let services = [
        (
            "replica",
            BoxCloneSyncService::new(answering(StatusCode::BAD_GATEWAY)),
        ),
        (
            "primary",
            BoxCloneSyncService::new(answering(StatusCode::OK)),
        ),
    ];
    let cascade = plan.http(services).unwrap().build().unwrap();
    let ask = async |method: &str| {
        let request = Request::builder().method(method).uri("/").body(()).unwrap();
        cascade.clone().oneshot(request).await.unwrap()
    };
    let response = ask("GET").await;
    let info = response.extensions().get::<CascadeInfo>().unwrap();
    assert_eq!(info.name.as_deref(), Some("primary"));
    // The replica was sent twice: its own copy at 10 ms is no answer either.
    assert_eq!((info.hedges, info.cost, info.elapsed), (1, 5.0, ms(50)));
    // A POST may be sent once: to the first tier alone.
    let request = Request::post("/").body(()).unwrap();
    let error = cascade.clone().oneshot(request).await.unwrap_err();
    assert!(error.to_string().contains("only attempt lost"), "{error}");
}

#[test]
fn a_threshold_asks_for_a_score_which_is_code() {
    let plan = plan("[[tier]]\nname = \"a\"\nthreshold = 0.8\n");
    let builder = || plan.clone_requests([("a", client("a", 1, false))]).unwrap();
    let error = builder().build().unwrap_err();
    assert_eq!(
        error.mistakes(),
        [CascadeMistake::ThresholdWithoutScore { name: "a".into() }]
    );
    assert!(
        builder()
            .score(|text: &String| text.len() as f64)
            .build()
            .is_ok()
    );
}

#[test]
fn every_missing_and_every_unknown_service_is_told_at_once() {
    let plan = plan(THREE);
    let services = [
        ("small", client("small", 1, false)),
        ("smal", client("small", 1, false)),
        ("gigantic", client("small", 1, false)),
        ("small", client("small", 1, false)),
    ];
    let errors = plan.clone_requests(services).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "service = \"smal\": no tier is called that; did you mean \"small\"?\n\
         service = \"gigantic\": no tier is called that: they are small, medium, large\n\
         service = \"small\": it was given twice: give it once\n\
         tier[1].name = \"medium\": no service was given for it: add (\"medium\", service)\n\
         tier[2].name = \"large\": no service was given for it: add (\"large\", service)"
    );
}

#[test]
fn all_mistakes_of_a_cascade_are_told_at_once_with_line_key_value_and_what_to_write() {
    let told = told(
        r#"total_timeout = "0s"
spend_cap = { per_100_calls = -1, depth = 5, x = 1 }

[[tier]]
name = ""
after = "5ms"
cost = -1
threshhold = 0.5

[[tier]]
name = "b"
after = "3ms"
hedge = { strategy = "fixed", percentile = 95, key = "host", latency = "shared", budget = "shared" }

[[tier]]
name = "b"
after = "3ms"
attempt_timeout = "0s"
latency = { window = 0 }
hedge = { latency = "shared", protocol = "grpc" }

[[tier]]
cost = "5"
"#,
    );
    let wanted = [
        "line 1: total_timeout = \"0s\": nothing can be answered in no time: write a time above zero, or \"none\"",
        "line 2: spend_cap.x = 1: there is no such key: write one of depth, per_100_calls",
        "line 2: spend_cap = {\"depth\":5.0,\"per_100_calls\":-1.0}: write cost units from 0 to 1000000000 for each",
        "line 5: tier[0].name = \"\": it is empty: write what it is, like \"small\"",
        "line 6: tier[0].after = \"5ms\": a call starts with its first tier: leave it out",
        "line 7: tier[0].cost = -1: write cost units from 0 to 1000000000",
        "line 8: tier[0].threshhold = 0.5: there is no such key; did you mean \"threshold\"?",
        "line 12: tier[1].after = \"3ms\": a tier before it starts at 5ms: write the delays from the call's start, in ascending order",
        "line 13: tier[1].hedge.percentile = 95: the strategy \"fixed\" does not read it: leave it out, or write strategy = \"percentile\"",
        "line 13: tier[1].hedge.key = \"host\": a tier's hedge learns for all requests together: leave it out, or write the tier's .hedged(layer) in code",
        "line 13: tier[1].hedge.latency = \"shared\": the tier records no latencies to share: write `latency = {}` beside `hedge`, or \"own\"",
        "line 13: tier[1].hedge.budget = \"shared\": there is no retry and no hedge further out to share with: write a budget of its own, like { percent = 10, depth = 50 }",
        "line 16: tier[2].name = \"b\": tier[1] is called that already: write a name of its own for each",
        "line 18: tier[2].attempt_timeout = \"0s\": nothing can be answered in no time: write a time above zero, or leave it out",
        "line 19: tier[2].latency.window = 0: a latency window of 0 samples is out of range: write the samples in one half of it, from 1 to 2147483648 (1000 is the default)",
        "line 20: tier[2].hedge.protocol = \"grpc\": a tier speaks what its cascade speaks: leave it out, and build the cascade with .http(services)",
        "line 22: tier[3].name: it is missing: write a text in quotes",
        "line 23: tier[3].cost = \"5\": write a number",
    ];
    assert_eq!(told, wanted, "{told:#?}");
}

/// Each mistake alone, by the key that it is told of and a part of what is said.
#[test]
fn each_mistake_of_a_cascade_is_told_of_its_own_key() {
    let two = |one: &str, other: &str| {
        format!("[[tier]]\nname = \"a\"\n{one}\n[[tier]]\nname = \"b\"\n{other}\n")
    };
    let many: String = (0..17)
        .map(|n| format!("[[tier]]\nname = \"{n}\"\n"))
        .collect();
    for (toml, key, part) in [
        (String::new(), "tier", "at least one table [[tier]]"),
        ("tier = []".to_owned(), "tier", "at least one table"),
        ("tier = 5".to_owned(), "tier", "[[tier]]"),
        (many, "tier", "write at most 16"),
        (
            two("after = \"1ms\"", "after = \"2ms\""),
            "tier[0].after",
            "leave it out",
        ),
        (
            two("cost = 1000000001", ""),
            "tier[0].cost",
            "0 to 1000000000",
        ),
        (two("", "cost = true"), "tier[1].cost", "write a number"),
        (two("", "cost = inf"), "tier[1].cost", "finite"),
        (two("threshold = nan", ""), "tier[0].threshold", "finite"),
        (two("hedge = 5", ""), "tier[0].hedge", "write a table"),
        (
            two("hedge = { max_hedges = 65 }", ""),
            "tier[0].hedge.max_hedges",
            "1 to 64",
        ),
        (
            two("latency = true", ""),
            "tier[0].latency",
            "write a table",
        ),
        (
            two("attempt_timeout = 5", ""),
            "tier[0].attempt_timeout",
            "like \"250ms\"",
        ),
        (
            format!("spend_cap = {{ depth = 1 }}\n{}", two("", "")),
            "spend_cap.per_100_calls",
            "it is missing",
        ),
        (
            format!(
                "spend_cap = {{ per_100_calls = 1, depth = 2 }}\n{}",
                two("cost = 9", "cost = 3")
            ),
            "tier[1].cost",
            "write a depth of at least 3",
        ),
        (
            format!(
                "spend_cap = {{ per_100_calls = 1, depth = 1e10 }}\n{}",
                two("", "")
            ),
            "spend_cap",
            "from 0 to 1000000000 for each",
        ),
    ] {
        let errors = CascadeConfig::from_toml(&toml).expect_err(&toml);
        let [mistake] = errors.mistakes() else {
            panic!("one mistake in\n{toml}\nand told were\n{errors}");
        };
        assert_eq!(mistake.key(), key, "{toml}");
        assert!(mistake.problem().contains(part), "{toml}\n{mistake}");
    }
}

#[test]
fn a_broken_tier_does_not_hide_or_make_mistakes_of_others() {
    // What comes first of those that can be read is not the first tier.
    let told =
        told("[[tier]]\nafter = \"1ms\"\n[[tier]]\nname = \"b\"\nafter = \"5ms\"\ncost = -2\n");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("line 1: tier[0].name: it is missing"));
    assert!(told[1].starts_with("line 6: tier[1].cost = -2"));
}

#[test]
fn a_struct_that_no_file_can_say_is_refused_like_a_file() {
    let mut tier = TierConfig::new("a");
    tier.cost = Some(f64::NAN);
    tier.threshold = Some(f64::INFINITY);
    let mut config = CascadeConfig::new([tier, TierConfig::new("b")]);
    config.spend_cap = Some(SpendCapConfig::new(f64::NAN, f64::NEG_INFINITY));
    let errors = config.build().unwrap_err();
    let keys: Vec<_> = errors.mistakes().iter().map(|m| m.key()).collect();
    assert_eq!(keys, ["tier[0].cost", "tier[0].threshold", "spend_cap"]);
    assert!(config.to_toml().is_err());
}
