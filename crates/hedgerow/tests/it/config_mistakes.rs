//! Every mistake is told, at once, with its line, its key, what was written and what to write.

use hedgerow::config::{
    AwaitFirstConfig, AwaitedName, ConfigErrors, DrainConfig, HedgeConfig, IdempotentPathsConfig,
    LatencyConfig, LayerConfig, ReplayBodyConfig, SendDeadlineConfig, StackConfig, Strategy,
    TimeoutConfig,
};
use std::time::Duration;

fn errors(toml: &str) -> ConfigErrors {
    StackConfig::from_toml(toml).expect_err(toml)
}

fn told(toml: &str) -> Vec<String> {
    errors(toml)
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn all_mistakes_are_told_at_once_with_line_key_value_and_what_to_write() {
    let told = told(
        r#"total_timeout = 5
foo = 1

[[layer]]
kind = "hedge"
percentile = 0.95
max_hedge = 2
max_hedges = 99
window = 0
budget = "unlimitid"

[[layer]]
kind = "hegde"

[[layer]]
kind = "drain"
patience = "5"

[[layer]]
percentile = 95
"#,
    );
    let wanted = [
        "line 1: total_timeout = 5: write a number and its unit (ns, us, ms, s, m or h), like \"250ms\" or \"1.5s\", or write \"none\"",
        "line 2: foo = 1: there is no such key: write one of layer, total_timeout",
        "line 6: layer[0].percentile = 0.95: percentile(0.95) is out of range: write a percentage from 1 to below 100, like 95 or 99.9; did you mean 95?",
        "line 7: layer[0].max_hedge = 2: there is no such key; did you mean \"max_hedges\"?",
        "line 8: layer[0].max_hedges = 99: 99 extra attempts a call are out of range: write 1 to 64, or use HedgeLayer::off() for none",
        "line 9: layer[0].window = 0: a latency window of 0 samples is out of range: write the samples in one half of it, from 1 to 2147483648 (1000 is the default)",
        "line 10: layer[0].budget = \"unlimitid\": did you mean \"unlimited\"? write one of \"unlimited\", \"shared\", or write a table",
        "line 13: layer[1].kind = \"hegde\": there is no such layer; did you mean \"hedge\"?",
        "line 15: layer[2].at_most: it is missing: write a whole number, 0 or more",
        "line 17: layer[2].patience = \"5\": write a number and its unit (ns, us, ms, s, m or h), like \"250ms\" or \"1.5s\"",
        "line 19: layer[3].kind: it is missing: write one of latency, receive_deadline, deadline, timeout, idempotent_paths, replay_body, cache, coalesce, retry, hedge, drain, admission, send_deadline, await_first",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_mistake_can_be_read_in_parts() {
    let errors = errors("[[layer]]\nkind = \"hedge\"\npercentile = 0.95\n");
    let [mistake] = errors.mistakes() else {
        panic!("{errors}");
    };
    assert_eq!(mistake.key(), "layer[0].percentile");
    assert_eq!(mistake.line(), Some(3));
    assert_eq!(mistake.value(), Some("0.95"));
    assert!(mistake.problem().ends_with("did you mean 95?"));
}

/// Each mistake alone, by the key that it is told of and a part of what is said.
#[test]
fn each_mistake_is_told_of_its_own_key() {
    let hedge = |keys: &str| format!("[[layer]]\nkind = \"hedge\"\n{keys}");
    let layer = |kind: &str, keys: &str| format!("[[layer]]\nkind = \"{kind}\"\n{keys}");
    let long = format!(
        "strategy = \"schedule\"\ndelays = [{}]",
        "\"1s\",".repeat(65)
    );
    for (toml, key, part) in [
        // types
        (
            hedge("percentile = \"95\""),
            "layer[0].percentile",
            "write a number",
        ),
        (
            hedge("observe_only = 1"),
            "layer[0].observe_only",
            "write true or false",
        ),
        (
            hedge("max_hedges = 1.5"),
            "layer[0].max_hedges",
            "write a whole number",
        ),
        (hedge("max_hedges = -1"), "layer[0].max_hedges", "0 or more"),
        (
            hedge("ready = \"now\""),
            "layer[0].ready",
            "\"wait\", \"now_only\"",
        ),
        (
            hedge("strategy = \"p95\""),
            "layer[0].strategy",
            "\"off\", \"fixed\"",
        ),
        (
            hedge("strategy = [1]"),
            "layer[0].strategy",
            "\"off\", \"fixed\"",
        ),
        (
            hedge("latency = \"mine\""),
            "layer[0].latency",
            "\"own\", \"shared\"",
        ),
        (hedge("percentile = nan"), "layer[0].percentile", "finite"),
        (
            hedge("percentile = 1979-05-27"),
            "layer[0].percentile",
            "no key takes a date",
        ),
        (
            hedge("window = 9223372036854775808"),
            "layer[0].window",
            "at most 9223372036854775807",
        ),
        (hedge("initial = 100"), "layer[0].initial", "like \"250ms\""),
        (
            hedge("initial = \"-5ms\""),
            "layer[0].initial",
            "like \"250ms\"",
        ),
        (hedge("key = 5"), "layer[0].key", "a text in quotes"),
        (hedge("budget = 5"), "layer[0].budget", "write a table"),
        (
            hedge("budget = { perzent = 5 }"),
            "layer[0].budget.perzent",
            "did you mean \"percent\"?",
        ),
        (
            hedge("budget = { percent = true }"),
            "layer[0].budget.percent",
            "write a number",
        ),
        (
            hedge("strategy = \"schedule\"\ndelays = \"50ms\""),
            "layer[0].delays",
            "a list in [ ]",
        ),
        (
            hedge("strategy = \"schedule\"\ndelays = [\"50ms\", 5]"),
            "layer[0].delays[1]",
            "like \"250ms\"",
        ),
        ("layer = 5".to_owned(), "layer", "[[layer]]"),
        (
            "layer = [5]".to_owned(),
            "layer[0]",
            "a table with a `kind`",
        ),
        // values
        (
            hedge("percentile = 100"),
            "layer[0].percentile",
            "below 100",
        ),
        (
            hedge("percentile = 0.5"),
            "layer[0].percentile",
            "did you mean 50?",
        ),
        (
            hedge("min = \"2s\"\nmax = \"1s\""),
            "layer[0].min",
            "write the smaller delay first",
        ),
        (
            hedge("max = \"10us\""),
            "layer[0].max",
            "write the smaller delay first",
        ),
        (
            hedge("strategy = \"schedule\""),
            "layer[0].delays",
            "it is missing",
        ),
        (
            hedge("strategy = \"schedule\"\ndelays = []"),
            "layer[0].delays",
            "one delay per extra attempt",
        ),
        (
            hedge("strategy = \"schedule\"\ndelays = [\"2s\", \"1s\"]"),
            "layer[0].delays",
            "ascending order",
        ),
        (hedge(&long), "layer[0].delays", "write 1 to 64"),
        (
            hedge("strategy = \"parallel\""),
            "layer[0].copies",
            "it is missing",
        ),
        (
            hedge("strategy = \"parallel\"\ncopies = 0"),
            "layer[0].copies",
            "write 1 (no hedge) to 65",
        ),
        (
            hedge("strategy = \"parallel\"\ncopies = 66"),
            "layer[0].copies",
            "write 1 (no hedge) to 65",
        ),
        (
            hedge("strategy = \"adaptive\"\ndelays = [\"5ms\"]"),
            "layer[0].delays",
            "write 2 to 64",
        ),
        (
            hedge("strategy = \"adaptive\"\ndelays = [\"5ms\", \"5ms\"]"),
            "layer[0].delays",
            "ascending",
        ),
        (
            hedge("strategy = \"adaptive\"\nforgetting = 1"),
            "layer[0].forgetting",
            "like 0.1",
        ),
        (
            hedge("strategy = \"backoff\"\nmax = \"2h\""),
            "layer[0].max",
            "max ≤ 1 h",
        ),
        (
            hedge("strategy = \"backoff\"\nbase = \"5ms\""),
            "layer[0].base",
            "min ≤ base",
        ),
        (
            hedge("strategy = \"fixed\"\npercentile = 95"),
            "layer[0].percentile",
            "write strategy = \"percentile\"",
        ),
        (
            hedge("strategy = \"fixed\"\nmin = \"5ms\""),
            "layer[0].min",
            "strategy = \"percentile\" or strategy = \"backoff\"",
        ),
        (
            hedge("max_hedges = 0"),
            "layer[0].max_hedges",
            "write 1 to 64",
        ),
        (
            hedge("window = 2147483649"),
            "layer[0].window",
            "from 1 to 2147483648",
        ),
        (
            hedge("budget = { percent = -1 }"),
            "layer[0].budget.percent",
            "from 0 to 100000",
        ),
        (
            hedge("budget = { depth = 1000000001 }"),
            "layer[0].budget.depth",
            "from 0 to 1000000000",
        ),
        (
            hedge("budget = { depth = 9000000000 }"),
            "layer[0].budget.depth",
            "from 0 to 1000000000",
        ),
        (
            hedge("budget = \"shared\""),
            "layer[0].budget",
            "no hedge further out",
        ),
        (
            hedge("latency = \"shared\""),
            "layer[0].latency",
            "no latency layer to share with",
        ),
        (
            hedge("key = \"user\""),
            "layer[0].key",
            "\"host\", \"path\" or \"header:NAME\"",
        ),
        (
            hedge("key = \"header:\""),
            "layer[0].key",
            "no header's name",
        ),
        (
            hedge("max_keys = 5"),
            "layer[0].max_keys",
            "write `key` too",
        ),
        (
            hedge("key = \"host\"\nmax_keys = 0"),
            "layer[0].max_keys",
            "write 1 to 1000000",
        ),
        (
            hedge("latency = \"shared\"\nwindow = 5\n[[layer]]\nkind = \"latency\""),
            "layer[0].window",
            "of the latency layer",
        ),
        (
            layer("latency", "window = 0"),
            "layer[0].window",
            "from 1 to 2147483648",
        ),
        (layer("timeout", ""), "layer[0].after", "it is missing"),
        (
            layer("timeout", "after = \"0s\""),
            "layer[0].after",
            "above zero",
        ),
        (
            layer("drain", "patience = \"0s\"\nat_most = 1"),
            "layer[0].patience",
            "a time above zero",
        ),
        (
            layer("drain", "patience = \"1s\"\nat_most = 0"),
            "layer[0].at_most",
            "at least 1 loser",
        ),
        (
            layer("replay_body", "cap_bytes = 0"),
            "layer[0].cap_bytes",
            "like 65_536",
        ),
        (
            layer("idempotent_paths", "paths = []"),
            "layer[0].paths",
            "no path at all",
        ),
        (
            layer("idempotent_paths", "paths = [\"/a/b\", \"c\"]"),
            "layer[0].paths[1]",
            "a leading slash",
        ),
        (
            layer("await_first", "max_events = 0"),
            "layer[0].max_events",
            "like 64 and 262_144",
        ),
        (
            layer("await_first", "max_bytes = 9000000"),
            "layer[0].max_bytes",
            "1 byte to 8 MiB",
        ),
        (
            layer("receive_deadline", "at_most = \"0s\""),
            "layer[0].at_most",
            "above zero, like 30 s",
        ),
        (
            layer("receive_deadline", "header = \"a b\""),
            "layer[0].header",
            "like \"x-timeout-ms\"",
        ),
        (
            layer("send_deadline", "header = \"a b\""),
            "layer[0].header",
            "like \"x-timeout-ms\"",
        ),
        (
            "total_timeout = \"0s\"".to_owned(),
            "total_timeout",
            "above zero, or \"none\"",
        ),
        (
            "total_timeout = \"nine\"".to_owned(),
            "total_timeout",
            "or write \"none\"",
        ),
    ] {
        let errors = errors(&toml);
        let [mistake] = errors.mistakes() else {
            panic!("one mistake in\n{toml}\nand told were\n{errors}");
        };
        assert_eq!(mistake.key(), key, "{toml}");
        assert!(mistake.problem().contains(part), "{toml}\n{mistake}");
        assert!(mistake.line().is_some(), "{toml}\n{mistake}");
    }
}

#[test]
fn a_broken_layer_does_not_hide_or_make_mistakes_of_others() {
    // What the second hedge shares would be the first one's.
    let told = told(
        r#"
[[layer]]
kind = "hedge"
percentile = 100
[[layer]]
kind = "hedge"
budget = "shared"
latency = "shared"
max_hedges = 0
[[layer]]
kind = "latncy"
"#,
    );
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("line 4: layer[0].percentile"));
    assert!(told[1].starts_with("line 9: layer[1].max_hedges"));
    assert!(told[2].starts_with("line 11: layer[2].kind"));
}

#[test]
fn what_is_no_toml_is_told_with_its_lines() {
    let told = told("a = \nb = [\n");
    assert!(told.len() >= 2, "{told:?}");
    assert!(
        told.iter().any(|told| told.starts_with("line 1: ")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|told| told.starts_with("line 2: ")),
        "{told:?}"
    );
    let doubled = errors("[[layer]]\nkind = \"hedge\"\nkind = \"drain\"\n").to_string();
    assert!(doubled.starts_with("line 3: "), "{doubled}");
}

#[test]
fn json_is_read_and_refused_like_toml() {
    let json = r#"{"layer": [{"kind": "hedge", "percentile": 99.9, "budget": {"percent": 1}}]}"#;
    let toml = "[[layer]]\nkind = \"hedge\"\npercentile = 99.9\nbudget = { percent = 1 }\n";
    assert_eq!(StackConfig::from_json(json), StackConfig::from_toml(toml));

    let errors =
        StackConfig::from_json(r#"{"layer": [{"kind": "hedge", "percentile": null, "kez": 1}]}"#);
    let told = errors.unwrap_err().to_string();
    assert_eq!(
        told,
        "layer[0].kez = 1: there is no such key; did you mean \"key\"?\n\
         layer[0].percentile = null: write a number, or leave the key out"
    );
    assert!(StackConfig::from_json("{").is_err());
    assert!(StackConfig::from_json("[]").is_err());
}

#[test]
fn serde_alone_refuses_unknown_keys_too() {
    let unknown = r#"{"layer": [{"kind": "hedge", "perzentile": 95}]}"#;
    assert!(serde_json::from_str::<StackConfig>(unknown).is_err());
    for unknown in [
        r#"{"kind": "drain", "patience": "1s", "at_most": 1, "x": 1}"#,
        r#"{"kind": "latency", "x": 1}"#,
    ] {
        assert!(
            serde_json::from_str::<LayerConfig>(unknown).is_err(),
            "{unknown}"
        );
    }
}

#[test]
fn a_file_is_read_by_its_name_and_a_missing_one_is_told() {
    let folder = std::env::temp_dir().join(format!("hedgerow-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (toml, json) = (folder.join("stack.toml"), folder.join("stack.json"));
    std::fs::write(&toml, "[[layer]]\nkind = \"hedge\"\n").unwrap();
    std::fs::write(&json, r#"{"layer": [{"kind": "hedge"}]}"#).unwrap();
    let wanted = StackConfig::new([HedgeConfig::default().into()]);
    let read = [StackConfig::from_file(&toml), StackConfig::from_file(&json)];
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(read, [Ok(wanted.clone()), Ok(wanted)]);
    let missing = StackConfig::from_file(&toml).unwrap_err().to_string();
    assert!(missing.contains("stack.toml cannot be read"), "{missing}");
}

#[test]
fn each_layer_can_be_built_alone_and_tells_all_its_mistakes() {
    let mut hedge = HedgeConfig::new(Strategy::Fixed);
    hedge.max_hedges = Some(0);
    hedge.window = Some(0);
    hedge.key = Some("host".to_owned());
    hedge.percentile = Some(95.0);
    let errors = hedge.build().unwrap_err();
    let keys: Vec<_> = errors.mistakes().iter().map(|m| m.key()).collect();
    assert_eq!(keys, ["percentile", "key", "max_hedges", "window"]);
    assert!(errors.to_string().contains("write .key(f) in code"));

    let zero = Duration::ZERO.into();
    assert_eq!(
        DrainConfig::new(zero, 0)
            .build()
            .unwrap_err()
            .mistakes()
            .len(),
        2
    );
    assert!(TimeoutConfig::new(zero).build().is_err());
    assert!(LatencyConfig::default().build().is_ok());
    assert!(ReplayBodyConfig::default().build().is_ok());
    assert!(AwaitFirstConfig::default().build().is_ok());
    let mut none = AwaitFirstConfig::new(AwaitedName::Frame);
    (none.max_events, none.max_bytes) = (Some(0), Some(0));
    assert_eq!(none.build().unwrap_err().mistakes().len(), 2);
    assert!(SendDeadlineConfig::new("grpc-timeout").build().is_ok());
    assert!(SendDeadlineConfig::new("").build().is_err());
    let paths = IdempotentPathsConfig::new(["a", "/b/*", ""]);
    assert_eq!(paths.build().unwrap_err().mistakes().len(), 2);
}

#[test]
fn off_keeps_the_keys_of_other_strategies() {
    let toml = "[[layer]]\nkind = \"hedge\"\nstrategy = \"off\"\npercentile = 99\nmax_hedges = 2\ncopies = 3\n";
    let stack = StackConfig::from_toml(toml).unwrap().build().unwrap();
    assert_eq!(stack.hedges()[0].max_hedges(), 0);
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    for open in ["[", "{a=", "[{a="] {
        let toml = format!("layer = {}", open.repeat(20_000));
        assert!(StackConfig::from_toml(&toml).is_err());
        assert!(StackConfig::from_json(&open.replace("a=", "\"a\":").repeat(20_000)).is_err());
    }
    let dotted = format!("{} = 1", vec!["a"; 20_000].join("."));
    assert!(StackConfig::from_toml(&dotted).is_err());
}
