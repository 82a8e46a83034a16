//! The defaults of a configuration are the code's.

use std::fmt::Debug;
use std::time::Duration;

use hedgerow::config::{
    AwaitFirstConfig, CascadeConfig, DEFAULT_TOTAL_TIMEOUT, Describe, DrainConfig, HedgeConfig,
    LatencyConfig, ReceiveDeadlineConfig, ReplayBodyConfig, SendDeadlineConfig, StackConfig,
    Strategy, TierConfig,
};
use hedgerow::policy::{Adaptive, Backoff, BackoffConfig};
use hedgerow::{
    AwaitFirstContentLayer, BoxError, Cascade, HedgeLayer, Latency, LatencyLayer,
    ReceiveDeadlineLayer, ReplayBodyLayer, SendDeadlineLayer, Tier,
};

/// The layer's `Debug` with the policy out of its enum.
fn shown(layer: &impl Debug, strategy: &str) -> String {
    let shown = format!("{layer:?}");
    // The seed of an adaptive policy differs from one to the next.
    let shown = match shown.split_once("seed: ") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            let (_, rest) = rest.split_once("current: ").unwrap();
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
            format!("{before}{rest}")
        }
        None => shown,
    };
    match shown.split_once(&format!("policy: {strategy}(")) {
        Some((before, after)) => {
            let (policy, rest) = after.split_once("), exchange").unwrap();
            format!("{before}policy: {policy}, exchange{rest}")
        }
        None => shown,
    }
}

