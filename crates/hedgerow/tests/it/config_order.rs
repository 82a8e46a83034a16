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
        "receive_deadline at_most = \"3s\"",
        "deadline after = \"2s\"",
        "idempotent_paths paths = [\"/a.B/*\"]",
        "replay_body",
        "cache key = { tenant = \"everybody\", methods = [\"POST\"] }",
        "coalesce",
        "retry latency = \"shared\"; attempt_timeout = \"1s\"",
        "hedge latency = \"shared\"; budget = \"shared\"",
        DRAIN,
        "admission concurrency = 8; extras = \"now_only\"",
        "latency",
        "send_deadline",
        "await_first",
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
fn admission_belongs_inside_of_a_retry() {
    one(
        &["admission concurrency = 4", "retry"],
        "layer[0] (admission): it is to be inside of the retry at layer[1]: as it stands a call keeps \
         its place in every wait between two tries",
    );
    assert!(warnings(&["admission concurrency = 4", "retry attempts = 1"]).is_empty());
}

#[test]
fn admission_belongs_inside_of_a_hedge() {
    one(
        &["admission concurrency = 4", "hedge"],
        "layer[0] (admission): it is to be inside of the hedge at layer[1]: as it stands all copies",
    );
    assert!(warnings(&["admission concurrency = 4", "hedge strategy = \"off\""]).is_empty());
}

#[test]
fn a_deadline_belongs_outside_of_what_plans_by_it() {
    one(
        &["retry", "deadline after = \"1s\""],
        "layer[1] (deadline): inside of the retry at layer[0] it begins anew for each try, and the \
         retry plans without it: to bound the call put it outside",
    );
    one(
        &["hedge", "deadline after = \"1s\""],
        "inside of the hedge at layer[0] it begins anew for each attempt",
    );
    one(
        &["admission concurrency = 4", "deadline after = \"1s\""],
        "the queue at layer[0] does not see it, and its wait is not counted: put it outside",
    );
    assert!(warnings(&["deadline after = \"1s\"", "retry"]).is_empty());
}

#[test]
fn a_time_that_is_over_after_the_call_never_fires() {
    for (layer, what) in [
        ("deadline after = \"30s\"", "it"),
        ("timeout after = \"30s\"", "it"),
        ("retry attempt_timeout = \"30s\"", "attempt_timeout"),
        ("retry deadline = \"31s\"", "deadline"),
    ] {
        let wanted = format!("{what} never fires, because total_timeout ends the call after 30s");
        one(&[layer], &wanted);
    }
    one(
        &["retry attempt_timeout = \"2s\"; deadline = \"2s\""],
        "attempt_timeout = \"2s\" never fires, because deadline ends the call after 2s",
    );
    one(
        &["retry attempt_timeout = \"1s\"", "timeout after = \"1s\""],
        "layer[1] (timeout): it never fires, because the retry at layer[0] drops a try after 1s",
    );
    assert!(warnings(&["retry attempt_timeout = \"2s\"", "timeout after = \"1s\""]).is_empty());
}

#[test]
fn a_timeout_around_what_plans_by_a_deadline_is_to_be_one() {
    one(
        &["timeout after = \"1s\"", "retry"],
        "layer[0] (timeout): the retry at layer[1] does not see it, and plans waits that it cuts off: \
         write a layer of kind \"deadline\" instead",
    );
    one(
        &["timeout after = \"1s\"", "admission concurrency = 4"],
        "the queue at layer[1] does not see it, and starts what nobody waits for",
    );
}

#[test]
fn a_timeout_of_a_try_does_not_count_the_queue() {
    one(
        &[
            "retry",
            "timeout after = \"1s\"",
            "admission concurrency = 4",
        ],
        "layer[1] (timeout): it counts the wait in the queue at layer[2]: put it inside",
    );
    assert!(
        warnings(&[
            "retry",
            "admission concurrency = 4",
            "timeout after = \"1s\""
        ])
        .is_empty()
    );
}

#[test]
fn two_retries_are_one_too_many() {
    one(
        &["retry", "retry"],
        "layer[1] (retry): two retries multiply their tries, and the one at layer[0] retries already",
    );
    assert!(warnings(&["retry", "retry attempts = 1"]).is_empty());
    assert!(warnings(&["retry attempts = 1", "retry"]).is_empty());
}

#[test]
fn a_retry_belongs_outside_of_a_hedge() {
    one(
        &["hedge", "retry"],
        "layer[1] (retry): it is to be outside of the hedge at layer[0]",
    );
}

#[test]
fn a_retry_that_shares_latencies_has_them_beneath_it() {
    one(
        &["latency", "retry latency = \"shared\""],
        "layer[1] (retry): it reads the latencies of whole calls, which layer[0] records",
    );
}

