//! Objects in what models write.

use hedgerow_openai::json::{How, MAX_DEPTH, NotThere, Parsed, parse_object};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::tolerant_model::{Found, search};

fn found(text: &str) -> Parsed<'_> {
    let found = parse_object(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let whole = [found.before(), found.as_str(), found.after()].concat();
    assert_eq!(whole, text, "nothing is lost");
    found
}

fn reason(text: &str) -> NotThere {
    parse_object(text).expect_err(text).reason()
}

#[test]
fn strict_json_is_taken_as_it_is() {
    for text in [
        "{}",
        "{\"a\": 1}",
        " \n{\"a\": [{}]}\r\n",
        "\u{feff}{\"a\":\"}\"}",
    ] {
        let found = found(text);
        assert_eq!(found.how(), How::Whole, "{text:?}");
        assert_eq!(
            found.as_str(),
            text.trim_matches(['\u{feff}', ' ', '\n', '\r'])
        );
    }
}

#[test]
fn a_fenced_block_goes_before_braces_in_the_talk() {
    for text in [
        "Not {\"a\": 0}, but:\n```json\n{\"a\": 1}\n```\nIs that all?",
        "```\n{\"a\": 1}\n```",
        "````md\n{\"a\": 1}\n````",
        "~~~json\r\n{\"a\": 1}\r\n~~~",
        "  ```JSON  \n\n {\"a\": 1} \n  ```",
        "```json\n{\"a\": 1}",
        "```python\n{'a': 0}\n```\n```json\n{\"a\": 1}\n```",
        "```json\n[1]\n```\nor\n```json\n{\"a\": 1}\n```",
    ] {
        let found = found(text);
        assert_eq!(
            (found.how(), found.as_str()),
            (How::Fenced, "{\"a\": 1}"),
            "{text:?}"
        );
    }
}

#[test]
fn a_fence_inside_of_a_block_or_a_string_does_not_end_it() {
    let longer = "````\n{\"a\":\n```\n1}\n````";
    // The inner fence is in the block, so the block is no object; and nothing else is one.
    assert_eq!(reason(longer), NotThere::None);
    // Taken by a shorter fence, the second object would stand in a block of its own.
    let nested = found("````\n```\n{\"a\": 0}\n```\n{\"b\": 1}\n````");
    assert_eq!(
        (nested.how(), nested.as_str()),
        (How::Embedded, "{\"a\": 0}")
    );
    let other = "```json\n{\"a\": \"~~~\"}\n```";
    assert_eq!(found(other).how(), How::Fenced);
    let text = "```json\n{\"code\": \"```rust\\nfn main() {}\\n```\"}\n```";
    let found = found(text);
    assert_eq!(found.how(), How::Fenced);
    assert_eq!(
        found.to_map().unwrap()["code"],
        "```rust\nfn main() {}\n```"
    );
}

#[test]
fn without_a_fence_the_first_balanced_object_that_is_json_is_taken() {
    for (text, taken) in [
        ("Sure! {\"a\": 1} Anything else?", "{\"a\": 1}"),
        (
            "the set {1, 2} and {\"a\": 1}, then {\"b\": 2}",
            "{\"a\": 1}",
        ),
        ("{{\"a\": 1}}", "{\"a\": 1}"),
        ("{\"a\": 'x'} {\"b\": \"{\"}", "{\"b\": \"{\"}"),
        ("```json {\"a\": 1} ```", "{\"a\": 1}"),
        ("[{\"a\": 1}, {\"b\": 2}]", "{\"a\": 1}"),
        ("{\"a\": 1}}", "{\"a\": 1}"),
        ("{\"a\": 1}{\"a\": 1}", "{\"a\": 1}"),
        ("ä {\"ö\": \"🦔\"} ü", "{\"ö\": \"🦔\"}"),
    ] {
        let found = found(text);
        assert_eq!(
            (found.how(), found.as_str()),
            (How::Embedded, taken),
            "{text:?}"
        );
    }
}

#[test]
fn what_is_left_over_can_be_searched_again() {
    let mut rest = "{\"a\": 1}, {\"b\": 2} and {\"c\": 3}.";
    let mut keys = Vec::new();
    while let Ok(found) = parse_object(rest) {
        keys.extend(found.object().iter().map(|(key, _)| key.to_owned()));
        rest = found.after();
    }
    assert_eq!((keys.concat().as_str(), rest), ("abc", "."));
}

#[test]
fn only_objects_are_taken() {
    for text in [
        "",
        "  ",
        "null",
        "42",
        "[1, 2]",
        "\"a\"",
        "no",
        "}",
        "{'a': 1}",
        "{a: 1}",
        "{\"a\": 1,}",
    ] {
        assert_eq!(reason(text), NotThere::None, "{text:?}");
    }
}

