//! What the README and the guide show of the lab is what the lab says.
//!
//! The lab is deterministic, and the same in debug and release builds. On another platform a logarithm
//! may differ in its last bit and with it, in the long run, a latency by its grain: so figures are
//! compared within half a percent and one unit of the last digit that is shown, points of the picture
//! within a pixel.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use hedgerow_sim::Law;
use serde_json::Value;

use crate::command::{lab, scratch, text};

const ADAPTIVE: &str = "adaptive";

fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn shown(path: &str) -> String {
    let path = of_repository(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The arguments behind the first `hedgerow lab ` or `-- lab ` of a text, up to what ends them.
fn command(text: &str, start: &str, end: &str) -> Vec<String> {
    let from = text.find(start).expect("a command is shown") + start.len();
    let rest = &text[from..];
    let line = &rest[..rest.find(end).expect("the command ends")];
    let line = line.replace("\\\n", " ");
    // Quotes only keep a shell from the brackets.
    line.split_whitespace()
        .map(|word| word.replace('\'', ""))
        .collect()
}

fn ran(arguments: &[String]) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = lab(&arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// Numbers and what stands between them.
fn tokens(text: &str) -> Vec<String> {
    let of_number = |c: char| c.is_ascii_digit() || c == '.';
    let pieces: Vec<char> = text.chars().collect();
    let pieces = pieces.chunk_by(|one, other| of_number(*one) == of_number(*other));
    pieces.map(|piece| piece.iter().collect()).collect()
}

/// One unit of the last digit that is written.
fn last_digit(number: &str) -> f64 {
    let decimals = number.split_once('.').map_or(0, |(_, part)| part.len());
    10_f64.powi(-(decimals as i32))
}

/// The same words, and the same numbers within half a percent and `least`, or the last digit shown.
#[track_caller]
fn assert_same(shown: &str, said: &str, least: f64) {
    let (shown_tokens, said_tokens) = (tokens(shown), tokens(said));
    let pairs = shown_tokens.iter().zip(&said_tokens);
    let same = shown_tokens.len() == said_tokens.len()
        && pairs.into_iter().all(|(shown, said)| {
            match (shown.parse::<f64>(), said.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= 0.005 * b + least.max(1.01 * last_digit(shown)),
                _ => shown == said,
            }
        });
    assert!(same, "shown:\n{shown}\n\nsaid:\n{said}");
}

/// The columns stand where the longest name lets them.
fn squeezed(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_readme_shows_what_its_command_prints_and_draws() {
    let readme = shown("README.md");
    let mut arguments = command(&readme, "`cargo run --release -- lab ", "`");
    let folder = arguments
        .iter()
        .position(|word| word == "--out")
        .expect("it draws");
    let pictures = scratch("shown");
    arguments[folder + 1] = pictures.to_str().expect("a plain path").to_owned();
    let said = ran(&arguments);
    let (head, legend) = ("policy  ", "\n\nextra:");
    let table = |text: &str| {
        let from = text.find(head).expect("a table");
        text[from..].to_owned()
    };
    let said = table(&said);
    let said = &said[..said.find(legend).expect("a legend")];
    let block = readme.find("in virtual time").map(|at| &readme[at..]);
    let block = table(block.expect("it is said what the lab does"));
    let block = block[..block.find("\n```").expect("a block ends")].trim_end();
    assert_same(&squeezed(block), &squeezed(said), 0.0);
    let link = readme.find("](crates/").expect("a picture") + 2;
    let link = &readme[link..link + readme[link..].find(')').expect("a link ends")];
    let drawn = fs::read_to_string(pictures.join("lab-w4-load.svg")).expect("it was drawn");
    assert_same(&shown(link), &drawn, 1.0);
}

/// A table of the guide: a row's first cell, and the others.
fn rows_below<'a>(guide: &'a str, heading: &str) -> Vec<(&'a str, Vec<&'a str>)> {
    let from = guide.find(heading).expect("a heading");
    let lines = guide[from..]
        .lines()
        .skip_while(|line| !line.starts_with("| ---"));
    let lines = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells = lines.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        (cells.next().unwrap_or_default(), cells.collect())
    });
    cells.collect()
}

fn policy_of(cell: &str) -> String {
    match cell {
        "tower's own hedge at 95" => "tower(95)".to_owned(),
        "fixed at the true p95" => "fixed(p95)".to_owned(),
        cell => cell.trim_matches('`').to_owned(),
    }
}

/// Unless there is time, without `adaptive`, which takes ten times as long as all others, and on the first
/// and the last workload alone: the layers are the same on all of them.
#[test]
fn the_guide_shows_what_its_command_prints() {
    let guide = shown("crates/hedgerow/src/guide/choosing.md");
    let mut arguments = command(&guide, "\nhedgerow lab ", "\n```");
    let long = env::var_os("HEDGEROW_LONG").is_some();
    if !long {
        let policies = arguments.iter_mut().find(|word| word.contains("adaptive,"));
        let policies = policies.expect("it measures adaptive");
        *policies = policies.replace("adaptive,", "");
        let workloads = arguments.iter_mut().find(|word| *word == "w1,w2,w3,w4");
        *workloads.expect("it measures four") = "w1,w4".to_owned();
    }
    arguments.push("--json".to_owned());
    let document: Value = serde_json::from_str(&ran(&arguments)).expect("JSON");
    let measured = document["rows"].as_array().expect("rows");
    let figure = |workload: &str, policy: &str, key: &str| {
        let row = measured
            .iter()
            .find(|row| row["workload"] == workload && row["policy"] == policy);
        let row = row.unwrap_or_else(|| panic!("the command measures no {policy} on {workload}"));
        row[key].as_f64().expect("a number")
    };
    let workloads = ["w1", "w2", "w3", "w4"];
    let mut seen = 0;
    for (heading, key, limit) in [
        ("# p99 in ms", "p99_ms", (0.99, 1)),
        ("# p99.9 in ms", "p999_ms", (0.999, 2)),
    ] {
        for (name, cells) in rows_below(&guide, heading) {
            let policy = policy_of(name);
            if policy == ADAPTIVE && !long {
                continue;
            }
            assert_eq!(cells.len(), workloads.len(), "{name}");
            for (workload, cell) in workloads.iter().zip(cells) {
                if !long && matches!(*workload, "w2" | "w3") {
                    continue;
                }
                let said = if name == "limit at 5 %" {
                    let law: Law = workload.parse().expect("a law");
                    vec![law.limit(limit.0, 0.05, limit.1).ms]
                } else if key == "p99_ms" {
                    let extra = figure(workload, &policy, "extra_percent");
                    vec![figure(workload, &policy, key), extra]
                } else {
                    vec![figure(workload, &policy, key)]
                };
                let numbers = tokens(cell)
                    .into_iter()
                    .filter(|token| token.parse::<f64>().is_ok());
                let numbers: Vec<String> = numbers.collect();
                assert_eq!(numbers.len(), said.len(), "{name} on {workload}: {cell}");
                for (shown, said) in numbers.iter().zip(said) {
                    let digit = last_digit(shown);
                    let rounded = (said / digit).round() * digit;
                    assert_same(shown, &format!("{rounded:.*}", decimals(shown)), 0.0);
                }
                seen += 1;
            }
        }
    }
    let least = if long { 4 * 18 } else { 2 * 16 };
    assert!(seen >= least, "{seen} cells were found");
}

fn decimals(number: &str) -> usize {
    number.split_once('.').map_or(0, |(_, part)| part.len())
}