#[test]
fn attempts_are_measured_inside_of_the_queue() {
    one(
        &[
            "hedge latency = \"shared\"",
            "latency",
            "admission concurrency = 4",
        ],
        "layer[1] (latency): it records attempts with their wait in the queue at layer[2]",
    );
    one(
        &["hedge", "admission concurrency = 4"],
        "layer[0] (hedge): its latencies count the wait in the queue at layer[1]",
    );
    // Whole calls have waited.
    assert!(warnings(&["latency", "admission concurrency = 4"]).is_empty());
}

#[test]
fn two_recorders_of_the_same_are_one_too_many() {
    one(
        &["latency", "deadline after = \"1s\"", "latency"],
        "layer[2] (latency): it records the same as the one at layer[0]: leave one out",
    );
    assert!(warnings(&["latency", "retry", "latency"]).is_empty());
    assert!(warnings(&["latency", "admission concurrency = 4", "latency"]).is_empty());
}

#[test]
fn bodies_are_kept_outside_of_a_retry() {
    one(
        &["retry", "replay_body"],
        "layer[1] (replay_body): it is to be outside of the retry at layer[0]",
    );
    let paths = "idempotent_paths paths = [\"/a.B/*\"]";
    one(
        &["replay_body", "retry", paths],
        "it is to be outside of the replay_body at layer[0]",
    );
    one(
        &[paths, "retry"],
        "a retry sends a request with a body only once, unless there is a replay_body",
    );
}

#[test]
fn extras_have_a_hedge_outside() {
    one(
        &["admission concurrency = 4; extras = \"idle\""],
        "`extras` says nothing, because no hedge outside of it sends copies",
    );
}

#[test]
fn a_retry_does_not_wait_for_readiness_without_a_bound() {
    one(
        &["retry", "admission concurrency = 4; waits_in = \"ready\""],
        "layer[1] (admission): a retry makes a clone ready for each try",
    );
}

#[test]
fn the_earliest_deadline_is_known_to_somebody() {
    let order = "admission concurrency = 4; queue = { order = \"earliest_deadline_first\" }";
    assert!(warnings(&[order]).is_empty());
    let mut none = stack(&[order]);
    none.total_timeout = hedgerow::config::TotalTimeout::Named(hedgerow::config::NoTimeout::None);
    let told = none.warnings();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0]
            .text
            .contains("no layer outside of it sets a deadline")
    );
    let mut set = stack(&["deadline after = \"1s\"", order]);
    set.total_timeout = none.total_timeout;
    assert!(set.warnings().is_empty());
}

