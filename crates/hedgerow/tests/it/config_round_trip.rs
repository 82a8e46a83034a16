//! What builds can be written and read back, and nothing that is read panics.

use std::time::Duration;

use hedgerow::config::{
    AdmissionConfig, AwaitFirstConfig, AwaitedName, CacheConfig, CoalesceConfig, CostConfig,
    DeadlineConfig, DropName, ExtrasConfig, GateSource, HttpKeyConfig, JitterConfig, LimitConfig,
    LimitName, OnFailureName, OrderName, QueueConfig, RateConfig, ReceiveDeadlineConfig,
    RetryConfig, SendDeadlineConfig, StoreConfig, WaitsIn,
};
use hedgerow::config::{
    BudgetConfig, BudgetName, BudgetShare, CascadeConfig, ConfigDuration, DrainConfig, HedgeConfig,
    IdempotentPathsConfig, LatencyConfig, LatencySource, LayerConfig, NoTimeout, Protocol, Ready,
    ReplayBodyConfig, SpendCapConfig, StackConfig, Strategy as Hedging, TierConfig, TimeoutConfig,
    TotalTimeout,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;

fn cases() -> ProptestConfig {
    let long = std::env::var_os("HEDGEROW_LONG").is_some();
    ProptestConfig::with_cases(if long { 10_000 } else { 256 })
}

fn duration() -> impl Strategy<Value = ConfigDuration> {
    prop_oneof![
        (1_u64..10_000).prop_map(Duration::from_millis),
        (1_u64..3_000_000_000).prop_map(Duration::from_nanos),
        any::<(u64, u32)>().prop_map(|(s, n)| Duration::new(s, n % 1_000_000_000)),
    ]
    .prop_map(ConfigDuration::from)
}

fn budget() -> impl Strategy<Value = BudgetConfig> {
    prop_oneof![
        Just(BudgetConfig::Named(BudgetName::Unlimited)),
        Just(BudgetConfig::Named(BudgetName::Shared)),
        (0.0..200.0, 0_u64..1_000)
            .prop_map(|(percent, depth)| BudgetConfig::Share(BudgetShare::new(percent, depth))),
        Just(BudgetConfig::Share(BudgetShare::default())),
    ]
}

/// Keys of every strategy, for each of which about half will build.
fn hedge() -> impl Strategy<Value = HedgeConfig> {
    let strategy = select(vec![
        Hedging::Off,
        Hedging::Fixed,
        Hedging::Percentile,
        Hedging::Schedule,
        Hedging::Parallel,
        Hedging::Adaptive,
        Hedging::Backoff,
    ]);
    let times = (duration(), duration(), duration(), vec(duration(), 2..5));
    let numbers = (
        1.0..100.0,
        0.01..0.99,
        1_u64..66,
        option::of(1_u64..65),
        1_u64..5_000,
    );
    let few = (
        any::<[bool; 8]>(),
        option::of(budget()),
        option::of(select(vec!["host", "path", "header:x-a"])),
    );
    (strategy, times, numbers, few).prop_map(
        |(
            strategy,
            (one, two, three, mut delays),
            (p, share, copies, max_hedges, window),
            (yes, budget, key),
        )| {
            delays.sort_unstable();
            let mut hedge = HedgeConfig::new(strategy);
            match strategy {
                Hedging::Fixed => hedge.delay = yes[0].then_some(one),
                Hedging::Percentile => {
                    hedge.percentile = yes[0].then_some(p);
                    hedge.initial = yes[1].then_some(one);
                    (hedge.min, hedge.max) = (yes[2].then_some(two), yes[3].then_some(three));
                }
                Hedging::Schedule => hedge.delays = Some(delays),
                Hedging::Parallel => hedge.copies = Some(copies),
                Hedging::Adaptive => {
                    hedge.delays = yes[0].then_some(delays);
                    (hedge.price, hedge.forgetting) =
                        (yes[1].then_some(one), yes[2].then_some(share));
                }
                Hedging::Backoff => hedge.base = yes[0].then_some(one),
                _ => hedge.percentile = Some(p),
            }
            hedge.max_hedges = max_hedges;
            hedge.window = yes[4].then_some(window);
            hedge.latency = if yes[5] {
                LatencySource::Shared
            } else {
                LatencySource::Own
            };
            hedge.ready = if yes[6] { Ready::NowOnly } else { Ready::Wait };
            hedge.observe_only = yes[7];
            hedge.protocol = yes[2].then_some(Protocol::Grpc);
            hedge.max_keys = key.filter(|_| yes[3]).map(|_| window);
            hedge.key = key.map(str::to_owned);
            hedge.budget = budget;
            hedge
        },
    )
}

/// About half will build.
fn retry() -> impl Strategy<Value = RetryConfig> {
    let times = (
        option::of(1_u64..3_000),
        option::of(duration()),
        option::of(duration()),
        option::of(duration()),
    );
    let few = (
        any::<[bool; 8]>(),
        option::of(0_u64..66),
        option::of(1.0..101.0),
        option::weighted(0.3, budget()),
    );
    (times, few).prop_map(|((base, one, two, three), (yes, attempts, p, budget))| {
        let mut retry = RetryConfig::default();
        retry.attempts = attempts;
        if yes[0] {
            retry.base = base.map(|ms| Duration::from_millis(ms).into());
            retry.cap = yes[1].then_some(Duration::from_secs(3).into());
            retry.jitter = yes[2].then_some(JitterConfig::Decorrelated);
        } else {
            retry.wait = one;
        }
        retry.pushback_cap = two;
        (retry.attempt_timeout, retry.deadline) = (three, one);
        (retry.timeouts_are_final, retry.forget_answers) = (yes[3], yes[4]);
        if yes[5] {
            (retry.latency, retry.gate_percentile) = (GateSource::Shared, p);
        }
        retry.protocol = yes[6].then_some(Protocol::Grpc);
        retry.budget = budget;
        retry
    })
}

fn rate() -> impl Strategy<Value = RateConfig> {
    let numbers = (0_u64..500, option::of(0_u64..500), 1_u64..90);
    (numbers, duration(), any::<[bool; 3]>(), 0_usize..3).prop_map(
        |((limit, burst, per), spacing, yes, kind)| {
            let per = Duration::from_secs(per).into();
            let mut rate = match kind {
                0 => RateConfig::requests(limit, per),
                1 => RateConfig::tokens(limit, per),
                _ => RateConfig::spacing(spacing),
            };
            rate.burst = burst.filter(|_| yes[0]);
            rate.per_key = yes[1];
            rate.name = yes[2].then(|| format!("\"{limit}\" é"));
            rate
        },
    )
}

fn limit() -> impl Strategy<Value = LimitConfig> {
    let names = select(vec![
        LimitName::Aimd,
        LimitName::Vegas,
        LimitName::Gradient,
        LimitName::Elasticity,
    ]);
    let bounds = option::of((0_u64..9, 5_u64..40, 20_u64..90));
    let numbers = (0.01..0.6, 0.05..1.0, any::<[bool; 4]>(), duration());
    (names, bounds, numbers).prop_map(|(name, bounds, (small, share, yes, time))| {
        let mut limit = LimitConfig::new(name);
        if let Some((min, initial, max)) = bounds {
            (limit.min, limit.initial, limit.max) = (Some(min), Some(initial), Some(max));
        }
        match name {
            LimitName::Aimd => {
                limit.backoff = yes[0].then_some(share);
                limit.slow_after = yes[1].then_some(time);
                limit.tolerate = yes[2].then_some(small);
            }
            LimitName::Vegas => {
                limit.alpha = yes[0].then_some(small / 10.0);
                limit.beta = yes[1].then_some(small);
            }
            LimitName::Gradient => {
                limit.tolerance = yes[0].then_some(share + 0.6);
                limit.standing = yes[1].then_some(share * 9.0);
                limit.smoothing = yes[2].then_some(share);
            }
            _ => limit.target = yes[0].then_some(share),
        }
        limit.alpha = limit
            .alpha
            .or(yes[3].then_some(small).filter(|n| *n > 0.55));
        limit
    })
}

fn admission() -> impl Strategy<Value = AdmissionConfig> {
    let layers = (
        option::of(limit()),
        vec(rate(), 0..3),
        option::of(1_u64..99),
    );
    let orders = select(vec![
        OrderName::Fifo,
        OrderName::AdaptiveLifo,
        OrderName::EarliestDeadlineFirst,
    ]);
    let drops = select(vec![DropName::None, DropName::Expired, DropName::Codel]);
    let extras = select(vec![
        ExtrasConfig::Same,
        ExtrasConfig::NowOnly,
        ExtrasConfig::Idle,
    ]);
    let queue = (
        orders,
        drops,
        option::of(1_u64..50),
        option::of(20_u64..200),
    );
    let few = (any::<[bool; 8]>(), extras, option::of(any::<u32>()));
    (layers, queue, few).prop_map(
        |((limit, rates, concurrency), (order, drop, one, two), (yes, extras, number))| {
            let ms = |ms| Duration::from_millis(ms).into();
            let mut admission = AdmissionConfig::default();
            admission.concurrency = concurrency.filter(|_| limit.is_none() || yes[0] && yes[1]);
            admission.limit = limit;
            admission.rates = rates;
            let mut queue = QueueConfig::new(order, drop);
            queue.after = one.filter(|_| order == OrderName::AdaptiveLifo).map(ms);
            if drop == DropName::Codel {
                (queue.target, queue.interval) = (one.map(ms), two.map(ms));
            }
            admission.queue = queue;
            admission.max_depth = number.map(|n| u64::from(n % 20_000));
            admission.max_wait = two.map(ms);
            admission.concurrency_per_key = concurrency.filter(|_| yes[2]);
            admission.key = yes[3].then(|| "header:x-a".to_owned());
            admission.priority = yes[4].then(|| "header:x-b".to_owned());
            admission.cost = number.map(|n| match n % 3 {
                0 => CostConfig::Header("header:x-c".to_owned()),
                _ => CostConfig::Fixed(n.into()),
            });
            admission.extras = extras;
            if yes[5] && yes[6] {
                admission.waits_in = WaitsIn::Ready;
            }
            admission.protocol = yes[7].then_some(Protocol::Http);
            admission
        },
    )
}

fn awaited() -> impl Strategy<Value = AwaitedName> {
    prop_oneof![
        Just(AwaitedName::ByPath),
        Just(AwaitedName::Frame),
        Just(AwaitedName::OpenaiChat),
        Just(AwaitedName::OpenaiCompletions),
        Just(AwaitedName::OpenaiResponses),
        Just(AwaitedName::AnthropicMessages),
    ]
}

fn key() -> impl Strategy<Value = HttpKeyConfig> {
    let tenant = prop_oneof![
        Just("everybody".to_owned()),
        "header:[a-z-]{0,6}",
        "[a-z:]{0,8}"
    ];
    let lists = (vec("[A-Z]{0,5}", 0..3), vec("[a-zA-Z.\"]{0,6}", 0..3));
    (tenant, lists, "[a-zé\"]{0,5}").prop_map(|(tenant, (methods, ignore), upstream)| {
        let mut key = HttpKeyConfig::new(tenant);
        (key.methods, key.ignore, key.upstream) = (methods, ignore, upstream);
        key
    })
}

/// Without a file, which building would open.
fn store() -> impl Strategy<Value = StoreConfig> {
    let bounds = (option::of(0_u64..9_000), option::of(0_u64..9_000));
    (bounds, any::<u8>()).prop_map(|((one, other), afresh)| {
        let mut store = StoreConfig::default();
        (store.entries, store.bytes) = (one, other);
        store.start_afresh_if_damaged = afresh < 20;
        store
    })
}

fn times() -> impl Strategy<Value = [Option<ConfigDuration>; 3]> {
    [
        option::of(duration()),
        option::of(duration()),
        option::of(duration()),
    ]
}

fn layer() -> impl Strategy<Value = LayerConfig> {
    prop_oneof![
        2 => retry().prop_map(LayerConfig::from),
        2 => admission().prop_map(LayerConfig::from),
        1 => (option::of(duration()), any::<bool>()).prop_map(|(after, header)| {
            let mut config = DeadlineConfig::default();
            config.after = after;
            config.header = header.then(|| "x-timeout".to_owned());
            config.into()
        }),
        3 => hedge().prop_map(LayerConfig::from),
        1 => (duration(), 0_u64..9).prop_map(|(d, n)| DrainConfig::new(d, n).into()),
        1 => duration().prop_map(|d| TimeoutConfig::new(d).into()),
        2 => option::of(0_u64..5_000).prop_map(|window| {
            let mut config = LatencyConfig::default();
            config.window = window;
            config.into()
        }),
        1 => option::of(any::<u64>()).prop_map(|cap| {
            let mut config = ReplayBodyConfig::default();
            config.cap_bytes = cap;
            config.into()
        }),
        1 => (option::of("[a-z-]{0,9}"), option::of(duration()), option::of(duration())).prop_map(
            |(header, at_most, reserve)| {
                let mut config = ReceiveDeadlineConfig::default();
                (config.header, config.at_most, config.reserve) = (header, at_most, reserve);
                config.into()
            },
        ),
        1 => option::of("[a-z-]{0,9}").prop_map(|header| {
            let mut config = SendDeadlineConfig::default();
            config.header = header;
            config.into()
        }),
        1 => (awaited(), option::of(any::<u32>()), option::of(any::<u64>())).prop_map(
            |(of, events, bytes)| {
                let mut config = AwaitFirstConfig::new(of);
                (config.max_events, config.max_bytes) = (events, bytes);
                config.into()
            },
        ),
        1 => (key(), store(), times()).prop_map(|(key, store, [ttl, stale, negative])| {
            let mut config = CacheConfig::new(key);
            (config.store, config.ttl, config.negative) = (store, ttl, negative);
            (config.stale_while_revalidate, config.stale_if_error) = (stale, ttl);
            (config.max_refreshes, config.refresh_patience) = (stale.map(|_| 3), negative);
            config.ignore_cache_control = ttl.is_some();
            config.into()
        }),
        1 => (option::of(key()), option::of(0_u64..5), any::<bool>()).prop_map(|(key, n, share)| {
            let mut config = CoalesceConfig::default();
            (config.key, config.max_flights, config.behind_bytes) = (key, n, n);
            if share {
                config.on_failure = OnFailureName::Share;
            }
            config.into()
        }),
        1 => vec("/[a-zé.\"\\\\]{0,8}/([A-Z]|\\*)", 1..3)
            .prop_map(|paths| IdempotentPathsConfig::new(paths).into()),
    ]
}

fn stack() -> impl Strategy<Value = StackConfig> {
    let total = prop_oneof![
        duration().prop_map(TotalTimeout::After),
        Just(TotalTimeout::Named(NoTimeout::None)),
    ];
    (vec(layer(), 0..4), total).prop_map(|(layers, total)| {
        let mut stack = StackConfig::new(layers);
        stack.total_timeout = total;
        stack
    })
}

/// Tiers of which about half will build.
fn tier(name: &'static str) -> impl Strategy<Value = TierConfig> {
    let times = (option::of(0_u64..9), option::of(duration()));
    let numbers = (option::of(0.0..20.0), option::of(-2.0..2.0));
    let layers = (
        option::weighted(0.2, hedge()),
        option::weighted(0.3, 1_u64..9),
    );
    (times, numbers, layers).prop_map(
        move |((after, attempt_timeout), (cost, threshold), (hedge, window))| {
            let mut tier = TierConfig::new(name);
            tier.after = after.map(|n| Duration::from_millis(n / 2).into());
            tier.attempt_timeout = attempt_timeout;
            (tier.cost, tier.threshold) = (cost, threshold);
            tier.hedge = hedge.map(Box::new);
            tier.latency = window.map(|window| {
                let mut latency = LatencyConfig::default();
                latency.window = Some(window);
                latency
            });
            tier
        },
    )
}

fn cascade() -> impl Strategy<Value = CascadeConfig> {
    let tiers = (tier("a"), tier("b"), 1_usize..3);
    (tiers, option::of((0.0..500.0, 10.0..99.0))).prop_map(|((mut one, other, n), cap)| {
        one.after = None;
        let mut cascade = CascadeConfig::new([one, other].into_iter().take(n));
        cascade.spend_cap = cap.map(|(per_100, depth)| SpendCapConfig::new(per_100, depth));
        cascade
    })
}

/// The kinds that are new are not always wrong, nor always right.
#[test]
fn of_the_retries_and_queues_made_up_here_a_good_part_builds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let retries = (0..200).filter(|_| {
        let layer = retry().new_tree(&mut runner).unwrap().current();
        let latency = LatencyConfig::default();
        StackConfig::new([layer.into(), latency.into()])
            .build()
            .is_ok()
    });
    let retries = retries.count();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let queues = (0..200).filter(|_| {
        let layer = admission().new_tree(&mut runner).unwrap().current();
        StackConfig::new([layer.into()]).build().is_ok()
    });
    let queues = queues.count();
    assert!((40..190).contains(&retries), "{retries} of 200");
    assert!((40..190).contains(&queues), "{queues} of 200");
}

