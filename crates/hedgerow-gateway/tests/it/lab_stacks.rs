//! `hedgerow lab --stack`, policies by class, and limits of workloads that are not one law.

use std::fs;

use serde_json::Value;

use crate::command::{lab, scratch, text};

fn rows(arguments: &[&str]) -> Vec<Value> {
    let output = lab(&[&["--json"], arguments].concat())
        .output()
        .expect("the binary starts");
    let error = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    let document: Value = serde_json::from_str(text(&output.stdout)).expect("JSON");
    document["rows"].as_array().expect("a list").clone()
}

fn refused(arguments: &[&str], answer: &str) {
    let output = lab(arguments).output().expect("the binary starts");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(error.contains(answer), "{arguments:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
}

fn number(row: &Value, key: &str) -> f64 {
    row[key]
        .as_f64()
        .unwrap_or_else(|| panic!("no number {key}: {row}"))
}

fn file(name: &str, content: &str) -> String {
    let path = scratch(name);
    fs::write(&path, content).expect("a writable folder");
    path.to_str().expect("a plain path").to_owned()
}

const PERCENTILE: &str = "[[layer]]\nkind = \"hedge\"\npercentile = 95\n";
const FIXED: &str = "[[layer]]\nkind = \"hedge\"\nstrategy = \"fixed\"\ndelay = \"50ms\"\n\
                     budget = { percent = 2, depth = 50 }\n";

/// A file is measured as the policy is that says the same, to the last call.
#[test]
fn the_stack_of_a_file_is_measured_as_the_same_policy() {
    let (percentile, fixed) = (
        file("percentile.toml", PERCENTILE),
        file("fixed.toml", FIXED),
    );
    let rows = rows(&[
        "--workload",
        "w4",
        "--policies",
        "percentile(95),fixed(50ms)",
        "--budget",
        "2",
        "--stack",
        &format!("{percentile},{fixed}"),
        "--stack",
        &percentile,
        "--calls",
        "30000",
    ]);
    assert_eq!(rows.len(), 5);
    let (policy, stack) = (&rows[1], &rows[3]);
    assert_eq!(stack["policy"], format!("stack({fixed})"));
    for key in [
        "extra_percent",
        "p50_ms",
        "p99_ms",
        "p999_ms",
        "worst_window_percent",
    ] {
        assert_eq!(policy[key], stack[key], "{policy} and {stack}");
    }
    // The percentile of the file has its own budget, not the 2 % of the command line.
    let extra = number(&rows[2], "extra_percent");
    assert!((4.0..6.0).contains(&extra), "{}", rows[2]);
    assert!(number(&rows[0], "extra_percent") < 2.3, "{}", rows[0]);
    assert_eq!(rows[2], rows[4], "each run of a file begins anew");
}

/// 408 ms are 41 s of virtual time: a timeout that was not scaled would fail every call.
#[test]
fn the_timeouts_of_a_file_are_the_workloads_own() {
    let timeout = file(
        "timeout.toml",
        "total_timeout = \"400ms\"\n[[layer]]\nkind = \"latency\"\n",
    );
    let output = lab(&[
        "--workload",
        "w4",
        "--policies",
        "none",
        "--calls",
        "20000",
        "--stack",
        &timeout,
    ]);
    let mut output = output;
    let output = output.output().expect("the binary starts");
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let failed = table
        .lines()
        .find(|line| line.contains("failed"))
        .expect("a line");
    let count: f64 = failed
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    // Survival of w4 at 400 ms: .02 × e^(−200/300) = 1.03 %.
    assert!((150.0..270.0).contains(&count), "{failed}");
}

#[test]
fn what_a_lab_request_cannot_do_is_refused() {
    let keyed = file(
        "keyed.toml",
        "[[layer]]\nkind = \"hedge\"\nkey = \"host\"\n",
    );
    let paths = file(
        "paths.toml",
        "[[layer]]\nkind = \"idempotent_paths\"\npaths = [\"/a/B\"]\n",
    );
    let wrong = file(
        "wrong.toml",
        "[[layer]]\nkind = \"hedge\"\npercentile = 0.95\nmax_hedge = 2\n",
    );
    refused(
        &["--stack", &keyed],
        "layer[0].key: it has a meaning for HTTP requests alone",
    );
    refused(&["--stack", &paths], "idempotent_paths");
    refused(&["--stack", &wrong], "did you mean 95?");
    refused(&["--stack", &wrong], "max_hedges");
    refused(&["--stack", "no-such-file.toml"], "cannot be read");
    refused(
        &["--policies", "key(fixed(1ms))"],
        "write key(percentile(95))",
    );
    refused(
        &["--workload", "w10", "--policies", "workload(1s,2s)"],
        "`workload(1s,2s)` names 2 delays, and w10 has 3 classes: write one delay for each class",
    );
    refused(
        &["--workload", "w9", "--policies", "workload(1s,2s)"],
        "w9 has 0 classes",
    );
    refused(&["--cancellation", "perhaps"], "both, yes, no");
}

/// Requests tell their class: one percentile over all of them hedges the long ones alone.
#[test]
fn classes_are_hedged_near_their_limit_and_one_delay_for_all_is_not() {
    let policies = "none,percentile(95),fixed(p95),class(percentile(95)),key(percentile(95)),\
                    workload(1.8s,6.5s,24s)";
    let rows = rows(&[
        "--workload",
        "w10",
        "--policies",
        policies,
        "--calls",
        "40000",
    ]);
    let p99 = |at: usize| number(&rows[at], "p99_ms");
    // Slowdowns: 4.84 without, 4.68 with the best single delay, 3.35 is to be reached.
    assert!((4.5..5.0).contains(&p99(0)), "{}", rows[0]);
    assert!(
        (4.4..5.0).contains(&p99(1)) && (4.4..5.0).contains(&p99(2)),
        "{rows:?}"
    );
    for row in &rows[3..] {
        assert!((2.8..3.35).contains(&number(row, "p99_ms")), "{row}");
        assert!(number(row, "extra_percent") <= 6.0, "{row}");
        let limit = number(row, "p99_limit_ms");
        assert!((2.95..3.1).contains(&limit), "{row}");
    }
    assert!(rows[0]["p99_limit_ms"].is_null());
}

#[test]
fn regimes_and_waves_have_limits_of_the_calls_that_were_made() {
    let at = |workload: &str, calls: &str| {
        let rows = rows(&[
            "--workload",
            workload,
            "--policies",
            "fixed(p95)",
            "--calls",
            calls,
        ]);
        (
            number(&rows[0], "extra_percent") / 100.0,
            number(&rows[0], "p99_limit_ms"),
        )
    };
    // The first regime of w7 is w4.
    let (extra, limit) = at("w7", "30000");
    let plain = hedgerow_sim::Law::w4().limit(0.99, extra, 1).ms;
    assert!((limit / plain - 1.0).abs() < 1e-9, "{limit} for {plain}");
    let (extra, limit) = at("w7", "60000");
    let w7 = hedgerow_sim::Workload::named("w7").expect("it is in the catalogue");
    let (parts, spending) = w7.parts(60_000).expect("two regimes");
    let wanted = hedgerow_sim::LimitPart::limit(&parts, 0.99, extra, 1, spending).quantile;
    assert!(
        (limit / wanted - 1.0).abs() < 1e-9 && parts.len() == 2,
        "{limit} for {wanted}"
    );
}

/// The usual practice, named: what a fixed delay at the true p95 spends is 5 %.
#[test]
fn the_default_table_has_a_fixed_p95_beside_towers() {
    let rows = rows(&["--workload", "w1,w2,w3,w4", "--calls", "30000"]);
    let names: Vec<_> = rows[..5].iter().map(|row| row["policy"].as_str()).collect();
    let wanted = [
        "none",
        "percentile(90)",
        "percentile(95)",
        "fixed(p95)",
        "tower(95)",
    ];
    assert_eq!(names, wanted.map(Some));
    let fixed: Vec<_> = rows
        .iter()
        .filter(|row| row["policy"] == "fixed(p95)")
        .collect();
    assert_eq!(fixed.len(), 4);
    for row in fixed {
        assert!((4.5..=5.5).contains(&number(row, "extra_percent")), "{row}");
    }
}

#[test]
fn adaptive_draws_by_the_seed_and_files_begin_anew() {
    let stack = file(
        "adaptive.toml",
        "[[layer]]\nkind = \"hedge\"\nstrategy = \"adaptive\"\n",
    );
    let arguments = [
        "--workload",
        "w1,w4",
        "--policies",
        "adaptive,key(adaptive)",
        "--stack",
        &stack,
        "--calls",
        "1500",
        "--seeds",
        "2",
    ];
    assert_eq!(rows(&arguments), rows(&arguments));
}

#[test]
fn the_help_says_what_is_possible() {
    let output = lab(&["--help"]).output().expect("the binary starts");
    let help = text(&output.stdout)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for part in [
        "w9 (queues)",
        "w10 (classes)",
        "fixed(p95)",
        "class(percentile(95))",
        "key(adaptive)",
        "workload(50ms,200ms)",
        "--stack <FILES>",
        "--cancellation <WHICH>",
        "the guide's page `configuration`",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}