#[test]
fn an_object_that_is_cut_off_is_never_replaced_by_a_piece_of_it() {
    let whole = r#"{"a": {"b": 1}, "c": [{"d": "x"}], "e": null}"#;
    for cut in 1..whole.len() {
        let text = format!("Here: {}", &whole[..cut]);
        assert_eq!(reason(&text), NotThere::CutOff { at: 6 }, "{text:?}");
        let fenced = format!("```json\n{}", &whole[..cut]);
        assert_eq!(reason(&fenced), NotThere::CutOff { at: 8 }, "{fenced:?}");
    }
}

#[test]
fn depth_is_capped_and_a_deep_object_is_never_replaced_by_its_inside() {
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(found(&deep(MAX_DEPTH)).how(), How::Whole);
    for around in ["", "so: ", "```\n"] {
        let text = format!("{around}{}", deep(MAX_DEPTH + 1));
        let at = around.len() + MAX_DEPTH * 5;
        assert_eq!(reason(&text), NotThere::TooDeep { at }, "{around:?}");
    }
    // A stack would not hold it.
    let text = deep(2_000_000);
    assert_eq!(reason(&text), NotThere::TooDeep { at: MAX_DEPTH * 5 });
}

#[test]
fn numbers_repeated_keys_and_order_are_kept() {
    let text = r#"{"z": 1.0, "a": 12345678901234567890.50, "z": "\u00e9\ud83e\udd94"}"#;
    let found = found(text);
    let fields: Vec<_> = found
        .object()
        .iter()
        .map(|(key, raw)| (key, raw.as_str()))
        .collect();
    let written = [
        ("z", "1.0"),
        ("a", "12345678901234567890.50"),
        ("z", "\"\\u00e9\\ud83e\\udd94\""),
    ];
    assert_eq!(fields, written);
    let error = found.to_map().unwrap_err();
    assert!(
        error.to_string().contains("the key `z` stands twice"),
        "{error}"
    );
    let inner = parse_object(r#"{"a": [{"b": 1, "b": 2}]}"#).unwrap();
    assert!(inner.to_map().is_err(), "at any depth");
}

#[test]
fn it_reads_into_a_type_of_ones_own() {
    #[derive(serde::Deserialize)]
    struct Place<'a> {
        city: &'a str,
        people: u64,
    }
    let found = found("I think {\"city\": \"Rome\", \"people\": 2800000} is right.");
    let place: Place<'_> = found.read().unwrap();
    assert_eq!((place.city, place.people), ("Rome", 2_800_000));
    assert!(found.read::<Vec<u8>>().is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f32>().prop_map(|number| json!(number)),
        "[ -~\\n\"\\\\{}\u{e9}\u{1f994}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("[a-e{}\"]{0,3}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    let object =
        |map: std::collections::HashMap<String, Value>| Value::Object(map.into_iter().collect());
    prop::collection::hash_map("[a-e{}\"]{0,3}", any_json(), 0..5).prop_map(object)
}

proptest! {
    /// Talk with neither brackets nor fences hides no object, however it is written.
    #[test]
    fn every_object_is_found_whole_in_any_talk(
        object in any_object(),
        pretty in any::<bool>(),
        before in "[^{}`~]{0,20}",
        after in "[^`~]{0,20}",
        fenced in any::<bool>(),
    ) {
        let written = if pretty {
            serde_json::to_string_pretty(&object)
        } else {
            serde_json::to_string(&object)
        }.unwrap();
        let text = if fenced {
            format!("{before}\n```json\n{written}\n```\n{after}")
        } else {
            format!("{before}{written}{after}")
        };
        let found = found(&text);
        prop_assert_eq!(found.as_str(), &written);
        prop_assert_eq!(found.how() == How::Fenced, fenced);
        let map = found.to_map().unwrap();
        prop_assert_eq!(&Value::Object(map.clone()), &object);
        // Read field by field it is the same.
        for (key, raw) in found.object() {
            prop_assert_eq!(&raw.read::<Value>().unwrap(), &map[key]);
        }
    }

    #[test]
    fn it_agrees_with_a_model_of_it(
        pieces in prop::collection::vec(
            prop_oneof![
                any_object().prop_map(|object| object.to_string()),
                "[{}\\[\\]\",:\\\\0-9.eE+tfn \\n-]{0,6}",
                Just("{\"a\":".to_owned()),
                Just("true".to_owned()),
            ],
            0..8,
        ),
    ) {
        let text = pieces.concat();
        let wanted = search(&text);
        let got = match parse_object(&text) {
            Ok(found) => Found::Object(found.range(), found.how() == How::Whole),
            Err(error) => match error.reason() {
                NotThere::CutOff { at } => Found::CutOff(at),
                _ => Found::Nothing,
            },
        };
        prop_assert!(wanted == Found::Unsure || got == wanted, "{}: {:?}, not {:?}", text, got, wanted);
    }
}
