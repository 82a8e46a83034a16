//! `hedgerow lab`: what it measures, in which forms, and what it refuses.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::command::{lab, scratch, text};

fn ran(arguments: &[&str]) -> Output {
    let output = lab(arguments).output().expect("the binary starts");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    output
}

fn rows(arguments: &[&str]) -> Vec<Value> {
    let output = ran(&[&["--json"], arguments].concat());
    let stdout = text(&output.stdout);
    assert_eq!(stdout.matches('\n').count(), 1, "one line: {stdout}");
    let document: Value = serde_json::from_str(stdout).expect("JSON and nothing else");
    document["rows"].as_array().expect("a list of rows").clone()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key]
        .as_f64()
        .unwrap_or_else(|| panic!("no number {key}: {row}"))
}

/// tower's own hedge beside ours, each with its real extra load.
#[test]
fn a_percentile_keeps_its_share_and_towers_spends_twice_as_much() {
    let rows = rows(&[
        "--workload",
        "w1,w4",
        "--policies",
        "none,percentile(95),tower(95),fixed(75ms)",
        "--calls",
        "40000",
    ]);
    assert_eq!(rows.len(), 8);
    for row in &rows {
        let (extra, policy) = (number(row, "extra_percent"), row["policy"].as_str());
        match policy.expect("a name") {
            "none" => assert_eq!(extra, 0.0),
            "percentile(95)" => assert!((4.5..=5.5).contains(&extra), "{row}"),
            "tower(95)" => assert!((8.0..=14.0).contains(&extra), "{row}"),
            _ => assert!((1.0..=6.0).contains(&extra), "{row}"),
        }
        assert_eq!(number(row, "failed"), 0.0);
        assert!(number(row, "worst_window_percent") >= extra);
        let limit = row["p99_limit_ms"].as_f64();
        assert_eq!(
            limit.is_some(),
            extra > 0.0,
            "a limit for what was spent: {row}"
        );
        if let Some(limit) = limit {
            // Sampling alone may bring a p99 a little below what is possible in the long run.
            assert!(number(row, "p99_ms") > 0.93 * limit, "{row}");
        }
    }
}

#[test]
fn every_policy_is_measured_with_every_budget_and_keeps_it() {
    let rows = rows(&[
        "--workload",
        "w3",
        "--policies",
        "none,fixed(5ms)",
        "--budget",
        "2,10,own",
        "--calls",
        "20000",
    ]);
    let got: Vec<_> = rows
        .iter()
        .map(|row| (row["policy"].as_str(), row["budget_percent"].as_f64()))
        .collect();
    let fixed = Some("fixed(5ms)");
    assert_eq!(
        got,
        [
            (Some("none"), None),
            (fixed, Some(2.0)),
            (fixed, Some(10.0)),
            (fixed, None)
        ]
    );
    for row in &rows[1..3] {
        let budget = number(row, "budget_percent");
        // The bucket starts full: 50 of 20,000 calls.
        assert!(number(row, "extra_percent") <= budget + 0.26, "{row}");
    }
}

#[test]
fn the_same_arguments_give_the_same_figures() {
    let arguments = ["--workload", "w2", "--calls", "5000", "--seeds", "3"];
    assert_eq!(rows(&arguments), rows(&arguments));
}

#[test]
fn a_fan_out_is_measured_by_its_slowest_leaf() {
    let rows = rows(&[
        "--workload",
        "w0",
        "--policies",
        "none,fixed(10ms)",
        "--calls",
        "200000",
    ]);
    assert!(number(&rows[0], "p50_ms") > 25.0, "{}", rows[0]);
    assert!(number(&rows[1], "p50_ms") < 15.0, "{}", rows[1]);
    assert!((1.9..=2.1).contains(&number(&rows[1], "extra_percent")));
}

