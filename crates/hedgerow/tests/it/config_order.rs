//! The rules of order, and how a stack is explained.

use hedgerow::config::StackConfig;

/// `kind key = value, key = value` a line.
fn stack(lines: &[&str]) -> StackConfig {
    let layers: Vec<_> = lines
        .iter()
        .map(|line| {
            let (kind, keys) = line.split_once(' ').unwrap_or((line, ""));
            format!(
                "[[layer]]\nkind = \"{kind}\"\n{}\n",
                keys.replace("; ", "\n")
            )
        })
        .collect();
    StackConfig::from_toml(&layers.concat()).unwrap()
}

fn warnings(lines: &[&str]) -> Vec<String> {
    stack(lines)
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[track_caller]
fn one(lines: &[&str], wanted: &str) {
    let warnings = warnings(lines);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains(wanted), "{}", warnings[0]);
}

const DRAIN: &str = "drain patience = \"1s\"; at_most = 4";

#[test]
fn a_stack_in_order_has_no_warning() {
    let order = [
        "latency",
        "timeout after = \"2s\"",
        "idempotent_paths paths = [\"/a.B/*\"]",
        "replay_body",
        "hedge latency = \"shared\"",
        DRAIN,
        "latency",
    ];
    assert_eq!(warnings(&order), Vec::<String>::new());
    assert_eq!(warnings(&[]), Vec::<String>::new());
    assert_eq!(warnings(&["hedge"]), Vec::<String>::new());
    assert_eq!(
        warnings(&["hedge", "hedge budget = \"shared\""]),
        Vec::<String>::new()
    );
}

/// The histogram of the latency layer is then read for no request at all.
#[test]
fn a_key_that_shares_latencies_is_said_to_read_its_own() {
    one(
        &["hedge key = \"host\"; latency = \"shared\"", "latency"],
        "layer[0] (hedge): each key reads a histogram of its own, so no call reads the shared one: write \
         latency = \"own\", or leave the key out",
    );
    // Nothing is recorded twice for the sake of one reader: the layer's is for you.
    let own = ["hedge key = \"host\"", "latency"];
    assert_eq!(warnings(&own), Vec::<String>::new());
    let shown = stack(&["hedge key = \"host\"; latency = \"shared\"", "latency"]).explain();
    assert!(
        shown
            .to_string()
            .contains("warning: layer[0] (hedge): each key reads"),
        "{shown}"
    );
}

#[test]
fn a_budget_of_next_to_nothing_is_explained_with_its_digits() {
    let options = |percentile: &str| {
        let explained = stack(&[&format!("hedge percentile = {percentile}")]).explain();
        let budget = explained.layers[1]
            .options
            .iter()
            .find(|one| one.key == "budget");
        budget.expect("it has one").value.clone()
    };
    // A budget counts in billionths of a copy.
    assert_eq!(options("99.9999999"), "{ percent = 0.0000001, depth = 50 }");
    assert_eq!(options("99.9"), "{ percent = 0.15, depth = 50 }");
    assert_eq!(options("95"), "{ percent = 7.5, depth = 50 }");
}

#[test]
fn a_timeout_inside_of_a_hedge_is_said_to_be_an_attempt_timeout() {
    one(
        &["hedge", "timeout after = \"1s\""],
        "layer[1] (timeout): inside of the hedge at layer[0] it is an attempt timeout",
    );
}

#[test]
fn a_timeout_longer_than_the_total_one_never_fires() {
    one(
        &["timeout after = \"31s\"", "hedge"],
        "it never fires, because total_timeout ends the call after 30s",
    );
    let mut none = stack(&["timeout after = \"31s\"", "hedge"]);
    none.total_timeout = hedgerow::config::TotalTimeout::Named(hedgerow::config::NoTimeout::None);
    assert!(none.warnings().is_empty());
}

#[test]
fn a_drain_belongs_right_beneath_a_hedge() {
    one(&[DRAIN], "none is outside of it: it drains nothing");
    one(
        &[DRAIN, "hedge"],
        "none is outside of it: it drains nothing",
    );
    one(&["latency", DRAIN], "no hedge is outside of it");
    one(
        &["hedge latency = \"shared\"", "latency", DRAIN],
        "layer[2] (drain): it is to be right beneath a hedge, and latency is between",
    );
}

