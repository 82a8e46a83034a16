//! Ten seconds of texts that no model would write.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hedgerow_openai::json::{How, NotThere, Object, parse_object};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::tolerant_model::{Found, search};

const FOR: Duration = Duration::from_secs(10);

/// What models write; the fuzzing damages it.
const SEEDS: [&str; 6] = [
    "Here you are:\n```json\n{\"a\": [1, -2.5e+3, true], \"b\": {\"c\": null}}\n```\nDone {really}.",
    "{\"a\":\"\\u00e9\\\"}{\\\\\",\"b\":[{},[],{\"c\":0.5}]}",
    "~~~\n{'a': 1}\n~~~\nor {\"a\": 1} or {\"b\": {\"a\": {}}}",
    "{\"{\":\":\",\",\":\":\",\"}\":{\"\\ud83e\\udd94\":\"\u{1f994}\"}}",
    "[[{\"a\":false}],{\"a\":{\"a\":{\"a\":{\"a\":1}}}}]",
    "```\n```\n{\"x\":1}\n````\n{\n\"y\"\n:\n2\n}\n````",
];

/// What damage is done with.
const PIECES: [&str; 20] = [
    "{", "}", "[", "]", "\"", "\\", ":", ",", "```", "~~~\n", "\n", "\u{feff}", "1", "-", "e", ".",
    "null", "{\"a\":", "\\ud800", "\u{e9}",
];

fn boundary(text: &str, random: &mut StdRng) -> usize {
    let mut at = random.random_range(0..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn damaged(random: &mut StdRng) -> String {
    let mut text = String::new();
    for _ in 0..random.random_range(1..4) {
        text.push_str(SEEDS[random.random_range(0..SEEDS.len())]);
    }
    for _ in 0..random.random_range(0..14) {
        let (from, to) = (boundary(&text, random), boundary(&text, random));
        let part = from.min(to)..from.max(to);
        match random.random_range(0..5) {
            0 => text.insert_str(from, PIECES[random.random_range(0..PIECES.len())]),
            1 if part.len() < 20 => text.replace_range(part, ""),
            2 if from > text.len() / 2 => text.truncate(from),
            3 => {
                let again = text[part].repeat(random.random_range(1..4));
                text.insert_str(to, &again);
            }
            _ => {
                let deep = random.random_range(1..130);
                text.insert_str(from, &PIECES[17].repeat(deep));
            }
        }
        // The lengths would multiply.
        let mut end = text.len().min(4_000);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[test]
fn for_ten_seconds_no_text_is_misread_whatever_is_wrong_with_it() {
    let seed: u64 = RandomState::new().hash_one(0);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (start, mut texts, mut found, mut compared) = (Instant::now(), 0_u64, 0_u64, 0_u64);
    while start.elapsed() < FOR {
        let text = damaged(&mut random);
        texts += 1;
        let got = match parse_object(&text) {
            Ok(object) => {
                found += 1;
                assert_eq!(
                    [object.before(), object.as_str(), object.after()].concat(),
                    text
                );
                let again: Object = serde_json::from_str(object.as_str()).expect("an object");
                assert_eq!(&again, object.object());
                // Whatever it says, it says without a panic.
                let _ = object.to_map();
                Found::Object(object.range(), object.how() == How::Whole)
            }
            Err(error) => match error.reason() {
                NotThere::None => Found::Nothing,
                NotThere::CutOff { at } => Found::CutOff(at),
                _ => continue,
            },
        };
        let fenced = text.contains("```") || text.contains("~~~");
        // The model knows no fences.
        if fenced {
            continue;
        }
        let wanted = search(&text);
        assert!(
            wanted == Found::Unsure || got == wanted,
            "{text:?}: {got:?}, not {wanted:?}"
        );
        compared += 1;
    }
    println!("{texts} texts, {found} objects, {compared} compared with the model");
    assert!(compared > 100, "the fuzzing finds nothing to compare");
}
