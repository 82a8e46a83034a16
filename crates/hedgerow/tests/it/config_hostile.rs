//! What is written is what is built, or it is refused: nothing is cut, left out or outvoted in silence.

use std::sync::Arc;
use std::time::Duration;

use hedgerow::config::{
    ConfigDuration, DrainConfig, HedgeConfig, LayerConfig, StackConfig, Strategy,
};
use tower::{Layer, ServiceExt};

fn keys(toml: &str) -> Vec<String> {
    let errors = StackConfig::from_toml(toml).expect_err(toml);
    let keys = errors.mistakes().iter().map(|mistake| {
        assert!(mistake.line().is_some(), "{mistake}");
        mistake.key().trim_start_matches("layer[0].").to_owned()
    });
    keys.collect()
}

fn hedge(keys: &str) -> String {
    format!("[[layer]]\nkind = \"hedge\"\n{keys}")
}

#[test]
fn a_duration_finer_than_a_nanosecond_is_refused_at_every_digit() {
    for text in [
        "1.5ns",
        "1.05ns",
        "1.000000000000001ns",
        "1.0000000001s",
        "1.00000000001s",
        "0.00000000000000000001h",
        "1.0001us",
        "1.00001us",
    ] {
        assert!(text.parse::<ConfigDuration>().is_err(), "{text}");
    }
    for (text, nanos) in [
        ("1.00ns", 1),
        ("1.0000000010000000000s", 1_000_000_001),
        ("0.25us", 250),
        ("0.00000000001h", 36),
    ] {
        let read: ConfigDuration = text.parse().expect(text);
        assert_eq!(read.get(), Duration::from_nanos(nanos), "{text}");
    }
}

