//! What a demo measures and how it says so.

use std::fs;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::command::{demo, lab, run, scratch, text};

const KEYS: [&str; 9] = [
    "policy",
    "calls",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "p999_ms",
    "extra_percent",
    "hedge_wins",
    "errors",
];

/// The runs that a `--json` demo printed, after a look at the form.
fn runs(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert_eq!(stdout.matches('\n').count(), 1, "one line: {stdout}");
    let document: Value = serde_json::from_str(stdout).expect("stdout is JSON and nothing else");
    let Value::Object(mut document) = document else {
        panic!("not an object: {stdout}");
    };
    let runs = document.remove("runs").expect("the key `runs`");
    assert!(document.is_empty(), "more than `runs`: {stdout}");
    let Value::Array(runs) = runs else {
        panic!("not a list: {stdout}");
    };
    for run in &runs {
        let mut keys: Vec<_> = run
            .as_object()
            .expect("a run is an object")
            .keys()
            .collect();
        let mut wanted = KEYS;
        keys.sort();
        wanted.sort_unstable();
        assert_eq!(keys, wanted);
    }
    runs
}

fn number(run: &Value, key: &str) -> f64 {
    run[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} is a number in {run}"))
}

#[test]
fn json_is_the_runs_and_nothing_else() {
    let out = scratch("json.svg");
    let policies = [
        "none",
        "fixed(20ms)",
        "percentile(90)",
        "off",
        "parallel(2)",
        "schedule(20ms,40ms)",
    ];
    let list = policies.join(" , ");
    let path = out.to_str().expect("a UTF-8 path");
    let output = run(&[
        "--json",
        "--calls=300",
        "--rate=1000",
        "--policies",
        &list,
        "--out",
        path,
    ]);
    let runs = runs(&output);
    let names: Vec<_> = runs.iter().map(|run| run["policy"].as_str()).collect();
    assert_eq!(names, policies.map(Some));
    for run in &runs {
        assert_eq!(
            (number(run, "calls"), number(run, "errors")),
            (300.0, 0.0),
            "{run}"
        );
        let quantiles = ["p50_ms", "p95_ms", "p99_ms", "p999_ms"].map(|key| number(run, key));
        assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{run}");
    }
    for unhedged in [&runs[0], &runs[3]] {
        assert_eq!(number(unhedged, "extra_percent"), 0.0, "{unhedged}");
        assert_eq!(number(unhedged, "hedge_wins"), 0.0, "{unhedged}");
    }
    // A delay of 20 ms is a p85 of w4, and the budget grants 10 % beside its depth of 50.
    assert!(number(&runs[1], "extra_percent") > 5.0, "{}", runs[1]);
    assert!(number(&runs[1], "hedge_wins") > 0.0, "{}", runs[1]);
    let picture = fs::read_to_string(out).expect("the picture was written");
    assert!(picture.contains(">schedule(20ms,40ms)<"));
}

/// The bars of the demo: 5 times less at p99 for 6 % more calls (408 against 46 ms in theory). The same
/// workload, calls and layers in virtual time, where no machine is too slow; what the real time is the
/// demo prints.
#[test]
fn demo_cuts_p99_five_times_within_six_percent() {
    let arguments = [
        "--json",
        "--workload",
        "w4",
        "--policies",
        "none,percentile(95)",
        "--calls",
        "10000",
        "--seeds",
        "8",
    ];
    let output = lab(&arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let document: Value = serde_json::from_str(text(&output.stdout)).expect("JSON");
    let (none, hedged) = (&document["rows"][0], &document["rows"][1]);
    for row in [none, hedged] {
        let counted = (number(row, "calls"), number(row, "failed"));
        assert_eq!(counted, (80_000.0, 0.0), "{row}");
    }
    assert_eq!(hedged["policy"], "percentile(95)");
    assert!(
        number(none, "p99_ms") >= 5.0 * number(hedged, "p99_ms"),
        "{document}"
    );
    assert!(number(hedged, "extra_percent") <= 6.0, "{document}");
}

/// However slow the machine is: copies that overtake slow attempts, and no more than the budget pays.
#[test]
fn over_real_http_copies_win_and_the_budget_holds() {
    let out = scratch("quick.svg");
    let out = out.to_str().expect("a UTF-8 path");
    let output = run(&["--quick", "--json", "--calls", "2000", "--out", out]);
    let runs = runs(&output);
    let names: Vec<_> = runs.iter().map(|run| run["policy"].as_str()).collect();
    assert_eq!(names, [Some("none"), Some("percentile(95)")]);
    let (none, hedged) = (&runs[0], &runs[1]);
    for run in &runs {
        let counted = (number(run, "calls"), number(run, "errors"));
        assert_eq!(counted, (2_000.0, 0.0), "{run}");
    }
    assert_eq!(number(none, "extra_percent"), 0.0, "{none}");
    assert_eq!(number(none, "hedge_wins"), 0.0, "{none}");
    // 40 of the calls have a first attempt of 200 ms and more.
    assert!(number(hedged, "hedge_wins") > 0.0, "{hedged}");
    // 7.5 % and a depth of 50.
    let most = 7.5 + 100.0 * 50.0 / 2_000.0;
    assert!(number(hedged, "extra_percent") <= most, "{hedged}");
}

#[test]
fn the_table_the_verdict_and_the_path_are_printed() {
    let out = scratch("table.svg");
    let path = out.to_str().expect("a UTF-8 path");
    let output = run(&[
        "--quick",
        "--calls=1000",
        "--rate=1000",
        "--workload=w3",
        "--out",
        path,
    ]);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in [
        "p50",
        "p99.9",
        "extra calls",
        "hedge wins",
        "errors",
        "none",
        "percentile(95)",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    // Which of them it is depends on the machine.
    let verdicts = [
        "percentile(95) divided the p99 by ",
        "No policy brought the p99",
    ];
    let told = verdicts.iter().filter(|verdict| stdout.contains(**verdict));
    assert_eq!(told.count(), 1, "{stdout}");
    assert!(stdout.contains(path), "{stdout}");
    assert!(
        fs::read_to_string(out)
            .expect("a picture")
            .starts_with("<svg")
    );
}

#[test]
fn too_few_calls_get_no_verdict() {
    let out = scratch("few.svg");
    let path = out.to_str().expect("a UTF-8 path");
    let output = run(&["--quick", "--calls=20", "--rate=200", "--out", path]);
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("Too few calls to compare the p99"),
        "{stdout}"
    );
    assert!(!stdout.contains("divided"), "{stdout}");
}

#[test]
fn the_picture_goes_under_target_if_there_is_one() {
    for (folder, picture) in [
        ("with", "target/hedgerow-demo.svg"),
        ("without", "hedgerow-demo.svg"),
    ] {
        let folder = scratch(folder);
        let wanted = folder.join(picture);
        fs::create_dir_all(wanted.parent().expect("a folder")).expect("a folder of our own");
        let output = demo(&["--calls=20", "--rate=200", "--policies=none"])
            .current_dir(&folder)
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(&format!(": {picture}\n")));
        fs::remove_file(wanted).expect("the picture is there");
    }
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let out = scratch("pipe.svg");
    let mut child = demo(&["--calls=20", "--rate=200", "--policies=none", "--out"])
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
}