#[test]
fn of_the_cascades_made_up_here_a_good_part_builds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let built = (0..200).filter(|_| {
        let cascade = cascade().new_tree(&mut runner).unwrap().current();
        cascade.build().is_ok()
    });
    let built = built.count();
    assert!((60..190).contains(&built), "{built} of 200");
}

/// Half of the tests below stand on this.
#[test]
fn of_the_stacks_made_up_here_a_good_part_builds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let builds = (0..200)
        .filter(|_| {
            let stack = stack().new_tree(&mut runner).unwrap().current();
            stack.build().is_ok() && !stack.layers.is_empty()
        })
        .count();
    assert!(builds > 30, "{builds} of 200");
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_builds_can_be_written_to_toml_and_read_back(stack in stack()) {
        match stack.build() {
            Ok(_) => {
                let toml = stack.to_toml().unwrap();
                let read = StackConfig::from_toml(&toml);
                prop_assert_eq!(read, Ok(stack.clone()), "{}", toml);
                let json = serde_json::to_string(&stack).unwrap();
                let read = StackConfig::from_json(&json);
                prop_assert_eq!(read, Ok(stack.clone()), "{}", json);
                // Telling of it never fails either.
                prop_assert!(stack.explain().to_string().ends_with('\n'));
            }
            Err(errors) => {
                // A file that says the same is refused for the same reasons.
                let json = serde_json::to_string(&stack).unwrap();
                let read = StackConfig::from_json(&json).unwrap_err();
                prop_assert_eq!(read.to_string(), errors.to_string());
                prop_assert!(stack.to_toml().is_err());
                let _ = stack.explain();
            }
        }
    }

    #[test]
    fn a_cascade_that_builds_can_be_written_to_toml_and_read_back(cascade in cascade()) {
        let json = serde_json::to_string(&cascade).unwrap();
        let read = CascadeConfig::from_json(&json);
        match cascade.build() {
            Ok(_) => {
                let toml = cascade.to_toml().unwrap();
                let again = CascadeConfig::from_toml(&toml);
                prop_assert_eq!(again, Ok(cascade.clone()), "{}", toml);
                prop_assert_eq!(read, Ok(cascade), "{}", json);
            }
            Err(errors) => {
                prop_assert_eq!(read.unwrap_err().to_string(), errors.to_string());
                prop_assert!(cascade.to_toml().is_err());
            }
        }
    }

    #[test]
    fn any_text_is_refused_or_read_and_never_panics(text in ".{0,200}") {
        let _ = StackConfig::from_toml(&text);
        let _ = StackConfig::from_json(&text);
        let _ = CascadeConfig::from_toml(&text);
        let _ = CascadeConfig::from_json(&text);
    }

    #[test]
    fn any_bytes_in_place_of_some_of_a_good_file_never_panic(
        at in 0_usize..400,
        bytes in vec(any::<u8>(), 0..6),
        cut in 0_usize..6,
    ) {
        let mut file = GOOD.as_bytes().to_vec();
        let at = at.min(file.len());
        let end = (at + cut).min(file.len());
        file.splice(at..end, bytes);
        let text = String::from_utf8_lossy(&file);
        if let Err(errors) = StackConfig::from_toml(&text) {
            prop_assert!(!errors.mistakes().is_empty());
            prop_assert!(errors.mistakes().iter().all(|m| !m.problem().is_empty()));
        }
    }

    #[test]
    fn a_duration_is_written_and_read_back_exactly(seconds: u64, nanos in 0_u32..1_000_000_000) {
        for written in [
            ConfigDuration::from(Duration::new(seconds, nanos)),
            Duration::from_nanos(seconds).into(),
            Duration::from_nanos(u64::from(nanos)).into(),
        ] {
            prop_assert_eq!(written.to_string().parse(), Ok(written));
        }
    }
}

const GOOD: &str = r#"
total_timeout = "2s"

[[layer]]
kind = "replay_body"
cap_bytes = 1_000

[[layer]]
kind = "hedge"
strategy = "schedule"
delays = ["50ms", "0.2s"]
latency = "shared"
budget = { percent = 5.0, depth = 10 }

[[layer]]
kind = "drain"
patience = "2s"
at_most = 64

[[layer]]
kind = "latency"
"#;

#[test]
fn the_good_file_is_good() {
    assert!(StackConfig::from_toml(GOOD).is_ok());
}