#[test]
fn replay_body_belongs_outside_of_the_hedge_and_once() {
    one(
        &["hedge", "replay_body"],
        "layer[1] (replay_body): it is to be outside of the hedge at layer[0]",
    );
    one(
        &["replay_body", "replay_body", "hedge"],
        "already kept, or found too large, at layer[0]",
    );
}

#[test]
fn idempotent_paths_belong_outside_of_what_asks() {
    let paths = "idempotent_paths paths = [\"/a.B/*\"]";
    one(
        &["replay_body", paths, "hedge"],
        "layer[1] (idempotent_paths): it is to be outside of the replay_body at layer[0]",
    );
    let told = warnings(&["hedge", paths]);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("outside of the hedge at layer[0]"));
    one(
        &[paths, "hedge"],
        "only once, unless there is a replay_body",
    );
}

#[test]
fn a_hedge_that_shares_latencies_has_them_beneath_it() {
    one(
        &["latency", "hedge latency = \"shared\""],
        "layer[1] (hedge): it reads the latencies of whole calls, which layer[0] records",
    );
}

#[test]
fn an_attempt_is_not_recorded_twice() {
    one(
        &["hedge", "latency"],
        "layer[0] (hedge): each attempt is recorded twice, here and at layer[1]",
    );
    assert!(warnings(&["hedge strategy = \"off\"", "latency"]).is_empty());
}

#[test]
fn two_hedges_share_one_budget() {
    one(
        &["hedge", "hedge"],
        "layer[1] (hedge): two hedges multiply their copies",
    );
    assert!(warnings(&["hedge strategy = \"off\"", "hedge"]).is_empty());
}

#[test]
fn explain_tells_layers_options_defaults_and_warnings() {
    let stack = stack(&[
        "hedge percentile = 99; key = \"host\"",
        DRAIN,
        "timeout after = \"1s\"",
    ]);
    assert_eq!(
        stack.explain().to_string(),
        r#"stack
    total_timeout = "30s"  # default
layer[0] hedge
    strategy = "percentile"  # default
    budget = { percent = 1.5, depth = 50 }  # default
    initial = "100ms"  # default
    key = "host"
    latency = "own"  # default
    max = no limit  # default
    max_hedges = 1  # default
    max_keys = 1000  # default
    min = "1ms"  # default
    observe_only = false  # default
    percentile = 99.0
    ready = "wait"  # default
    window = 2000  # default
layer[1] drain
    at_most = 4
    patience = "1s"
layer[2] timeout
    after = "1s"
client
warning: layer[2] (timeout): inside of the hedge at layer[0] it is an attempt timeout, which bounds each attempt by itself: to bound the call put it outside of the hedge
"#
    );
}

#[test]
fn each_strategy_is_explained_by_the_keys_it_reads() {
    let options = |keys: &str| {
        let explained = stack(&[&format!("hedge {keys}")]).explain();
        let options = explained.layers[1].options.iter();
        let of_strategy = options.filter(|option| {
            ![
                "strategy",
                "budget",
                "latency",
                "observe_only",
                "ready",
                "window",
            ]
            .contains(&option.key.as_str())
        });
        of_strategy
            .map(|option| format!("{} = {}", option.key, option.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        options("strategy = \"off\"; percentile = 99"),
        Vec::<String>::new()
    );
    assert_eq!(
        options("strategy = \"fixed\""),
        ["delay = \"100ms\"", "max_hedges = 1"]
    );
    assert_eq!(
        options("strategy = \"schedule\"; delays = [\"1s\", \"2s\"]"),
        ["delays = [\"1s\",\"2s\"]", "max_hedges = 2"]
    );
    assert_eq!(
        options("strategy = \"parallel\"; copies = 3"),
        ["copies = 3", "max_hedges = 2"]
    );
    assert_eq!(
        options("strategy = \"adaptive\""),
        [
            "delays = [\"50ms\",\"100ms\",\"200ms\",\"500ms\",\"1s\"]",
            "forgetting = 0.1",
            "max_hedges = 1",
            "price = \"50ms\""
        ]
    );
    assert_eq!(
        options("strategy = \"backoff\""),
        [
            "base = \"100ms\"",
            "max = \"5s\"",
            "max_hedges = 1",
            "min = \"10ms\""
        ]
    );
}