#[test]
fn a_file_of_ones_own_is_measured_and_drawn() {
    let (file, folder) = (scratch("mine.toml"), scratch("lab-pictures"));
    fs::write(
        &file,
        "name = \"mine\"\ndescription = \"two modes\"\n[[regime]]\n\
         [[regime.part]]\nshare = 0.97\nlaw = \"constant\"\nms = 10.0\n\
         [[regime.part]]\nshare = 0.03\nlaw = \"trace\"\nvalues_ms = [200.0, 300.0]\n",
    )
    .expect("a writable folder");
    let output = ran(&[
        "--workload",
        file.to_str().expect("a plain path"),
        "--policies",
        "none,fixed(20ms)",
        "--calls",
        "10000",
        "--out",
        folder.to_str().expect("a plain path"),
    ]);
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("mine (two modes), in its own ms"),
        "{stdout}"
    );
    assert!(stdout.contains("p99 limit"), "{stdout}");
    for picture in ["lab-mine-percentiles.svg", "lab-mine-load.svg"] {
        let svg = fs::read_to_string(folder.join(picture)).expect(picture);
        assert!(
            svg.starts_with("<svg") && svg.contains("fixed(20ms)"),
            "{picture}"
        );
        assert!(svg.contains("limit"), "{picture}");
    }
}

#[test]
fn csv_has_a_line_per_row_and_as_many_cells_as_its_head() {
    let output = ran(&[
        "--csv",
        "--workload",
        "w4",
        "--policies",
        "none,schedule(20ms,40ms)",
        "--calls",
        "2000",
    ]);
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("workload,policy,budget_percent,"));
    assert!(
        lines[2].starts_with("w4,\"schedule(20ms,40ms)\",,2000,"),
        "{}",
        lines[2]
    );
    let cells = lines[0].split(',').count();
    assert_eq!(lines[1].split(',').count(), cells);
    assert_eq!(
        lines[2].split(',').count(),
        cells + 1,
        "one comma is quoted"
    );
}

/// In the lab's time they are a hundred times as long, which was found out by a panic.
#[test]
fn a_delay_that_the_labs_time_has_no_room_for_is_refused() {
    let stack = scratch("long-arms.toml");
    let keys =
        "[[layer]]\nkind = \"hedge\"\nstrategy = \"adaptive\"\ndelays = [\"1ms\", \"37s\"]\n";
    fs::write(&stack, keys).expect("writable");
    let stack = stack.to_str().expect("a plain path");
    let deep = scratch("long-timeout.toml");
    fs::write(&deep, "[[layer]]\nkind = \"timeout\"\nafter = \"2401h\"\n").expect("writable");
    let deep = deep.to_str().expect("a plain path");
    let small = ["--workload", "w1", "--calls", "200"];
    for (policies, words) in [
        (
            "adaptive(1ms,37s)",
            "in `adaptive(1ms,37s)`, 37s is too long for the lab, whose time is 100 times as long: write at \
             most 36s",
        ),
        ("key(adaptive(1ms,37s))", "37s is too long for the lab"),
        (
            "fixed(101days)",
            "8726400s is too long for the lab, whose time is 100 times as long: write at most 8640000s",
        ),
        ("schedule(1ms,101days)", "8726400s is too long"),
        ("workload(400000000000years)", "is too long for the lab"),
    ] {
        let arguments = [&small[..], &["--policies", policies]].concat();
        let output = lab(&arguments).output().expect("the binary starts");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{policies}: {error}");
        assert!(error.contains(words), "{policies}: {error}");
    }
    for (file, words) in [
        (
            stack,
            "whose time is 100 times as long, it would be refused: layer[0].delays",
        ),
        (
            deep,
            "layer[0].after = \"8643600s\" is too long for the lab",
        ),
    ] {
        let arguments = [&small[..], &["--stack", file]].concat();
        let output = lab(&arguments).output().expect("the binary starts");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {error}");
        assert!(error.contains(words), "{file}: {error}");
    }
    // The longest that there are.
    let longest = "adaptive(1ms,36s),fixed(100days),schedule(1ms,100days)";
    let rows = rows(&[&small[..], &["--policies", longest]].concat());
    assert_eq!(rows.len(), 3);
}

