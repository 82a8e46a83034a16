//! Every mistake ends with exit code 2 and an error that says what to change.

use std::net::TcpListener;
use std::process::Output;

use crate::command::{run, scratch, text};

/// The arguments are refused, at once, and the error says each of `answers`.
fn refused(arguments: &[&str], answers: &[&str]) {
    let output = run(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote to stdout");
    assert!(!error.contains("panicked"), "{arguments:?}: {error}");
    for answer in answers {
        assert!(error.contains(answer), "{arguments:?}: {error}");
    }
}

#[test]
fn an_unknown_workload_is_told_which_there_are() {
    refused(
        &["--workload", "w9"],
        &["no workload `w9`", "w0, w1, w2, w3, w4"],
    );
}

#[test]
fn a_number_of_calls_out_of_range_is_told_the_range() {
    for calls in ["0", "-1", "many", "1.5", "99999999999"] {
        refused(&["--calls", calls], &["--calls", "1 to 10000000"]);
    }
}

#[test]
fn a_rate_out_of_range_is_told_the_range() {
    for rate in ["0", "-5", "inf", "NaN", "1e12"] {
        refused(&["--rate", rate], &["--rate", "write 0.001 to 1000000"]);
    }
    refused(&["--rate", "fast"], &["--rate", "like 1000"]);
}

#[test]
fn a_bad_seed_or_port_names_its_option() {
    refused(&["--seed", "-1"], &["--seed"]);
    refused(&["--port", "70000"], &["--port", "65535"]);
    refused(&["--port", "-1"], &["--port"]);
}

#[test]
fn a_bad_policy_is_told_what_to_write() {
    for (policies, answer) in [
        ("", "no policy is named"),
        (
            "linkerd",
            "no policy `linkerd`: write none, off, fixed(100ms), percentile(95)",
        ),
        ("none,tower(95)", "in the lab alone"),
        ("fixed(100)", "a number and its unit, like 100ms"),
        ("percentile(0.95)", "did you mean 95?"),
        ("none,percentile(100)", "below 100"),
        ("parallel(0)", "write 1 (no hedge)"),
        ("schedule(2s,1s)", "ascending order"),
        ("none,fixed(1s", "brackets that do not match"),
    ] {
        refused(&["--policies", policies], &["--policies", answer]);
    }
}

#[test]
fn quick_and_policies_exclude_each_other() {
    refused(
        &["--quick", "--policies", "none"],
        &["--quick", "--policies"],
    );
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let address = format!("127.0.0.1:{port}");
    refused(
        &["--port", &port],
        &["--port", &address, "in use", "or 0 for a free one"],
    );
}

#[test]
fn ports_beyond_the_last_one_are_refused() {
    refused(
        &["--port", "65534"],
        &["--port 65534", "write 1 to 65533, or 0"],
    );
}

#[test]
fn a_picture_that_cannot_be_written_is_refused_before_the_first_call() {
    let folder = scratch("");
    let nowhere = scratch("no/such/folder/curves.svg");
    for out in [&folder, &nowhere] {
        let out = out.to_str().expect("a UTF-8 path");
        refused(
            &["--out", out],
            &["cannot write the picture", out, "with --out"],
        );
    }
}

#[test]
fn no_command_at_all_shows_what_there_is() {
    let output: Output = std::process::Command::new(env!("CARGO_BIN_EXE_hedgerow"))
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("demo"));
}