#[track_caller]
fn same(config: &HedgeConfig, layer: &impl Debug, strategy: &str) {
    let configured = shown(&config.build().unwrap(), strategy);
    assert!(configured.contains("budget"), "{configured}");
    assert_eq!(configured, shown(layer, ""), "{strategy}");
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_default_hedge_is_the_plain_constructors_for_every_strategy() {
    same(
        &HedgeConfig::default(),
        &HedgeLayer::percentile(95),
        "Percentile",
    );
    same(&HedgeConfig::new(Strategy::Off), &HedgeLayer::off(), "Off");
    same(
        &HedgeConfig::new(Strategy::Fixed),
        &HedgeLayer::fixed(ms(100)),
        "Fixed",
    );
    let mut schedule = HedgeConfig::new(Strategy::Schedule);
    schedule.delays = Some(vec![ms(50).into(), ms(200).into()]);
    same(
        &schedule,
        &HedgeLayer::schedule([ms(50), ms(200)]),
        "Schedule",
    );
    let mut parallel = HedgeConfig::new(Strategy::Parallel);
    parallel.copies = Some(3);
    same(&parallel, &HedgeLayer::parallel(3), "Parallel");
    let arms = [50, 100, 200, 500, 1_000].map(ms);
    same(
        &HedgeConfig::new(Strategy::Adaptive),
        &HedgeLayer::adaptive(arms),
        "Adaptive",
    );
    let backoff = HedgeLayer::backoff(BackoffConfig::default());
    same(&HedgeConfig::new(Strategy::Backoff), &backoff, "Backoff");
}

#[test]
fn what_is_set_is_what_the_setter_sets() {
    let mut config = HedgeConfig::default();
    config.percentile = Some(99.9);
    config.initial = Some(ms(20).into());
    config.min = Some(ms(2).into());
    config.max = Some(ms(900).into());
    config.max_hedges = Some(3);
    config.window = Some(640);
    config.observe_only = true;
    let layer = HedgeLayer::percentile(99.9)
        .initial(ms(20))
        .clamp(ms(2), ms(900))
        .max_hedges(3)
        .window(640)
        .observe_only();
    same(&config, &layer, "Percentile");

    let mut config = HedgeConfig::new(Strategy::Backoff);
    (config.base, config.min, config.max) = (
        Some(ms(20).into()),
        Some(ms(10).into()),
        Some(ms(30).into()),
    );
    let limits = BackoffConfig::default()
        .base(ms(20))
        .min(ms(10))
        .max(ms(30));
    same(&config, &HedgeLayer::backoff(limits), "Backoff");

    let mut config = HedgeConfig::new(Strategy::Adaptive);
    config.delays = Some(vec![ms(5).into(), ms(7).into()]);
    (config.price, config.forgetting) = (Some(ms(3).into()), Some(0.5));
    let layer = HedgeLayer::adaptive([ms(5), ms(7)])
        .price(ms(3))
        .forgetting(0.5);
    same(&config, &layer, "Adaptive");
}

#[test]
fn the_other_layers_defaults_are_the_constructors() {
    let configured = LatencyConfig::default().build().unwrap();
    let plain = LatencyLayer::new(Latency::new());
    assert_eq!(format!("{configured:?}"), format!("{plain:?}"));
    let configured = ReplayBodyConfig::default().build().unwrap();
    assert_eq!(
        format!("{configured:?}"),
        format!("{:?}", ReplayBodyLayer::new())
    );
    let configured = AwaitFirstConfig::default().build().unwrap();
    let plain = AwaitFirstContentLayer::llm();
    assert_eq!(
        (configured.held_events(), configured.held_bytes()),
        (plain.held_events(), plain.held_bytes())
    );
    let configured = ReceiveDeadlineConfig::default().build().unwrap();
    let plain = ReceiveDeadlineLayer::http();
    assert_eq!(format!("{configured:?}"), format!("{plain:?}"));
    let configured = ReceiveDeadlineConfig::new("GRPC-timeout").build().unwrap();
    let plain = ReceiveDeadlineLayer::grpc();
    assert_eq!(format!("{configured:?}"), format!("{plain:?}"));
    let configured = SendDeadlineConfig::default().build().unwrap();
    let plain = SendDeadlineLayer::http();
    assert_eq!(format!("{configured:?}"), format!("{plain:?}"));
    let configured = SendDeadlineConfig::new("Grpc-Timeout").build().unwrap();
    let plain = SendDeadlineLayer::grpc();
    assert_eq!(format!("{configured:?}"), format!("{plain:?}"));
    assert_eq!(
        StackConfig::default().total_timeout.get(),
        Some(DEFAULT_TOTAL_TIMEOUT)
    );
    assert_eq!(DEFAULT_TOTAL_TIMEOUT, Duration::from_secs(30));
}

#[test]
fn a_default_tier_is_the_plain_constructors_and_what_is_set_the_setters() {
    let service = tower::service_fn(async |n: u64| Ok::<_, BoxError>(n));
    let built = |config: CascadeConfig| {
        let plan = config.build().unwrap();
        let builder = plan.clone_requests([("a", service), ("b", service)]);
        format!(
            "{:?}",
            builder.unwrap().score(|_: &u64| 0.0).build().unwrap()
        )
    };
    let plain = |second: Tier<u64, u64>| {
        let builder = Cascade::builder()
            .tier(Tier::new("a", service))
            .tier(second);
        let builder = builder.timeout(DEFAULT_TOTAL_TIMEOUT).clone_requests();
        format!("{:?}", builder.score(|_| 0.0).build().unwrap())
    };
    let mut config = CascadeConfig::new([TierConfig::new("a"), TierConfig::new("b")]);
    let default = built(config.clone());
    assert_eq!(default, plain(Tier::new("b", service)));
    assert!(
        default.contains("after: 0ns, cost: 1.0, threshold: None"),
        "{default}"
    );
    assert!(
        default.contains("timeout: Some(30s), spend_cap: None"),
        "{default}"
    );

    let tier = TierConfig::describe();
    let told = |key: &str| tier.key(key).unwrap().default.clone().unwrap();
    assert_eq!(
        (told("after"), told("cost")),
        ("\"0s\"".to_owned(), "1.0".to_owned())
    );

    let second = &mut config.tiers[1];
    (second.after, second.cost, second.threshold) = (Some(ms(5).into()), Some(2.5), Some(0.5));
    let set = Tier::new("b", service)
        .after(ms(5))
        .cost(2.5)
        .threshold(0.5);
    assert_eq!(built(config), plain(set));
}

/// What is told to a reader, against the figures themselves.
#[test]
fn the_defaults_that_are_told_are_those_that_hold() {
    let told = |key: &str| {
        let hedge = HedgeConfig::describe();
        hedge.key(key).unwrap().default.clone().unwrap()
    };
    for (key, wanted) in [
        ("strategy", "\"percentile\""),
        ("percentile", "95.0"),
        ("initial", "\"100ms\""),
        ("min", "1ms for a percentile, 10ms for a backoff"),
        ("max", "no limit for a percentile, 5s for a backoff"),
        ("base", "\"100ms\""),
        ("delay", "\"100ms\""),
        (
            "delays",
            "to be written for a schedule; 50ms, 100ms, 200ms, 500ms, 1s for adaptive",
        ),
        ("price", "\"50ms\""),
        ("forgetting", "0.1"),
        ("max_keys", "1000"),
    ] {
        assert_eq!(told(key), wanted, "{key}");
    }
    let adaptive = format!("{:?}", Adaptive::default());
    assert!(
        adaptive.contains("price: 50ms, forgetting: 0.1"),
        "{adaptive}"
    );
    let backoff = format!("{:?}", Backoff::default());
    assert!(
        backoff.contains("base: 100ms, min: 10ms, max: 5s"),
        "{backoff}"
    );
    assert_eq!(DrainConfig::describe().optional().count(), 0);
}

/// The defaults that are told in words, because they depend on other keys.
#[test]
fn the_defaults_in_words_are_what_the_constructors_do() {
    let hedge = HedgeConfig::describe();
    let told = |key: &str| hedge.key(key).unwrap().default.clone().unwrap();

    assert_eq!(
        told("budget"),
        "10 percent of depth 50; for a percentile 1.5 * (100 - p) percent"
    );
    let budget = HedgeLayer::fixed(ms(1)).handle().budget().clone();
    assert_eq!(
        (budget.per_100_calls(), budget.burst()),
        (Some(10.0), Some(50))
    );
    assert_eq!(
        told("window"),
        "1000; for a high percentile 20 / (1 - p / 100)"
    );
    assert_eq!(HedgeLayer::off().handle().latency().window_size(), 1_000);
    for (p, percent, window) in [(95.0, 7.5, 1_000), (80.0, 30.0, 1_000), (99.0, 1.5, 2_000)] {
        let handle = HedgeLayer::percentile(p).handle();
        assert_eq!(handle.budget().per_100_calls(), Some(percent), "{p}");
        assert_eq!(handle.budget().burst(), Some(50));
        // 20 / (1 - 0.99) is 1999.9999999999982 to a computer, and is rounded up.
        assert_eq!(
            handle.latency().window_size().next_multiple_of(16),
            u64::next_multiple_of(window, 16),
            "{p}"
        );
    }
    let words = "1; as many as a schedule has delays; one less than the copies of parallel";
    assert_eq!(told("max_hedges"), words);
    assert_eq!(HedgeLayer::percentile(95).handle().max_hedges(), 1);
    assert_eq!(
        HedgeLayer::schedule([1, 2, 3].map(ms))
            .handle()
            .max_hedges(),
        3
    );
    assert_eq!(HedgeLayer::parallel(3).handle().max_hedges(), 2);
}

/// The ranges that the descriptions tell, at their ends.
#[test]
fn the_ranges_that_are_told_are_those_that_hold() {
    let hedge = HedgeConfig::describe();
    let builds = |strategy: &str, key: &str, value: &str| {
        let json = format!(
            r#"{{"layer": [{{"kind": "hedge", "strategy": "{strategy}", "{key}": {value}}}]}}"#
        );
        StackConfig::from_json(&json).is_ok()
    };
    for (strategy, key, told, good, bad) in [
        (
            "percentile",
            "percentile",
            "from 1 to below 100",
            ["1", "99.9999"],
            ["0.9999", "100"],
        ),
        ("parallel", "copies", "1 to 65", ["1", "65"], ["0", "66"]),
        ("fixed", "max_hedges", "1 to 64", ["1", "64"], ["0", "65"]),
        (
            "adaptive",
            "forgetting",
            "above 0 and below 1",
            ["0.000001", "0.999999"],
            ["0", "1"],
        ),
        (
            "fixed",
            "budget",
            "",
            [
                r#"{"percent": 0, "depth": 0}"#,
                r#"{"percent": 100000, "depth": 1000000000}"#,
            ],
            [r#"{"percent": 100001}"#, r#"{"depth": 1000000001}"#],
        ),
        (
            "fixed",
            "window",
            "",
            ["1", "2147483648"],
            ["0", "2147483649"],
        ),
    ] {
        let description = &hedge.key(key).unwrap().description;
        assert!(description.contains(told), "{key}: {description}");
        for value in good {
            assert!(builds(strategy, key, value), "{key} = {value}");
        }
        for value in bad {
            assert!(!builds(strategy, key, value), "{key} = {value}");
        }
    }
}

/// Each default that is a value, written out, changes nothing.
#[test]
fn writing_a_default_out_changes_nothing() {
    for strategy in ["fixed", "percentile", "adaptive", "backoff"] {
        for key in HedgeConfig::describe().keys {
            let default = key.default.unwrap();
            let Ok(value) = serde_json::from_str::<serde_json::Value>(&default) else {
                continue;
            };
            let with = serde_json::json!({
                "layer": [{"kind": "hedge", "strategy": strategy, key.key.as_str(): value}]
            });
            let without = serde_json::json!({"layer": [{"kind": "hedge", "strategy": strategy}]});
            if key.key == "strategy" || key.key == "max_keys" {
                continue;
            }
            // The key may belong to another strategy.
            let Ok(with) = StackConfig::from_json(&with.to_string()) else {
                continue;
            };
            let without = StackConfig::from_json(&without.to_string()).unwrap();
            let shown = |config: &StackConfig| shown(&config.build().unwrap(), "");
            assert_eq!(shown(&with), shown(&without), "{strategy}, {}", key.key);
        }
    }
}