#[test]
fn a_key_that_json_says_twice_is_refused() {
    for (json, key) in [
        (
            r#"{"layer": [{"kind": "hedge", "percentile": 99, "percentile": 50}]}"#,
            "percentile",
        ),
        (
            r#"{"total_timeout": "1s", "total_timeout": "none"}"#,
            "total_timeout",
        ),
        (r#"{"layer": [], "layer": [{"kind": "latency"}]}"#, "layer"),
        (
            r#"{"layer": [{"kind": "hedge", "budget": {"depth": 1, "depth": 2}}]}"#,
            "depth",
        ),
    ] {
        let told = StackConfig::from_json(json).expect_err(json).to_string();
        assert!(told.contains(&format!("`{key}`")), "{json}: {told}");
        assert!(told.contains("twice"), "{json}: {told}");
    }
    let fine = r#"{"layer": [{"kind": "latency"}, {"kind": "latency", "window": 18}]}"#;
    assert_eq!(StackConfig::from_json(fine).expect(fine).layers.len(), 2);
}

/// A wrong name or a missing key says nothing of the keys beside it.
#[test]
fn a_wrong_name_or_a_missing_key_hides_no_mistake_beside_it() {
    for (toml, wanted) in [
        (
            hedge("ready = \"now\"\nmax_hedges = 99\npercentile = 0.95\nlatency = \"mine\"\n"),
            vec!["ready", "max_hedges", "percentile", "latency"],
        ),
        (
            hedge("protocol = \"h2\"\nkey = \"user\"\nbudget = { percent = -1 }\n"),
            vec!["protocol", "key", "budget.percent"],
        ),
        (
            // Which of these belong to it nobody knows; that the others are wrong is sure.
            hedge(
                "strategy = \"p95\"\ndelay = \"5ms\"\npercentile = 0.1\nmax_hedges = 99\nwindow = 0\n",
            ),
            vec!["strategy", "max_hedges", "window"],
        ),
        (
            "[[layer]]\nkind = \"drain\"\npatience = \"0s\"\n".to_owned(),
            vec!["at_most", "patience"],
        ),
        (
            "[[layer]]\nkind = \"drain\"\npatience = \"0s\"\nat_most = -1\n".to_owned(),
            vec!["patience", "at_most"],
        ),
        (
            "[[layer]]\nkind = \"drain\"\npatience = \"now\"\nat_most = 0\n".to_owned(),
            vec!["patience", "at_most"],
        ),
        ("[[layer]]\nkind = \"timeout\"\n".to_owned(), vec!["after"]),
        (
            // Nor does a value that is none, in a file that is TOML.
            hedge("strategy = nan\ndelays = [inf]\npercentile = 1979-05-27\nwindow = 0\nfoo = 1\n"),
            vec!["strategy", "delays[0]", "percentile", "window", "foo"],
        ),
        (
            hedge("strategy = \"schedule\"\ndelays = [\"5\", nan]\nmax_hedges = 0\n"),
            vec!["delays[1]", "delays[0]", "max_hedges"],
        ),
        (
            "[[layer]]\nkind = \"drain\"\npatience = nan\nat_most = 0\n".to_owned(),
            vec!["patience", "at_most"],
        ),
    ] {
        assert_eq!(keys(&toml), wanted, "{toml}");
    }
}

#[test]
fn every_limit_of_a_backoff_that_is_wrong_is_told_of_its_own_key() {
    let toml = hedge("strategy = \"backoff\"\nbase = \"3h\"\nmin = \"0s\"\nmax = \"2h\"\n");
    assert_eq!(keys(&toml), ["base", "min", "max"]);
    let toml = hedge("strategy = \"backoff\"\nbase = \"10ms\"\nmin = \"20ms\"\n");
    assert_eq!(keys(&toml), ["base"]);
    let toml = hedge("strategy = \"backoff\"\nmin = \"20ms\"\nmax = \"15ms\"\n");
    assert_eq!(keys(&toml), ["min"]);
}

/// Copies that are counted twice, and differently: 2 copies would have become 65.
#[test]
fn a_parallel_hedge_sends_as_many_copies_as_it_says() {
    for (copies, max_hedges, fine) in [
        (2, 1, true),
        (2, 64, false),
        (1, 5, false),
        (65, 64, true),
        (4, 2, false),
    ] {
        let toml = hedge(&format!(
            "strategy = \"parallel\"\ncopies = {copies}\nmax_hedges = {max_hedges}\n"
        ));
        if fine {
            let stack = StackConfig::from_toml(&toml)
                .expect(&toml)
                .build()
                .expect(&toml);
            assert_eq!(stack.hedges()[0].max_hedges(), max_hedges);
        } else {
            assert_eq!(keys(&toml), ["max_hedges"], "{toml}");
        }
    }
}

/// Not even in a hedge that is off, where numbers of other strategies may stay.
#[test]
fn what_is_written_to_toml_can_be_read_or_is_refused() {
    let drain = DrainConfig::new(Duration::from_secs(1).into(), u64::MAX);
    let mut copies = HedgeConfig::new(Strategy::Off);
    copies.copies = Some(u64::MAX);
    let mut nan = HedgeConfig::new(Strategy::Off);
    nan.forgetting = Some(f64::NAN);
    for (layer, key) in [
        (LayerConfig::from(drain), "layer[0].at_most"),
        (copies.into(), "layer[0].copies"),
        (nan.into(), "layer[0].forgetting"),
    ] {
        let errors = StackConfig::new([layer]).to_toml().expect_err(key);
        assert_eq!(errors.mistakes()[0].key(), key, "{errors}");
    }
}

/// Whatever a key is made of, and however long a value is.
#[test]
fn each_mistake_is_one_line_that_a_person_can_read() {
    let long = "y".repeat(100_000);
    let toml =
        format!("\"a\\nb\\u001b[31m\" = 1\nlong = \"{long}\"\n[[layer]]\nkind = \"{long}\"\n");
    let errors = StackConfig::from_toml(&toml).expect_err("three mistakes");
    let told = errors.to_string();
    assert_eq!(told.lines().count(), errors.mistakes().len(), "{told}");
    assert_eq!(errors.mistakes().len(), 3);
    assert!(!told.contains('\u{1b}'));
    assert!(told.len() < 2_000, "{} bytes", told.len());
    assert_eq!(errors.mistakes()[0].key(), "a\nb\u{1b}[31m");
    assert_eq!(
        errors.mistakes()[1].value().map(str::len),
        Some(long.len() + 2)
    );
}

/// Mistakes of one hedge that do not depend on each other: what is written, and the key that is told.
const ANYWHERE: [(&str, &str); 11] = [
    ("max_hedges = 99", "max_hedges"),
    ("window = 0", "window"),
    ("budget = { percent = -1 }", "budget.percent"),
    ("key = \"user\"", "key"),
    ("ready = \"now\"", "ready"),
    ("observe_only = 3", "observe_only"),
    ("protocol = \"h2\"", "protocol"),
    ("\"w\u{ed} ndow\" = 5", "w\u{ed} ndow"),
    ("latency = []", "latency"),
    ("max_keys = nan", "max_keys"),
    ("zero = 1979-05-27", "zero"),
];
/// The same of one strategy.
const OF_A_STRATEGY: [(&str, &str, &str); 9] = [
    ("percentile", "percentile = 0.95", "percentile"),
    ("percentile", "initial = \"-5ms\"", "initial"),
    ("percentile", "min = \"1e300s\"", "min"),
    ("fixed", "delay = 5", "delay"),
    ("schedule", "delays = []", "delays"),
    ("parallel", "copies = 0", "copies"),
    ("adaptive", "forgetting = 2", "forgetting"),
    ("adaptive", "delays = [\"2s\", \"1s\"]", "delays"),
    ("backoff", "base = \"3h\"", "base"),
];
/// Whole layers with their mistakes.
const OTHERS: [(&str, &[&str]); 14] = [
    ("kind = \"latency\"\nwindow = 0", &["window"]),
    ("kind = \"latency\"", &[]),
    (
        "kind = \"timeout\"\nafter = \"0ms\"\n\"\" = 1",
        &["after", ""],
    ),
    (
        "kind = \"drain\"\npatience = \"5\"",
        &["at_most", "patience"],
    ),
    ("kind = \"replay_body\"\ncap_bytes = 0", &["cap_bytes"]),
    (
        "kind = \"await_first\"\nof = \"nothing\"\nmax_events = -1\nmax_bytes = 1.5",
        &["of", "max_bytes", "max_events"],
    ),
    (
        "kind = \"receive_deadline\"\nheader = 5\nat_most = \"0s\"\nreserve = -1",
        &["at_most", "header", "reserve"],
    ),
    (
        "kind = \"send_deadline\"\nheader = 5\nheaders = \"x\"",
        &["header", "headers"],
    ),
    (
        "kind = \"idempotent_paths\"\npaths = [\"/a/b\", \"c\", \"\"]",
        &["paths[1]", "paths[2]"],
    ),
    ("kind = 5", &["kind"]),
    (
        "kind = \"retry\"\nattempts = 99\nbase = \"2h\"\ndeadline = 5\njitters = 1",
        &["attempts", "base", "deadline", "jitters"],
    ),
    (
        "kind = \"admission\"\nconcurrency = 0\nmax_wait = \"5\"\nkey = \"no\"\nrates = [{}, { spacing = \"0s\" }]",
        &[
            "concurrency",
            "max_wait",
            "key",
            "rates[0]",
            "rates[1].spacing",
        ],
    ),
    (
        "kind = \"admission\"\nlimit = { policy = \"aimd\", backoff = 2, alpha = 0.1 }\nqueue = { order = \"no\", target = \"5s\" }",
        &[
            "limit.backoff",
            "limit.alpha",
            "queue.order",
            "queue.target",
        ],
    ),
    (
        "kind = \"deadline\"\nafter = \"0s\"\nheader = \" \"",
        &["after", "header"],
    ),
];

/// 500 files, each made of mistakes that are known: exactly these are told, each with its line, its key
/// and what to write.
#[test]
fn of_any_heap_of_mistakes_each_is_told_and_no_other() {
    for seed in 0..500_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize % n
        };
        let (mut toml, mut wanted) = (String::new(), Vec::new());
        if below(2) == 0 {
            toml.push_str("total_timeout = \"5\"\n");
            wanted.push("total_timeout".to_owned());
        }
        for layer in 0..1 + below(6) {
            toml.push_str("[[layer]]\n");
            let mut want = |key: &str| wanted.push(format!("layer[{layer}].{key}"));
            if below(3) == 0 {
                let (text, keys) = OTHERS[below(OTHERS.len())];
                toml.push_str(text);
                toml.push('\n');
                keys.iter().for_each(|key| want(key));
                continue;
            }
            let (strategy, text, key) = OF_A_STRATEGY[below(OF_A_STRATEGY.len())];
            toml.push_str(&format!(
                "kind = \"hedge\"\nstrategy = \"{strategy}\"\n{text}\n"
            ));
            want(key);
            for (text, key) in ANYWHERE {
                if below(3) == 0 {
                    toml.push_str(&format!("{text}\n"));
                    want(key);
                }
            }
        }
        let errors = match StackConfig::from_toml(&toml) {
            Err(errors) => errors,
            Ok(_) if wanted.is_empty() => continue,
            Ok(_) => panic!("seed {seed} was read:\n{toml}"),
        };
        let mut told: Vec<_> = errors
            .mistakes()
            .iter()
            .map(|m| m.key().to_owned())
            .collect();
        told.sort();
        wanted.sort();
        assert_eq!(told, wanted, "seed {seed}:\n{toml}\n{errors}");
        for mistake in errors.mistakes() {
            assert!(mistake.line().is_some(), "seed {seed}: {mistake}");
            assert!(
                ["write", "did you mean"]
                    .iter()
                    .any(|word| mistake.problem().contains(word)),
                "seed {seed}: {mistake}"
            );
        }
    }
}