/// Their rows were mixed, and the picture of one took the place of the other's.
#[test]
fn two_workloads_of_one_name_are_refused() {
    let files = ["one-mine.toml", "other-mine.toml"].map(scratch);
    for (file, ms) in files.iter().zip([1, 50]) {
        let content = format!("name = \"mine\"\n[[regime]]\nlaw = \"constant\"\nms = {ms}\n");
        fs::write(file, content).expect("writable");
    }
    let [one, other] = files.map(|file| file.to_str().expect("a plain path").to_owned());
    for (list, name) in [
        (format!("{one},{other}"), "mine"),
        ("w1,w1".to_owned(), "w1"),
        ("w9,w1,w9".to_owned(), "w9"),
    ] {
        let arguments = ["--workload", &list, "--policies", "none", "--calls", "100"];
        let output = lab(&arguments).output().expect("the binary starts");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{list}: {error}");
        let words = format!("two workloads are called `{name}`");
        assert!(error.contains(&words), "{list}: {error}");
        assert!(error.contains("give a file another name"), "{error}");
        assert!(output.stdout.is_empty());
    }
}

/// Each of them is kept until the last row is told.
#[test]
fn more_calls_than_can_be_kept_are_refused() {
    for (arguments, calls) in [
        (
            &[
                "--workload",
                "w1",
                "--policies",
                "none",
                "--calls",
                "10000000",
                "--seeds",
                "1000",
            ][..],
            "10000000000 calls in all rows",
        ),
        (
            &["--workload", "w1,w2", "--calls", "10000000", "--seeds", "2"][..],
            "200000000 calls in all rows",
        ),
        (
            &["--workload", "w9", "--policies", "none", "--seeds", "1000"][..],
            "282000000 calls in all rows",
        ),
    ] {
        let output = lab(arguments).output().expect("the binary starts");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(calls), "{arguments:?}: {error}");
        assert!(error.contains("up to 100000000 calls in all"), "{error}");
    }
}

/// Its limit lies beyond what a duration can say: drawing it was a panic.
#[test]
fn a_limit_beyond_all_durations_is_drawn() {
    let (file, folder) = (scratch("deep.toml"), scratch("deep-pictures"));
    fs::write(
        &file,
        "name = \"deep\"\nfan_out = 10000\n[[regime]]\nlaw = \"chain\"\npoints = [[1.0, 1.0], [10.0, 2e-6], [1e300, 1e-6]]\n",
    )
    .expect("writable");
    ran(&[
        "--workload",
        file.to_str().expect("a plain path"),
        "--policies",
        "parallel(2)",
        "--budget",
        "0.5",
        "--calls",
        "20000",
        "--out",
        folder.to_str().expect("a plain path"),
    ]);
    let svg = fs::read_to_string(folder.join("lab-deep-percentiles.svg")).expect("it was drawn");
    assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{svg}");
}

#[test]
fn every_mistake_is_told_with_what_to_write() {
    let (bad, locked) = (scratch("bad.toml"), scratch("a-file"));
    fs::write(&bad, "name = \"x\"\n[[regime]]\nlaw = \"gauss\"\n").expect("writable");
    fs::write(&locked, "not a folder").expect("writable");
    let bad = bad.to_str().expect("a plain path");
    let locked = locked.to_str().expect("a plain path");
    for (arguments, words) in [
        (
            &["--workload", "w5"][..],
            "no file `w5`: write one of w0, w1, w2, w3, w4, w7, w8, w9, w10",
        ),
        (
            &["--workload", bad][..],
            "regime[0].law = \"gauss\": there is no such law: write one of lognormal",
        ),
        (
            &["--budget", "lots"][..],
            "write percents of the calls, like 2,5,10, or own",
        ),
        (&["--budget", "-1"][..], "-1"),
        (&["--calls", "0"][..], "1 to 10000000"),
        (&["--seeds", "0"][..], "1..=1000"),
        (&["--policies", "percentile(0.95)"][..], "did you mean 95?"),
        (&["--json", "--csv"][..], "cannot be used with"),
        (&["--calls", "100", "--out", locked][..], "--out"),
    ] {
        let output = lab(arguments).output().expect("the binary starts");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}
