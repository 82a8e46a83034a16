//! `hedgerow lab --workload w9`: calls that meet in queues.

use std::fs;

use serde_json::Value;

use crate::command::{lab, scratch, text};

fn ran(arguments: &[&str]) -> String {
    let output = lab(arguments).output().expect("the binary starts");
    let error = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    text(&output.stdout).to_owned()
}

fn rows(arguments: &[&str]) -> Vec<Value> {
    let stdout = ran(&[&["--json"], arguments].concat());
    let document: Value = serde_json::from_str(&stdout).expect("JSON and nothing else");
    document["congestion"].as_array().expect("a list").clone()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key]
        .as_f64()
        .unwrap_or_else(|| panic!("no number {key}: {row}"))
}

fn success(row: &Value, phase: usize) -> f64 {
    number(&row["phases"][phase], "success_percent")
}

/// A pulse of a tenth of w9's length.
fn short_pulse(name: &str) -> String {
    let file = scratch(name);
    let text = "name = \"pulse\"\nreplicas = 10\nper_second = 1000.0\nsize_median_ms = 8.0\n\
                size_sigma = 0.5\nhiccup_share = 0.01\nhiccup_ms = 200.0\ndeadline_ms = 200.0\n\
                [[phase]]\nseconds = 3.0\nload = 0.7\n[[phase]]\nseconds = 3.0\nload = 1.2\n\
                [[phase]]\nseconds = 6.0\nload = 0.7\n";
    fs::write(&file, text).expect("a writable folder");
    file.to_str().expect("a plain path").to_owned()
}

#[test]
fn a_pulse_is_told_phase_by_phase_with_and_without_cancellation() {
    let rows = rows(&[
        "--workload",
        "w9",
        "--policies",
        "none,fixed(24.5ms)",
        "--budget",
        "5",
    ]);
    let shape: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["policy"].as_str().expect("a name"),
                &row["cancellation"],
            )
        })
        .collect();
    let (yes, no) = (&Value::Bool(true), &Value::Bool(false));
    let fixed = "fixed(24.5ms)";
    assert_eq!(
        shape,
        [("none", yes), ("none", no), (fixed, yes), (fixed, no)]
    );
    for row in &rows {
        let calls = number(row, "calls");
        assert!((calls / 141_000.0 - 1.0).abs() < 0.02, "{row}");
        let phases: f64 = (0..3)
            .map(|phase| number(&row["phases"][phase], "calls"))
            .sum();
        assert_eq!(phases, calls, "{row}");
        assert!(success(row, 0) > 99.0, "calm is served: {row}");
        let (extra, budget) = (number(row, "extra_percent"), row["budget_percent"].as_f64());
        match budget {
            None => assert_eq!(extra, 0.0, "{row}"),
            // The bucket begins full.
            Some(budget) => assert!(
                extra > 1.0 && extra <= budget + 100.0 * 50.0 / calls,
                "{row}"
            ),
        }
        let recovered = number(row, "recovered_percent");
        if row["cancellation"] == true {
            // Replicas do 83 % of it with all hiccups, and all of it if every hiccup were cut short.
            assert!((83.0..98.0).contains(&success(row, 1)), "{row}");
            assert!(recovered >= 99.0, "{row}");
        } else {
            // The pulse leaves a queue behind that is served, late, before anybody else.
            assert!(success(row, 1) < 25.0 && recovered < 95.0, "{row}");
        }
    }
}

#[test]
fn a_pulse_of_ones_own_is_told_as_table_json_and_csv() {
    let file = short_pulse("pulse.toml");
    let arguments = [
        "--workload",
        &file,
        "--policies",
        "none,fixed(p95),tower(95),parallel(2)",
    ];
    let table = ran(&arguments);
    for part in [
        "pulse (pulse), calls answered in time",
        "3 s at 0.7",
        "3 s at 1.2",
        "6 s at 0.7",
        "1 s after",
        "fixed(p95)",
        "tower(95)",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(!table.contains("p99 limit"), "{table}");
    let rows = rows(&arguments);
    assert_eq!(rows.len(), 8);
    let csv = ran(&[&["--csv"], &arguments[..]].concat());
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 9, "{csv}");
    assert!(
        lines[0].ends_with("phase_3_seconds,phase_3_load,phase_3_success_percent"),
        "{csv}"
    );
    for (line, row) in lines[1..].iter().zip(&rows) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), lines[0].split(',').count(), "{line}");
        let percent = format!("{:.4}", number(row, "recovered_percent"));
        assert_eq!(cells[7], percent, "{line}");
    }
    // Two copies of everything are twice the load: nobody is served in the pulse.
    let parallel = rows
        .iter()
        .find(|row| row["policy"] == "parallel(2)")
        .expect("a row");
    assert!(number(parallel, "extra_percent") > 5.0, "{parallel}");
}

#[test]
fn the_same_pulse_and_seeds_give_the_same_figures() {
    let file = short_pulse("again.toml");
    let policies = "percentile(95),adaptive,backoff,key(percentile(95)),tower(95)";
    let arguments = [
        "--workload",
        &file,
        "--policies",
        policies,
        "--seeds",
        "2",
        "--cancellation",
        "yes",
    ];
    let (one, other) = (rows(&arguments), rows(&arguments));
    assert_eq!(one, other);
    assert_eq!(one.len(), 5);
}

#[test]
fn one_of_the_two_can_be_asked_for() {
    let file = short_pulse("one.toml");
    let arguments = ["--workload", &file, "--policies", "none", "--cancellation"];
    let with = |which| rows(&[&arguments[..], &[which]].concat());
    let (yes, no) = (with("yes"), with("no"));
    assert_eq!((yes.len(), no.len()), (1, 1));
    assert_eq!(
        (&yes[0]["cancellation"], &no[0]["cancellation"]),
        (&true.into(), &false.into())
    );
    assert!(success(&yes[0], 1) > success(&no[0], 1));
}

#[test]
fn both_kinds_of_workload_stand_in_one_answer() {
    let file = short_pulse("both.toml");
    let list = format!("w4,{file}");
    let arguments = ["--workload", &list, "--policies", "none", "--calls", "2000"];
    let table = ran(&arguments);
    assert!(
        table.contains("w4 (98 %") && table.contains("pulse (pulse)"),
        "{table}"
    );
    let csv = ran(&[&["--csv"], &arguments[..]].concat());
    assert!(
        csv.contains("\n\nworkload,policy,budget_percent,cancellation,"),
        "{csv}"
    );
    let json: Value =
        serde_json::from_str(&ran(&[&["--json"], &arguments[..]].concat())).expect("JSON");
    let count = |key: &str| json[key].as_array().map(Vec::len);
    assert_eq!((count("rows"), count("congestion")), (Some(1), Some(2)));
}

/// The whole pulse: budgets and cancellation recover, a gate answers nine of ten in it, naive tries are
/// the end.
#[test]
fn tries_behind_a_gate_serve_a_pulse_and_naive_ones_never_recover() {
    let policies = "retry(gated),retry(budgets),retry(naive)";
    let rows = rows(&["--workload", "w9", "--policies", policies, "--seeds", "1"]);
    let [gated, _, budgets, _, _, naive] = &rows[..] else {
        panic!("two rows each: {rows:?}");
    };
    for row in [gated, budgets] {
        assert!(number(row, "recovered_percent") >= 99.0, "{row}");
    }
    assert!(success(gated, 1) >= 88.0, "{gated}");
    assert!(success(budgets, 1) < success(gated, 1), "{budgets}");
    assert_eq!(naive["cancellation"], false);
    assert!(number(naive, "recovered_percent") <= 1.0, "{naive}");
}