/// Any order of any layers, some of them twice: it answers, and a caller that leaves takes every attempt
/// along, whenever that is.
#[tokio::test(start_paused = true)]
async fn every_order_of_layers_answers_and_lets_go() {
    const KINDS: [&str; 9] = [
        "kind = \"latency\"",
        "kind = \"timeout\"\nafter = \"40ms\"",
        "kind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"10ms\"\nbudget = \"unlimited\"\nmax_hedges = 2",
        "kind = \"hedge\"\nstrategy = \"adaptive\"\nobserve_only = true",
        "kind = \"hedge\"\nstrategy = \"off\"",
        "kind = \"hedge\"\nstrategy = \"backoff\"\nbase = \"15ms\"\nlatency = \"own\"",
        "kind = \"retry\"\nbudget = \"unlimited\"\nwait = \"5ms\"\nattempt_timeout = \"80ms\"",
        "kind = \"admission\"\nconcurrency = 2\nextras = \"now_only\"",
        "kind = \"deadline\"\nafter = \"90ms\"",
    ];
    for order in 0..9_usize.pow(3) {
        let layers = (0..3).map(|place| KINDS[order / 9_usize.pow(place) % 9]);
        let toml: String = layers.map(|keys| format!("[[layer]]\n{keys}\n")).collect();
        let config = StackConfig::from_toml(&toml).expect(&toml);
        let _ = (config.warnings(), config.explain().to_string());
        let stack = config.build().expect(&toml);
        let alive = Arc::new(());
        let held = alive.clone();
        let client = tower::service_fn(move |n: u64| {
            let held = held.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                drop(held);
                Ok::<_, std::io::Error>(n + 1)
            }
        });
        let service = stack.clone_requests().expect(&toml).layer(client);
        let idle = Arc::strong_count(&alive);
        let answer = service.clone().oneshot(1).await;
        assert_eq!(answer.expect(&toml), 2);
        for after in [0, 5, 12, 21, 29] {
            let call = service.clone().oneshot(1);
            let left = tokio::time::timeout(Duration::from_millis(after), call).await;
            assert!(left.is_err(), "{toml}");
            assert_eq!(
                Arc::strong_count(&alive),
                idle,
                "left after {after} ms:\n{toml}"
            );
        }
        for hedge in stack.hedges() {
            let stats = hedge.stats();
            assert!(stats.requests >= 6, "{toml}\n{stats:?}");
        }
        for gate in stack.gates() {
            let stats = gate.stats();
            assert_eq!((stats.active, stats.queued), (0, 0), "{toml}\n{stats:?}");
        }
    }
}