#[test]
fn explain_tells_every_option_of_a_retry_a_deadline_and_admission() {
    let stack = stack(&[
        "deadline after = \"10s\"; header = \"x-timeout\"",
        "retry attempts = 3; latency = \"shared\"",
        "admission limit = { policy = \"aimd\", slow_after = \"200ms\" }; rates = [{ requests = 5, \
         per = \"1s\" }]; queue = { order = \"adaptive_lifo\", drop = \"codel\" }; cost = 3",
        "latency",
    ]);
    assert_eq!(
        stack.explain().to_string(),
        r#"stack
    total_timeout = "30s"  # default
layer[0] deadline
    after = "10s"
    header = "x-timeout"
layer[1] retry
    attempt_timeout = none, as long as the call  # default
    attempts = 3
    base = "1s"  # default
    budget = { percent = 10, depth = 50 }  # default
    cap = "30s"  # default
    deadline = none, the deadline that holds already  # default
    forget_answers = false  # default
    gate_percentile = 50.0  # default
    jitter = "full"  # default
    latency = "shared"
    pushback_cap = "30s"  # default
    timeouts_are_final = false  # default
layer[2] admission
    cost = 3
    extras = "same"  # default
    limit = { policy = "aimd", backoff = 0.9, initial = 20, max = 1000, min = 1, slow_after = "200ms", tolerate = 0.05 }
    max_depth = 1000  # default
    max_wait = "30s"  # default
    queue = { order = "adaptive_lifo", after = "10ms", drop = "codel", target = "5ms", interval = "100ms" }
    rates = [{"per":"1s","per_key":false,"requests":5}]
    waits_in = "call"  # default
layer[3] latency
    window = 1000  # default
client
"#
    );
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

#[test]
fn what_waits_for_the_first_of_an_answer_belongs_inside_of_whatever_counts_answers() {
    for counts in ["hedge", "retry", "latency", "admission concurrency = 8"] {
        let kind = counts.split(' ').next().unwrap();
        one(
            &["await_first", counts],
            &format!("layer[0] (await_first): it is to be inside of the {kind} at layer[1]"),
        );
    }
    one(
        &["await_first", "await_first of = \"frame\""],
        "layer[1] (await_first): layer[0] waits for the first of the same answers",
    );
}

#[test]
fn a_cache_and_then_a_coalescer_stand_outside_of_what_costs() {
    const CACHE: &str = "cache key = { tenant = \"everybody\" }";
    const ALONE: &str = "coalesce key = { tenant = \"everybody\" }";
    for costs in ["hedge", "retry", "admission concurrency = 8"] {
        let kind = costs.split(' ').next().unwrap();
        one(
            &[costs, CACHE],
            &format!("layer[1] (cache): it is to be outside of the {kind} at layer[0]"),
        );
        one(
            &[costs, ALONE],
            &format!("layer[1] (coalesce): it is to be outside of the {kind} at layer[0]"),
        );
    }
    one(
        &[ALONE, CACHE],
        "layer[1] (cache): it is to be outside of the coalesce at layer[0]",
    );
    // Between the two stands what says how long calls take.
    assert_eq!(
        warnings(&["latency", CACHE, "coalesce", "latency"]),
        Vec::<String>::new()
    );
}

#[test]
fn requests_with_bodies_have_a_key_beneath_kept_bodies() {
    const KEY: &str = "key = { tenant = \"everybody\", methods = [\"PUT\"] }";
    for kind in ["cache", "coalesce"] {
        let layer = format!("{kind} {KEY}");
        one(
            &[&layer],
            &format!("layer[0] ({kind}): requests with a body have no key"),
        );
        assert_eq!(warnings(&["replay_body", &layer]), Vec::<String>::new());
        let beneath = warnings(&[&layer, "replay_body"]);
        assert_eq!(beneath.len(), 2, "{beneath:#?}");
        assert!(beneath[1].contains("bodies that are kept at layer[1]"));
        let post = layer.replace("PUT", "POST");
        one(
            &["replay_body", &post],
            &format!("layer[1] ({kind}): the body of a POST is kept, and read, only where"),
        );
    }
}

#[test]
fn a_deadline_is_told_inside_of_whatever_waits() {
    for waits in ["hedge", "retry", "admission concurrency = 8"] {
        let kind = waits.split(' ').next().unwrap();
        one(
            &["send_deadline", waits],
            &format!("layer[0] (send_deadline): it is to be inside of the {kind} at layer[1]"),
        );
    }
    let none = |layers: &str| {
        let toml = format!("total_timeout = \"none\"\n{layers}");
        StackConfig::from_toml(&toml).unwrap().warnings()
    };
    let alone = none("[[layer]]\nkind = \"send_deadline\"\n");
    assert!(
        alone[0]
            .text
            .contains("no layer outside of it sets a deadline")
    );
    let sets =
        "[[layer]]\nkind = \"deadline\"\nafter = \"1s\"\n[[layer]]\nkind = \"send_deadline\"\n";
    assert_eq!(none(sets), []);
}

#[test]
fn a_deadline_is_heard_outside_of_whatever_goes_by_it() {
    for (reads, why) in [
        ("hedge", "begins anew for each attempt"),
        ("retry", "begins anew for each attempt"),
        ("admission concurrency = 8", "begins anew for each attempt"),
        ("deadline", "does not see it"),
        ("receive_deadline", "hears the same"),
    ] {
        let kind = reads.split(' ').next().unwrap();
        let layers = [reads, "receive_deadline", "deadline"];
        let warnings: Vec<_> = warnings(&layers)
            .into_iter()
            .filter(|text| text.starts_with("layer[1] (receive_deadline)"))
            .collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let wanted = format!("it is to be outside of the {kind} at layer[0], wh");
        assert!(
            warnings[0].contains(&wanted) && warnings[0].contains(why),
            "{warnings:?}"
        );
    }
}

#[test]
fn a_deadline_that_is_heard_is_kept_by_somebody_inside() {
    one(&["receive_deadline", "hedge"], "it ends nothing by itself");
    for keeps in ["deadline", "retry", "admission concurrency = 8"] {
        assert_eq!(warnings(&["receive_deadline", keeps]), Vec::<String>::new());
    }
    one(
        &["receive_deadline at_most = \"40s\"", "deadline"],
        "its at_most never fires, because total_timeout",
    );
    let told = "total_timeout = \"none\"\n[[layer]]\nkind = \"receive_deadline\"\n\
                [[layer]]\nkind = \"deadline\"\n[[layer]]\nkind = \"send_deadline\"\n";
    assert_eq!(StackConfig::from_toml(told).unwrap().warnings(), []);
}
