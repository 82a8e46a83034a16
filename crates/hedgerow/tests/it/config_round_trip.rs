//! What builds can be written and read back, and nothing that is read panics.

use std::time::Duration;

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

fn layer() -> impl Strategy<Value = LayerConfig> {
    prop_oneof![
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