/// It was built, and the later delays never came.
#[test]
fn a_schedule_longer_than_max_hedges_is_refused() {
    let schedule = |max_hedges: &str| {
        hedge(&format!(
            "strategy = \"schedule\"\ndelays = [\"1ms\", \"2ms\", \"3ms\"]\nmax_hedges = {max_hedges}\n"
        ))
    };
    for too_few in ["1", "2"] {
        let errors = StackConfig::from_toml(&schedule(too_few)).expect_err("delays without a copy");
        assert_eq!(
            errors.to_string(),
            format!(
                "line 5: layer[0].max_hedges = {too_few}: the schedule has 3 delays, and those beyond \
                 {too_few} are never used: leave this out, or write fewer delays"
            )
        );
    }
    for fine in ["3", "4"] {
        StackConfig::from_toml(&schedule(fine)).expect("each delay has its copy");
    }
    let off = schedule("1").replace("\"schedule\"", "\"off\"");
    StackConfig::from_toml(&off).expect("it is switched off");
}

/// A device never ends.
#[cfg(unix)]
#[test]
fn a_file_without_an_end_is_refused() {
    let errors = StackConfig::from_file("/dev/zero").expect_err("endless");
    assert_eq!(
        errors.to_string(),
        "/dev/zero is longer than 16 MiB: name a file that is shorter"
    );
}

#[test]
fn a_mark_of_the_byte_order_is_no_mistake() {
    let json = "\u{feff}{\"layer\": [{\"kind\": \"hedge\", \"percentile\": 99}]}";
    let toml = format!("\u{feff}{}", hedge("percentile = 99"));
    let read = StackConfig::from_json(json).expect("it is JSON");
    assert_eq!(StackConfig::from_toml(&toml).expect("it is TOML"), read);
    let twice = StackConfig::from_json(&format!("\u{feff}{json}"));
    twice.expect_err("two marks are one too many");
}
